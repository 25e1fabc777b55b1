"""``assay screen``: what a shop's policy makes of photos, without any server."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.cli.command import Command
from assay.cli.stopping import Stopping, is_seen_once
from assay.errors import AssayError, ConfigError, PolicyError

if TYPE_CHECKING:
    from assay.cli.outputs.ledger import Ledger, Output
    from assay.decide.decision import Decision
    from assay.decide.policy import Policy
    from assay.runtime.screening import Screener
    from assay.runtime.sources import Pictures

_COLOURS = {"accept": "green", "reject": "red", "resubmit": "yellow", "review": "cyan"}
_EPILOG = """\
examples:
  assay screen shop.yaml new-photos/                        one line a photo: verdict, reason
  assay screen shop.yaml photos.zip --jsonl decisions.jsonl --csv decisions.csv --quiet
  assay screen shop.yaml new-photos/ --language zh
  assay screen shop.yaml --replay decisions.jsonl           decide anew from the record, and compare
  assay calibrate shop.yaml --data labelled.csv             find the thresholds first: without them all go to people

exit code: 0 all decided (with --replay: all the same), 1 some photos could not be read (or came out otherwise),
2 wrong usage or a mistake in the policy
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("policy", metavar="POLICY", help="a YAML file: questions, risks, clauses, examples")
    parser.add_argument(
        "pictures",
        metavar="PHOTOS",
        nargs="*",
        help="files, folders, patterns in quotes, .zip and .tar archives, tables, or - for stdin",
    )
    parser.add_argument(
        "--replay", metavar="FILE", help="decide a file of --jsonl anew, and tell what differs"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a photo on stdout")
    parser.add_argument(
        "--jsonl", metavar="FILE", help="the same, into a file: a record that can be replayed"
    )
    parser.add_argument("--csv", metavar="FILE", help="a table, a row a photo")
    parser.add_argument("--quiet", action="store_true", help="no line for each photo")
    parser.add_argument(
        "--language", default="en", metavar="NAME", help="of the reasons: en or zh (default: en)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on where an earlier run with the same files stopped"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    parser.add_argument("--engine", default="onnxruntime", metavar="NAME", help="as `assay predict`")
    parser.add_argument(
        "--precision",
        default="fp32",
        metavar="NAME",
        help="as `assay predict`; unknown photos are noticed in fp32 alone (default: fp32)",
    )


def _run(args: argparse.Namespace) -> int:
    from assay.decide.clauses import LANGUAGES  # noqa: PLC0415

    if args.language not in LANGUAGES:
        raise ConfigError(f"no reasons in {args.language!r}", fix=f"choose from {', '.join(LANGUAGES)}")
    if args.replay is not None:
        return _replay(args)
    if not args.pictures:
        raise ConfigError("no photos are named", fix="name files, folders or archives")
    from assay.cli.native import quiet_native  # noqa: PLC0415
    from assay.runtime.containers import pictures as named  # noqa: PLC0415
    from assay.runtime.screening import load_screener  # noqa: PLC0415

    pictures = named(args.pictures)
    with quiet_native():
        screener = load_screener(args.policy, engine=args.engine, precision=args.precision)
        if not screener.budgets.kinds:
            but = " but copies of known fakes" if screener.references else ""
            print(
                f"{args.policy} has no thresholds yet, so people decide everything{but}: "
                f"assay calibrate {args.policy} --data LABELLED",
                file=sys.stderr,
            )
        if screener.references is not None and not len(screener.references):
            print(
                f"{args.policy} matches photos, but none is enrolled yet: "
                f"assay enrol {args.policy} PHOTOS --as fake",
                file=sys.stderr,
            )
        return _walk(args, screener, pictures)


def _walk(args: argparse.Namespace, screener: Screener, pictures: Pictures) -> int:
    from assay.cli.outputs.ledger import Ledger  # noqa: PLC0415
    from assay.runtime.screening import AT_ONCE  # noqa: PLC0415

    ledger = Ledger(
        _outputs(args, screener.policy),
        _about(args, screener),
        batch=AT_ONCE,
        resume=args.resume,
        overwrite=args.overwrite,
    )
    counts: Counter[str] = Counter()
    is_stopped = False
    with Stopping() as stopping, ledger:
        if ledger.is_whole:
            print(f"all {ledger.done:,} photos were decided; the files have their names now", file=sys.stderr)
            return 1 if ledger.failed else 0
        try:
            for decision in _shown(args, screener.screen(ledger.skip(iter(pictures))), pictures, ledger.done):
                with stopping.whole():
                    _tell(args, screener.policy, decision)
                    ledger.write(decision)
                    counts[decision.verdict] += 1
                    counts["unreadable"] += decision.error is not None
        except KeyboardInterrupt:
            if not is_seen_once(args.pictures):
                raise KeyboardInterrupt(*_kept(ledger)) from None
            is_stopped = True
        except AssayError as error:
            fix = "; ".join(filter(None, (error.fix, *_kept(ledger))))
            raise type(error)(error.what, got=error.got, fix=fix or None) from error
    if is_stopped:
        raise KeyboardInterrupt("what was written is whole")
    _tell_counts(args, counts)
    return 1 if ledger.failed or counts["unreadable"] else 0


def _outputs(args: argparse.Namespace, policy: Policy) -> list[Output]:
    from assay.cli.outputs.decisions import DecisionLines, DecisionTable  # noqa: PLC0415

    found: list[Output] = []
    if args.jsonl is not None:
        found.append(DecisionLines(args.jsonl))
    if args.csv is not None:
        found.append(DecisionTable(args.csv, policy, args.language))
    if args.resume and not found:
        raise ConfigError("--resume goes on with files", got="none was asked for", fix="add --jsonl or --csv")
    if args.resume and is_seen_once(args.pictures):
        raise ConfigError("standard input cannot be read twice", got="--resume", fix="name the photos")
    return found


def _about(args: argparse.Namespace, screener: Screener) -> dict[str, Any]:
    """What must be the same when an unfinished run is taken up."""
    names = ("pictures", "engine", "precision", "language")
    return {
        "policy": screener.policy.digest,
        "thresholds": screener.budgets.digest,
        "models": dict(screener.digests),
        **({} if screener.references is None else {"references": screener.references.digest}),
        **{name: getattr(args, name) for name in names},
    }


def _shown(
    args: argparse.Namespace, decisions: Iterator[Decision], pictures: Pictures, done: int
) -> Iterator[Decision]:
    if not sys.stderr.isatty() or (sys.stdout.isatty() and (args.json or not args.quiet)):
        return decisions
    from assay.cli.progress import track  # noqa: PLC0415

    return track(decisions, "screen", pictures.count(), done=done)


def _tell(args: argparse.Namespace, policy: Policy, decision: Decision) -> None:
    """One line on stdout."""
    if args.json:
        print(json.dumps(decision.to_dict(), ensure_ascii=True), flush=True)
    elif not args.quiet:
        from assay.cli.terminal import paint, printable  # noqa: PLC0415

        verdict = paint(f"{decision.verdict:<8}", _COLOURS[decision.verdict], sys.stdout)
        proposed = decision.proposed
        because = ""
        if proposed is not None and decision.verdict == "review":
            because = (
                f"  ({proposed.verdict}: {proposed.answer or proposed.kind}, {100 * proposed.score:.1f} %)"
            )
        words = policy.words(decision.clause, args.language)
        print(f"{verdict}  {printable(decision.path)}  {words}{printable(because)}", flush=True)


def _tell_counts(args: argparse.Namespace, counts: Counter[str]) -> None:
    total = sum(counts[name] for name in _COLOURS)
    if total > 1 and not args.json:
        told = ", ".join(f"{counts[name]:,} {name}" for name in _COLOURS if counts[name])
        print(f"{total:,} photos: {told}", file=sys.stderr)


def _kept(ledger: Ledger) -> list[str]:
    return [ledger.kept] if ledger.kept else []


def _replay(args: argparse.Namespace) -> int:
    """Decide a record anew; no network is asked."""
    if args.pictures:
        raise ConfigError(
            "--replay decides a record anew", got=f"photos {args.pictures[0]}", fix="leave one out"
        )
    from assay.decide.budgets import NO_BUDGETS, read_budgets, thresholds_path  # noqa: PLC0415
    from assay.decide.decision import differences  # noqa: PLC0415
    from assay.decide.policy_read import read_policy  # noqa: PLC0415

    policy = read_policy(args.policy)
    beside = thresholds_path(Path(args.policy))
    budgets = read_budgets(beside) if beside.exists() else NO_BUDGETS
    same = different = 0
    for number, record in _records(Path(args.replay)):
        found = differences(record, policy, budgets)
        same, different = same + (not found), different + bool(found)
        if found:
            print(f"line {number}, {record.get('path')}: {'; '.join(found)}")
    print(f"{same:,} of {same + different:,} decisions come out the same")
    return 1 if different else 0


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise ValueError("no object")
                yield number, record
    except (OSError, ValueError) as error:
        raise PolicyError(
            f"{path} is no record of decisions",
            got=str(error)[:200],
            fix="name a file of `assay screen --jsonl`",
        ) from error


COMMAND = Command(
    "screen",
    "Decide on photos by a shop's policy: accept, reject, ask for another photo, or a person. Every decision says\n"
    "why, and can be replayed from its record. No server, no torch.",
    _add_arguments,
    _run,
    _EPILOG,
)
