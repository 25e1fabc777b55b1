"""Benchmarks with boxes and pixels: what is dealt, asked, scored and told."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks import (  # noqa: E402
    coco_evaluation,
    detection,
    multitask,
    multitask_cost,
    overfit,
    round_trips,
    scene_scores,
    scene_summary,
    segmentation,
    summarise,
    timed,
)
from benchmarks.data import make_bccd  # noqa: E402
from benchmarks.peers import coco_files  # noqa: E402

from assay.cli.command import build_parser, parse  # noqa: E402
from assay.data.read import read_dataset  # noqa: E402
from assay.labels import ClassNames  # noqa: E402
from assay.metrics.segment import count_pixels  # noqa: E402
from assay.pixel_masks import encode_pixels  # noqa: E402
from assay.tables import COMMANDS  # noqa: E402

STEMS = [f"BloodImage_{i:05}" for i in range(60)]


@pytest.fixture
def bccd(tmp_path: Path) -> Path:
    """VOC with 60 pictures of two cells each, dealt to the original parts; the first cell of one has no area."""
    home = tmp_path / "BCCD"
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (home / name).mkdir(parents=True)
    for i, stem in enumerate(STEMS):
        Image.new("RGB", (64, 48)).save(home / "JPEGImages" / f"{stem}.jpg")
        boxes = [("RBC", (1 + i % 7, 1, 20, 20)), ("WBC", (30, 10, 60, 40))]
        if stem == "BloodImage_00003":
            boxes.append(("RBC", (9, 9, 9, 9)))
        things = "".join(
            f"<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
            "</bndbox></object>"
            for name, (x1, y1, x2, y2) in boxes
        )
        head = f"<filename>{stem}.jpg</filename><size><width>64</width><height>48</height><depth>3</depth></size>"
        text = f"<annotation>{head}{things}</annotation>"
        (home / "Annotations" / f"{stem}.xml").write_text(text, "utf-8")
    for name, chosen in (("train", STEMS[:40]), ("val", STEMS[40:50]), ("test", STEMS[50:])):
        (home / "ImageSets" / "Main" / f"{name}.txt").write_text("\n".join(chosen), "utf-8")
    return home


def test_every_picture_is_of_the_test_part_once_and_near_copies_stay_together():
    folds = make_bccd.deal_folds(STEMS)
    assert [Counter(fold.values())["test"] for fold in folds] == [12, 12, 12, 12, 12]
    assert all(sum(fold[stem] == "test" for fold in folds) == 1 for stem in STEMS)
    assert all(fold["BloodImage_00037"] == fold["BloodImage_00038"] for fold in folds)
    assert all(Counter(fold.values())["validation"] in (9, 10, 11) for fold in folds)
    assert folds == make_bccd.deal_folds(STEMS)
    assert folds != make_bccd.deal_folds(STEMS, seed=1)


def test_one_copy_of_the_pictures_serves_every_tool_and_split(bccd, tmp_path):
    out = tmp_path / "out"
    found = make_bccd.make(bccd, out)
    assert found["original"].parts == {"train": 40, "validation": 10, "test": 10}
    assert len([p for p in out.rglob("*.jpg") if not p.is_symlink()]) == len(STEMS)
    for split in make_bccd.SPLITS:
        as_coco, as_yolo = read_dataset(out / f"{split}.json"), read_dataset(out / "yolo" / split)
        assert as_coco.parts == as_yolo.parts == found[split].parts
        assert list(as_coco.object_classes) == list(as_yolo.object_classes) == ["RBC", "WBC"]
        told = {s.path.stem: (s.part, s.objects.boxes_xyxy.round(6).tolist()) for s in as_coco}
        assert told == {s.path.stem: (s.part, s.objects.boxes_xyxy.round(6).tolist()) for s in as_yolo}
        assert all(len(boxes) == 2 for _, boxes in told.values())
    peers = coco_files.read_coco(out / "fold-1.json")
    assert [p.path.stem for p in peers.pictures["test"]] == [
        s.path.stem for s in found["fold-1"].part("test")
    ]
    assert all(p.path.exists() for p in peers.pictures["train"])
    make_bccd.make(bccd, out)  # again, over what is there


@pytest.mark.parametrize("module", [detection, segmentation])
def test_jobs_are_unique_and_their_commands_parse(module, tmp_path):
    jobs = list(module.all_jobs(10))
    assert len({job.name for job in jobs}) == len(jobs)
    for job in jobs:
        words = module.command_of(job, tmp_path, tmp_path / "out")
        assert words[words.index("--minutes") + 1] == "10"
        if job.system == "assay":
            parse(build_parser(COMMANDS.load("train")), words[2:])
        else:
            assert words[1] == "-m"
            assert (ROOT / f"{words[2].replace('.', '/')}.py").exists()
    assert {job.system for job in jobs} > {"assay"}


def test_the_one_network_gets_its_own_minutes(tmp_path):
    jobs = list(multitask.all_jobs(10, 30))
    assert {(job.arm, job.minutes) for job in jobs} == {
        ("tags", 10), ("boxes", 10), ("pixels", 10), ("tags-default", 10), ("multi", 30), ("multi-without", 30)
    }  # fmt: skip
    for job in jobs:
        parse(build_parser(COMMANDS.load("train")), multitask.command_of(job, tmp_path, tmp_path / "out")[2:])
    pairs = list(
        multitask._pairs([("multi", 30), ("multi-without", 30), ("multi-without", 10), ("tags", 10)])
    )
    assert pairs == [(("multi", 30), ("multi-without", 30)), (("multi", 30), ("tags", 10))]


def peer_run(truth: Path, out: Path, shift: float) -> None:
    """A peer's answers to the test part: the truth itself, moved to the right."""
    coco, rows = coco_files.read_coco(truth), []
    for picture in coco.pictures["test"]:
        boxes = [[x + shift, y, x + shift + w, y + h] for x, y, w, h in picture.boxes_xywh]
        rows += coco_files.result_rows(picture.id, boxes, picture.categories, [0.9] * len(boxes))
    coco_files.write_results(out, rows)
    told = {"tool": "x 1", "validation": 0.5, "minutes": 9.9, "parameters": 7, "epochs": 3}
    (out / "outcome.json").write_text(json.dumps(told), "utf-8")


