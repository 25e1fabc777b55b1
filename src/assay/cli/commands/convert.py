"""``assay convert``: write a data set in another format, and say what is lost on the way."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from assay.cli.command import Command
from assay.cli.flags import add_config_flags, read_config
from assay.cli.progress import Steps
from assay.cli.terminal import paint, warn
from assay.configs import ReadConfig
from assay.verb_configs import ConvertConfig

if TYPE_CHECKING:
    from assay.data.convert import Conversion

_SHOWN_FAULTS = 10


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="a data set in any format that is read")
    parser.add_argument("out", metavar="OUT", help="a new folder, or a file where the format is one")
    parser.add_argument("--to", required=True, metavar="FORMAT", help="the format to write, such as coco")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_config_flags(parser, ConvertConfig)
    add_config_flags(parser, ReadConfig)


def _run(args: argparse.Namespace) -> int:
    from assay.cli.native import quiet_native  # noqa: PLC0415
    from assay.data.convert import convert_dataset  # noqa: PLC0415 - Arrow, for those who convert

    with quiet_native():
        made = convert_dataset(
            args.source,
            args.out,
            args.to,
            read_config(args, ConvertConfig),
            read=read_config(args, ReadConfig),
            progress=Steps("writing", quiet=args.json),
        )
    if args.json:
        print(json.dumps(made.to_dict(), ensure_ascii=False))
    else:
        _show(made)
    return 0


def _show(made: Conversion) -> None:
    print(paint(f"{made.out}: {made.pictures:,} pictures as {made.to}", "bold", sys.stdout))
    parts = ", ".join(f"{part} {n:,}" for part, n in made.parts.items())
    masks = f", {made.masks:,} of them with masks" if made.masks else ""
    things = f"; {made.objects:,} things{masks}" if made.objects else ""
    print(f"{len(made.classes):,} classes{things}{f'; {parts}' if parts else ''}")
    for sentence in made.notes:
        warn(sentence)
    for sentence in made.left_out:
        warn(f"left out: {sentence}")
    for sentence in made.changed:
        warn(f"changed: {sentence}")
    if made.fault_count:
        warn(
            "where a thing of the source is kept out, what is left of its picture counts as all that is there"
        )
    for fault in made.faults[:_SHOWN_FAULTS]:
        warn(f"{fault}\n  fix: {fault.fix}")
    if made.fault_count > _SHOWN_FAULTS:
        warn(f"and {made.fault_count - _SHOWN_FAULTS:,} more faults of the source: --json names them")


COMMAND = Command(
    "convert",
    "Write a data set in another format. What was wrong in the source and kinds of labels that the target has no\n"
    "place for are left out and told; with --strict nothing is written then. The rest is kept exactly: boxes to the\n"
    "last digit where the format has pixels, masks bit for bit, parts, classes and their ids. Things that do not fit\n"
    "in, such as masks that overlap (mask-png) or a box far outside its picture (yolo), are cut to what fits, or\n"
    "their pictures are left out; which ones is told.\n\n"
    "Pictures are copied into a new folder. A single file (.json, .csv, .parquet) names them where they are.",
    _add_arguments,
    _run,
    epilog="""examples:
  assay convert coco shop --to yolo
  assay convert annotations/instances_val.json small.json --to coco --root val2017
  assay convert cells-voc cells --to coco --strict
  assay convert street street.parquet --to table""",
)
