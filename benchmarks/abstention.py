"""Holding answers back: are the promises kept, and are unknown pictures found?

Two networks are trained for three minutes each (``--train``; or give runs by ``--run`` and ``--grocery-run``): clothing
with half of its senders held out, and grocery without every fourth class. Promises: calibrations drawn again and again
from the held-out senders (``abstention_promise``). Unknown pictures: AUROC of each score, known against unknown, and
the share of unknown pictures let through where 95 % of the known pass. Pictures of other sources differ in size and
JPEG traces from the known ones; every network sees them resized to one size, but they are far from the known ones all
the same. Unseen classes of the same shops are the honest test, and the hard one.

    python -m benchmarks.data.make_abstention
    python -m benchmarks.abstention --train
    python -m benchmarks.abstention --summary            the tables, and docs/images/abstention.svg
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.decide.unknown import energy, fit_unknown
from assay.metrics.interval import Estimate, centred_interval
from benchmarks.abstention_pool import Pool, digest_of, folder_rows, part_of, reference_of, see
from benchmarks.abstention_promise import promises_kept, world_of
from benchmarks.abstention_summary import show
from benchmarks.accuracy import BACKBONE
from benchmarks.data.tree import read_rows
from benchmarks.machine import RESULTS, ROOT, SHARED, append_line, read_lines, stamp

OPTIONS = (
    "--model mobilenetv2_100 --model-options pad_type=same --size 192 --crop-scale 0.2,1.0 "
    "--mean 0.5,0.5,0.5 --std 0.5,0.5,0.5 --seed 0"
)
RISKS = (0.02, 0.05, 0.1, 0.2, 0.3)
UNITS, HOWS = ("picture", "group", "naive"), ("redrawn", "halves")
PLOT = ROOT / "docs" / "images" / "abstention.svg"
Line = dict[str, Any]


@dataclass(frozen=True)
class Places:
    """Where pictures, tables, runs and pools are."""

    shared: Path
    tables: Path
    runs: Path
    clothing_run: Path
    grocery_run: Path

    @property
    def cache(self) -> Path:
        return self.runs / "pools"


def train(places: Places, minutes: float) -> None:
    """Both networks, those that are not there."""
    weights = places.shared / BACKBONE
    for table, root, out in (
        ("clothing-half", "clothing", places.clothing_run),
        ("grocery-known", "grocery", places.grocery_run),
    ):
        if (out / "card.json").exists():
            continue
        words = [sys.executable, "-m", "assay", "train", str(places.tables / f"{table}.csv")]
        words += ["--root", str(places.shared / root), "--out", str(out), "--minutes", str(minutes)]
        subprocess.run([*words, *OPTIONS.split(), "--weights", str(weights)], check=True)


def promise_jobs(places: Places, splits: int, table: Path) -> Iterator[tuple[str, Line]]:
    """One line for every unit, way of drawing and risk, on the held-out senders of clothing."""
    root = places.shared / "clothing"
    pool = see(places.clothing_run, "clothing-test", part_of(table, "test"), root, places.cache)
    reference = reference_of(places.clothing_run, table, root, places.cache, "clothing")
    world = world_of(pool, reference)
    facts = {
        "pictures": len(pool),
        "senders": len(set(pool.groups.tolist())),
        "accuracy": float(world.right.mean()),
    }
    for how in HOWS:
        for unit in UNITS:
            for risk in RISKS:
                found = promises_kept(world, unit=unit, how=how, risk=risk, splits=splits, seed=0)
                yield f"promise/{how}/{unit}/{risk:g}", {**facts, **found}


def optimism_jobs(places: Places, table: Path) -> Iterator[tuple[str, Line]]:
    """What calibrating on the pictures that chose the weights costs: promised there, found on the held-out part."""
    root = places.shared / "clothing"
    test = see(places.clothing_run, "clothing-test", part_of(table, "test"), root, places.cache)
    chosen = see(places.clothing_run, "clothing-validation", part_of(table, "validation"), root, places.cache)
    reference = reference_of(places.clothing_run, table, root, places.cache, "clothing")
    worlds = {name: world_of(pool, reference) for name, pool in (("validation", chosen), ("test", test))}
    rows = {}
    for name, world in worlds.items():
        rows[name] = {
            "accuracy": float(world.right.mean()),
            **{f"risk_from_{t:g}": float((~world.right[world.sure >= t]).mean()) for t in (0.8, 0.9, 0.95)},
        }
    yield "optimism", rows


def unknown_jobs(places: Places, table: Path) -> Iterator[tuple[str, Line]]:
    """One line for every known and unknown set and network."""
    clothing, grocery = places.shared / "clothing", places.shared / "grocery"
    run, cache = places.clothing_run, places.cache
    known = see(run, "clothing-test", part_of(table, "test"), clothing, cache)
    reference = reference_of(run, table, clothing, cache, "clothing")
    known_table, unseen = places.tables / "grocery-known.csv", read_rows(places.tables / "grocery-unseen.csv")
    strangers = {
        "nonproduct": (folder_rows(places.shared / "nonproduct"), places.shared / "nonproduct"),
        "bccd": (folder_rows(places.shared / "bccd"), places.shared / "bccd"),
        "grocery": (part_of(known_table, "test"), grocery),
    }
    for name, (rows, root) in strangers.items():
        yield f"unknown/clothing/{name}", _told_apart(known, see(run, name, rows, root, cache), reference)
    run = places.grocery_run
    if not (run / "card.json").exists():
        print(f"skipped: no grocery network in {run}; make it with --train")
        return
    reference = reference_of(run, known_table, grocery, cache, "grocery")
    for part, told in (("validation", "train"), ("test", "test")):  # like with like: each list with its own
        mine = see(run, f"grocery-{part}", part_of(known_table, part), grocery, cache)
        rows = [row for row in unseen if (row["part"] == "test") == (told == "test")]
        other = see(run, f"grocery-unseen-{told}", rows, grocery, cache)
        yield f"unknown/grocery/unseen classes, {told} list", _told_apart(mine, other, reference)


def _told_apart(known: Pool, other: Pool, reference: Pool) -> Line:
    """AUROC with its interval, and the share of unknown let through at 95 %, of each score."""
    fitted = fit_unknown(
        known.logits,
        known.embedding,
        reference=reference.embedding,
        reference_logits=reference.logits,
        false_alarm=0.05,
    )
    found: Line = {"known": len(known), "unknown": len(other)}
    for name, score in (
        ("combined", lambda p: fitted.strangeness(p.logits, p.embedding)),
        ("neighbours", lambda p: fitted.distances(p.embedding)),
        ("energy", lambda p: energy(p.logits)),
        ("one minus top probability", lambda p: 1 - p.probs.max(1).astype(float)),
    ):
        inside, outside = score(known), score(other)
        found[name] = {
            "auroc": _auroc_interval(inside, outside).to_dict(),
            "through": float((outside <= np.quantile(inside, 0.95)).mean()),
        }
    return found


def auroc(inside: NDArray[np.float64], outside: NDArray[np.float64]) -> float:
    """P(an unknown picture scores above a known one), ties half."""
    ordered = np.sort(inside)
    below = np.searchsorted(ordered, outside, "left") + np.searchsorted(ordered, outside, "right")
    return float(below.mean() / (2 * len(ordered)))


def _auroc_interval(inside: NDArray[np.float64], outside: NDArray[np.float64], draws: int = 500) -> Estimate:
    rng = np.random.default_rng(0)
    values = np.array(
        [auroc(rng.choice(inside, len(inside)), rng.choice(outside, len(outside))) for _ in range(draws)]
    )
    return centred_interval(auroc(inside, outside), values, bounds=(0.0, 1.0))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--train", action="store_true", help="train the two networks first, where they are not there"
    )
    parser.add_argument("--minutes", type=float, default=3.0, help="of each training")
    parser.add_argument("--splits", type=int, default=1000, help="drawings of calibration pictures")
    parser.add_argument("--jobs", nargs="*", default=["promise", "optimism", "unknown"])
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--data", type=Path, default=Path("runs/data/abstention"))
    parser.add_argument("--runs", type=Path, default=Path("runs/abstention"))
    parser.add_argument("--run", type=Path, help="a clothing run (default: the one that --train makes)")
    parser.add_argument("--table", type=Path, help="the clothing run's table")
    parser.add_argument("--grocery-run", type=Path)
    parser.add_argument("--results", type=Path, default=RESULTS / "abstention.jsonl")
    parser.add_argument("--plot", type=Path, default=PLOT)
    parser.add_argument("--summary", action="store_true", help="print the tables, write the plot, and stop")
    args = parser.parse_args()
    if args.summary:
        return show(read_lines(args.results), args.plot)
    places = Places(
        args.shared,
        args.data,
        args.runs,
        args.run or args.runs / "clothing-half",
        args.grocery_run or args.runs / "grocery-known",
    )
    if not (places.shared / "clothing").is_dir():
        print("skipped: no clothing/ in the data folder; give it with --shared")
        return 0
    if args.train:
        train(places, args.minutes)
    if not (places.clothing_run / "card.json").exists():
        print(f"skipped: no clothing network in {places.clothing_run}; make it with --train")
        return 0
    table = args.table or places.tables / "clothing-half.csv"
    work = {
        "promise": lambda: promise_jobs(places, args.splits, table),
        "optimism": lambda: optimism_jobs(places, table),
        "unknown": lambda: unknown_jobs(places, table),
    }
    for kind in args.jobs:
        for job, found in work[kind]():
            line = {"job": job, "run": digest_of(places.clothing_run), **found, **stamp()}
            append_line(args.results, line)
            print(job, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
