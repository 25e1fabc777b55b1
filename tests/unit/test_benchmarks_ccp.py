"""The nine super-classes of ``ccp``: every label has one, parts follow the protocol, the unknown stays unknown."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.data import make_ccp  # noqa: E402

from assay.data.read import read_dataset  # noqa: E402
from assay.data.write import write_dataset  # noqa: E402
from assay.pixel_masks import encode_pixels, read_pixels  # noqa: E402


@pytest.fixture
def ccp(tmp_path: Path) -> Path:
    """One photo of each part with a mask of shoes, wallet and skin, and one with tags alone."""
    folder = tmp_path / "ccp"
    (folder / "photos").mkdir(parents=True)
    (folder / "masks").mkdir()
    labels = ["null", "shoes", "skin", "wallet"]
    pixels = np.repeat(np.arange(4, dtype=np.uint8), 8).reshape(4, 8)
    for stem in ("0604", "0605", "0804", "1005"):
        Image.new("RGB", (8, 4)).save(folder / "photos" / f"{stem}.jpg")
        if stem < "1000":
            (folder / "masks" / f"{stem}.png").write_bytes(encode_pixels(pixels))
    boxes = [["shoes", 0, 1, 8, 2, 8], ["skin", 0, 2, 8, 3, 8], ["wallet", 0, 3, 8, 4, 8]]
    told = {"labels": labels, "boxes_xyxy_pixels": dict.fromkeys(("0604", "0605", "0804"), boxes)}
    (folder / "boxes.json").write_text(json.dumps(told))
    (folder / "tags.json").write_text(json.dumps({"1005": ["null", "heels", "pumps", "hat"]}))
    return folder


def test_ccp_in_super_classes(ccp, tmp_path):
    write_dataset(make_ccp.read_photos(ccp, tmp_path / "out"), tmp_path / "out" / "ccp.parquet")
    data = read_dataset(tmp_path / "out" / "ccp.parquet")
    assert [s.part for s in data] == ["train", "validation", "test", "train"]
    assert [[data.classes[i] for i in s.labels] for s in data] == [["skin", "footwear", "bag"]] * 3 + [
        ["footwear", "accessory"]
    ]
    first, last = data[0], data[3]
    assert [data.object_classes[int(i)] for i in first.objects.labels] == ["footwear", "skin", "bag"]
    assert first.objects.boxes_xyxy[0].tolist() == [0, 1, 8, 2]
    assert [data.pixel_classes[v] for v in read_pixels(first.pixels)[:, 0]] == [
        "background",
        "footwear",
        "skin",
        "bag",
    ]
    assert (last.objects, last.pixels) == (None, None)
    assert len(make_ccp.read_photos(ccp, tmp_path / "out", tag_only=False)) == 3


def test_a_label_without_a_super_class_is_told():
    with pytest.raises(ValueError, match="without a super-class: kilt"):
        make_ccp.value_table(["null", "kilt"])


@pytest.mark.shared
def test_every_published_label_has_one_super_class(shared_data):
    labels = json.loads((shared_data / "ccp" / "boxes.json").read_text())["labels"]
    named = [label for names in make_ccp.SUPER_CLASSES.values() for label in names.split()]
    assert sorted(named) == sorted(set(labels) - {"null"})
    assert make_ccp.value_table(labels)[: len(labels)].max() == len(make_ccp.SUPER_CLASSES) == 9
