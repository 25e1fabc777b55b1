"""``assay crops``: cut boxes out of pictures, with backgrounds beside them, as a data set."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from typing import TYPE_CHECKING

from assay.cli.command import Command
from assay.cli.flags import add_config_flags, read_config
from assay.cli.progress import Steps
from assay.cli.terminal import paint, show_table, warn
from assay.configs import ReadConfig
from assay.verb_configs import CropsConfig

if TYPE_CHECKING:
    from assay.data.crops import Crops
    from assay.types import Dataset

_SHOWN_FAULTS = 10
_READ = (*("format", "path_column", "label_column", "part_column", "group_column", "root", "missing_labels"),)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "boxes",
        metavar="BOXES",
        help="a data set with boxes (a folder, a data.yaml, a .parquet of Assay's, or any with --format), or a file of "
        "boxes: a .csv or .parquet table with path,x1,y1,x2,y2 or path,x,y,w,h (and label, part, group), or a .json "
        "file: COCO, boxes_xyxy_pixels, or a list of records",
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="new folder for the data set")
    parser.add_argument(
        "--sources",
        metavar="DATA",
        help="data set of the source pictures: crops take over its parts and groups",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_config_flags(parser, CropsConfig)
    add_config_flags(parser, ReadConfig, only=_READ)


def _run(args: argparse.Namespace) -> int:
    from assay.cli.native import quiet_native  # noqa: PLC0415
    from assay.data.crops import cut_crops  # noqa: PLC0415 - numpy and Arrow, for those who cut

    config, read = read_config(args, CropsConfig), read_config(args, ReadConfig)
    steps = Steps("cutting", quiet=args.json)
    with quiet_native():
        sources, read = _sources(args.sources, read)
        made = cut_crops(args.boxes, args.out, config, read=read, sources=sources, progress=steps)
    if args.json:
        print(json.dumps(made.to_dict(), ensure_ascii=False))
    else:
        _show(made)
    return 0


def _sources(data: str | None, read: ReadConfig) -> tuple[Dataset | None, ReadConfig]:
    """The data set of --sources; its column of groups is named by --group-column, as the boxes have none then."""
    if data is None:
        return None, read
    from dataclasses import replace  # noqa: PLC0415

    from assay.data.read import read_dataset  # noqa: PLC0415

    own = ReadConfig(group_column=read.group_column, part_column=read.part_column)
    return read_dataset(data, own), replace(read, group_column=None, part_column=None)


def _show(made: Crops) -> None:
    total = sum(made.counts.values())
    print(paint(f"{made.folder}: {total:,} crops from {made.pictures:,} pictures", "bold", sys.stdout) + "\n")
    show_table([("label", "crops"), *((name, f"{n:,}") for name, n in made.counts.items())])
    print(f"\nnext: assay train {shlex.quote(str(made.folder / 'labels.csv'))}")
    for note in made.notes:
        warn(note)
    for fault in made.faults[:_SHOWN_FAULTS]:
        warn(f"{fault}\n  fix: {fault.fix}")
    if len(made.faults) > _SHOWN_FAULTS:
        warn(f"and {len(made.faults) - _SHOWN_FAULTS:,} more: see crops.json")


COMMAND = Command(
    "crops",
    "Cut boxes out of pictures: a data set of targets and of backgrounds beside them, labelled 0 and 1 or as you\n"
    "name them. Coordinates are pixels of the upright picture, x2 and y2 behind the last one.\n\n"
    "Rules: a target is its box, cut off at the border, plus --margin. A background has the size of one of the\n"
    "picture's targets; its IoU with every box, and the share of it that boxes cover together, are at most\n"
    "--max-overlap: none at all in a data set, and a picture in which nobody looked gives no background. Where things\n"
    "have masks, --masked shows them alone. Backgrounds of one picture overlap by an IoU of 1/2 at most. Crops of one\n"
    "photo are one group, so a split keeps them together. The same seed gives the same bytes.",
    _add_arguments,
    _run,
    epilog="""examples:
  assay crops boxes.csv --root photos --out crops
  assay crops shop-coco --classes --masked grey --side 128 --out crops
  assay crops shop/boxes.json --sources shop/labels.csv --group-column seller --targets mark --margin 0.2 --out marks
  assay crops boxes.json --classes --background 2 --square --side 96 --out crops
  assay crops boxes.csv --labels product=target,scene=background --max-overlap 0 --out crops
  assay train crops/labels.csv""",
)
