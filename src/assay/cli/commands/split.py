"""``assay split``: deal a data set to train, validation and test, and write the split down."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.cli.command import Command
from assay.cli.flags import add_config_flags, read_config
from assay.cli.terminal import paint, show_table, warn
from assay.configs import ReadConfig, SplitConfig
from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.types import Dataset

_SHOWN_CLASSES = 40


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help="a folder of pictures, or a table")
    parser.add_argument("--out", required=True, metavar="FILE", help="the table to write: .csv or .parquet")
    parser.add_argument("--force", action="store_true", help="deal all rows anew, whatever parts DATA names")
    parser.add_argument(
        "--groups", metavar="TABLE", help="take the column --group-column of another table as groups"
    )
    parser.add_argument(
        "--group-pattern", metavar="REGEX", help="take a piece of the path as group, e.g. '([^/]+)__'"
    )
    parser.add_argument(
        "--relative", action="store_true", help="write paths relative to DATA; read with --root DATA"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_config_flags(parser, ReadConfig)
    add_config_flags(parser, SplitConfig)


def _run(args: argparse.Namespace) -> int:
    from assay.data.split import split_dataset  # noqa: PLC0415 - Arrow, for those who split
    from assay.data.write import write_dataset  # noqa: PLC0415
    from assay.files import write_file  # noqa: PLC0415

    out = Path(args.out)
    if out.suffix.lower() not in (".csv", ".tsv", ".parquet", ".pq"):
        raise ConfigError(f"--out {args.out} is not a table", fix="end it in .csv or .parquet")
    dataset, config = _read(args), read_config(args, SplitConfig)
    earlier = _earlier_salt(out)
    if config.salt is None and earlier is not None:
        config = replace(config, salt=earlier)
    dealt = split_dataset(dataset, config, force=args.force)
    write_dataset(replace(dealt, root=out.parent) if args.relative else dealt, out)
    record = _record(dealt, args.data)
    write_file(_record_path(out), (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode())
    if args.json:
        print(json.dumps({"out": str(out), **record}, ensure_ascii=False))
    else:
        _show(dealt, out, kept_salt=earlier is not None and dealt.split.get("salt") == earlier)
    return 0


def _read(args: argparse.Namespace) -> Dataset:
    from assay.data.groups import groups_from_pattern, groups_from_table  # noqa: PLC0415
    from assay.data.read import read_dataset  # noqa: PLC0415

    config = read_config(args, ReadConfig)
    if args.groups is not None and args.group_pattern is not None:
        raise ConfigError("--groups and --group-pattern are two ways to the same", fix="give one of them")
    if args.groups is not None:
        own = replace(config, group_column=None, path_column=None) if Path(args.data).is_dir() else config
        return groups_from_table(read_dataset(args.data, own), args.groups, config)
    dataset = read_dataset(args.data, config)
    return dataset if args.group_pattern is None else groups_from_pattern(dataset, args.group_pattern)


def _record_path(out: Path) -> Path:
    """The record lies beside the table: shop.csv and shop.split.json."""
    return out.with_name(out.stem + ".split.json")


def _earlier_salt(out: Path) -> int | None:
    """The salt of the split that is about to be replaced: with it, old pictures stay where they are."""
    try:
        found = json.loads(_record_path(out).read_text(encoding="utf-8"))["split"]["salt"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, int) else None


def _record(dealt: Dataset, data: str) -> dict[str, Any]:
    from assay.data.split import count_classes  # noqa: PLC0415
    from assay.types import PARTS  # noqa: PLC0415

    counts = count_classes(dealt)
    classes = {
        name: dict(zip(PARTS, map(int, counts[:, i]), strict=True)) for i, name in enumerate(dealt.classes)
    }
    return {
        "data": data,
        "n": len(dealt),
        "split_hash": dealt.split_hash,
        "split": dict(dealt.split),
        "classes": classes,
    }


def _show(dealt: Dataset, out: Path, *, kept_salt: bool) -> None:
    from assay.data.split import count_classes  # noqa: PLC0415
    from assay.types import PARTS  # noqa: PLC0415

    counts, split = count_classes(dealt), dealt.split
    rows: list[tuple[str, ...]] = [("class", *PARTS)]
    rows += [
        (name, *(f"{n:,}" for n in counts[:, i]))
        for i, name in enumerate(dealt.classes)
        if i < _SHOWN_CLASSES
    ]
    if len(dealt.classes) > _SHOWN_CLASSES:
        rows.append((f"... {len(dealt.classes) - _SHOWN_CLASSES:,} more", *([""] * len(PARTS))))
    rows.append(("all pictures", *(f"{dealt.parts.get(part, 0):,}" for part in PARTS)))
    show_table(rows)
    print()
    how = {"source": "as the source says", "hash": "dealt by hash", "source+hash": "validation dealt by hash"}
    kept = " (kept from the earlier split, so old pictures stay where they are)" if kept_salt else ""
    salt = f", salt {split['salt']}{kept}" if "salt" in split else ""
    group = f", by {split['group_column']}" if split.get("group_column") else ""
    print(f"{how.get(str(split.get('by')), 'dealt')}{group}{salt}; hash {dealt.split_hash}")
    for note in split.get("notes", []):
        print(note)
    for warning in split.get("warnings", []):
        warn(warning)
    print(f"written to {paint(str(out), 'bold', sys.stdout)} and {_record_path(out)}")


COMMAND = Command(
    "split",
    "Deal a data set to train, validation and test, stratified and by group, and write the split down as a "
    "table. Parts that DATA names are kept unless --force. Run again after adding pictures: old ones stay.",
    _add_arguments,
    _run,
    epilog="  assay split photos --out photos.csv\n"
    "  assay split photos --force --groups sellers.csv --group-column seller --out by-seller.csv\n"
    "  assay train by-seller.csv",
)
