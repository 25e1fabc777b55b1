"""``assay predict``: what a Bundle, a pipeline file or a run says of pictures; the first two without torch.

Results go to stdout as they come, in the order of the pictures; a picture that cannot be read is one line and
the rest is done. Exit code 0: all answered; 1: some could not be read; 2: the request cannot be taken.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from assay.cli.answerer import load_answerer, require_score
from assay.cli.command import Command
from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.cli.scene_answers import Sayer
    from assay.types import Prediction

    Writer = Callable[[Prediction], None]

_EPILOG = """\
examples:
  assay predict shop.bundle photo.jpg
  assay predict shop.bundle new-photos/ --csv answers.csv --out annotated/
  assay predict things.bundle new-photos/ --coco found.json --least-score 0.5
  assay predict shop.bundle new-photos/ --abstain      answers with a promise; the rest goes to a person
  find . -name '*.jpg' | assay predict shop.bundle - --json > answers.jsonl

exit code: 0 all answered, 1 some pictures could not be read (each is told), 2 wrong usage
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bundle",
        help="the file that `assay export` wrote, a pipeline file (.toml) that joins several, or a run folder",
    )
    parser.add_argument(
        "pictures", nargs="+", help="files, folders, patterns in quotes, or - for a list of paths on stdin"
    )
    parser.add_argument(
        "--abstain",
        action="store_true",
        help="hold back answers that are unsure or of unknown pictures, as `assay calibrate` promised",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a picture, a line each")
    parser.add_argument(
        "--csv",
        metavar="FILE",
        help="also write a table, whole or not at all: a row a picture, or a row a thing where things are found",
    )
    parser.add_argument(
        "--coco",
        metavar="FILE",
        help="also write the things that were found, their scores and masks as COCO JSON",
    )
    parser.add_argument(
        "--least-score",
        type=float,
        metavar="X",
        help="score from which a found thing is told (default: the one that is stored in the Bundle)",
    )
    parser.add_argument(
        "--out", metavar="FOLDER", help="also write the pictures with their answers below them"
    )
    parser.add_argument(
        "--top", type=int, metavar="K", help="best classes to tell (default: 1 in text and CSV, 5 in JSON)"
    )
    parser.add_argument(
        "--batch",
        type=int,
        metavar="N",
        help="pictures in one call of the network (default: 16, or 8 where things are found)",
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="threads that decode pictures (default: by cores)"
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="threads inside the network (default: by cores)"
    )


def _run(args: argparse.Namespace) -> int:
    _check_numbers(args)
    from assay.cli.native import quiet_native  # noqa: PLC0415
    from assay.runtime.sources import Pictures  # noqa: PLC0415

    pictures = Pictures(args.pictures)
    with contextlib.ExitStack() as stack:
        stack.enter_context(quiet_native())
        predictor: Any = load_answerer(args.bundle, threads=args.threads)
        if predictor.card.task == "classify":
            _refuse_for_classes(args)
            walk = predictor.predict(pictures, batch=args.batch, workers=args.workers, abstain=args.abstain)
            writers = [write(args, stack) for wanted, write in _WRITERS if wanted(args)]
        else:
            walk, writers = _scenes(args, predictor, pictures, stack)
        answers = stack.enter_context(contextlib.closing(walk))
        done = failed = held = 0
        for prediction in _shown(answers, pictures):
            for writer in writers:
                writer(prediction)
            done, failed = done + 1, failed + (prediction.error is not None)
            held += prediction.doubt is not None and prediction.doubt.abstains
    if (failed or held) and done > 1 and not args.json:
        _count(done, failed, held)
    return 1 if failed else 0


def _scenes(
    args: argparse.Namespace, predictor: Sayer, pictures: Iterable[str], stack: contextlib.ExitStack
) -> tuple[Iterator[Prediction], list[Writer]]:
    """The walk over pictures, and who writes its answers, where more than a class is told."""
    from assay.cli.scene_answers import scene_writers  # noqa: PLC0415

    if args.abstain:
        raise ConfigError(
            "--abstain holds back the class of a picture",
            got=f"a network that tells {', '.join(predictor.card.heads)}",
            fix="use --least-score for things",
        )
    writers = [_json_writer(args, stack)] if args.json else []
    writers += scene_writers(args, predictor, stack)
    if args.out is not None:
        writers.append(_picture_writer(args, stack))
    walk = predictor.predict(
        pictures,
        least_score=args.least_score,
        masks=args.json or args.coco is not None or args.out is not None or args.csv is not None,
        batch=args.batch,
        workers=args.workers,
    )
    return walk, writers


def _refuse_for_classes(args: argparse.Namespace) -> None:
    for name in ("coco", "least_score"):
        if getattr(args, name) is not None:
            raise ConfigError(
                f"--{name.replace('_', '-')} is for networks that find things",
                got=f"{args.bundle} tells the class of a picture alone",
                fix="leave it out",
            )


def _count(done: int, failed: int, held: int) -> None:
    told = f", {held} held back" * bool(held) + f", {failed} could not be read" * bool(failed)
    print(f"{done - failed - held} of {done} pictures answered{told}", file=sys.stderr)


def _check_numbers(args: argparse.Namespace) -> None:
    require_score(args.least_score, "--least-score")
    for name in ("top", "batch", "workers", "threads"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name} needs at least 1", got=str(value), fix=f"e.g. --{name} 4")


def _shown(answers: Iterator[Prediction], pictures: object) -> Iterator[Prediction]:
    """With a bar on stderr where stderr is a terminal that the results do not go to."""
    if sys.stdout.isatty() or not sys.stderr.isatty():
        return answers
    from assay.cli.progress import track  # noqa: PLC0415

    return track(answers, "predict", pictures.count())  # type: ignore[attr-defined]


def _text_writer(args: argparse.Namespace, _stack: contextlib.ExitStack) -> Writer:
    from assay.cli.terminal import paint, printable  # noqa: PLC0415
    from assay.postprocess import why_held_back  # noqa: PLC0415

    top = args.top or 1

    def write(prediction: Prediction) -> None:
        if prediction.error is not None:
            sys.stdout.flush()  # both may go to one file: keep the order
            print(f"{paint('error:', 'red', sys.stderr)} {printable(prediction.error)}", file=sys.stderr)
            return
        if prediction.doubt is not None and prediction.doubt.abstains:
            told = f"no answer: {printable(why_held_back(prediction))}"
        else:
            told = "  ".join(f"{printable(name)}  {100 * p:.1f} %" for name, p in prediction.top(top))
        print(f"{printable(prediction.path)}  {told}", flush=True)

    return write


def _json_writer(args: argparse.Namespace, _stack: contextlib.ExitStack) -> Writer:
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8", errors="backslashreplace")  # JSON is UTF-8, whatever the terminal is
    top = args.top or 5

    def write(prediction: Prediction) -> None:
        print(prediction.to_json(top), flush=True)

    return write


def _csv_writer(args: argparse.Namespace, stack: contextlib.ExitStack) -> Writer:
    from assay.cli.answers import AnswerTable  # noqa: PLC0415

    return stack.enter_context(AnswerTable(args.csv, args.top or 1, abstain=args.abstain)).write


def _picture_writer(args: argparse.Namespace, _stack: contextlib.ExitStack) -> Writer:
    from assay.cli.answers import AnnotatedPictures  # noqa: PLC0415

    return AnnotatedPictures(args.out, args.pictures).write


_WRITERS: tuple[
    tuple[Callable[[argparse.Namespace], bool], Callable[[argparse.Namespace, contextlib.ExitStack], Writer]],
    ...,
] = (
    (lambda args: not args.json, _text_writer),
    (lambda args: args.json, _json_writer),
    (lambda args: args.csv is not None, _csv_writer),
    (lambda args: args.out is not None, _picture_writer),
)

COMMAND = Command(
    "predict",
    "Say what is in pictures: class with calibrated probability, tags, things with masks, pixels; whatever the Bundle\n"
    "tells. A Bundle, or a pipeline file that joins several, needs no torch; a run folder answers by its checkpoint.",
    _add_arguments,
    _run,
    _EPILOG,
)