def test_answers_of_peers_are_scored_from_files(bccd, tmp_path):
    data, runs, results = tmp_path / "data", tmp_path / "runs", tmp_path / "lines.jsonl"
    make_bccd.make(bccd, data / "bccd")
    lines = []
    for split, seed, shift in (
        ("original", 0, 0.0),
        ("original", 1, 4.0),
        ("fold-0", 0, 0.0),
        ("fold-1", 0, 40.0),
    ):
        job = detection.Job(split, 10, "torchvision", "fasterrcnn-mobilenet-320", seed)
        peer_run(data / "bccd" / f"{split}.json", runs / "detection" / job.name, shift)
        part = detection.test_part(data, split)
        found, facts = detection.found_of(job, data, runs / "detection" / job.name)
        told = scene_scores.measured(scene_scores.box_scores(part, found), len(part), draws=50)
        by_class = scene_scores.by_class(part, found)
        lines.append({"kind": "run", "job": job.name, **job.__dict__, **facts, **told, "by_class": by_class})
    assert [round(line["ap50"]["value"], 3) for line in lines] == [1.0, 1.0, 1.0, 0.0]
    assert lines[0]["ap50_95"]["value"] == pytest.approx(1.0)
    assert lines[1]["ap50_95"]["value"] < 0.7
    assert lines[0]["by_class"] == {"RBC": 1.0, "WBC": 1.0}
    results.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
    args = detection.argparse.Namespace(results=results, runs=runs, data=data)
    arms = {line["split"]: line for line in detection.compare(args)}
    assert arms["original"]["seeds"] == 2
    assert arms["folds"]["ap50"]["value"] == pytest.approx(0.5)
    assert arms["folds"]["n"] == 24
    table = scene_summary.detection_table([*lines, *arms.values()])
    assert any(
        "| folds | 10 | torchvision fasterrcnn-mobilenet-320 | 2 folds | 50.0 | **50.0 [" in row
        for row in table
    )
    assert any("| 100.0 | 100.0 |" in row for row in table)


