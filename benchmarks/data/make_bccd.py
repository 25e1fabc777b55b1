"""``bccd`` by its own lists and in five folds over all 364 pictures: one COCO file and one YOLO folder a split.

    runs/data/bccd/pictures/images, labels    the only copy of the pictures, with YOLO's labels
    runs/data/bccd/original.json, fold-0.json ...    COCO JSON that names them, with their parts: Assay, torchvision
    runs/data/bccd/yolo/original, fold-0 ...  the same split as Ultralytics wants it: links into ``pictures``

Boxes are those of Assay's VOC reader for everybody, so no tool has other boxes than another; the two of zero area
(00338, 00343) are left out. The copy is there because Ultralytics rewrites in place a JPEG that it takes for damaged.

Folds are dealt by a seed: each is the test part once, a fifth of the rest validates. The near copies 00037 and 00038
are in one fold and in one part. In the original lists they are in validation and train; these stay as they are.

    python -m benchmarks.data.make_bccd
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from assay.data.read import read_dataset
from assay.data.write import write_dataset
from assay.types import PARTS, Dataset
from benchmarks.machine import SHARED

FOLDS = 5
NEAR_COPIES = (("BloodImage_00037", "BloodImage_00038"),)
VALIDATION_SHARE = 0.2
SPLITS = ("original", *(f"fold-{k}" for k in range(FOLDS)))
_YOLO_PARTS = {"train": "train", "validation": "val", "test": "test"}


def deal_folds(stems: Sequence[str], seed: int = 0) -> list[dict[str, str]]:
    """FOLDS times stem -> part. Every picture is of the test part once; near copies go together."""
    together = {stem: copies[0] for copies in NEAR_COPIES for stem in copies}
    units = sorted({together.get(stem, stem) for stem in stems})
    order = [units[i] for i in np.random.default_rng(seed).permutation(len(units))]
    fold_of = {unit: place % FOLDS for place, unit in enumerate(order)}
    every = round(1 / VALIDATION_SHARE)
    splits = []
    for fold in range(FOLDS):
        others = [unit for unit in order if fold_of[unit] != fold]
        part_of = {unit: "validation" if i % every == 0 else "train" for i, unit in enumerate(others)}
        splits.append({stem: part_of.get(together.get(stem, stem), "test") for stem in stems})
    return splits


def with_parts(dataset: Dataset, part_of: Mapping[str, str], root: Path) -> Dataset:
    """The data set with other parts (stem -> part) and its pictures in ``root``."""
    names = [Path(path).name for path in dataset.table["path"].to_pylist()]
    columns = {
        "path": pa.array(names, pa.string()),
        "part": pa.array([part_of[Path(name).stem] for name in names], pa.string()),
    }
    table = dataset.table
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, values)
    return replace(dataset, table=table, root=root, split={"by": "source"})


def link_yolo(pictures: Path, part_of: Mapping[str, str], out: Path) -> None:
    """A YOLO folder ``out`` whose pictures and labels are links into ``pictures``."""
    shutil.rmtree(out, ignore_errors=True)
    for part in _YOLO_PARTS.values():
        for kind in ("images", "labels"):
            (out / kind / part).mkdir(parents=True)
    for picture in sorted((pictures / "images").iterdir()):
        part = _YOLO_PARTS[part_of[picture.stem]]
        label = pictures / "labels" / f"{picture.stem}.txt"
        for kind, file in (("images", picture), ("labels", label)):
            link = out / kind / part / file.name
            link.symlink_to(os.path.relpath(file, link.parent))
    names = (pictures / "data.yaml").read_text("utf-8").split("names:")[1]
    parts = "".join(f"{part}: images/{part}\n" for part in _YOLO_PARTS.values())
    (out / "data.yaml").write_text(f"path: {out.resolve()}\n{parts}names:{names}", "utf-8")


def make(source: Path, out: Path, seed: int = 0) -> dict[str, Dataset]:
    """Write everything below ``out``; split -> data set."""
    dataset = read_dataset(source)
    own = {Path(row["path"]).stem: row["part"] for row in dataset.table.select(["path", "part"]).to_pylist()}
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    bare = replace(dataset, table=dataset.table.drop_columns(["part"]), split={})
    write_dataset(bare, out / "pictures", "yolo")
    found = {}
    for name, part_of in zip(SPLITS, [own, *deal_folds(sorted(own), seed)], strict=True):
        found[name] = with_parts(dataset, part_of, out / "pictures" / "images")
        write_dataset(found[name], out / f"{name}.json", "coco")
        link_yolo(out / "pictures", part_of, out / "yolo" / name)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=SHARED, help="folder that holds bccd/")
    parser.add_argument("--out", type=Path, default=Path("runs/data/bccd"))
    parser.add_argument("--seed", type=int, default=0, help="of the folds")
    args = parser.parse_args()
    source = args.data / "bccd" / "BCCD"
    if not (source / "Annotations").is_dir():
        print("skipped: bccd/BCCD is not in the data folder; give it with --data")
        return 0
    for name, dataset in make(source, args.out, args.seed).items():
        counts = ", ".join(f"{dataset.parts[part]:3} {part}" for part in PARTS)
        print(f"{name:9} {counts}  split {dataset.split_hash}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
