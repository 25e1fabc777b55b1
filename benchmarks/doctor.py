"""Does the doctor find what is wrong, and only that? Planted faults of every kind, and the known flaws of real sets.

Each audit is a process of its own, started as a user would (``assay audit ... --json``); a line of JSON says what it
found of what is known, its false alarms, its seconds and the peak memory of all its processes together.

    python -m benchmarks.doctor                         every set that is here
    python -m benchmarks.doctor planted clothing        some
    python -m benchmarks.doctor --time FOLDER           seconds and memory for one data set
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.data.plant_faults import plant
from benchmarks.machine import RESULTS, SHARED, append_line, stamp

CODES: dict[str, tuple[str, ...]] = {
    "truncated": ("truncated",),
    "empty": ("empty-file",),
    "not a picture": ("unreadable",),
    "missing": ("missing-file",),
    "wrong extension": ("wrong-extension",),
    "turned": ("turned",),
    "tiny": ("tiny",),
    "huge": ("huge",),
    "blank": ("blank",),
    "exact copy": ("exact-duplicates",),
    "near-copy, encoded again": ("near-duplicates",),
    "near-copy, resized": ("near-duplicates",),
    "near-copy, mirrored": ("near-duplicates",),
    "near-copy, brightened": ("near-duplicates",),
    "near-copy, cropped by 4 %": ("near-duplicates",),
    "copy with another label": ("same-picture-two-labels",),
    "near-copy with another label": ("near-duplicates-two-labels",),
    "leak, exact": ("same-picture-two-parts",),
    "leak, near": ("near-duplicates-across-parts",),
    "torn group": ("torn-group",),
    "shortcut": ("shortcut",),
    "rare class": ("imbalance",),
    "class missing in test": ("class-missing-in-part", "untaught-class"),
    "wrong label": ("label-issues",),
}
"""Kind of a planted fault -> codes of the findings that may name it."""

_WHOLE_SET = frozenset({"group-leak", "test-size", "test-too-small", "imbalance"})
"""Findings on the set as a whole: their places are examples."""

Line = dict[str, Any]


def run_audit(data: Path, out: Path, *options: str) -> Line:
    """The audit's JSON with ``wall_s`` and ``peak_mib`` of the whole process tree.

    Raises
    ------
    subprocess.CalledProcessError : it failed, or was taken for a wrong request.
    """
    command = [sys.executable, "-m", "assay", "audit", str(data), "--out", str(out), "--json", *options]
    begun, peak = time.perf_counter(), 0.0
    with tempfile.TemporaryFile("w+") as told, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=told, stderr=errors)
        while process.poll() is None:
            peak = max(peak, memory_mib(process.pid))
            time.sleep(0.1)
        told.seek(0)
        errors.seek(0)
        if process.returncode not in (0, 1) or not (text := told.read()):
            raise subprocess.CalledProcessError(process.returncode, command, stderr=errors.read())
    return {**json.loads(text), "wall_s": time.perf_counter() - begun, "peak_mib": peak}


def memory_mib(pid: int) -> float:
    """Memory of a process and all below it now; pages that they share count once (PSS)."""
    total, todo = 0, [pid]
    while todo:
        place = Path("/proc") / str(todo.pop())
        try:
            for thread in (place / "task").iterdir():
                todo += [int(child) for child in (thread / "children").read_text().split()]
            for line in (place / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        except (OSError, ValueError):  # it has ended meanwhile
            continue
    return total / 1024


def found_paths(told: Line, codes: Iterable[str]) -> list[tuple[str, ...]]:
    """The places of the findings with these codes, in their order."""
    wanted = set(codes)
    return [tuple(item["paths"]) for f in told["findings"] if f["code"] in wanted for item in f["items"]]


def score_planted(told: Line, truth: dict[str, list[list[str]]]) -> Line:
    """Recall of each kind of planted fault, and the places that no planted fault explains."""
    recall = {}
    for kind, places in truth.items():
        found = found_paths(told, CODES[kind])
        texts = json.dumps([f for f in told["findings"] if f["code"] in CODES[kind]], ensure_ascii=False)
        hits = sum(_is_found(kind, place, found, texts) for place in places)
        recall[kind] = {"found": hits, "of": len(places)}
    return {"recall": recall, "false_alarms": _false_alarms(told, truth)}


def _is_found(kind: str, place: list[str], found: list[tuple[str, ...]], texts: str) -> bool:
    if kind in ("torn group", "shortcut", "rare class", "class missing in test"):
        return f'"{place[0]}' in texts or f"{place[0]} " in texts or f" {place[0]}" in texts
    return any(set(place) <= set(paths) for paths in found)


def _false_alarms(told: Line, truth: dict[str, list[list[str]]]) -> dict[str, int]:
    """Code -> places that no planted fault explains: they share no picture, group or class with one."""
    planted = {name for places in truth.values() for place in places for name in place}
    alarms = {}
    for found in told["findings"]:
        if found["level"] in ("error", "warning") and found["code"] not in _WHOLE_SET:
            alarms[found["code"]] = sum(not planted & _names(item) for item in found["items"])
    return alarms


def _names(item: Line) -> set[str]:
    """The pictures of a place; or, where it is about a group or a class, that one."""
    about = {str(item["figures"][key]) for key in ("group", "class") if key in item["figures"]}
    return about or set(item["paths"])


def measure_planted(work: Path, n: int) -> Iterable[Line]:
    """A rendered shop with planted faults, and the clean one beside it."""
    table = plant(work / "planted", n=n)
    truth = json.loads((work / "planted" / "truth.json").read_text("utf-8"))
    options = ("--group-column", "seller")
    told = run_audit(table, work / "audit-planted", *options)
    yield {"name": "planted", **_common(told), **score_planted(told, truth)}
    told = run_audit(work / "planted" / "clean" / "labels.csv", work / "audit-clean", *options)
    yield {"name": "planted: the clean shop", **_common(told), **_counts(told)}
    mended = work / "mended"
    run_audit(table, work / "audit-planted", *options, "--fix", str(mended))
    told = run_audit(mended / "labels.csv", work / "audit-mended")
    yield {"name": "planted: the mended copy", **_common(told), **_counts(told)}


def measure_clothing(work: Path) -> Iterable[Line]:
    """What the other label column of its own table contradicts: found by the table, and by the pictures alone."""
    folder = SHARED / "clothing"
    with (folder / "senders.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    wrong = {r["image"] for r in rows if r["folder_label"].casefold() != r["csv_label"].casefold()}
    told = run_audit(folder, work / "audit-clothing")
    yield {
        "name": "clothing: labels that its own table contradicts",
        **_common(told),
        "contradicted": len(wrong),
        "by_its_table": _at_top(told, ("side-table-contradicts",), wrong),
        "by_the_pictures": _at_top(told, CODES["wrong label"], wrong),
        **_counts(told),
    }


def measure_table_labels(work: Path) -> Iterable[Line]:
    """The same photos under their table's own labels. Looked at, the folder is right in nearly all 26 places and the
    table wrong: so this is the direction in which pictures can tell. Groups and labels only, no folder to peep at."""
    folder, table = SHARED / "clothing", work / "csv-labels.csv"
    with (folder / "senders.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    wrong = {r["image"] for r in rows if r["folder_label"].casefold() != r["csv_label"].casefold()}
    places = {path.stem: path for path in folder.rglob("*.jpg")}
    (work / "pictures").mkdir()
    with table.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(("path", "label", "sender"))
        for row in rows:
            copy = shutil.copyfile(places[row["image"]], work / "pictures" / f"{row['image']}.jpg")
            lines.writerow((copy.relative_to(work), row["csv_label"].casefold(), row["sender_id"]))
    weights = f"mobilenetv2_100:{SHARED / 'backbones' / 'mobilenetv2_100_from_coral_uint8.fp16.pth'}"
    for how, options in (("unaided", ()), ("with MobileNetV2", ("--embedding", weights))):
        told = run_audit(table, work / f"audit-{len(options)}", "--group-column", "sender", *options)
        yield {
            "name": f"clothing under its table's labels, {how}",
            **_common(told),
            "contradicted": len(wrong),
            "by_the_pictures": _at_top(told, CODES["wrong label"], wrong),
            **_counts(told),
        }


def _at_top(told: Line, codes: Iterable[str], wanted: set[str], most: int = 50) -> Line:
    """Precision and recall of the first ``most`` places of a list."""
    top = [Path(paths[0]).stem for paths in found_paths(told, codes)][:most]
    hits = len(wanted & set(top))
    return {
        "listed": len(top),
        "hits": hits,
        "precision_at_50": round(hits / max(1, len(top)), 4),
        "recall_at_50": round(hits / max(1, len(wanted)), 4),
    }


def measure_nonproduct(work: Path) -> Iterable[Line]:
    """Products and non-products of two sources: the source alone tells them apart, and the doctor must say so."""
    folder = work / "mixed"
    others = sorted((SHARED / "nonproduct").glob("*.jpg"))
    products = sorted((SHARED / "clothing" / "train").rglob("*.jpg"))[:: max(1, 3068 // len(others))][
        : len(others)
    ]
    for name, paths in (("product", products), ("nonproduct", others)):
        (folder / name).mkdir(parents=True)
        for i, path in enumerate(paths):  # neutral names: the file name shall not tell
            shutil.copyfile(path, folder / name / f"{i:04}.jpg")
    told = run_audit(folder, work / "audit-mixed")
    shortcuts = [
        f for f in told["findings"] if "shortcut" in f["code"] and f["level"] in ("error", "warning")
    ]
    yield {
        "name": "nonproduct beside products: the source shortcut",
        **_common(told),
        "found": bool(shortcuts),
        "told": [f["what"] for f in shortcuts],
        **_counts(told),
    }


def measure_sneakers(work: Path) -> Iterable[Line]:
    """27 shoes: a random split leaks, and by shoe nothing can be told from chance."""
    told = run_audit(SHARED / "sneakers", work / "audit-sneakers")
    leaks = [f for f in told["findings"] if "group" in f["code"] and f["level"] in ("error", "warning")]
    yield {
        "name": "sneakers: the leak by shoe",
        **_common(told),
        "found": bool(leaks),
        "told": [f["what"] for f in leaks],
        "figures": [f["figures"] for f in leaks],
        **_counts(told),
    }


def measure_bad_images(work: Path) -> Iterable[Line]:
    """Each file that Pillow alone cannot read, and what else is called broken."""
    folder = SHARED / "bad-images"
    with (folder / "pillow13_outcomes.csv").open(encoding="utf-8", newline="") as file:
        outcomes = {row["file"].rpartition("/")[2]: row["outcome"] for row in csv.DictReader(file)}
    told = run_audit(folder, work / "audit-bad")
    codes = ("truncated", "empty-file", "unreadable", "missing-file", "format-not-read")
    called = {Path(paths[0]).name for paths in found_paths(told, codes)}
    broken = {name for name, outcome in outcomes.items() if outcome == "error"}
    seen = {path.name for path in (folder / "files").iterdir()}
    yield {
        "name": "bad-images: broken files",
        **_common(told),
        "broken": len(broken & seen),
        "found": len(broken & seen & called),
        "missed": sorted((broken & seen) - called),
        "called broken beside": sorted(called - broken),
        **_counts(told),
    }


def _common(told: Line) -> Line:
    facts = {name: told[name] for name in ("n", "worst", "fit")}
    return {**facts, "seconds": round(told["wall_s"], 1), "peak_mib": round(told["peak_mib"])}


def _counts(told: Line) -> Line:
    """How many places each finding has, by level."""
    return {
        "findings": {
            level: {f["code"]: f["count"] for f in told["findings"] if f["level"] == level}
            for level in ("error", "warning", "note")
        }
    }


SETS: dict[str, Callable[[Path], Iterable[Line]]] = {
    "clothing": measure_clothing,
    "table-labels": measure_table_labels,
    "nonproduct": measure_nonproduct,
    "sneakers": measure_sneakers,
    "bad-images": measure_bad_images,
}


FOLDERS = {"table-labels": "clothing"}
"""Where the pictures of a set are, where it is not called as they are."""


def measure_time(folder: Path, work: Path, options: list[str]) -> Iterable[Line]:
    """Seconds and memory of the first audit of one data set, and of the same again."""
    for turn in ("first time", "again"):
        told = run_audit(folder, work / "audit-time", *options)
        stages = {"options": options} if options else {}
        yield {"name": f"time, {turn}", "data": folder.name, **_common(told), **stages, **_counts(told)}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="*", help=f"planted, {', '.join(SETS)} (default: all)")
    parser.add_argument("--n", type=int, default=1200, help="pictures of the rendered shop")
    parser.add_argument("--time", type=Path, metavar="FOLDER", help="measure one data set instead")
    parser.add_argument("--options", default="", help="more options for that audit, e.g. '--skip labels'")
    parser.add_argument("--results", type=Path, default=RESULTS / "doctor.jsonl")
    args = parser.parse_args()
    unknown = set(args.sets) - {"planted", *SETS}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return args


def measurements(args: argparse.Namespace, work: Path) -> Iterable[Line]:
    if args.time is not None:
        yield from measure_time(args.time, work, args.options.split())
        return
    for name in args.sets or ["planted", *SETS]:
        if name == "planted":
            yield from measure_planted(work, args.n)
        elif (SHARED / FOLDERS.get(name, name)).is_dir():
            yield from SETS[name](work)
        else:
            print(f"{name}: skipped, its pictures are not in the shared data folder")


def main() -> int:
    args, where = parse(), stamp()
    with tempfile.TemporaryDirectory() as work:
        for line in measurements(args, Path(work)):
            append_line(args.results, {**line, **where})
            print(json.dumps(line, ensure_ascii=False, indent=1), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
