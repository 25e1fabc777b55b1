"""``ccp`` as one Parquet table: tags, boxes and pixel masks in nine super-classes, with the protocol's parts.

Photos 0001-0604 train, 0605-0704 validate, 0705-0804 test: all have a mask, boxes (one a label a photo, the hull of its
pixels) and tags. 1005-1404 have tags alone, as people typed them, and join train; of their boxes and pixels nothing is
known. ``--without-tag-only`` leaves them out.

The 58 labels are too fine to learn from 604 photos (24 of the 55 that occur are in fewer than 50), so they become nine:
what is worn where. ``SUPER_CLASSES`` is that mapping; ``null`` is the background, value 0 of the masks. A box keeps its
label's place and gets its super-class, so a photo may have two boxes of ``accessory``.

    python -m benchmarks.data.make_ccp --data ../shared/data --out runs/data/ccp
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from assay.data.write import write_dataset
from assay.files import write_file
from assay.image import read_size
from assay.labels import ClassNames
from assay.objects import objects_type
from assay.pixel_masks import IGNORE, classes_used, encode_pixels, read_pixels
from assay.types import PARTS, Dataset
from benchmarks.machine import SHARED

BACKGROUND = "background"
SUPER_CLASSES: dict[str, str] = {
    "skin": "skin",
    "hair": "hair",
    "top": "blouse bodysuit bra cardigan hoodie intimate jumper shirt sweater sweatshirt swimwear t-shirt top vest",
    "outerwear": "blazer cape coat jacket suit",
    "dress": "dress romper",
    "bottom": "jeans leggings panties pants shorts skirt socks stockings tights",
    "footwear": "boots clogs flats heels loafers pumps sandals shoes sneakers wedges",
    "bag": "bag purse wallet",
    "accessory": "accessories belt bracelet earrings glasses gloves hat necklace ring scarf sunglasses tie watch",
}
"""Super-class -> its labels, all 58 but ``null``; in the order of the values 1 to 9 of the masks."""

LAST = {"train": 604, "validation": 704, "test": 804}
"""The last photo of each part, by number; beyond them are the photos with tags alone."""


def super_class_of() -> dict[str, str]:
    """Label -> super-class; ``null`` is the background."""
    found = {label: name for name, labels in SUPER_CLASSES.items() for label in labels.split()}
    return {"null": BACKGROUND, **found}


def part_of(stem: str) -> str:
    """The part of the photo called ``stem``."""
    return next((part for part in PARTS if int(stem) <= LAST[part]), "train")


def value_table(labels: list[str]) -> np.ndarray:
    """(256,) uint8: value of the published masks -> value of ours; what is no label becomes unknown.

    Raises
    ------
    ValueError : a label has no super-class.
    """
    known, order = super_class_of(), [BACKGROUND, *SUPER_CLASSES]
    missing = [label for label in labels if label not in known]
    if missing:
        raise ValueError(f"labels without a super-class: {', '.join(missing)}")
    table = np.full(256, IGNORE, np.uint8)
    table[: len(labels)] = [order.index(known[label]) for label in labels]
    return table


def masked_row(folder: Path, stem: str, told: dict[str, Any], table: np.ndarray, out: Path) -> dict[str, Any]:
    """One photo with a mask: the mask is written anew in super-classes, tags are those that occur in it."""
    pixels = table[read_pixels(folder / "masks" / f"{stem}.png")]
    target = out / "masks" / f"{stem}.png"
    write_file(target, encode_pixels(pixels))
    known, names = super_class_of(), [BACKGROUND, *SUPER_CLASSES]
    boxes = [
        {"label": known[label], "box": [float(v) for v in box], "mask": None, "crowd": False}
        for label, *box, _pixels in told["boxes_xyxy_pixels"][stem]
        if label != "null"
    ]
    tags = [names[value] for value in classes_used(pixels) if value]
    return {"labels": tags, "objects": boxes, "pixels": target.resolve().as_posix()}


def tagged_row(tags: list[str]) -> dict[str, Any]:
    """One photo with tags alone."""
    known = super_class_of()
    found = {known[tag] for tag in tags} - {BACKGROUND}
    return {"labels": [name for name in SUPER_CLASSES if name in found], "objects": None, "pixels": None}


def read_photos(folder: Path, out: Path, *, tag_only: bool = True) -> Dataset:
    """The whole set; masks in super-classes are written below ``out``."""
    told = json.loads((folder / "boxes.json").read_text("utf-8"))
    tags = json.loads((folder / "tags.json").read_text("utf-8"))
    table, rows = value_table(told["labels"]), []
    for photo in sorted((folder / "photos").glob("*.jpg")):
        is_masked = (folder / "masks" / f"{photo.stem}.png").exists()
        if not is_masked and not tag_only:
            continue
        row = masked_row(folder, photo.stem, told, table, out) if is_masked else tagged_row(tags[photo.stem])
        height, width = read_size(photo)
        where = {"path": photo.resolve().as_posix(), "part": part_of(photo.stem)}
        rows.append({**where, **row, "height_px": height, "width_px": width})
    names = ClassNames(SUPER_CLASSES)
    return Dataset(
        table_of(rows),
        names,
        folder,
        "ccp",
        {"by": "source"},
        object_classes=names,
        pixel_classes=ClassNames([BACKGROUND, *SUPER_CLASSES]),
    )


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    """The rows in the types of a data set; no photo has one class, so ``label`` is null."""
    kinds = {
        "path": pa.string(),
        "label": pa.string(),
        "labels": pa.list_(pa.string()),
        "part": pa.string(),
        "objects": objects_type(),
        "pixels": pa.string(),
        "height_px": pa.int32(),
        "width_px": pa.int32(),
    }
    return pa.table({name: pa.array([row.get(name) for row in rows], kind) for name, kind in kinds.items()})


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=SHARED, help="folder that holds ccp/")
    parser.add_argument("--out", type=Path, default=Path("runs/data/ccp"))
    parser.add_argument(
        "--without-tag-only", action="store_true", help="leave out the photos with tags alone"
    )
    args = parser.parse_args()
    folder = args.data / "ccp"
    if not (folder / "boxes.json").exists():
        print("skipped: ccp/boxes.json is not in the data folder; give it with --data")
        return 0
    data = read_photos(folder, args.out, tag_only=not args.without_tag_only)
    write_dataset(data, args.out / "ccp.parquet")
    for part in PARTS:
        mine = data.part(part).table
        counts = {name: len(mine) - mine[name].null_count for name in ("labels", "objects", "pixels")}
        print(f"{part:11} {len(mine):5} photos  {', '.join(f'{n:5} with {k}' for k, n in counts.items())}")
    print(f"{args.out}/ccp.parquet  split {data.split_hash}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
