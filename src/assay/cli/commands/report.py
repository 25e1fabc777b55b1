"""``assay report``: one HTML page about a run."""

from __future__ import annotations

import argparse
from pathlib import Path

from assay.cli.command import Command
from assay.errors import ConfigError


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run", metavar="RUN", help="a run folder, or the PART.json that `assay evaluate` wrote"
    )
    parser.add_argument("--out", metavar="FILE", help="where the page goes (default: RUN/report.html)")
    parser.add_argument("--open", action="store_true", help="show it in the browser")


def _run(args: argparse.Namespace) -> int:
    if args.out is not None and Path(args.out).suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--out is {args.out}", fix="name an .html file")
    from assay.report.write import write_report  # noqa: PLC0415 - charts and templates

    place = write_report(args.run, args.out)
    print(place)
    if args.open:
        import webbrowser  # noqa: PLC0415

        webbrowser.open(place.resolve().as_uri())
    return 0


COMMAND = Command(
    "report",
    "Write one self-contained HTML page about a run: verdict, mistakes, classes, calibration, curves, settings.",
    _add_arguments,
    _run,
    epilog="""examples:
  assay report runs/first
  assay report runs/first --out first.html --open""",
)
