"""``assay rollback``: let the version decide again that was live before."""

from __future__ import annotations

import argparse
import json
import time

from assay.cli.command import Command
from assay.cli.commands.promote import add_who, tell, who
from assay.cli.terminal import show_table

_EPILOG = """\
examples:
  assay rollback shop.yaml --why "too many shoes are rejected"
  assay rollback shop.yaml --list                        all versions, and which one decides

exit code: 0 it is live; 2 there is no version before it, or wrong usage
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("policy", metavar="POLICY", help="the live policy")
    parser.add_argument("--why", default="", metavar="TEXT", help="what the history shall say")
    add_who(parser)
    parser.add_argument("--list", action="store_true", help="change nothing; list the versions")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _run(args: argparse.Namespace) -> int:
    if args.list:
        return _list(args)
    from assay.runtime.promote import rollback  # noqa: PLC0415

    tell(args, rollback(args.policy, who=who(args), why=args.why))
    return 0


def _list(args: argparse.Namespace) -> int:
    from pathlib import Path  # noqa: PLC0415

    from assay.runtime.versions import live_version, read_history, read_versions  # noqa: PLC0415

    versions, live = read_versions(Path(args.policy)), live_version(Path(args.policy))
    name = None if live is None else live.name
    if args.json:
        rows = [dict(one.facts) for one in versions]
        history = read_history(Path(args.policy))
        print(json.dumps({"live": name, "versions": rows, "history": history}, ensure_ascii=False))
        return 0
    if not versions:
        print(f"{args.policy} has no versions: nothing was promoted yet")
        return 0
    table: list[tuple[str, ...]] = [("", "version", "since", "by", "why")]
    for one in versions:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(float(one.facts["at"])))
        why = str(one.facts.get("forced") or one.facts["why"])
        table.append(("*" if one.name == name else "", one.name, when, str(one.facts["who"]), why))
    show_table(table)
    return 0


COMMAND = Command(
    "rollback",
    "Let the version of a policy decide again that was live before the one that is: policy, thresholds and networks.",
    _add_arguments,
    _run,
    _EPILOG,
)
