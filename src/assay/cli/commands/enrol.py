"""``assay enrol``: tell a policy which photos show fakes and which the real thing, so that new ones are matched."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from assay.cli.command import Command
from assay.cli.terminal import printable
from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.runtime.enrolment import Enrolment, Outcome
    from assay.runtime.sources import Pictures

_EPILOG = """\
examples:
  assay enrol shop.yaml confirmed-fakes/ --as fake                   photos that a person has confirmed
  assay enrol shop.yaml catalogue/ --as genuine --item bag           genuine references of one item
  assay enrol shop.yaml --list                                       what is enrolled, and what it is enough for
  assay enrol shop.yaml mistake.jpg --remove                         forget a photo; its SHA-256 does as well

exit code: 0 done, 1 some photos could not be read, or were not there to be removed, 2 wrong usage or a mistake in the
policy
"""
_DIGEST = re.compile(r"[0-9a-f]{64}")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("policy", metavar="POLICY", help="a YAML file with a part matching:")
    parser.add_argument(
        "pictures",
        metavar="PHOTOS",
        nargs="*",
        help="files, folders, patterns in quotes, .zip and .tar archives, tables, or - for stdin",
    )
    parser.add_argument(
        "--as", dest="name", metavar="LIST", help="what they show: fake (confirmed by a person) or genuine"
    )
    parser.add_argument(
        "--item", metavar="NAME", help="which item: an answer to the policy's question on items"
    )
    parser.add_argument("--remove", action="store_true", help="forget these photos")
    parser.add_argument("--list", action="store_true", help="show what is enrolled")
    parser.add_argument("--json", action="store_true", help="one JSON object a photo on stdout")
    parser.add_argument("--quiet", action="store_true", help="no line for each photo")
    parser.add_argument("--engine", default="onnxruntime", metavar="NAME", help="as `assay screen`")
    parser.add_argument(
        "--precision", default="fp32", metavar="NAME", help="as `assay screen` (default: fp32)"
    )


def _run(args: argparse.Namespace) -> int:
    from assay.decide.match import LISTS  # noqa: PLC0415

    _check_usage(args, LISTS)
    from assay.cli.native import quiet_native  # noqa: PLC0415
    from assay.decide.policy_read import read_policy  # noqa: PLC0415
    from assay.runtime.enrolment import open_enrolment  # noqa: PLC0415

    policy = read_policy(args.policy)
    with quiet_native():
        enrolment = open_enrolment(policy, engine=args.engine, precision=args.precision)
        if args.list:
            return _show(args, enrolment)
        return _walk(args, enrolment)


def _check_usage(args: argparse.Namespace, lists: tuple[str, ...]) -> None:
    """Raises ConfigError."""
    if args.list and (args.pictures or args.remove or args.name):
        raise ConfigError(
            "--list shows what is enrolled", got="more on the command line", fix="give it alone"
        )
    if args.list:
        return
    if not args.pictures:
        raise ConfigError("no photos are named", fix="name files, folders or archives, or give --list")
    if args.remove:
        if args.name or args.item:
            raise ConfigError(
                "--remove takes no --as and no --item", fix="photos are forgotten whatever they show"
            )
        return
    if args.name not in lists:
        raise ConfigError(
            "it must be said what the photos show" if args.name is None else f"--as cannot be {args.name!r}",
            fix="--as fake for photos that a person has confirmed to show a counterfeit, --as genuine for references",
        )


def _walk(args: argparse.Namespace, enrolment: Enrolment) -> int:
    """Do what is asked for, tell it photo by photo, and write; what is done is kept when it is stopped."""
    counts: Counter[str] = Counter()
    try:
        for outcome in _outcomes(args, enrolment):
            counts[outcome.outcome] += 1
            _tell(args, outcome)
    except KeyboardInterrupt:
        saved = enrolment.save()
        raise KeyboardInterrupt(
            f"{saved:,} changes are kept; the same command goes on, as photos are enrolled once"
        ) from None
    enrolment.save()
    if not args.json:
        told = ", ".join(f"{n:,} {name}" for name, n in counts.items()) or "no photos"
        print(f"{told}; {len(enrolment.references):,} in {enrolment.place}", file=sys.stderr)
    return 1 if counts["unreadable"] or counts["not enrolled"] else 0


def _outcomes(args: argparse.Namespace, enrolment: Enrolment) -> Iterator[Outcome]:
    from assay.runtime.containers import pictures as named  # noqa: PLC0415

    if not args.remove:
        photos = named(args.pictures)
        return _shown(args, enrolment.add(iter(photos), args.name, args.item), photos)
    from assay.runtime.enrolment import digests_of  # noqa: PLC0415

    known = [word for word in args.pictures if _DIGEST.fullmatch(word) and not Path(word).exists()]
    files = [word for word in args.pictures if word not in known]
    found = [(word, word) for word in known] + (list(digests_of(named(files))) if files else [])
    return enrolment.remove(found)


def _shown(args: argparse.Namespace, outcomes: Iterator[Outcome], photos: Pictures) -> Iterator[Outcome]:
    if sys.stdout.isatty() and not args.quiet:
        return outcomes
    from assay.cli.progress import track  # noqa: PLC0415

    return track(outcomes, "enrol", photos.count())


def _tell(args: argparse.Namespace, outcome: Outcome) -> None:
    """One line on stdout; what a person should know of goes to stderr even when quiet."""
    if args.json:
        print(json.dumps(outcome.to_dict(), ensure_ascii=True), flush=True)
        return
    path = printable(outcome.path)
    if outcome.error is not None:
        print(f"{path}: {printable(outcome.error)}", file=sys.stderr)
    elif not args.quiet:
        print(f"{outcome.outcome:<16}{path}", flush=True)
    for match in outcome.others:
        print(f"{path} is also a copy of {match.reference}, enrolled as {match.list}", file=sys.stderr)
    if outcome.plain:
        print(
            f"{path} shows nothing that could be found again; it is known by its bytes alone", file=sys.stderr
        )


def _show(args: argparse.Namespace, enrolment: Enrolment) -> int:
    references = list(enrolment.references)
    for one in references:
        if args.json:
            print(json.dumps({"list": one.list, "item": one.item, "photo": one.photo}))
        elif not args.quiet:
            print(f"{one.list:<8}  {printable(one.item or '-'):<20}  {one.photo}")
    if not args.json:
        for line in _enough(enrolment):
            print(line, file=sys.stderr)
    return 0


def _enough(enrolment: Enrolment) -> Iterator[str]:
    """How many there are, and of which items there are too few for a claim."""
    counts = Counter((one.list, one.item) for one in enrolment.references)
    total = Counter(one.list for one in enrolment.references)
    yield f"{enrolment.place}: {total['fake']:,} fake, {total['genuine']:,} genuine"
    rules = enrolment.policy.matching
    if rules is None or rules.embedding is None:
        return
    wanted = math.ceil(1 / rules.false_alarm - 1e-9) - 1
    groups = enrolment.items if rules.item is not None else (None,)
    for item in groups or ():
        have = total["genuine"] if item is None else counts["genuine", item]
        if have < wanted:
            named = "" if item is None else f" of {item}"
            yield (
                f"{have:,} genuine references{named}: a claim at {100 * rules.false_alarm:g} % false alarms needs "
                f"{wanted:,}, so none is made"
            )


COMMAND = Command(
    "enrol",
    "Enrol photos that a person has judged: confirmed fakes, whose copies are found however they are edited, and\n"
    "genuine references, with which new photos of the same item are compared. No server, no torch.",
    _add_arguments,
    _run,
    _EPILOG,
)
