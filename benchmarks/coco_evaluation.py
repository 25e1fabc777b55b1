"""COCO's evaluation of a data set of COCO's size: seconds and peak memory, beside pycocotools.

5,000 pictures, 80 classes, some 37,000 things, 100 detections a picture, made up by chance from one seed. Every tool
runs in a process of its own, the tools one after another in each round. The clock starts when the truth and the
detections are in memory as the tool wants them: objects of one picture each for Assay, the parsed JSON of the truth and
an array of results for pycocotools. It ends with AP; reading files is nobody's part. Memory is told twice: the
process's peak, and what that is above the peak before the clock started.

``assay scores`` are all numbers of COCO (hotcoco inside), ``assay matches`` AP50-95, AP50 and AP75 from matches that
are kept; one draw of an interval is what each resample of the pictures then costs.

    python -m benchmarks.coco_evaluation
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import RESULTS, ROOT, append_line, median, stamp

PICTURES, CLASSES, THINGS, FOUND = 5_000, 80, 7.36, 100
HEIGHT, WIDTH = 480, 640
DRAWS = 20
Arrays = dict[str, NDArray[Any]]


def make_data(pictures: int, seed: int = 0) -> Arrays:
    """Truth and detections in flat arrays; ``*_picture`` never falls, boxes are xyxy."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(THINGS, pictures)
    picture = np.repeat(np.arange(pictures), counts)
    share = 1 / np.arange(1, CLASSES + 1)
    label = rng.choice(CLASSES, len(picture), p=share / share.sum())
    boxes = _boxes(rng, len(picture))
    # half of the detections are things found well, badly or under a wrong name, the rest lies anywhere
    starts = np.cumsum(counts) - counts
    found_picture = np.repeat(np.arange(pictures), FOUND)
    of = starts[found_picture] + (rng.random(len(found_picture)) * counts[found_picture]).astype(np.int64)
    is_of = (rng.random(len(of)) < 0.5) & (counts[found_picture] > 0)
    of = np.where(is_of, of, 0)
    spread = rng.choice([0.03, 0.1, 0.3], len(of))[:, None] * np.tile(boxes[of, 2:] - boxes[of, :2], 2)
    found = np.where(is_of[:, None], boxes[of] + rng.normal(size=(len(of), 4)) * spread, _boxes(rng, len(of)))
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
    wrong = rng.choice(CLASSES, len(of), p=share / share.sum())
    return {
        "pictures": np.array(pictures),
        "picture": picture,
        "label": label,
        "boxes": boxes,
        "crowd": rng.random(len(picture)) < 0.012,
        "found_picture": found_picture,
        "found_label": np.where(is_of & (rng.random(len(of)) < 0.85), label[of], wrong),
        "found_boxes": found,
        "scores": np.where(is_of, rng.beta(2, 2, len(of)), rng.beta(1, 6, len(of))).astype(np.float32),
    }


