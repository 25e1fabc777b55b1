"""``clothing`` as one table split by sender: path, label, part, group; and the same split as a folder tree.

Senders of the published parts overlap, so both parts (3,409 photos) are pooled and dealt anew with whole senders
in one part, about 70 / 15 / 15. The split is written down in ``clothing.split.json`` beside this file; where that
record exists it is the split, and ``--new`` deals again.

    python -m benchmarks.data.make_clothing --data ../shared/data --out runs/data/clothing
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

from assay.configs import SplitConfig
from assay.data.split import split_dataset
from assay.labels import ClassNames
from assay.types import Dataset
from benchmarks.data.tree import write_rows, write_tree
from benchmarks.machine import SHARED

RECORD = Path(__file__).with_name("clothing.split.json")
PARTS = ("train", "validation", "test")
PUBLISHED_PARTS = ("train", "validation")


def read_photos(folder: Path) -> list[dict[str, str]]:
    """Every photo of the published parts: path below ``folder``, label (its folder), group (its sender)."""
    with (folder / "senders.csv").open(newline="", encoding="utf-8") as file:
        senders = {row["image"]: row["sender_id"] for row in csv.DictReader(file)}
    rows = []
    for part in PUBLISHED_PARTS:
        for picture in sorted((folder / part).glob("*/*.jpg")):
            path = picture.relative_to(folder).as_posix()
            rows.append({"path": path, "label": picture.parent.name, "group": senders[picture.stem]})
    return rows


def deal(rows: list[dict[str, str]], folder: Path) -> dict[str, Any]:
    """The record of a new split by Assay's own ``split_dataset``: senders of each part, and how they were dealt."""
    classes = ClassNames(sorted({row["label"] for row in rows}))
    whole = Dataset(pa.Table.from_pylist(rows), classes, folder, "clothing")
    dealt = split_dataset(whole, SplitConfig(validation=0.15, test=0.15))
    senders: dict[str, set[str]] = {}
    for row in dealt.table.select(["part", "group"]).to_pylist():
        senders.setdefault(row["part"], set()).add(row["group"])
    return {
        "by": "sender",
        "how": dict(dealt.split),
        "senders": {part: " ".join(sorted(senders[part], key=int)) for part in PARTS},
    }


def apply_record(rows: list[dict[str, str]], record: dict[str, Any]) -> list[dict[str, str]]:
    """The rows with the part of their sender.

    Raises
    ------
    ValueError : a sender is in no part or in two.
    """
    parts: dict[str, str] = {}
    for part, senders in record["senders"].items():
        for sender in senders.split():
            if parts.setdefault(sender, part) != part:
                raise ValueError(f"sender {sender} is in {parts[sender]} and in {part}")
    missing = {row["group"] for row in rows} - parts.keys()
    if missing:
        raise ValueError(f"senders {sorted(missing)} are in no part of the record")
    return [
        {k: {**row, "part": parts[row["group"]]}[k] for k in ("path", "label", "part", "group")}
        for row in rows
    ]


def shares(rows: list[dict[str, str]]) -> dict[str, dict[str, Any]]:
    """For each part: photos, share of all, senders, photos of each class."""
    found = {}
    for part in PARTS:
        mine = [row for row in rows if row["part"] == part]
        found[part] = {
            "photos": len(mine),
            "share": round(len(mine) / len(rows), 4),
            "senders": len({row["group"] for row in mine}),
            "classes": dict(sorted(Counter(row["label"] for row in mine).items())),
        }
    return found


def split_hash(rows: list[dict[str, str]], folder: Path) -> str:
    """The hash that a run of Assay on this table says as well."""
    table = pa.Table.from_pylist(rows)
    return Dataset(table, ClassNames(sorted({row["label"] for row in rows})), folder).split_hash


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=SHARED, help="folder that holds clothing/")
    parser.add_argument("--out", type=Path, default=Path("runs/data/clothing"))
    parser.add_argument("--new", action="store_true", help="deal a new split and write it down")
    args = parser.parse_args()
    folder = args.data / "clothing"
    if not (folder / "senders.csv").exists():
        print("skipped: clothing/senders.csv is not in the data folder; give it with --data")
        return 0
    rows = read_photos(folder)
    known = RECORD.exists() and not args.new
    record = json.loads(RECORD.read_text("utf-8")) if known else deal(rows, folder)
    rows = apply_record(rows, record)
    record |= {"split_hash": split_hash(rows, folder), "parts": shares(rows)}
    RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")
    write_rows(args.out / "clothing.csv", rows)
    write_tree(rows, folder, args.out / "tree")
    for part, told in record["parts"].items():
        print(f"{part:11} {told['photos']:5} photos  {told['share']:6.1%}  {told['senders']:4} senders")
    print(f"{args.out}/clothing.csv  split {record['split_hash']}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
