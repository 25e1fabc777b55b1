"""Who writes the answers of ``assay predict``: lines on stdout, files that can be gone on with, pictures, a video."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.cli.outputs.coco_ids import CocoIds
    from assay.cli.outputs.ledger import Output
    from assay.cli.outputs.pictures import AnnotatedPictures
    from assay.runtime.sources import Pictures
    from assay.types import Prediction

_VIDEOS = (".mp4", ".m4v")
Writer = Callable[["Prediction"], None]


def file_outputs(args: argparse.Namespace, predictor: Any) -> list[Output]:
    """The files that were asked for.

    Raises
    ------
    ConfigError : a name that is a folder; COCO of a network that finds no things, or with numbers of a file that lacks
        one of its classes or cannot be read.
    """
    card = predictor.card
    found: list[Output] = []
    if args.jsonl is not None:
        from assay.cli.outputs.json_lines import JsonLines  # noqa: PLC0415 - each only where it is wanted

        found.append(JsonLines(args.jsonl, args.top or 5))
    if args.csv is not None:
        found.append(_table(args, predictor))
    if args.parquet is not None:
        from assay.cli.outputs.parquet_file import ParquetFile  # noqa: PLC0415

        digest, steps = getattr(predictor, "digest", ""), _steps(predictor)
        found.append(ParquetFile(args.parquet, card, digest, abstain=args.abstain, steps=steps))
    if args.coco is not None:
        from assay.cli.outputs.coco_file import CocoFile  # noqa: PLC0415

        found.append(CocoFile(args.coco, card, _coco_ids(args, predictor)))
    return found


def _coco_ids(args: argparse.Namespace, predictor: Any) -> CocoIds | None:
    if args.coco_ids is None or "boxes" not in predictor.card.heads:
        return None
    from assay.cli.outputs.coco_ids import read_ids  # noqa: PLC0415

    return read_ids(args.coco_ids, predictor.card.object_classes, args.pictures)


def _table(args: argparse.Namespace, predictor: Any) -> Any:
    from assay.cli.outputs.tables import AnswerTable, ThingTable  # noqa: PLC0415

    if predictor.card.task == "classify":
        return AnswerTable(args.csv, args.top or 1, abstain=args.abstain)
    from assay.cli.scene_answers import tag_score  # noqa: PLC0415

    card = predictor.card
    return ThingTable(args.csv, card, _steps(predictor), tag_score(card), tracks=args.track)


def _steps(predictor: Any) -> Sequence[str]:
    """Names of the steps of a pipeline file that look at things."""
    if predictor.card.task == "classify":
        return ()
    from assay.cli.scene_answers import crop_steps  # noqa: PLC0415

    return crop_steps(predictor)


def line_writer(args: argparse.Namespace, predictor: Any) -> Writer | None:
    """What goes to stdout: JSON, or text; nothing where files were asked for and ``--quiet``."""
    if args.json:
        return _json_writer(args.top or 5)
    if args.quiet:
        return _error_writer
    if predictor.card.task == "classify":
        return _text_writer(args.top or 1)
    from assay.cli.scene_answers import scene_text, tag_score  # noqa: PLC0415

    return scene_text(args.top or 1, tag_score(predictor.card))


def picture_writer(args: argparse.Namespace) -> AnnotatedPictures | None:
    """Copies of the pictures, where they were asked for. Raises ConfigError as AnnotatedPictures."""
    if args.out is None:
        return None
    from assay.cli.outputs.pictures import AnnotatedPictures  # noqa: PLC0415

    return AnnotatedPictures(args.out, args.pictures)


def video_writer(args: argparse.Namespace, pictures: Pictures, stack: contextlib.ExitStack) -> Writer | None:
    """One video of annotated frames, where it was asked for.

    Raises
    ------
    ConfigError : other sources than one video were named; its name is no MP4's; it is there already.
    """
    if args.video is None:
        return None
    from assay.cli.outputs.pictures import AnnotatedVideo  # noqa: PLC0415
    from assay.runtime.video import Video, is_video  # noqa: PLC0415
    from assay.runtime.video_out import VideoFile  # noqa: PLC0415

    if len(pictures.named) != 1 or not is_video(pictures.named[0]):
        raise ConfigError(
            "--video is for the frames of one video",
            got=" ".join(pictures.named[:3]),
            fix="name one video file; --out FOLDER writes annotated pictures",
        )
    if Path(args.video).suffix.lower() not in _VIDEOS:
        raise ConfigError(
            f"--video {args.video} is written as MP4", fix=f"call it {Path(args.video).with_suffix('.mp4')}"
        )
    video = Video(pictures.named[0], args.every)
    file = VideoFile(args.video, video.facts.rate / args.every, overwrite=args.overwrite)
    return AnnotatedVideo(stack.enter_context(file)).write


def _error_writer(prediction: Prediction) -> None:
    if prediction.error is not None:
        from assay.cli.terminal import paint, printable  # noqa: PLC0415

        sys.stdout.flush()  # both may go to one file: keep the order
        print(f"{paint('error:', 'red', sys.stderr)} {printable(prediction.error)}", file=sys.stderr)


def _text_writer(top: int) -> Writer:
    from assay.cli.terminal import printable  # noqa: PLC0415
    from assay.postprocess import why_held_back  # noqa: PLC0415

    def write(prediction: Prediction) -> None:
        if prediction.error is not None:
            _error_writer(prediction)
            return
        if prediction.doubt is not None and prediction.doubt.abstains:
            told = f"no answer: {printable(why_held_back(prediction))}"
        else:
            told = "  ".join(f"{printable(name)}  {100 * p:.1f} %" for name, p in prediction.top(top))
        print(f"{printable(prediction.path)}  {told}", flush=True)

    return write


def _json_writer(top: int) -> Writer:
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8", errors="backslashreplace")  # JSON is UTF-8, whatever the terminal is

    def write(prediction: Prediction) -> None:
        print(prediction.to_json(top), flush=True)

    return write
