"""``assay predict``: what a Bundle, a pipeline file or a run says of pictures; the first two without torch.

Results go to stdout as they come, in the order of the pictures; a picture that cannot be read is one line and
the rest is done. Exit code 0: all answered; 1: some could not be read; 2: the request cannot be taken.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

from assay.cli.answerer import load_answerer, require_score
from assay.cli.command import Command
from assay.cli.stopping import Stopping, is_seen_once
from assay.errors import AssayError, ConfigError

if TYPE_CHECKING:
    from assay.cli.outputs.ledger import Ledger
    from assay.photos import Source
    from assay.runtime.sources import Pictures
    from assay.types import Prediction

_EPILOG = """\
examples:
  assay predict shop.bundle photo.jpg
  assay predict shop.bundle new-photos/ --csv answers.csv --out annotated/
  assay predict shop.bundle photos.zip more.tar.gz table.parquet --jsonl answers.jsonl --quiet
  assay predict shop.bundle huge/ --parquet answers.parquet --quiet --resume     goes on after a kill
  assay predict things.bundle new-photos/ --coco found.json --least-score 0.5
  assay predict things.bundle val2017/ --coco found.json --coco-ids instances_val2017.json --least-score 0.01
  assay predict things.bundle walk.mp4 --every 5 --track --csv things.csv --video annotated.mp4
  assay predict shop.bundle new-photos/ --abstain      answers with a promise; the rest goes to a person
  find . -name '*.jpg' | assay predict shop.bundle - --json > answers.jsonl

exit code: 0 all answered, 1 some pictures could not be read (each is told), 2 wrong usage
"""
_MANY = 200
"""From so many pictures on it pays to measure which engine is the fastest."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bundle",
        help="the file that `assay export` wrote, a pipeline file (.toml) that joins several, or a run folder",
    )
    parser.add_argument(
        "pictures",
        nargs="+",
        help="files, folders, patterns in quotes, .zip and .tar archives, .parquet and .arrow tables, videos, "
        "camera:0, addresses, or - for stdin: a list of paths, one picture, or a tar",
    )
    _add_outputs(parser)
    _add_answers(parser)
    _add_sources(parser)
    _add_speed(parser)


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", help="one JSON object a picture on stdout, a line each"
    )
    parser.add_argument("--jsonl", metavar="FILE", help="the same, into a file")
    parser.add_argument(
        "--csv", metavar="FILE", help="a table: a row a picture, or a row a thing where things are found"
    )
    parser.add_argument("--parquet", metavar="FILE", help="all of it as a Parquet table, a row a picture")
    parser.add_argument(
        "--coco", metavar="FILE", help="the things that were found, their scores and masks as COCO JSON"
    )
    parser.add_argument(
        "--coco-ids",
        metavar="GT.json",
        help="number pictures and classes of --coco as this COCO file does, by file name and by name, to be scored "
        "against it",
    )
    parser.add_argument("--out", metavar="FOLDER", help="the pictures with their answers on or below them")
    parser.add_argument("--video", metavar="FILE", help="a video's frames with their answers on them, as MP4")
    parser.add_argument("--quiet", action="store_true", help="no lines of text on stdout")
    parser.add_argument(
        "--resume", action="store_true", help="go on where an earlier run with the same files was stopped"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")


def _add_answers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--abstain",
        action="store_true",
        help="hold back answers that are unsure or of unknown pictures, as `assay calibrate` promised",
    )
    parser.add_argument(
        "--least-score",
        type=float,
        metavar="X",
        help="score from which a found thing is told (default: the one that is stored in the Bundle)",
    )
    parser.add_argument(
        "--top", type=int, metavar="K", help="best classes to tell (default: 1 in text and CSV, 5 in JSON)"
    )
    parser.add_argument(
        "--track", action="store_true", help="videos: number things that stay the same from frame to frame"
    )


def _add_sources(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--every", type=int, default=1, metavar="N", help="videos: every N-th frame")
    parser.add_argument("--column", metavar="NAME", help="tables: the column that holds pictures")
    parser.add_argument("--key", metavar="NAME", help="tables: the column that names them")
    parser.add_argument("--allow-network", action="store_true", help="fetch addresses (http, https)")


def _add_speed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine",
        default="auto",
        metavar="NAME",
        help="onnxruntime, openvino, or auto: the fastest that is installed, measured once where there are many "
        "pictures (default: auto)",
    )
    parser.add_argument(
        "--precision",
        default="fp32",
        metavar="NAME",
        help="fp32, or bf16, int8 or any (the fastest) where the Bundle was exported with them (default: fp32)",
    )
    parser.add_argument(
        "--exact-decode",
        action="store_true",
        help="decode JPEG files whole, also where the Bundle decodes them smaller",
    )
    parser.add_argument(
        "--batch",
        type=int,
        metavar="N",
        help="pictures in one call of the network (default: 8)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="threads, each of which decodes and answers (default: by cores)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="threads inside the network for a single picture (default: by cores)",
    )


