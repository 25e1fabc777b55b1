"""``assay train``: from labelled pictures to a run folder with weights, evaluations and a report."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.cli.command import Command
from assay.cli.flags import add_config_flags, given_options
from assay.cli.terminal import paint, show_table, warn
from assay.configs import Recipe
from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.train.start import Run

_SHOWN = ("accuracy", "macro_f1", "nll", "ece")
"""Metrics of the summary; the report and evaluation/ hold all of them."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data",
        nargs="?",
        help="a folder with one folder for each class, a table, or boxes and masks as COCO, YOLO, VOC or mask pictures",
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        help="the run folder (default: a new one in runs/, named after data and model)",
    )
    parser.add_argument("--resume", action="store_true", help="go on with the interrupted run in --out")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_argument("--quiet", action="store_true", help="no progress bars and no summary")
    add_config_flags(parser, Recipe)


def _run(args: argparse.Namespace) -> int:
    if args.data is None and not args.resume:
        raise ConfigError("the data is missing", fix="assay train FOLDER-OR-TABLE")
    if args.data is not None and not Path(args.data).exists():
        raise ConfigError(
            f"{args.data} does not exist",
            fix="give a folder with one folder a class, a table, or a data set with boxes or masks",
        )
    options = given_options(args, Recipe)
    Recipe.from_options(options)  # a mistake is told at once, not after torch's import
    begun = time.monotonic()  # imports count in the budget of --minutes
    from assay.cli.native import quiet_native  # noqa: PLC0415
    from assay.report.write import write_report  # noqa: PLC0415 - torch and all: only when a verb runs
    from assay.train.start import train  # noqa: PLC0415

    show = not args.quiet and not args.json and sys.stderr.isatty()
    with quiet_native():  # after the imports: torch's log handlers keep the stream that they find
        run = train(
            args.data, args.out, resume=args.resume, show=show, command=args.words, begun=begun, **options
        )
    if int(os.environ.get("RANK", "0")) > 0:  # one of several processes; the first one reports
        return 0
    page = write_report(run.folder)
    for text in run.warnings:
        warn(text)
    if args.json:
        print(json.dumps(_as_dict(run), ensure_ascii=False))
    elif not args.quiet:
        _summarise(run, page)
    return 0


def _as_dict(run: Run) -> dict[str, Any]:
    measured = {part: found.to_dict() for part, found in run.evaluations.items()}
    return {
        "run": str(run.folder),
        "seconds": round(run.seconds, 1),
        "evaluations": measured,
        "warnings": list(run.warnings),
    }


def _summarise(run: Run, page: Path) -> None:
    """Metrics by part with their intervals, then where everything lies."""
    print(paint(f"{run.folder}: trained and measured in {_duration(run.seconds)}", "bold", sys.stdout))
    if run.evaluations:
        print()
        show_table(_metric_rows(run))
    print()
    folder = shlex.quote(str(run.folder))
    bundle = shlex.quote(f"{run.folder.name}.bundle")
    show_table(
        [
            ("report", str(page)),
            *_more(run, folder),
            ("pack", f"assay export {folder} --out {bundle}"),
            ("predict", f"assay predict {bundle} PHOTOS"),
        ]
    )


def _more(run: Run, folder: str) -> list[tuple[str, str]]:
    """What else can be done with such a run."""
    if run.card is None or run.card.task == "classify":
        text = f"assay report {folder}: a map of the pictures, look-alikes of mistakes, where it looked"
        return [("more", text)]
    if "boxes" in run.card.heads:
        text = f"assay calibrate {folder} --target precision --value 0.95: tell things from another score on"
        return [("more", text)]
    return []


def _metric_rows(run: Run) -> list[tuple[str, ...]]:
    """A column for each part; values are told as `assay evaluate` tells them."""
    from assay.metrics.evaluate import load_metrics  # noqa: PLC0415
    from assay.report.text import format_interval, format_value  # noqa: PLC0415

    known = load_metrics()
    found = list(run.evaluations.values())
    if run.card is not None and run.card.task == "scene":
        from assay.report.scene_text import summary_rows  # noqa: PLC0415

        return summary_rows(found)
    rows: list[tuple[str, ...]] = [("", *(f"{e.part} ({e.n:,} pictures)" for e in found))]
    for name in _SHOWN:
        if all(name in e.metrics for e in found):
            estimates = [e.metrics[name] for e in found]
            cells = [f"{format_value(name, e.value)} {format_interval(name, e)}" for e in estimates]
            rows.append((known[name].title, *cells))
    return rows


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


COMMAND = Command(
    "train",
    "Train a network on your own labelled pictures: what each one shows, or where things are and what every pixel is,\n"
    "by the labels that there are. Everything that is not given is decided from the data, the network and this\n"
    "machine, and written down in the run folder.",
    _add_arguments,
    _run,
    epilog="""examples:
  assay train photos minutes=10
  assay train photos.csv --label-column kind --group-column seller --epochs 40 --out runs/by-seller
  assay train photos --model mobilenetv3_large_100 --weights weights.safetensors --transfer probe-then-all
  assay train cells/ --minutes 30                       boxes, where the data has boxes
  assay train street.parquet --heads tags,pixels        some of what the data has labels for
  assay train --resume --out runs/by-seller""",
)
