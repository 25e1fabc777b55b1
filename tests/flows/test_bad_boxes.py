"""Bad boxes and masks, as people have them: `check` and `audit` name each with its place, `train` refuses or skips.

Nothing ends in a traceback, and nothing half-written is left.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.drawn_scenes import draw_scene

from assay.pixel_masks import encode_pixels

QUICK = ("epochs=1", "size=64", "batch=4", "precision=fp32", "baselines=no", "progressive=no", "heads=boxes")
ERROR = {"check": 1, "audit": 1, "train": 1}
TOLD = {"check": 0, "audit": 0}


def annotation(key: int, **values: Any) -> dict[str, Any]:
    return {"id": key, "image_id": 0, "category_id": 1, "bbox": [5, 5, 10, 10], "iscrowd": 0, **values}


@pytest.fixture
def shop(tmp_path: Path) -> Callable[..., Path]:
    """``shop(change)``: a COCO folder of 12 pictures whose JSON was changed before it was written."""
    folder = tmp_path / "shop"
    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    told: dict[str, Any] = {"images": [], "annotations": []}
    told["categories"] = [{"id": 1, "name": "disc"}, {"id": 2, "name": "square"}]
    for i in range(12):
        image, things, _ = draw_scene(i)
        Image.fromarray(image).save(folder / "images" / f"{i:02}.png")
        told["images"].append({"id": i, "file_name": f"{i:02}.png", "width": 64, "height": 64})
        for one in things:
            x1, y1, x2, y2 = one["box"]
            box = [x1, y1, x2 - x1, y2 - y1]
            category = 1 if one["label"] == "disc" else 2
            key = len(told["annotations"]) + 1
            told["annotations"].append(annotation(key, image_id=i, category_id=category, bbox=box))

    def make(change: Callable[[dict[str, Any]], Any]) -> Path:
        text = change(told)
        written = text if isinstance(text, str) else json.dumps(told, indent=1)
        (folder / "annotations" / "instances.json").write_text(written)
        return folder

    return make


def said(cli: Callable[..., Any], verb: str, data: Path, tmp_path: Path) -> Any:
    """What a verb answers; that is never a traceback."""
    words = {
        "check": (data, "--size", 64),
        "audit": (data, "--out", tmp_path / "audit", "--minutes", 0, "--workers", 1),
        "train": (data, "--out", tmp_path / "run", *QUICK),
    }[verb]
    outcome = cli(verb, *words)
    for text in (outcome.out, outcome.err):
        assert "Traceback" not in text
        assert "bug in assay" not in text
        assert "could not be made" not in text, "a checkup that failed"
    return outcome


def malformed(told: dict[str, Any]) -> str:
    lines = json.dumps(told, indent=1).splitlines()
    lines[20] += ",,"
    return "\n".join(lines)


def cut_short(told: dict[str, Any]) -> str:
    return json.dumps(told, indent=1)[:2000]


def without_pictures(told: dict[str, Any]) -> None:
    told["images"], told["annotations"] = [], []


def without_categories(told: dict[str, Any]) -> None:
    del told["categories"]


def same_id(told: dict[str, Any]) -> None:
    told["categories"][1]["id"] = 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (malformed, ["instances.json line 21 column", "cannot be read as JSON"]),
        (cut_short, ["instances.json line", "it ends too early"]),
        (without_pictures, ["it holds no pictures"]),
        (without_categories, ["there is no list of categories"]),
        (same_id, ["two categories have the id 1: disc and square"]),
    ],
)
def test_what_leaves_open_what_the_rest_means_is_refused(
    shop, cli, tmp_path: Path, change: Any, words: list[str]
) -> None:
    data = shop(change)
    for verb, code in ERROR.items():
        outcome = said(cli, verb, data, tmp_path)
        assert outcome.code == code, verb
        for word in words:
            assert word in outcome.err, verb
        assert "fix: " in outcome.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ('{"info": {"ye', 1, ["cut.json line 1 column 11 cannot be read as JSON", "it ends too early"]),
        ('{"hello": 1}', 2, ["cut.json is no data set that Assay knows", "a file ending in '.json'"]),
    ],
)
def test_a_file_without_the_keys_of_any_format(
    cli, tmp_path: Path, text: str, code: int, words: list[str]
) -> None:
    data = tmp_path / "cut.json"
    data.write_text(text)
    for verb in ERROR:
        outcome = said(cli, verb, data, tmp_path)
        assert outcome.code == code, verb
        for word in words:
            assert word in outcome.err, verb


def test_an_empty_folder_is_refused(cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for verb, code in ERROR.items():
        outcome = said(cli, verb, tmp_path / "empty", tmp_path)
        assert outcome.code == code
        assert "is empty" in outcome.err


def rows(*found: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    return lambda told: told["annotations"].extend(found)


CROWDED = [
    annotation(10_000 + i, bbox=[i % 50, i // 50 % 50, 4 + i % 7, 4 + i % 9 + i / 10_000])
    for i in range(10_000)
]
KINDS: list[tuple[str, Any, str, str]] = [
    (
        "no-picture",
        rows(annotation(900, image_id=77)),
        "annotation 900: no image has the id 77",
        "correct image_id",
    ),
    (
        "broken-mask",
        rows(annotation(900, segmentation=[[1, 1, 5, 5]])),
        "annotation 900: a polygon has 2 points (1, 1, 5, 5); its box is kept",
        "draw at least three points",
    ),
    (
        "no-number",
        rows(annotation(900, bbox=[float("nan"), 1, 4, 4])),
        "annotation 900: the box (nan, 1, 4, 4) is not four numbers",
        "fill in four numbers",
    ),
    (
        "no-area",
        rows(annotation(900, bbox=[9, 9, -4, 4])),
        "the box (9, 9, -4, 4) has no area",
        "draw it again",
    ),
    ("box-outside", rows(annotation(900, bbox=[-9, -9, 20, 20])), "(-9, -9, 11, 11)", "cuts them off"),
    (
        "size-differs",
        rows(annotation(900, segmentation={"size": [32, 64], "counts": [0, 2048]})),
        "a mask has another size than its picture (mask [32, 64], picture [64, 64]",
        "draw it on the upright picture",
    ),
    (
        "unknown-class",
        rows(annotation(900, category_id=9)),
        "annotation 900: no category has the id 9",
        "add it to categories",
    ),
    ("many-things", rows(*CROWDED), "images/00.png (10,0", "marked as a crowd"),
]


@pytest.mark.parametrize(("code", "change", "place", "fix"), KINDS, ids=[code for code, *_ in KINDS])
def test_a_bad_thing_is_named_and_the_rest_is_used(
    shop, cli, tmp_path: Path, code: str, change: Any, place: str, fix: str
) -> None:
    data = shop(change)
    check = said(cli, "check", data, tmp_path)
    assert check.code == TOLD["check"]
    assert place in check.out
    assert fix in check.out
    told = cli("audit", data, "--out", tmp_path / "audit", "--minutes", 0, "--workers", 1, "--json")
    found = {f["code"]: f for f in json.loads(told.out)["findings"]}
    assert found[code]["level"] == "warning"
    assert found[code]["fix"]


@pytest.mark.slow
def test_all_of_them_are_named_at_once_and_the_training_goes_on(shop, cli, tmp_path: Path) -> None:
    def all_at_once(told: dict[str, Any]) -> None:
        for i, (_, change, _, _) in enumerate(KINDS[:-1]):
            before = len(told["annotations"])
            change(told)
            for row in told["annotations"][before:]:
                row["id"] = 900 + i

    data = shop(all_at_once)
    check = said(cli, "check", data, tmp_path)
    audit = said(cli, "audit", data, tmp_path)
    for _, _, place, _ in KINDS[:-1]:
        words = place.replace("annotation 900: ", "")
        assert words in check.out
        assert words in audit.out
    trained = said(cli, "train", data, tmp_path)
    assert trained.code == 0
    assert "no image has the id 77" in trained.err + trained.out
    assert (tmp_path / "run" / "card.json").exists()


def test_no_box_at_all(shop, cli, tmp_path: Path) -> None:
    data = shop(lambda told: told["annotations"].clear())
    assert "every picture is labelled as empty" in said(cli, "check", data, tmp_path).out
    audit = said(cli, "audit", data, tmp_path)
    assert audit.code == 1
    assert "Every picture is labelled as empty" in audit.out


def test_boxes_none_of_which_can_be_used(shop, cli, tmp_path: Path) -> None:
    def flat(told: dict[str, Any]) -> None:
        for row in told["annotations"]:
            row["bbox"][2:] = [0, 0]

    data = shop(flat)
    assert "no picture has boxes" in said(cli, "check", data, tmp_path).out
    assert said(cli, "audit", data, tmp_path).code == 1
    trained = said(cli, "train", data, tmp_path)
    assert trained.code == 1
    assert not (tmp_path / "run").exists()


def test_pixels_in_place_of_fractions(cli, tmp_path: Path) -> None:
    for name in ("images/train", "labels/train"):
        (tmp_path / "yolo" / name).mkdir(parents=True)
    for i in range(4):
        Image.fromarray(draw_scene(i)[0]).save(tmp_path / "yolo/images/train" / f"{i}.png")
        line = "0 32 32 10 10\n" if i else "0 .5 .5 .2 .2\n1 .5 1.5 .2 .2\n"
        (tmp_path / "yolo/labels/train" / f"{i}.txt").write_text(line)
    (tmp_path / "yolo/data.yaml").write_text("train: images/train\nnames: [disc, square]\n")
    check = said(cli, "check", tmp_path / "yolo", tmp_path)
    assert "4 lines have values beyond 1 where fractions of the picture belong" in check.out
    assert "labels/train/1.txt line 1: box centre x is 32" in check.out
    assert "if these are pixels, divide them by the picture's width and height" in check.out


def test_a_mask_of_classes_of_another_size(cli, tmp_path: Path) -> None:
    for name in ("images", "masks"):
        (tmp_path / "street" / name).mkdir(parents=True)
    for i in range(4):
        image, _, pixels = draw_scene(i)
        Image.fromarray(image).save(tmp_path / "street/images" / f"{i}.png")
        values = pixels if i else np.zeros((32, 64), np.uint8)
        (tmp_path / "street/masks" / f"{i}.png").write_bytes(encode_pixels(values))
    (tmp_path / "street/classes.txt").write_text("background\ndisc\nsquare\n")
    for verb in ("check", "audit"):
        told = said(cli, verb, tmp_path / "street", tmp_path).out
        assert "masks/0.png: a mask of 64 x 32 px for a picture of 64 x 64 px" in told
