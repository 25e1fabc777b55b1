"""``assay export``: from a run folder to one Bundle file, checked against the checkpoint."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from assay.cli.command import Command
from assay.cli.terminal import warn
from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.card import Card
    from assay.export.export import ExportReport

_EPILOG = """\
examples:
  assay export runs/shop --out shop.bundle
  assay export runs/shop --pictures some-photos/ --json
  assay export runs/things --heads class,boxes          leaves masks and pixels out
  assay export runs/shop --precision int8,bf16          may then answer in these too, where that costs no accuracy
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="the folder of a finished run")
    parser.add_argument("--out", metavar="FILE", help="the Bundle (default: NAME-OF-THE-RUN.bundle, here)")
    parser.add_argument(
        "--format",
        default="bundle",
        metavar="NAME",
        help="bundle; or for other programs onnx, openvino, torch-export: the network alone, and its card as JSON "
        "(default: bundle)",
    )
    parser.add_argument(
        "--batch",
        type=int,
        metavar="N",
        help="other formats: a fixed number of pictures (default: any number)",
    )
    parser.add_argument(
        "--nms",
        action="store_true",
        help="onnx, openvino: decoding and suppression of boxes inside of the graph",
    )
    parser.add_argument("--half", action="store_true", help="openvino: weights of 16 bits")
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
    parser.add_argument(
        "--heads",
        metavar="NAMES",
        help="what the Bundle shall tell, of what the network tells: class, tags, boxes, masks, pixels (default: all)",
    )
    parser.add_argument(
        "--nms-free",
        action="store_true",
        help="boxes as one answer a thing, which needs no suppression of duplicates (default: the other answers, "
        "which find more, above all after a short training)",
    )
    parser.add_argument(
        "--precision",
        metavar="NAMES",
        help="what the Bundle may answer in besides fp32: int8, bf16; each is measured on the run's held-out pictures, "
        "and the export is refused where it costs too much",
    )
    parser.add_argument(
        "--decode",
        choices=("auto", "exact", "scaled"),
        help="JPEG files: whole, or smaller from the start, which is faster (default: auto, smaller where no "
        "score falls by more than half a point on the run's held-out pictures, and these are enough to rule out two)",
    )
    parser.add_argument(
        "--most-loss",
        type=float,
        metavar="POINTS",
        help="points that a score may fall for one of these (default: 1)",
    )
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")


_OF_BUNDLES = ("precision", "most_loss", "decode")
_OF_OTHERS = ("batch", "nms", "half")


def _run(args: argparse.Namespace) -> int:
    foreign = _OF_OTHERS if args.format == "bundle" else _OF_BUNDLES
    wrong = [name for name in foreign if getattr(args, name) not in (None, False)]
    if wrong:
        raise ConfigError(
            f"--{wrong[0].replace('_', '-')} is not for --format {args.format}",
            fix="leave it out; `assay export --help` says what is for which format",
        )
    if args.format != "bundle":
        return _run_plain(args)
    out = args.out or f"{Path(args.run).resolve().name}.bundle"
    report = _export(args, out)
    if args.json:
        print(json.dumps(report.to_dict(), ensure_ascii=False))
    else:
        _tell(report)
    return 0


_ENDINGS = {"onnx": "onnx", "openvino": "xml", "torch-export": "pt2"}


def _run_plain(args: argparse.Namespace) -> int:
    from assay.export.plain import export_plain  # noqa: PLC0415
    from assay.runtime.precisions import GOLDEN_TOLERANCE  # noqa: PLC0415

    ending = _ENDINGS.get(args.format, args.format)
    report = export_plain(
        args.run,
        args.out or f"{Path(args.run).resolve().name}.{ending}",
        format=args.format,
        batch=args.batch,
        nms=args.nms,
        half=args.half,
        heads=None if args.heads is None else _names(args.heads),
        nms_free=args.nms_free,
        pictures=args.pictures,
        tolerance=GOLDEN_TOLERANCE if args.tolerance is None else args.tolerance,
    )
    if args.json:
        print(json.dumps(report.to_dict(), ensure_ascii=False))
        return 0
    print(f"{', '.join(str(path) for path in report.files)}: outputs {', '.join(report.outputs)}")
    print(
        f"compared on {report.pictures} pictures ({report.source}): "
        f"differs by at most {report.difference:.2g} of the outputs' scale"
    )
    return 0


def _export(args: argparse.Namespace, out: str) -> ExportReport:
    from assay.cli.progress import bars  # noqa: PLC0415
    from assay.export.export import export  # noqa: PLC0415
    from assay.export.gate import MOST_LOSS  # noqa: PLC0415
    from assay.runtime.precisions import GOLDEN_TOLERANCE  # noqa: PLC0415

    return export(
        args.run,
        out,
        pictures=args.pictures,
        tolerance=GOLDEN_TOLERANCE if args.tolerance is None else args.tolerance,
        heads=None if args.heads is None else _names(args.heads),
        nms_free=args.nms_free,
        decode=args.decode or "auto",
        precisions=_names(args.precision or ""),
        most_loss=MOST_LOSS if args.most_loss is None else args.most_loss,
        on_progress=bars(),
    )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _tell(report: ExportReport) -> None:
    print(f"{report.path}  {report.size_bytes / 1e6:.1f} MB, {_contents(report.card)}")
    print(report.parity.sentence)
    for gate in report.gates:
        print(gate.sentence if gate.passed else f"{gate.sentence}; not used: {gate.fault}")
        if not gate.passed:  # those that are asked for are refused, so this one was not
            print("--decode scaled asks for it all the same", file=sys.stderr)
    for note in report.notes:
        warn(note)
    print(f"try it: assay predict {report.path} PHOTOS", file=sys.stderr)


def _contents(card: Card) -> str:
    """``3 classes``, or of several heads ``class (3), boxes (2), masks``."""
    if card.task != "scene":
        return f"{len(card.classes)} classes"
    sizes = {"boxes": card.object_classes, "pixels": card.pixel_classes, "masks": ()}
    return ", ".join(
        f"{head} ({n})" if (n := len(sizes.get(head, card.classes))) else head for head in card.heads
    )


COMMAND = Command(
    "export",
    "Pack a finished run into one Bundle file, for prediction without torch. "
    "Refused when the exported network does not answer as the checkpoint does.",
    _add_arguments,
    _run,
    _EPILOG,
)