def _boxes(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """(n, 4) two fifths small, one third medium, the rest large, as in COCO."""
    side = np.exp(rng.normal(np.log(55), 0.95, (n, 1))) * np.exp(rng.normal(0, 0.3, (n, 2)))
    side = np.minimum(side, [WIDTH - 1, HEIGHT - 1])
    corner = rng.random((n, 2)) * (np.array([WIDTH, HEIGHT]) - side)
    return np.concatenate([corner, corner + side], axis=1).round(2)


def pycocotools(data: Arrays) -> tuple[Callable[[], dict[str, float]], dict[str, float]]:
    """(work, further figures)."""
    from pycocotools.coco import COCO  # noqa: PLC0415 - a process loads its own tool alone
    from pycocotools.cocoeval import COCOeval  # noqa: PLC0415

    sides = data["boxes"][:, 2:] - data["boxes"][:, :2]
    truth = {
        "images": [{"id": i + 1, "height": HEIGHT, "width": WIDTH} for i in range(int(data["pictures"]))],
        "categories": [{"id": k + 1, "name": f"class {k}"} for k in range(CLASSES)],
        "annotations": [
            {"id": g + 1, "image_id": i + 1, "category_id": k + 1, "bbox": [*corner, *side], "area": area}
            | {"iscrowd": int(crowd)}
            for g, (i, k, corner, side, area, crowd) in enumerate(
                zip(
                    data["picture"].tolist(),
                    data["label"].tolist(),
                    data["boxes"][:, :2].tolist(),
                    sides.tolist(),
                    (sides[:, 0] * sides[:, 1]).tolist(),
                    data["crowd"].tolist(),
                    strict=True,
                )
            )
        ],
    }
    found = data["found_boxes"]
    columns = (data["found_picture"] + 1, found[:, :2], found[:, 2:] - found[:, :2], data["scores"])
    results = np.column_stack([*columns, data["found_label"] + 1]).astype(np.float64)

    def work() -> dict[str, float]:
        with contextlib.redirect_stdout(io.StringIO()):
            gt = COCO()
            gt.dataset = truth
            gt.createIndex()
            run = COCOeval(gt, gt.loadRes(results), "bbox")
            run.evaluate()
            run.accumulate()
            run.summarize()
        names = {"ap50_95": 0, "ap50": 1, "ap75": 2, "ar100": 8}
        return {name: float(run.stats[i]) for name, i in names.items()}

    return work, {}


def _pictures(data: Arrays) -> tuple[list[Any], list[Any], Any]:
    from assay.detections import Detections  # noqa: PLC0415 - a process loads its own tool alone
    from assay.labels import ClassNames  # noqa: PLC0415
    from assay.objects import Objects  # noqa: PLC0415

    def cut(picture: NDArray[Any], *columns: NDArray[Any]) -> list[list[NDArray[Any]]]:
        ends = np.searchsorted(picture, np.arange(1, int(data["pictures"])))
        return [list(parts) for parts in zip(*(np.split(column, ends) for column in columns), strict=True)]

    truth = [
        Objects(b, k, (), c) for b, k, c in cut(*(data[n] for n in ("picture", "boxes", "label", "crowd")))
    ]
    names = ("found_picture", "found_boxes", "found_label", "scores")
    found = [Detections(b, k, s) for b, k, s in cut(*(data[n] for n in names))]
    return truth, found, ClassNames(f"class {k}" for k in range(CLASSES))


def assay_scores(data: Arrays) -> tuple[Callable[[], dict[str, float]], dict[str, float]]:
    from assay.metrics.detect import score_detections  # noqa: PLC0415 - a process loads its own tool alone

    truth, found, classes = _pictures(data)

    def work() -> dict[str, float]:
        told = score_detections(truth, found, classes)
        return {name: getattr(told, name) for name in ("ap50_95", "ap50", "ap75", "ar100")}

    return work, {}


def assay_matches(data: Arrays) -> tuple[Callable[[], dict[str, float]], dict[str, float]]:
    from assay.metrics.average_precision import scores  # noqa: PLC0415 - a process loads its own tool alone
    from assay.metrics.matches import match_detections  # noqa: PLC0415

    truth, found, classes = _pictures(data)
    further: dict[str, float] = {}

    def work() -> dict[str, float]:
        matches = match_detections(truth, found, classes)
        of = scores(matches)
        value = {name: float(row[0]) for name, row in of(np.ones((1, matches.n))).items()}
        weights = np.random.default_rng(0).poisson(1.0, (DRAWS, matches.n)).astype(np.float64)
        begun = time.perf_counter()
        of(weights)
        further["draw_s"] = (time.perf_counter() - begun) / DRAWS
        return value

    return work, further


TOOLS = {"pycocotools": pycocotools, "assay scores": assay_scores, "assay matches": assay_matches}


def peak_mib() -> float:
    """Peak memory of this process; not getrusage, whose maximum outlives exec and would count the parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def probe(tool: str, file: Path) -> dict[str, Any]:
    """What this process measured of one tool."""
    with np.load(file) as packed:
        work, further = TOOLS[tool](dict(packed))
    before, begun = peak_mib(), time.perf_counter()
    values = work()
    seconds = time.perf_counter() - begun - DRAWS * further.get("draw_s", 0.0)
    return {"seconds": seconds, "peak_mib": peak_mib(), "before_mib": before, "values": values, **further}


def run(tool: str, file: Path) -> dict[str, Any]:
    """``probe`` in a fresh process.

    Raises
    ------
    subprocess.CalledProcessError : it failed.
    """
    command = [sys.executable, "-m", "benchmarks.coco_evaluation", "--tool", tool, "--data", str(file)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def lines_of(tool: str, told: list[dict[str, Any]], pictures: int) -> list[dict[str, Any]]:
    """Result lines of one tool: medians over its rounds."""
    what = f"COCO evaluation, {pictures:,} pictures"
    values = told[0]["values"]
    lines = [
        {"name": f"{what}, {tool}", "unit": "s", "values": values}
        | _middle([one["seconds"] for one in told], 3),
        {"name": f"{what}, peak memory, {tool}", "unit": "MiB"}
        | {"above": round(median([one["peak_mib"] - one["before_mib"] for one in told]))}
        | _middle([one["peak_mib"] for one in told], None),
    ]
    if "draw_s" in told[0]:
        name = f"{what}, one draw of an interval"
        lines.append({"name": name, "unit": "ms"} | _middle([1000 * one["draw_s"] for one in told], 2))
    return lines


def ratio_lines(told: dict[str, list[dict[str, Any]]], pictures: int) -> list[dict[str, Any]]:
    """How many times faster than pycocotools each tool of ours is, and which share of its peak memory it takes.

    Medians of the ratios within a round, so that what the machine did besides meets both sides.
    """
    theirs, lines = told["pycocotools"], []
    for tool, mine in told.items():
        if tool == "pycocotools":
            continue
        pairs = list(zip(theirs, mine, strict=True))
        what = f"COCO evaluation, {pictures:,} pictures"
        faster = [other["seconds"] / own["seconds"] for other, own in pairs]
        memory = [own["peak_mib"] / other["peak_mib"] for other, own in pairs]
        lines += [
            {"name": f"{what}, pycocotools / {tool}", "unit": "x", "aim": ">= 15"} | _middle(faster, 1),
            {"name": f"{what}, peak memory, {tool} / pycocotools", "unit": "x", "aim": "<= 0.5"}
            | _middle(memory, 2),
        ]
    return lines


def _middle(values: list[float], digits: int | None) -> dict[str, Any]:
    least, most = round(min(values), digits), round(max(values), digits)
    return {"value": round(median(values), digits), "runs": len(values), "least": least, "most": most}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=PICTURES)
    parser.add_argument("--results", type=Path, default=RESULTS / "coco_evaluation.jsonl")
    parser.add_argument("--tool", choices=TOOLS, help="measure one tool in this process and print it")
    parser.add_argument("--data", type=Path, help="the arrays for --tool")
    args = parser.parse_args()
    if not Path("/proc/self/status").exists():
        print("skipped: peak memory is read from /proc, which this system has not")
        return 0
    if args.tool:
        print(json.dumps(probe(args.tool, args.data)))
        return 0
    where = stamp()
    told: dict[str, list[dict[str, Any]]] = {tool: [] for tool in TOOLS}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "data.npz"
        np.savez(file, **make_data(args.pictures))
        for _ in range(args.rounds):
            for tool, found in told.items():
                found.append(run(tool, file))
    lines = [line for tool, found in told.items() for line in lines_of(tool, found, args.pictures)]
    for line in [*lines, *ratio_lines(told, args.pictures)]:
        append_line(args.results, {**line, **where})
        print(f"{line['name']}: {line['value']} {line['unit']}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
