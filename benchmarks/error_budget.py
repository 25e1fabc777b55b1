"""The error budget: is the promised risk kept, on made worlds and on real photos, and does the brake trip in time?

``--simulate``: draws of scores whose true risk is known, also those of an adversary, and the brake with and without a
shift (``error_budget_worlds``; minutes, no photos). Otherwise real photos: clothing by unseen senders as products,
other photos as non-products, answered by two networks that Assay trained on other senders' photos (``--train``;
``error_budget_real``); and the sneakers, of which it is known that nobody can tell them apart by these photos: the
system must say that it cannot.

    python -m benchmarks.error_budget --simulate
    python -m benchmarks.data.make_error_budget
    python -m benchmarks.error_budget --train
    python -m benchmarks.error_budget --summary
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.decide.budgets import fit_budgets
from assay.decide.policy_read import read_policy
from assay.metrics.interval import group_numbers, proportion
from assay.runtime.screening import load_screener
from benchmarks import error_budget_worlds as made
from benchmarks.accuracy import BACKBONE
from benchmarks.data.make_error_budget import FOLDS
from benchmarks.data.tree import read_rows
from benchmarks.error_budget_real import (
    GENUINE_POLICY,
    KINDS_POLICY,
    PRODUCT_POLICY,
    Seen,
    accuracy_of,
    drawings,
    keep_evidence,
    see,
    truths_of,
    write_policy,
)
from benchmarks.error_budget_summary import tables
from benchmarks.machine import RESULTS, SHARED, append_line, read_lines, stamp

Line = dict[str, Any]
Named = tuple[str, Callable[[], Line]]
OPTIONS = (
    "--model mobilenetv2_100 --model-options pad_type=same --size 160 --crop-scale 0.2,1.0 "
    "--mean 0.5,0.5,0.5 --std 0.5,0.5,0.5 --seed 0 --no-baselines --quiet"
)
HOW_LONG = {"kind": "--minutes 4", "product": "--minutes 2", "sneakers": "--epochs 12"}
RISKS, SNEAKER_RISKS = (0.01, 0.02, 0.05, 0.1), (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
SIZES = ((0.05, 1000), (0.05, 8000), (0.01, 5000))
"""Accepted risk and number of labels of the made calibrations."""
LOOKS = 5000


@dataclass(frozen=True)
class Places:
    """Where pictures, tables and runs are."""

    shared: Path
    tables: Path
    runs: Path

    @property
    def networks(self) -> list[tuple[str, Path, str]]:
        """(table, folder of its pictures, which of ``HOW_LONG``) of each training."""
        photos, sneakers = self.tables / "photos", self.shared / "sneakers"
        folds = [(f"sneakers-{fold}", sneakers, "sneakers") for fold in range(FOLDS)]
        return [("kind", photos, "kind"), ("product", photos, "product"), *folds]

    def bundle(self, name: str) -> Path:
        """Beside the policies that name it; each fold of sneakers has a folder of its own."""
        if name.startswith("sneakers"):
            return self.runs / name / "genuine.bundle"
        return self.runs / "clothing" / f"{name}.bundle"


def simulations(draws: int) -> Iterator[Named]:
    """The promise in made worlds, and the brake."""
    for accepted, labels in SIZES:
        for world in made.worlds(accepted):
            yield (
                f"world/{accepted:g}/{labels}/{world.name}",
                lambda w=world, a=accepted, n=labels: made.calibrations(w, a, n, draws, 1),
            )
        yield (
            f"world/{accepted:g}/{labels}/the worst of a search",
            lambda a=accepted, n=labels: made.calibrations(
                made.worst_world(a, n, draws // 10), a, n, draws, 1
            ),
        )
    for accepted in (0.01, 0.05):
        for risk in (made.at_the_limit, made.limit_late, made.half_in_pairs):
            yield (
                f"trips/{accepted:g}/{risk.__name__}",
                lambda a=accepted, r=risk: made.false_trips(a, r, draws, LOOKS, 1),
            )
        for good in (0, 300, 3000):
            for times in (2, 3, 5, 10):
                yield (
                    f"shift/{accepted:g}/{good}/{times}",
                    lambda a=accepted, g=good, t=times: made.time_to_trip(a, g, t, draws // 5, LOOKS, 1),
                )


def train(places: Places) -> None:
    """Networks and Bundles that are not there."""
    for table, root, which in places.networks:
        run, bundle = places.runs / "trained" / table, places.bundle(table)
        if not (run / "card.json").exists():
            words = ["train", str(places.tables / f"{table}.csv"), "--root", str(root), "--out", str(run)]
            words += [*HOW_LONG[which].split(), "--weights", str(places.shared / BACKBONE)]
            subprocess.run([sys.executable, "-m", "assay", *words, *OPTIONS.split()], check=True)
        if not bundle.exists():
            bundle.parent.mkdir(parents=True, exist_ok=True)
            words = ["export", str(run), "--out", str(bundle)]
            subprocess.run([sys.executable, "-m", "assay", *words], check=True)
        print(f"{table}: {bundle.name} is there", flush=True)


def real(places: Places, draws: int) -> Iterator[Named]:
    """Clothing: what the networks can do, the labels that are missing, and the drawings."""
    rows, root = read_rows(places.tables / "held-out.csv"), places.tables / "photos"
    for policy in (KINDS_POLICY, PRODUCT_POLICY):
        seen: Seen | None = None
        for risk in RISKS:
            place = write_policy(policy, risk, places.runs / "clothing")
            yield f"labels/{policy['name']}/{risk:g}", lambda p=place: _labels(places, p, rows)
        for risk in RISKS:
            for unit in ("picture", "group"):
                for how in ("halves", "redrawn"):
                    if seen is None:
                        read = read_policy(place)
                        evidence = keep_evidence(place, rows, root, places.runs / "evidence")
                        seen = see(read, evidence, truths_of(read, rows), [row["group"] for row in rows])
                    yield (
                        f"splits/{policy['name']}/{how}/{unit}/{risk:g}",
                        lambda s=seen, u=unit, h=how, r=risk: drawings(s, unit=u, how=h, risk=r, count=draws),
                    )


def _labels(places: Places, policy: Path, rows: list[dict[str, str]]) -> Line:
    """All held-out photos at once: thresholds, labels that are missing, and how well the networks answer."""
    screener = load_screener(policy, budgets=False)
    evidence = keep_evidence(policy, rows, places.tables / "photos", places.runs / "evidence")
    truths = truths_of(screener.policy, rows)
    found = fit_budgets(screener.policy, evidence, truths, classes=screener.classes)
    right = {one.name: accuracy_of(one.name, evidence, truths, lambda _: True) for one in screener.policy}
    foreign = [not (row["group"] or "") for row in rows]
    unknown = [bool(one.unknown) for one in evidence]
    return {
        "photos": len(rows),
        "strangers": sum(foreign),
        "unknown": sum(u and not f for u, f in zip(unknown, foreign, strict=True)),
        "unknown_strangers": sum(u and f for u, f in zip(unknown, foreign, strict=True)),
        "right": right,
        "kinds": [vars(one) for one in found.kinds],
    }


def sneakers(places: Places) -> Iterator[Named]:
    """Each fold of whole shoes: can anything be promised?"""
    for fold in range(FOLDS):
        yield f"sneakers/{fold}", lambda f=fold: _sneakers(places, f)


def _sneakers(places: Places, fold: int) -> Line:
    rows = [row for row in read_rows(places.tables / f"sneakers-{fold}.csv") if row["part"] == "test"]
    folder = places.bundle(f"sneakers-{fold}").parent
    groups, thresholds = [row["group"] for row in rows], {}
    for risk in SNEAKER_RISKS:
        place = write_policy(GENUINE_POLICY, risk, folder)
        policy = read_policy(place)
        evidence = keep_evidence(place, rows, places.shared / "sneakers", places.runs / "evidence")
        truths = truths_of(policy, rows)
        for unit, names in (("photo", None), ("shoe", groups)):
            kinds = fit_budgets(policy, evidence, truths, names).kinds
            thresholds[f"{risk:g} by {unit}"] = [one.threshold for one in kinds]
    right = [one.best("genuine")[0] == truth["genuine"] for one, truth in zip(evidence, truths, strict=True)]
    accuracy = proportion(right, group_numbers(groups, len(rows)))
    most = max(sum(row["label"] == label for row in rows) for label in ("genuine", "suspect"))
    return {
        "photos": len(rows),
        "shoes": len(set(groups)),
        "accuracy": accuracy.to_dict(),
        "right": sum(right),
        "majority": most,
        "thresholds": thresholds,
        "promises": sum(t is not None for found in thresholds.values() for t in found),
    }


def run(jobs: Iterator[Named], results: Path, again: bool) -> None:
    """Each job that has no line yet."""
    done = set() if again else {line["job"] for line in read_lines(results)}
    code = stamp()["commit"]  # of this process, whatever is committed while it runs
    for name, work in jobs:
        if name in done:
            print(f"{name}: done before")
            continue
        told, begun = stamp(), time.monotonic()
        append_line(
            results,
            {"job": name, **work(), "wall_s": round(time.monotonic() - begun, 1), **told, "commit": code},
        )
        print(f"{name}: {time.monotonic() - begun:.0f} s", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulate", action="store_true", help="made worlds and the brake; no photos")
    parser.add_argument("--train", action="store_true", help="train and pack networks that are not there")
    parser.add_argument("--draws", type=int, default=1000, help="calibrations of each line")
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--data", type=Path, default=Path("runs/data/error-budget"))
    parser.add_argument("--runs", type=Path, default=Path("runs/error-budget"))
    parser.add_argument("--results", type=Path, default=RESULTS / "error_budget.jsonl")
    parser.add_argument("--again", action="store_true", help="also jobs that have a line: the newest counts")
    parser.add_argument("--summary", action="store_true", help="print the tables and stop")
    args = parser.parse_args()
    if args.summary:
        print("\n".join(tables(read_lines(args.results))))
        return 0
    if args.simulate:
        run(simulations(args.draws), args.results, args.again)
        return 0
    places = Places(args.shared, args.data, args.runs)
    if not (args.shared / "clothing").is_dir():
        print("skipped: no clothing/ in the data folder; give it with --shared")
        return 0
    if not (args.data / "held-out.csv").exists():
        print(f"skipped: {args.data / 'held-out.csv'} is missing: run benchmarks.data.make_error_budget")
        return 0
    if args.train:
        train(places)
    missing = [name for name, _, _ in places.networks if not places.bundle(name).exists()]
    if missing:
        print(f"skipped: no network for {', '.join(missing)}; make them with --train")
        return 0
    run(sneakers(places), args.results, args.again)
    run(real(places, args.draws), args.results, args.again)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
