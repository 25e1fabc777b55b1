"""``assay predict``: what a Bundle says of pictures, without torch.

Results go to stdout as they come, in the order of the pictures; a picture that cannot be read is one line and
the rest is done. Exit code 0: all answered; 1: some could not be read; 2: the request cannot be taken.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from assay.cli.command import Command
from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.types import Prediction

    Writer = Callable[[Prediction], None]

_EPILOG = """\
examples:
  assay predict shop.bundle photo.jpg
  assay predict shop.bundle new-photos/ --csv answers.csv --out annotated/
  assay predict shop.bundle new-photos/ --abstain      answers with a promise; the rest goes to a person
  find . -name '*.jpg' | assay predict shop.bundle - --json > answers.jsonl

exit code: 0 all answered, 1 some pictures could not be read (each is told), 2 wrong usage
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="the file that `assay export` wrote")
    parser.add_argument(
        "pictures", nargs="+", help="files, folders, patterns in quotes, or - for a list of paths on stdin"
    )
    parser.add_argument(
        "--abstain",
        action="store_true",
        help="hold back answers that are unsure or of unknown pictures, as `assay calibrate` promised",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a picture, a line each")
    parser.add_argument("--csv", metavar="FILE", help="also write a table, whole or not at all")
    parser.add_argument(
        "--out", metavar="FOLDER", help="also write the pictures with their answers below them"
    )
    parser.add_argument(
        "--top", type=int, metavar="K", help="best classes to tell (default: 1 in text and CSV, 5 in JSON)"
    )
    parser.add_argument(
        "--batch", type=int, default=16, metavar="N", help="pictures in one call of the network (default: 16)"
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
    from assay.runtime.load import load  # noqa: PLC0415
    from assay.runtime.sources import Pictures  # noqa: PLC0415

    pictures = Pictures(args.pictures)
    with contextlib.ExitStack() as stack:
        stack.enter_context(quiet_native())
        predictor = load(args.bundle, threads=args.threads)
        writers = [write(args, stack) for wanted, write in _WRITERS if wanted(args)]
        walk = predictor.predict(pictures, batch=args.batch, workers=args.workers, abstain=args.abstain)
        answers = stack.enter_context(contextlib.closing(walk))  # type: ignore[type-var]
        done = failed = held = 0
        for prediction in _shown(answers, pictures):
            for writer in writers:
                writer(prediction)
            done, failed = done + 1, failed + (prediction.error is not None)
            held += prediction.doubt is not None and prediction.doubt.abstains
    if (failed or held) and done > 1 and not args.json:
        _count(done, failed, held)
    return 1 if failed else 0


def _count(done: int, failed: int, held: int) -> None:
    told = f", {held} held back" * bool(held) + f", {failed} could not be read" * bool(failed)
    print(f"{done - failed - held} of {done} pictures answered{told}", file=sys.stderr)


def _check_numbers(args: argparse.Namespace) -> None:
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
    from assay.cli.terminal import paint  # noqa: PLC0415
    from assay.postprocess import why_held_back  # noqa: PLC0415

    top = args.top or 1

    def write(prediction: Prediction) -> None:
        if prediction.error is not None:
            sys.stdout.flush()  # both may go to one file: keep the order
            print(f"{paint('error:', 'red', sys.stderr)} {_printable(prediction.error)}", file=sys.stderr)
            return
        if prediction.doubt is not None and prediction.doubt.abstains:
            told = f"no answer: {_printable(why_held_back(prediction))}"
        else:
            told = "  ".join(f"{_printable(name)}  {100 * p:.1f} %" for name, p in prediction.top(top))
        print(f"{_printable(prediction.path)}  {told}", flush=True)

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


def _printable(text: str) -> str:
    """One line, whatever a file is called: control characters escaped, so that a name cannot steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


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
    "Say what is in pictures, with calibrated probabilities. Needs a Bundle, and no torch.",
    _add_arguments,
    _run,
    _EPILOG,
)