def test_a_picture_without_an_answer_is_an_error(bccd, tmp_path):
    make_bccd.make(bccd, tmp_path / "bccd")
    with pytest.raises(ValueError, match="10 of 10 pictures have no answer"):
        scene_scores.box_scores(detection.test_part(tmp_path, "original"), {})


def test_means_over_seeds_and_folds_share_the_draws():
    def arm(values):
        values = np.asarray(values, float)
        return lambda w: {"x": w @ values / w.sum(1)}

    both = scene_scores.mean_of([arm([1, 1, 0, 0]), arm([1, 0, 0, 0])])
    assert both(np.ones((1, 4)))["x"].tolist() == [0.375]
    folds = scene_scores.over_folds([(1, arm([1])), (3, arm([1, 0, 0]))])
    assert folds(np.ones((1, 4)))["x"].tolist() == pytest.approx([2 / 3])
    told = scene_scores.apart(both, both, 4, draws=20)["x"]
    assert told == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_foreground_is_whatever_is_not_background(tmp_path):
    rng = np.random.default_rng(0)
    truth, answer = (rng.integers(0, 3, (5, 12, 9)).astype(np.uint8) for _ in range(2))
    truth[0, :2] = 255
    counts = count_pixels(zip(truth, answer, strict=True), ClassNames(["background", "a", "b"]))
    told = scene_scores.pixel_scores_of(counts)(np.ones((1, 5)))
    known = truth != 255
    mine, theirs = (truth > 0)[known], (answer > 0)[known]
    assert told["foreground_iou"][0] == pytest.approx((mine & theirs).sum() / (mine | theirs).sum())
    assert told["miou_no_background"][0] != told["miou"][0]
    with pytest.raises(ValueError, match="other pictures"):
        segmentation.require_same_truth([counts, count_pixels([(answer[0], truth[1])], counts.classes)])


def value(number: float) -> dict[str, float]:
    return {"value": number, "low": number - 0.015, "high": number + 0.015}


def test_the_tables_of_pixels_and_of_three_tasks():
    names = ("miou_no_background", "miou", "foreground_iou", "boundary_f1", "pixel_accuracy", "majority")
    told = {name: value(0.4) for name in names}
    run = {"kind": "run", "job": "j", "minutes": 30, "system": "smp", "setting": "unet-resnet18", "seed": 0}
    run |= {"validation": 0.41, "minutes_used": 30.2, "by_class": {"background": 0.9, "skin": None}}
    arm = {"kind": "arm", "arm": "smp unet-resnet18", "minutes": 30, "seeds": 1, **told}
    difference = {"kind": "difference", "arm": "assay default", "peer": arm["arm"], "minutes": 30, **told}
    table = scene_summary.segmentation_table([run, arm, difference])
    assert "| 30 | smp unet-resnet18 | 1 | 41.0 | **40.0 [38.5, 41.5]** |" in table[2]
    assert "(commonest class 40.0)" in table[2]
    assert "| 30 | assay default - smp unet-resnet18 | +40.0 [+38.5, +41.5] |" in table[6]
    assert table[-1].endswith("| 90.0 | - |")

    lines = []
    for minus, head, score in (("tags", "tags", "map"), ("boxes", "boxes", "ap50_95")):
        lines.append(
            {"kind": "difference", "arm": "multi", "minutes": 10, "other": minus, "other_minutes": 10}
        )
        lines[-1] |= {"head": head, "scores": {score: value(0.0 if head == "tags" else -0.006)}}
    cost = {"parameters": 8, "exported_parameters": 7, "bundle_bytes": 9, "network_ms": 3.0, "whole_ms": 5.0}
    lines.append({"kind": "cost", "arms": {"multi": cost}, "share_of_sum": dict.fromkeys(cost, 0.5)})
    table = scene_summary.multitask_table(lines)
    assert any(row.endswith("| +0.0 [-1.5, +1.5] | yes |") for row in table)
    assert any(row.endswith("| -0.6 [-2.1, +0.9] | no |") for row in table)
    assert table[-1] == "| multi, share of the sum | 0.50 x | 0.50 x | 0.50 x | 0.50 x |"


