"""``assay check``: find what is broken or contradicts itself in a data set."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from assay.cli.command import Command
from assay.cli.flags import add_config_flags, read_config
from assay.cli.terminal import paint
from assay.configs import ReadConfig
from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.data.problems import Problem
    from assay.types import Dataset


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help="a folder of pictures, or a table")
    parser.add_argument(
        "--no-pictures", action="store_true", help="look at names and labels only, not at files"
    )
    parser.add_argument(
        "--decode", action="store_true", help="read every picture and mask whole, not just its header"
    )
    parser.add_argument("--training", action="store_true", help="be as strict as before a training")
    parser.add_argument(
        "--size",
        type=int,
        default=320,
        metavar="PX",
        help="longer side of pictures in training: things that vanish there are told (default: 320)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_config_flags(parser, ReadConfig)


def _run(args: argparse.Namespace) -> int:
    from assay.cli.native import quiet_native  # noqa: PLC0415
    from assay.data.checks import check_dataset  # noqa: PLC0415 - Arrow, for those who check
    from assay.data.read import read_dataset  # noqa: PLC0415

    if args.size < 1:
        raise ConfigError(f"--size is {args.size}", fix="give the size of training in px, such as --size 320")
    dataset = read_dataset(args.data, read_config(args, ReadConfig))
    with quiet_native(), _progress(quiet=args.json) as on_progress:
        problems = check_dataset(
            dataset,
            pictures=not args.no_pictures,
            decode=args.decode,
            for_training=args.training,
            heads=_heads(dataset),
            size=args.size,
            on_progress=on_progress,
        )
    if args.json:
        print(json.dumps(_facts(dataset, problems), ensure_ascii=False))
    else:
        _show(dataset, problems)
    return 1 if any(p.level == "error" for p in problems) else 0


def _heads(dataset: Dataset) -> tuple[str, ...]:
    """What a training on these data would learn, if it is left to itself."""
    if len(dataset.classes):
        return ("class",)
    boxes = ("boxes",) if "objects" in dataset.table.column_names else ()
    return (*boxes, *(("pixels",) if len(dataset.pixel_classes) else ())) or ("class",)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on stderr where that is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - 50 ms that a pipe does not need
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task("pictures", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _facts(dataset: Dataset, problems: list[Problem]) -> dict[str, object]:
    return {
        "data": str(dataset.root),
        "n": len(dataset),
        "classes": list(dataset.classes),
        "object_classes": list(dataset.object_classes),
        "pixel_classes": list(dataset.pixel_classes),
        "parts": dataset.parts,
        "problems": [p.to_dict() for p in problems],
    }


def _classes(dataset: Dataset) -> str:
    """As "10 classes", or "3 classes of things, 9 classes of pixels" where pictures themselves have none."""
    kinds = (
        (dataset.classes, ""),
        (dataset.object_classes, " of things"),
        (dataset.pixel_classes, " of pixels"),
    )
    told = [f"{len(names):,} classes{of}" for names, of in kinds if len(names)]
    return ", ".join(told) or "0 classes"


def _show(dataset: Dataset, problems: list[Problem]) -> None:
    parts = ", ".join(f"{part} {n:,}" for part, n in dataset.parts.items())
    print(f"{dataset.name}: {len(dataset):,} pictures, {_classes(dataset)}{f' ({parts})' if parts else ''}")
    for p in problems:
        colour = "red" if p.level == "error" else "yellow"
        print(f"\n{paint(p.level, colour, sys.stdout)}: {p}\n  fix: {p.fix}")
    errors = sum(p.level == "error" for p in problems)
    if not problems:
        print(paint("nothing is wrong", "green", sys.stdout))
    else:
        print(f"\n{errors} kinds of errors, {len(problems) - errors} of warnings")


COMMAND = Command(
    "check",
    "Find what is broken or contradicts itself in a data set: missing, empty and unreadable pictures, empty classes, "
    "equal pictures under two labels or in two parts, torn groups; boxes and masks that could not be used, lie outside "
    "or in a turned frame, are there twice, disagree with each other, or vanish at the size of training. Exit code 1 "
    "when there is an error.",
    _add_arguments,
    _run,
    epilog="  assay check photos\n  assay check labels.csv --root photos --decode --json",
)
