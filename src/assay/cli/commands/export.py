"""``assay export``: from a run folder to one Bundle file, checked against the checkpoint."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from assay.cli.command import Command

if TYPE_CHECKING:
    from assay.export.export import ExportReport

_EPILOG = """\
examples:
  assay export runs/shop --out shop.bundle
  assay export runs/shop --pictures some-photos/ --json
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="the folder of a finished run")
    parser.add_argument("--out", metavar="FILE", help="the Bundle (default: NAME-OF-THE-RUN.bundle, here)")
    parser.add_argument(
        "--pictures",
        metavar="PATH",
        help="compare checkpoint and export on these (default: the run's validation part)",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        metavar="X",
        help="greatest difference of a score, as a share of the greatest score (default: 0.001)",
    )
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")


def _run(args: argparse.Namespace) -> int:
    out = args.out or f"{Path(args.run).resolve().name}.bundle"
    report = _export(args, out)
    if args.json:
        print(json.dumps(report.to_dict(), ensure_ascii=False))
    else:
        _tell(report)
    return 0


def _export(args: argparse.Namespace, out: str) -> ExportReport:
    from assay.export.export import TOLERANCE, export  # noqa: PLC0415

    tolerance = TOLERANCE if args.tolerance is None else args.tolerance
    return export(args.run, out, pictures=args.pictures, tolerance=tolerance)


def _tell(report: ExportReport) -> None:
    parity = report.parity
    print(f"{report.path}  {report.size_bytes / 1e6:.1f} MB, {len(report.card.classes)} classes")
    print(
        f"compared on {parity.pictures} pictures ({parity.source}): {parity.label_agreement:.1%} of labels agree, "
        f"probabilities differ by at most {parity.probability_difference:.2g}"
    )
    print(f"try it: assay predict {report.path} PHOTOS", file=sys.stderr)


COMMAND = Command(
    "export",
    "Pack a finished run into one Bundle file, for prediction without torch. "
    "Refused when the exported network does not answer as the checkpoint does.",
    _add_arguments,
    _run,
    _EPILOG,
)