def test_the_page_has_room_for_every_table():
    page = (ROOT / "docs" / "results.md").read_text("utf-8")
    names = ("detection", "segmentation", "multitask", "round-trips", "overfit")
    summarise.fill(page, {name: [] for name in names})


def test_of_what_was_learned_by_heart_the_last_line_of_a_network_counts():
    line = {"network": "unet", "heads": ["pixels"], "steps": 10, "pixels.miou": 0.5, "reached": False}
    rows = overfit.table([line, {**line, "steps": 20, "pixels.miou": 0.97, "reached": True}])
    assert rows[2:] == ["| unet | pixels | 320 | 20 | - | - | 0.970 | yes |"]


def test_round_trips_tell_what_comes_home(bccd, tmp_path):
    line = round_trips.walk(bccd, ("yolo", "coco"), tmp_path)
    assert (line["pictures"], line["things"], line["of_things"]) == (60, 120, 120)
    assert line["boxes_px"] < 1e-9
    row = round_trips.table([{**line, "data": "bccd", "chain": "yolo > coco"}])[2]
    assert row.startswith("| bccd | yolo > coco | 60 of 60 | 120 of 120 |")
    assert row.endswith("| no place |")


def test_pixel_masks_are_compared_by_the_names_of_their_classes(tmp_path):
    for name, values in (("a", [0, 1, 255]), ("b", [1, 0, 255])):
        (tmp_path / f"{name}.png").write_bytes(encode_pixels(np.array([values], np.uint8)))
    a, b = (round_trips.Sample(tmp_path / "x.jpg", pixels=tmp_path / f"{name}.png") for name in ("a", "b"))

    class Named:
        def __init__(self, *names: str) -> None:
            self.pixel_classes = ClassNames(names)

    assert round_trips._same_pixels(a, Named("sky", "sea"), b, Named("sea", "sky"))
    assert not round_trips._same_pixels(a, Named("sky", "sea"), b, Named("sky", "sea"))


def test_ratios_are_taken_within_a_round():
    told = {
        "pycocotools": [{"seconds": 30.0, "peak_mib": 100.0}, {"seconds": 60.0, "peak_mib": 100.0}],
        "assay scores": [{"seconds": 1.0, "peak_mib": 40.0}, {"seconds": 2.0, "peak_mib": 40.0}],
    }
    faster, memory = coco_evaluation.ratio_lines(told, 5000)
    assert (faster["value"], faster["unit"], faster["aim"]) == (30.0, "x", ">= 15")
    assert memory["value"] == 0.4
    assert "pycocotools / assay scores | 30.0 | x | 2 | >= 15 |" in summarise.plain_table([faster])[2]


def test_calls_are_interleaved():
    seen: list[tuple[str, int]] = []
    calls = {name: lambda i, name=name: seen.append((name, i)) for name in "ab"}
    told = multitask_cost.interleaved(calls, 3)
    assert list(told) == ["a", "b"]
    assert seen[-4:] == [("a", 1), ("b", 1), ("a", 2), ("b", 2)]


def test_a_command_is_timed_and_its_words_are_kept(tmp_path):
    out = tmp_path / "run"
    assert timed.run_timed([sys.executable, "-c", "print('hello')"], out) > 0
    assert (tmp_path / "run.log.txt").read_text() == "hello\n"
    with pytest.raises(timed.BROKEN):
        timed.run_timed([sys.executable, "-c", "raise SystemExit(3)"], out)
