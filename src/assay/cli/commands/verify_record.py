"""``assay verify-record``: whether the record of decisions is what was written."""

from __future__ import annotations

import argparse
import json
import sys

from assay.cli.command import Command

_EPILOG = """\
examples:
  assay verify-record shop.yaml
  assay verify-record shop.yaml --database postgresql://shop:word@db/shop --json

The record's key and its anchors lie in the service's folder: keep a copy of both elsewhere, for who has the folder and
the database can write a new record. exit code: 0 whole, 1 something was changed, 2 wrong usage
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    from assay.cli.service_parts import add_place  # noqa: PLC0415

    add_place(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _run(args: argparse.Namespace) -> int:
    from assay.cli.service_parts import open_place  # noqa: PLC0415

    home, database = open_place(args, make=False)
    try:
        from assay.service.store.record import verify  # noqa: PLC0415

        found = database.read_now(lambda c: verify(c, home.key, home.anchors()))
    finally:
        database.close()
        home.close()
    if args.json:
        told = {
            "entries": found.entries,
            "head": found.head,
            "whole": not found.faults,
            "faults": found.faults,
        }
        print(json.dumps(told))
    elif found.faults:
        for fault in found.faults:
            print(fault)
        print(f"the record of {found.entries:,} entries was changed", file=sys.stderr)
    else:
        print(f"the record is whole: {found.entries:,} entries, the last one {found.head}")
    return 1 if found.faults else 0


COMMAND = Command(
    "verify-record",
    "Check the record of a service: no decision was changed, put in, moved or taken out since it was made.",
    _add_arguments,
    _run,
    _EPILOG,
)
