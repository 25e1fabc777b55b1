"""Tables for `benchmarks.abstention`: clothing with half of its senders held out, grocery with classes left out.

*clothing-half*: of all senders, in an order shuffled with seed 0, the first half is held out whole ("test"), a tenth
chooses weights ("validation"), the rest trains. The held-out half chooses nothing: promises are made
and measured on it.

*grocery-known*: every fourth of the 81 fine classes, by name, is left out; the rows of the others keep the parts of
``make_grocery``. *grocery-unseen* has the classes left out, with their list ("part") for comparing like with like.

    python -m benchmarks.data.make_clothing; python -m benchmarks.data.make_grocery
    python -m benchmarks.data.make_abstention --out runs/data/abstention
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.data.tree import read_rows, write_rows

HELD_OUT, CHOOSING = 0.5, 0.1
EVERY = 4
Row = dict[str, str]


def hold_out_senders(rows: list[Row], seed: int = 0) -> list[Row]:
    """The rows with a part by sender: about half of the senders "test", a tenth "validation"."""
    senders = sorted({row["group"] for row in rows}, key=int)
    order = np.random.default_rng(seed).permutation(len(senders))
    test, validation = round(HELD_OUT * len(senders)), round(CHOOSING * len(senders))
    parts = {}
    for place, i in enumerate(order):
        parts[senders[int(i)]] = (
            "test" if place < test else "validation" if place < test + validation else "train"
        )
    return [{**row, "part": parts[row["group"]]} for row in rows]


def leave_out_classes(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """(rows of the classes that are known, rows of those left out)."""
    unseen = set(sorted({row["label"] for row in rows})[::EVERY])
    known = [row for row in rows if row["label"] not in unseen]
    return known, [row for row in rows if row["label"] in unseen]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, default=Path("runs/data"), help="what make_clothing and make_grocery wrote"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/data/abstention"))
    args = parser.parse_args()
    clothing, grocery = args.data / "clothing" / "clothing.csv", args.data / "grocery" / "fine.csv"
    if not (clothing.exists() and grocery.exists()):
        print("skipped: run benchmarks.data.make_clothing and benchmarks.data.make_grocery first")
        return 0
    half = hold_out_senders(read_rows(clothing))
    known, unseen = leave_out_classes(read_rows(grocery))
    for name, rows in (("clothing-half", half), ("grocery-known", known), ("grocery-unseen", unseen)):
        write_rows(args.out / f"{name}.csv", rows)
        parts = {part: sum(row["part"] == part for row in rows) for part in ("train", "validation", "test")}
        print(f"{name:15} {len(rows):5} photos, {len({row['label'] for row in rows}):2} classes, {parts}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
