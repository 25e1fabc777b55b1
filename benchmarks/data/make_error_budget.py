"""Photos and tables for `benchmarks.error_budget`: products by senders, non-products, sneakers by shoe.

Products are the clothing photos, non-products `nonproduct` and `tiny-coco`. They come from different sources, whose
sizes and JPEG traces would give the answer away, so each photo is cut to its middle square, made 160 px wide and
written anew as JPEG of quality 90. What else differs between the sources (light, cameras, what photographers choose)
remains: a product / non-product score on these photos says little about another shop.

*kind.csv*, *product.csv*: photos of the senders that train, and half of the non-products. *held-out.csv*: the photos of
all other senders and the other non-products, with the truth of both questions. *sneakers-0.csv* and so on: folds of
whole shoes, in which the label is "genuine" or "suspect"; these photos stay as they are.

    python -m benchmarks.data.make_error_budget --data ../shared/data --out runs/data/error-budget
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from assay.image import encode_image, read_image, to_pillow
from benchmarks.data.make_abstention import hold_out_senders
from benchmarks.data.make_clothing import read_photos
from benchmarks.data.tree import write_rows
from benchmarks.machine import SHARED

SIDE_PX, QUALITY = 160, 90
FOLDS = 3
SETS = ("clothing", "nonproduct", "tiny-coco", "sneakers")
Row = dict[str, str]


def square(photo: bytes) -> bytes:
    """The middle square of a photo as a JPEG file of ``SIDE_PX``."""
    image = to_pillow(read_image(photo))
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    small = image.resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS, (left, top, left + side, top + side))
    return encode_image(np.asarray(small), "JPEG", QUALITY)


def strangers(folders: list[Path], root: Path, seed: int = 0) -> list[Row]:
    """Non-products with their part: half of each set is held out ("test"), a tenth validates, the rest trains."""
    rows = []
    for folder in folders:
        photos = sorted(folder.rglob("*.jp*g"))
        order = np.random.default_rng(seed).permutation(len(photos))
        for place, i in enumerate(order):
            share = place / len(photos)
            part = "test" if share < 0.5 else "validation" if share < 0.6 else "train"
            path = photos[int(i)].relative_to(root).as_posix()
            rows.append({"path": path, "label": "", "part": part, "group": ""})
    return rows


def tables(products: list[Row], others: list[Row]) -> dict[str, list[Row]]:
    """Name -> rows. ``products`` have label, part and sender."""
    asked = [{**row, "product": "product"} for row in products]
    asked += [{**row, "product": "non-product"} for row in others]
    train = [row for row in asked if row["part"] != "test"]
    return {
        "kind": [_but(row, "product") for row in train if row["label"]],
        "product": [_but({**row, "label": row["product"]}, "product") for row in train],
        "held-out": [_but(row, "part") for row in asked if row["part"] == "test"],
    }


def folds(shoes: dict[str, list[str]], seed: int = 0) -> list[list[Row]]:
    """One table for each fold of whole shoes: it is "test", the first fifth of each label's others validates.

    ``shoes``: "fake/name" or "real/name" -> its photos.
    """
    order: dict[str, list[str]] = {"fake": [], "real": []}
    for i in np.random.default_rng(seed).permutation(len(shoes)):
        shoe = sorted(shoes)[int(i)]
        order[shoe.partition("/")[0]].append(shoe)
    found = []
    for fold in range(FOLDS):
        rows = []
        for label, names in order.items():
            others = [shoe for place, shoe in enumerate(names) if place % FOLDS != fold]
            validate = set(others[: len(others) // 5])
            for shoe in names:
                part = "test" if shoe not in others else "validation" if shoe in validate else "train"
                told = {"fake": "suspect", "real": "genuine"}[label]
                rows += [{"path": p, "label": told, "part": part, "group": shoe} for p in shoes[shoe]]
        found.append(rows)
    return found


def _but(row: Row, name: str) -> Row:
    return {key: value for key, value in row.items() if key != name}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=SHARED, help="folder that holds the sets")
    parser.add_argument("--out", type=Path, default=Path("runs/data/error-budget"))
    args = parser.parse_args()
    missing = [name for name in SETS if not (args.data / name).is_dir()]
    if missing:
        print(f"skipped: {', '.join(missing)} not in the data folder; give it with --data")
        return 0
    products = [{**row, "path": f"clothing/{row['path']}"} for row in read_photos(args.data / "clothing")]
    products = hold_out_senders(products)
    others = strangers([args.data / "nonproduct", args.data / "tiny-coco"], args.data)
    for row in [*products, *others]:
        target = args.out / "photos" / row["path"]
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(square((args.data / row["path"]).read_bytes()))
    found = tables(products, others)
    shoes: dict[str, list[str]] = defaultdict(list)
    for photo in sorted((args.data / "sneakers").rglob("*.jp*g")):
        shoes[f"{photo.parent.name}/{photo.name.partition('__')[0]}"].append(
            photo.relative_to(args.data / "sneakers").as_posix()
        )
    found |= {f"sneakers-{fold}": rows for fold, rows in enumerate(folds(shoes))}
    for name, rows in found.items():
        write_rows(args.out / f"{name}.csv", rows)
        print(f"{name:12} {len(rows):5} photos, {len({row['group'] for row in rows if row['group']})} groups")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
