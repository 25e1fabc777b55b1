"""scikit-learn's digits as an image folder: ``train|validation|test/<digit>/<number>.png``, 8 x 8, 60 / 20 / 20.

The 1,797 pictures are the test part of the UCI set "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak
1998), which scikit-learn carries. It names no writers, so one hand may be in all parts: easier than new hands would be.
The split is drawn once from a fixed seed, class by class, and is the same everywhere.

    python -m benchmarks.data.make_digits --out runs/data/digits
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}
SEED = 20
BRIGHTEST = 16


def deal(targets: np.ndarray) -> list[str]:
    """The part of every picture: each class is shuffled by one seed and cut at 60 % and 80 %."""
    parts = np.empty(len(targets), dtype=object)
    for k in np.unique(targets):
        rows = np.flatnonzero(targets == k)
        rows = rows[np.random.Generator(np.random.PCG64([SEED, int(k)])).permutation(len(rows))]
        cuts = [round(len(rows) * 0.6), round(len(rows) * 0.8)]
        for part, some in zip(SHARES, np.split(rows, cuts), strict=True):
            parts[some] = part
    return parts.tolist()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/data/digits"))
    args = parser.parse_args()
    digits = load_digits()
    parts = deal(digits.target)
    for i, (picture, digit, part) in enumerate(zip(digits.images, digits.target, parts, strict=True)):
        folder = args.out / part / str(digit)
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.round(picture * 255 / BRIGHTEST).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:04d}.png")
    print(f"{args.out}: " + ", ".join(f"{part} {parts.count(part)}" for part in SHARES))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
