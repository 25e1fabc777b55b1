"""Coarse answers of a network trained on fine classes: the probabilities of a coarse class's members, added up.

python -m benchmarks.data.coarse RUN/evaluation/test.json --table runs/data/grocery/fine.csv
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.metrics.interval import proportion
from benchmarks.data.tree import read_rows


def coarse_of(rows: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Fine class -> coarse class.

    Raises
    ------
    ValueError : a fine class belongs to two coarse ones.
    """
    found: dict[str, str] = {}
    for row in rows:
        if found.setdefault(row["label"], row["coarse"]) != row["coarse"]:
            raise ValueError(f"{row['label']} belongs to {found[row['label']]} and {row['coarse']}")
    return found


def coarse_right(
    probs: NDArray[Any], targets: NDArray[np.int64], classes: Sequence[str], coarse: Mapping[str, str]
) -> NDArray[np.bool_]:
    """(N,) whether the coarse class with the greatest summed probability is that of the target.

    ``probs`` (N, K) and ``targets`` (N,) follow ``classes``, the K fine names.
    """
    names = sorted({coarse[name] for name in classes})
    index = np.array([names.index(coarse[name]) for name in classes])
    member = np.zeros((len(classes), len(names)), dtype=np.float64)
    member[np.arange(len(classes)), index] = 1.0
    return np.asarray((probs.astype(np.float64) @ member).argmax(1) == index[targets])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("evaluation", type=Path, help="PART.json of an evaluation; PART.npz lies beside it")
    parser.add_argument("--table", type=Path, default=Path("runs/data/grocery/fine.csv"))
    args = parser.parse_args()
    about = json.loads(args.evaluation.read_text("utf-8"))
    with np.load(args.evaluation.with_suffix(".npz"), allow_pickle=False) as arrays:
        probs, targets = arrays["probs"], arrays["targets"]
    right = coarse_right(probs, targets, about["classes"], coarse_of(read_rows(args.table)))
    print(json.dumps({"coarse_accuracy": proportion(right).to_dict(), "n": len(right)}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
