"""What the doctor says of boxes, masks and pixels: in words, with the places and the boxes to draw."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from assay.audit.audit import audit
from assay.audit.checkups.objects import check_objects
from assay.audit.examination import Examination
from assay.audit.facts import gather_facts
from assay.audit.finding import Finding
from assay.labels import ClassNames
from assay.masks import encode
from assay.objects import objects_type
from assay.pixel_masks import encode_pixels
from assay.report.audit_boxes import boxed_thumbnails
from assay.types import Dataset
from assay.verb_configs import AuditConfig

HIGH, WIDE = 60, 80


def thing(label: str, *box: float, mask: Any = None, crowd: bool = False) -> dict[str, Any]:
    counts = None
    if mask is not None:
        values = np.zeros((HIGH, WIDE), np.uint8)
        values[mask[1] : mask[3], mask[0] : mask[2]] = 1
        counts = encode(values).counts
    return {"label": label, "box": [float(v) for v in box], "mask": counts, "crowd": crowd}


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Dataset]:
    """``make([things, ...])``: pictures of 80 x 60 px; ``orientation={0: 6}`` stores picture 0 turned."""

    def built(
        cells: list[Any], orientation: dict[int, int] | None = None, notes: Any = None, **columns: Any
    ) -> Dataset:
        for i in range(len(cells)):
            exif = Image.Exif()
            exif[274] = (orientation or {}).get(i, 1)
            size = (HIGH, WIDE) if exif[274] >= 5 else (WIDE, HIGH)
            rng = np.random.default_rng(i)
            pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"{i}.jpg", exif=exif)
        table = pa.table(
            {
                "path": [f"{i}.jpg" for i in range(len(cells))],
                "label": pa.nulls(len(cells), pa.string()),
                "objects": pa.array(cells, objects_type()),
                "height_px": pa.array([HIGH] * len(cells), pa.int32()),
                "width_px": pa.array([WIDE] * len(cells), pa.int32()),
                **columns,
            }
        )
        if notes:
            table = table.replace_schema_metadata({b"assay": json.dumps(notes).encode()})
        return Dataset(table, ClassNames([]), tmp_path, "shop", object_classes=ClassNames(["cup", "dog"]))

    return built


@pytest.fixture
def found(tmp_path: Path) -> Callable[..., dict[str, Finding]]:
    def look(data: Dataset, **options: Any) -> dict[str, Finding]:
        config = AuditConfig(workers=1, **options)
        facts = gather_facts(data, tmp_path / "work", config, lambda *_: None)
        examination = Examination(data, facts, config, tmp_path / "work", lambda *_: None)
        return by_code(check_objects(examination))

    return look


def by_code(findings: Iterable[Finding]) -> dict[str, Finding]:
    listed = list(findings)
    assert len({f.code for f in listed}) == len(listed)
    for f in listed:
        assert f.title[0].isupper()
        assert f.what.endswith((".", ")"))
        assert "{" not in f.what + f.fix
        assert "|" not in f.what
    return {f.code: f for f in listed}


def twenty(label: str) -> list[dict[str, Any]]:
    return [thing(label, 2 * i, 0, 2 * i + 30, 30) for i in range(20)]


def test_boxes_in_order_are_good(make, found) -> None:
    told = found(make([twenty("cup"), twenty("dog")]), size=80)
    assert {f.level for f in told.values()} == {"good"}
    assert "All 40 boxes lie in their pictures" in told["boxes-in-order"].what


def test_every_kind_of_fault_is_named_with_its_boxes(make, found) -> None:
    cells = [
        [
            thing("cup", 60, 10, 90, 30),
            thing("cup", 5, 5, 25, 25),
            thing("cup", 5, 5, 25, 25),
            thing("cup", 5, 5, 25, 25.2),
            thing("dog", 30, 30, 50, 50, mask=(30, 30, 50, 50)),
            thing("dog", 52, 30, 72, 50, mask=(52, 44, 72, 50)),
        ],
        [thing("cup", 40, 5, 60, 20), thing("dog", 40, 5, 60, 20.1)],
        None,
        [],
    ]
    told = found(make(cells), size=80)
    levels = {code: f.level for code, f in told.items()}
    assert levels == {
        "not-looked-at": "note",
        "box-outside": "warning",
        "same-box-twice": "warning",
        "nearly-same-box": "note",
        "same-box-two-classes": "warning",
        "mask-disagrees": "warning",
        "sizes-of-things": "good",
        "small-object-classes": "note",
        "tiny-object-classes": "warning",
    }
    assert told["not-looked-at"].items[0].paths == ("2.jpg",)
    assert told["not-looked-at"].figures == {"pictures": 4, "empty": 1, "not_looked_at": 1}
    (outside,) = told["box-outside"].items
    assert outside.text == "cup: box (60, 10, 90, 30), picture 80 x 60"
    assert outside.figures["boxes"] == [[60.0, 10.0, 90.0, 30.0]]
    (off,) = told["mask-disagrees"].items
    assert off.text == "dog: off by 14 px"
    assert off.figures["boxes"][1] == [52.0, 44.0, 72.0, 50.0], "the hull of the mask, beside the box"
    assert told["same-box-two-classes"].items[0].text == "dog: also cup"
    assert told["same-box-twice"].count == 1


def test_boxes_of_a_turned_frame_and_pictures_that_are_stored_turned(make, found) -> None:
    upright = [thing("cup", 5, 5, 20, 75), thing("dog", 30, 5, 55, 40)]
    inside = [thing("cup", 5, 5, 20, 55)]
    told = found(make([upright, inside, [thing("dog", 1, 1, 40, 40)]], orientation={0: 6, 1: 6}), size=80)
    assert told["turned-frame"].level == "error"
    assert told["turned-frame"].items[0].paths == ("0.jpg",)
    assert "box-outside" not in told, "told once"
    assert told["turned-with-boxes"].items[0].paths == ("1.jpg",)
    assert "look whether they lie right" in told["turned-with-boxes"].what


def test_things_that_vanish_at_the_size_of_training(make, found) -> None:
    cells = [[thing("cup", 0, 0, 10, 10)] * 1 + [thing("dog", 10, 10, 14, 14)], [thing("dog", 1, 1, 40, 40)]]
    told = found(make(cells), size=64)["tiny-things"]
    assert told.what == (
        "At 64 px 33.3% of the things are smaller than 8 px (one cell of the finest map), and 33.3% smaller than 4 px: "
        "these cannot be found."
    )
    assert told.figures["share_below_8_px"] == pytest.approx(1 / 3, abs=1e-6)
    assert told.figures["size_that_keeps_95_percent"] == 160
    assert "`--size 160`" in told.fix
    assert told.items[0].figures["boxes"] == [[10.0, 10.0, 14.0, 14.0]], "only those that vanish are drawn"


def test_a_picture_with_far_more_things_than_the_others(make, found) -> None:
    many = [thing("cup", x, y, x + 9, y + 9) for x in np.arange(0, 60, 1.5) for y in np.arange(0, 45, 1.5)]
    told = found(make([twenty("cup"), twenty("dog"), many]), size=80)["many-things"]
    assert told.items[0].text == "1,200 things"
    assert len(told.items[0].figures["boxes"]) == 40, "no more are drawn"
    assert told.figures == {"most": 1200}


def test_what_was_kept_out_is_told_kind_by_kind(make, found) -> None:
    faults = [
        {
            "place": "labels/1.txt line 2",
            "what": "box width is 40; YOLO boxes are fractions of the picture, 0 to 1",
        },
        {"place": "a.json annotation 3", "what": "the box (1, 1, 0, 4) has no area", "fix": "draw it again"},
        {
            "place": "val.json",
            "what": "1 categories have other ids than in train.json (cup 2, not 1)",
            "fix": "look",
        },
    ]
    told = found(make([twenty("cup"), twenty("dog")], notes={"faults": faults}), size=80)
    assert list(told)[:3] == ["pixels-for-fractions", "no-area", "class-order"]
    assert told["pixels-for-fractions"].items[0].text.startswith("labels/1.txt line 2: box width is 40")
    assert told["no-area"].items[0].text.endswith("has no area; draw it again")
    assert told["class-order"].fix == "Look."
    assert "boxes-in-order" not in told


def test_no_boxes_at_all(make, found) -> None:
    told = found(make([None, None]))["no-boxes"]
    assert (told.level, told.title) == ("error", "No picture has boxes")
    assert found(make([[], None]))["no-boxes"].title == "Every picture is labelled as empty"


def test_classes_that_a_part_lacks(make, found) -> None:
    cells = [twenty("cup"), twenty("dog"), twenty("cup")]
    told = found(make(cells, part=["train", "train", "test"]), size=80)["object-classes-missing"]
    assert (told.level, told.items[0].text) == ("warning", "test: dog")
    told = found(make(cells, part=["train", "test", "train"]), size=80)["object-classes-missing"]
    assert told.level == "error", "what is not in train cannot be learnt"


def test_masks_of_classes_are_read_whole(tmp_path: Path, found) -> None:
    for i, values in enumerate((np.zeros((HIGH, WIDE)), np.zeros((WIDE, HIGH)), np.full((HIGH, WIDE), 9))):
        Image.new("RGB", (WIDE, HIGH)).save(tmp_path / f"{i}.jpg")
        (tmp_path / f"{i}.png").write_bytes(encode_pixels(values.astype(np.uint8)))
    table = pa.table(
        {
            "path": ["0.jpg", "1.jpg", "2.jpg", "2.jpg"],
            "label": pa.nulls(4, pa.string()),
            "pixels": ["0.png", "1.png", "2.png", "no.png"],
        }
    )
    data = Dataset(table, ClassNames([]), tmp_path, pixel_classes=ClassNames(["floor", "cup"]))
    told = found(data)
    levels = {code: f.level for code, f in told.items()}
    assert levels == dict.fromkeys(("missing-mask", "mask-size", "mask-value"), "error")
    assert told["mask-size"].items[0].text.startswith("1.png (60 x 80, and 1.jpg is 80 x 60)")


def test_a_set_of_classes_has_no_such_findings(tmp_path: Path, found) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "a.jpg")
    data = Dataset(pa.table({"path": ["a.jpg"], "label": ["cup"]}), ClassNames(["cup"]), tmp_path)
    assert found(data) == {}


def test_the_page_shows_the_boxes_and_the_summary_counts_things(make, tmp_path: Path) -> None:
    from assay.report.audit_page import render_audit
    from assay.report.audit_text import summary_line

    data = make([[thing("cup", 60, 10, 90, 30), thing("dog", 5, 5, 50, 50)], [thing("cup", 5, 5, 50, 50)]])
    out = tmp_path.with_name(f"{tmp_path.name}-audit")
    told = audit(data, out, checkups=["objects"], minutes=0.0, workers=1)
    assert "2 classes of things (3)" in summary_line(told)
    page = render_audit(told)
    assert page.count("data:image/webp") >= 1
    assert "Boxes outside of their pictures" in page


def test_thumbnails_with_boxes(make, tmp_path: Path) -> None:
    make([[]])
    places = [
        (tmp_path / "0.jpg", {"boxes": [[10, 10, 30, 30]], "box_labels": [0], "close": True}),
        (tmp_path / "0.jpg", {"boxes": [[-500, -500, -400, -400]], "box_labels": [0], "close": True}),
        (tmp_path / "0.jpg", {"boxes": [[60, 10, 120, 30], [0, 0, 9, 9]], "box_labels": [0, -1]}),
        (tmp_path / "0.jpg", {}),
        (tmp_path / "gone.jpg", {"boxes": [[1, 1, 2, 2]], "box_labels": [0]}),
    ]
    shots = boxed_thumbnails(places, 100)
    assert [shot is None for shot in shots] == [False, False, False, True, True]
