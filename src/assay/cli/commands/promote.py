"""``assay promote``: let a candidate decide in place of the live policy."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from assay.cli.command import Command
from assay.cli.terminal import warn

if TYPE_CHECKING:
    from assay.runtime.promote import Promoted

_EPILOG = """\
examples:
  assay promote shop.yaml revisions/candidates/0002-3f9a1c0b7d52-kind/shop.yaml
  assay promote shop.yaml next.yaml --why "more shoes"
  assay promote shop.yaml next.yaml --force "the class that got worse is no longer sold"

All versions stay in shop.versions/, each with policy, thresholds, networks, and who let it decide, when and why. The
switch is one step: whoever reads shop.yaml finds the old version or the new one, whole. A running server takes it up
on SIGHUP, or on POST /v1/operate/reload. exit code: 0 it is live; 1 refused; 2 wrong usage
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("policy", metavar="POLICY", help="the live policy")
    parser.add_argument(
        "candidate", metavar="CANDIDATE", help="the candidate's policy, with its comparison beside it"
    )
    parser.add_argument("--why", default="", metavar="TEXT", help="what the history shall say")
    parser.add_argument(
        "--force", metavar="REASON", help="promote what would be refused; the reason is kept in the history"
    )
    add_who(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def add_who(parser: argparse.ArgumentParser) -> None:
    """``--who``: whose decision the history tells."""
    parser.add_argument("--who", metavar="NAME", help="who decides this (default: your user name)")


def who(args: argparse.Namespace) -> str:
    """The name for the history."""
    if args.who:
        return str(args.who)
    import getpass  # noqa: PLC0415

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a name for its user
        return "unknown"


def _run(args: argparse.Namespace) -> int:
    from assay.cli.native import quiet_native  # noqa: PLC0415
    from assay.runtime.promote import promote  # noqa: PLC0415

    with quiet_native():
        done = promote(args.policy, args.candidate, who=who(args), why=args.why, force=args.force)
    tell(args, done)
    return 0


def tell(args: argparse.Namespace, done: Promoted) -> None:
    """What is live now."""
    for text in done.warnings:
        warn(text)
    if args.json:
        print(json.dumps(done.to_dict(), ensure_ascii=False))
        return
    before = "" if done.before is None else f", in place of {done.before.name}"
    print(f"{args.policy}: version {done.version.name} decides now{before}")
    print("a running server takes it up on SIGHUP, or on POST /v1/operate/reload", file=sys.stderr)


COMMAND = Command(
    "promote",
    "Let a candidate decide in place of the live policy, by one step that `assay rollback` takes back. Refused where "
    "it was not compared with the network that is live, where a class got worse, or where it has no thresholds.",
    _add_arguments,
    _run,
    _EPILOG,
)