def _run(args: argparse.Namespace) -> int:
    _check(args)
    from assay.cli.native import quiet_native  # noqa: PLC0415
    from assay.runtime.containers import pictures as named  # noqa: PLC0415

    pictures = named(
        args.pictures, column=args.column, key=args.key, step=args.every, network=args.allow_network
    )
    with quiet_native():
        predictor: Any = load_answerer(
            args.bundle,
            threads=args.threads,
            engine=args.engine,
            precision=args.precision,
            exact_decode=args.exact_decode,
            measure=pictures.has_at_least(_MANY),
        )
        _refuse_foreign(args, predictor)
        return _walk(args, predictor, pictures)


def _walk(args: argparse.Namespace, predictor: Any, pictures: Pictures) -> int:
    from assay.cli.outputs.ledger import Ledger  # noqa: PLC0415
    from assay.cli.predict_writers import (  # noqa: PLC0415
        file_outputs,
        line_writer,
        picture_writer,
        video_writer,
    )

    batch = args.batch or predictor.batch
    copies = picture_writer(args)
    ledger = Ledger(
        file_outputs(args, predictor),
        _about(args, predictor),
        batch=batch,
        resume=args.resume,
        overwrite=args.overwrite,
    )
    if ledger.is_whole:
        with ledger:
            print(
                f"all {ledger.done:,} pictures were answered; the files have their names now", file=sys.stderr
            )
        return 1 if ledger.failed else 0
    with contextlib.ExitStack() as stack:
        stopping = stack.enter_context(Stopping())
        stack.enter_context(ledger)
        writers = [
            line_writer(args, predictor),
            None if copies is None else copies.write,
            video_writer(args, pictures, stack),
            ledger.write,  # last: what it says is done is done
        ]
        passed = copies.target if copies is not None else None
        sources = ledger.skip(iter(pictures), passed)
        answers = stack.enter_context(contextlib.closing(_answers(args, predictor, sources, batch)))
        tally, failed_before = _Tally(ledger.done), ledger.failed
        try:
            for prediction in _shown(args, answers, pictures, ledger.done):
                with stopping.whole():
                    for writer in writers:
                        if writer is not None:
                            writer(prediction)
                    tally.add(prediction)
        except KeyboardInterrupt:
            if not _once(args):
                raise KeyboardInterrupt(*_kept(ledger)) from None
            tally.is_stopped = True
        except AssayError as error:
            raise _with_kept(error, ledger) from error
    if tally.is_stopped:
        raise KeyboardInterrupt(tally.until_stopped)
    return max(tally.tell(args), 1 if failed_before else 0)


def _once(args: argparse.Namespace) -> str | None:
    """What keeps a walk from being gone on with later; None where nothing does."""
    if args.track:
        return "things are followed from the first frame on"
    if args.video is not None:
        return "a video is written from its first frame on"
    return "standard input and cameras cannot be read twice" if is_seen_once(args.pictures) else None


def _answers(
    args: argparse.Namespace, predictor: Any, sources: Iterator[Source], batch: int
) -> Generator[Prediction]:
    """One Prediction a source; things of videos numbered where that was asked for."""
    if predictor.card.task == "classify":
        walk = predictor.predict(sources, batch=batch, workers=args.workers, abstain=args.abstain)
    else:
        wants_masks = args.json or any(
            value is not None
            for value in (args.jsonl, args.coco, args.out, args.csv, args.parquet, args.video)
        )
        walk = predictor.predict(
            sources, least_score=args.least_score, masks=wants_masks, batch=batch, workers=args.workers
        )
    if args.track:
        from assay.cli.followed import followed  # noqa: PLC0415

        return followed(walk, args.every)
    answers: Generator[Prediction] = walk
    return answers


