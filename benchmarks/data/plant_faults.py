"""A rendered shop with faults of every kind in it, and the truth about them: what a doctor of data sets must find.

Each fault gets pictures of its own, so that one does not hide another. The truth is a JSON beside the table:
kind -> list of places, each a list of paths.

    python -m benchmarks.data.plant_faults OUT --n 1200 --seed 0
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from assay.configs import ReadConfig, SplitConfig
from assay.data.read import read_dataset
from assay.data.split import split_dataset
from assay.data.synthetic import render_shop

WRONG_LABELS = 0.04
SHORTCUT, RARE, UNTESTED = "mug", "lamp", "watch"
"""Classes: one whose pictures all come from another program, one with very few pictures, one without test pictures."""
UNREADABLE = ("truncated", "empty", "not a picture", "missing")
"""Kinds of faults after which a picture tells nothing any more."""

Row = dict[str, str]


@dataclass
class Planter:
    """Rows of the shop while faults are planted; ``truth`` is kind -> places. ``k`` faults of each kind."""

    folder: Path
    rows: list[Row]
    rng: np.random.Generator
    k: int
    truth: dict[str, list[list[str]]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def take(self, count: int, **wanted: str) -> list[Row]:
        """Rows that carry no fault yet, at random; ``wanted`` names values of columns."""
        free = [
            row
            for row in self.rows
            if row["path"] not in self.used
            and row["label"] not in (SHORTCUT, RARE, UNTESTED)
            and all(row[name] == value for name, value in wanted.items())
        ]
        picked = [free[int(i)] for i in self.rng.permutation(len(free))[:count]]
        self.used |= {row["path"] for row in picked}
        return picked

    def note(self, kind: str, *paths: str) -> None:
        self.truth.setdefault(kind, []).append(list(paths))

    def copy_of(self, row: Row, data: bytes, ending: str = ".jpg", **changed: str) -> Row:
        """A further row with a file of its own, in the same part and class unless ``changed`` says otherwise."""
        name = f"pictures/c{len(self.rows):06}{ending}"
        (self.folder / name).write_bytes(data)
        made = {**row, "path": name, **changed}
        self.rows.append(made)
        self.used.add(name)
        return made

    def bytes_of(self, row: Row) -> bytes:
        return (self.folder / row["path"]).read_bytes()

    def image_of(self, row: Row) -> Image.Image:
        with Image.open(self.folder / row["path"]) as image:
            return ImageOps.exif_transpose(image.convert("RGB"))

    def overwrite(self, row: Row, data: bytes) -> None:
        (self.folder / row["path"]).write_bytes(data)


def jpeg(image: Image.Image, quality: int = 90, **options: Any) -> bytes:
    target = BytesIO()
    image.save(target, "JPEG", quality=quality, **options)
    return target.getvalue()


def png(image: Image.Image) -> bytes:
    target = BytesIO()
    image.save(target, "PNG")
    return target.getvalue()


NEAR = {
    "near-copy, encoded again": lambda image: jpeg(image, 45),
    "near-copy, resized": lambda image: jpeg(image.resize((int(image.width * 0.6), int(image.height * 0.6)))),
    "near-copy, mirrored": lambda image: jpeg(ImageOps.mirror(image)),
    "near-copy, brightened": lambda image: jpeg(ImageEnhance.Brightness(image).enhance(1.25)),
    "near-copy, cropped by 4 %": lambda image: jpeg(ImageOps.crop(image, round(0.04 * min(image.size)))),
}


def plant_files(p: Planter) -> None:
    """What is wrong with a file itself."""
    for row in p.take(p.k):
        p.overwrite(row, (data := p.bytes_of(row))[: int(len(data) * 0.6)])
        p.note("truncated", row["path"])
    for row in p.take(p.k):
        p.overwrite(row, b"")
        p.note("empty", row["path"])
    for row in p.take(p.k):
        p.overwrite(row, b"<!doctype html><html><body>404 Not Found</body></html>")
        p.note("not a picture", row["path"])
    for row in p.take(p.k):
        (p.folder / row["path"]).unlink()
        p.note("missing", row["path"])
    for row in p.take(p.k):
        p.overwrite(row, png(p.image_of(row)))
        p.note("wrong extension", row["path"])
    for row in p.take(p.k):
        exif = Image.Exif()
        exif[0x0112] = 6
        p.overwrite(row, jpeg(p.image_of(row).transpose(Image.Transpose.ROTATE_90), exif=exif))
        p.note("turned", row["path"])
    for row in p.take(p.k):
        p.overwrite(row, jpeg(p.image_of(row).resize((24, 20))))
        p.note("tiny", row["path"])
    for row in p.take(p.k):
        grey = int(p.rng.integers(0, 256))
        p.overwrite(row, jpeg(Image.new("RGB", (160, 120), (grey, grey, grey))))
        p.note("blank", row["path"])
    for row in p.take(1):
        p.overwrite(row, jpeg(p.image_of(row).resize((8000, 6500)), 60))
        p.note("huge", row["path"])


def plant_copies(p: Planter) -> None:
    """The same picture twice: in its class, under another label, and in another part."""
    labels = sorted({row["label"] for row in p.rows} - {SHORTCUT, RARE, UNTESTED})
    for row in p.take(p.k, part="train"):
        p.note("exact copy", row["path"], p.copy_of(row, p.bytes_of(row))["path"])
    for kind, change in NEAR.items():
        for row in p.take(p.k, part="train"):
            p.note(kind, row["path"], p.copy_of(row, change(p.image_of(row)))["path"])
    for row in p.take(p.k, part="train"):
        other = str(p.rng.choice([name for name in labels if name != row["label"]]))
        p.note("copy with another label", row["path"], p.copy_of(row, p.bytes_of(row), label=other)["path"])
    for row in p.take(p.k, part="train"):
        other = str(p.rng.choice([name for name in labels if name != row["label"]]))
        made = p.copy_of(row, NEAR["near-copy, encoded again"](p.image_of(row)), label=other)
        p.note("near-copy with another label", row["path"], made["path"])
    for row in p.take(p.k, part="train"):
        p.note("leak, exact", row["path"], p.copy_of(row, p.bytes_of(row), part="test")["path"])
    for row in p.take(p.k, part="train"):
        changed = NEAR["near-copy, resized"](p.image_of(row))
        p.note("leak, near", row["path"], p.copy_of(row, changed, part="test")["path"])


def plant_labels(p: Planter) -> None:
    """Wrong labels, at random among the pictures that carry nothing else."""
    labels = sorted({row["label"] for row in p.rows} - {RARE, UNTESTED})
    for row in p.take(round(WRONG_LABELS * len(p.rows))):
        p.note("wrong label", row["path"])
        row["label"] = str(p.rng.choice([name for name in labels if name != row["label"]]))


def plant_structure(p: Planter) -> None:
    """Torn groups, a class from another program, a class without test pictures, a class with very few."""
    sellers = sorted({row["seller"] for row in p.rows if row["part"] == "train"})
    moved = 0
    for seller in p.rng.permutation(sellers):
        own = [row for row in p.rows if row["seller"] == seller and row["part"] == "train"]
        plain = [row for row in own if row["label"] not in (SHORTCUT, RARE, UNTESTED)]
        if len(own) > 2 and plain and moved < p.k:
            plain[0]["part"] = "test"
            p.used.add(plain[0]["path"])
            moved += 1
    for row in [row for row in p.rows if row["label"] == SHORTCUT]:
        p.overwrite(row, jpeg(p.image_of(row).resize((150, 150)), 38))
    p.note("shortcut", SHORTCUT)
    rare = [row for row in p.rows if row["label"] == RARE]
    gone = [row["path"] for row in rare[3:]]
    gone += [row["path"] for row in p.rows if row["label"] == UNTESTED and row["part"] == "test"]
    p.rows = [row for row in p.rows if row["path"] not in set(gone)]
    for path in gone:
        (p.folder / path).unlink(missing_ok=True)
    p.note("rare class", RARE)
    p.note("class missing in test", UNTESTED)


def note_torn_groups(p: Planter) -> None:
    """The sellers that were moved, and those with copies in another part; broken files do not count."""
    broken = {path for kind in UNREADABLE for (path,) in p.truth.get(kind, [])}
    homes: dict[str, set[str]] = {}
    for row in p.rows:
        if row["path"] not in broken:
            homes.setdefault(row["seller"], set()).add(row["part"])
    for seller in sorted(seller for seller, parts in homes.items() if len(parts) > 1):
        p.note("torn group", seller)


def plant(out: Path, n: int = 1200, seed: int = 0, k: int = 8, size: int = 192, workers: int = 2) -> Path:
    """Render a shop, split it by seller, plant ``k`` faults of each kind; returns the table, ``out/faulty/labels.csv``.

    The clean shop with the same split is ``out/clean/labels.csv``, for false alarms; the truth is ``out/truth.json``.
    None of the two lies beside the faulty table, where the doctor might read it.
    """
    clean, faulty = out / "clean", out / "faulty"
    render_shop(clean, n=n, seed=seed, size=size, new=0, workers=workers)
    dataset = split_dataset(
        read_dataset(clean / "labels.csv", ReadConfig(group_column="seller")), SplitConfig(salt=0)
    )
    rows = [
        {**{c: str(row[c]) for c in ("path", "label", "part")}, "seller": str(row["group"])}
        for row in dataset.table.to_pylist()
    ]
    faulty.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(faulty / "pictures", ignore_errors=True)
    shutil.copytree(clean / "pictures", faulty / "pictures")
    for path in clean.iterdir():  # boxes.json and the like know the products
        if path.is_file():
            path.unlink()
    write_rows(clean / "labels.csv", rows)
    planter = Planter(faulty, rows, np.random.default_rng(seed + 1), k)
    for step in (plant_structure, plant_files, plant_copies, plant_labels):
        step(planter)
    note_torn_groups(planter)
    write_rows(faulty / "labels.csv", planter.rows)
    (out / "truth.json").write_text(json.dumps(planter.truth, indent=1), "utf-8")
    return faulty / "labels.csv"


def write_rows(path: Path, rows: list[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--n", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each", type=int, default=8, help="faults of each kind")
    args = parser.parse_args()
    print(plant(args.out, args.n, args.seed, args.each))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