def _about(args: argparse.Namespace, predictor: Any) -> dict[str, Any]:
    """What must be the same when an unfinished run is taken up."""
    engine = getattr(predictor, "engine", None)
    options = ("abstain", "least_score", "top", "track", "every", "column", "key", "exact_decode")
    return {
        "bundle": getattr(predictor, "digest", "") or str(args.bundle),
        "engine": getattr(engine, "name", args.engine),
        "precision": getattr(engine, "precision", args.precision),
        "workers": args.workers,
        "pictures": args.pictures,
        **{name: getattr(args, name) for name in options},
        "coco_ids": _digest_of_ids(args),
    }


def _digest_of_ids(args: argparse.Namespace) -> str | None:
    if args.coco_ids is None:
        return None
    from assay.cli.outputs.coco_ids import digest_of  # noqa: PLC0415

    return digest_of(args.coco_ids)


def _refuse_foreign(args: argparse.Namespace, predictor: Any) -> None:
    """Options that are for another kind of network."""
    if predictor.card.task == "classify":
        wrong = [name for name in ("coco", "coco_ids", "least_score") if getattr(args, name) is not None]
        wrong += ["track"] * args.track
        if wrong:
            raise ConfigError(
                f"--{wrong[0].replace('_', '-')} is for networks that find things",
                got=f"{args.bundle} tells the class of a picture alone",
                fix="leave it out",
            )
    elif args.abstain:
        raise ConfigError(
            "--abstain holds back the class of a picture",
            got=f"a network that tells {', '.join(predictor.card.heads)}",
            fix="use --least-score for things",
        )


class _Tally:
    """How many were answered, held back, and could not be read; ``before`` were answered by an earlier run."""

    def __init__(self, before: int) -> None:
        self._before, self._done, self._failed, self._held = before, 0, 0, 0
        self.is_stopped = False

    def add(self, prediction: Prediction) -> None:
        self._done += 1
        self._failed += prediction.error is not None
        self._held += prediction.doubt is not None and prediction.doubt.abstains

    @property
    def until_stopped(self) -> str:
        """A sentence on a walk that cannot be gone on with."""
        return f"after {self._done:,} picture{'s' * (self._done != 1)}; what was written is whole"

    def tell(self, args: argparse.Namespace) -> int:
        """The exit code."""
        done, failed, held = self._done, self._failed, self._held
        if (failed or held) and done > 1 and not args.json:
            told = f", {held} held back" * bool(held) + f", {failed} could not be read" * bool(failed)
            told += f" ({self._before:,} more were done before)" * bool(self._before)
            print(f"{done - failed - held} of {done} pictures answered{told}", file=sys.stderr)
        return 1 if failed else 0


def _kept(ledger: Ledger) -> list[str]:
    return [ledger.kept] if ledger.kept else []


def _with_kept(error: AssayError, ledger: Ledger) -> AssayError:
    """The same failure, with what can be gone on with."""
    if not ledger.kept:
        return error
    return type(error)(error.what, got=error.got, fix="; ".join(filter(None, (error.fix, ledger.kept))))


def _check(args: argparse.Namespace) -> None:
    require_score(args.least_score, "--least-score")
    for name in ("top", "batch", "workers", "threads", "every"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name} needs at least 1", got=str(value), fix=f"e.g. --{name} 4")
    files = [name for name in ("jsonl", "csv", "parquet", "coco") if getattr(args, name) is not None]
    if args.coco_ids is not None and args.coco is None:
        raise ConfigError("--coco-ids says how --coco is numbered", fix="add --coco FILE")
    if args.resume and not files:
        raise ConfigError(
            "--resume goes on with files",
            got="none was asked for",
            fix="add --jsonl, --csv, --parquet or --coco",
        )
    if args.resume and args.overwrite:
        raise ConfigError("--resume goes on with files, --overwrite forgets them", fix="choose one")
    if args.resume and (why := _once(args)) is not None:
        raise ConfigError(why, got="--resume", fix="leave --resume out; --overwrite begins anew")


def _shown(
    args: argparse.Namespace, answers: Iterator[Prediction], pictures: Pictures, done: int
) -> Iterator[Prediction]:
    """With a bar on stderr where stderr is a terminal to which no lines of answers go."""
    if not sys.stderr.isatty() or (sys.stdout.isatty() and (args.json or not args.quiet)):
        return answers
    from assay.cli.progress import track  # noqa: PLC0415

    return track(answers, "predict", pictures.count(), done=done)


COMMAND = Command(
    "predict",
    "Say what is in pictures: class with calibrated probability, tags, things with masks, pixels; whatever the Bundle\n"
    "tells. A Bundle, or a pipeline file that joins several, needs no torch; a run folder answers by its checkpoint.",
    _add_arguments,
    _run,
    _EPILOG,
)
