"""``assay keys``: who may use a service."""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from assay.cli.command import Command
from assay.errors import ConfigError

if TYPE_CHECKING:
    import sqlalchemy as sql

    from assay.service.store.keys import Key

_DOINGS = ("add", "list", "revoke")
_EPILOG = """\
examples:
  assay keys add shop.yaml --name backend --scope submit
  assay keys add shop.yaml --name "first reviewer" --scope review
  assay keys list shop.yaml
  assay keys revoke shop.yaml --key k_01...

scopes: submit (send photos, read their decisions), review (the reviewers' queue), operate (everything)
The words of a key are told once; only a hash of them is kept. A revoked key ends within 5 seconds.
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    from assay.cli.service_parts import add_place  # noqa: PLC0415

    parser.add_argument("doing", metavar="DOING", choices=_DOINGS, help="add, list or revoke")
    add_place(parser)
    parser.add_argument("--name", metavar="NAME", help="whose key it is")
    parser.add_argument(
        "--scope", metavar="SCOPE", action="append", help="submit, review or operate; may be repeated"
    )
    parser.add_argument(
        "--per-minute", metavar="N", type=int, default=0, help="most requests a minute (0: no bound)"
    )
    parser.add_argument("--key", metavar="ID", help="the key to revoke")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _run(args: argparse.Namespace) -> int:
    from assay.cli.service_parts import need_service, open_place  # noqa: PLC0415

    need_service()
    from assay.service.store.keys import MACHINE, add_key, list_keys, require_fit, revoke_key  # noqa: PLC0415

    scopes = tuple(dict.fromkeys(args.scope or ()))
    if args.doing == "add":
        require_fit(args.name or "", scopes)  # before a folder is made for it
    if args.doing == "revoke" and not args.key:
        raise ConfigError("no key to revoke", fix="name it with --key; `assay keys list` shows them")
    if args.per_minute < 0:
        raise ConfigError(f"--per-minute is {args.per_minute}", fix="give 0 or more")
    home, database = open_place(args, make=args.doing == "add")
    try:
        from assay.service.store.record import require_key  # noqa: PLC0415

        now = time.time()

        def add(connection: sql.Connection) -> tuple[Key, str]:
            require_key(connection, home.key, home.folder)
            return add_key(connection, home.key, now, MACHINE, args.name, scopes, args.per_minute)

        def revoke(connection: sql.Connection) -> bool:
            require_key(connection, home.key, home.folder)
            return revoke_key(connection, home.key, now, MACHINE, args.key)

        if args.doing == "add":
            key, words = database.write_now(add)
            print(json.dumps({"id": key.id, "name": key.name, "key": words}) if args.json else words)
        elif args.doing == "list":
            _tell(args, database.read_now(list_keys))
        elif database.write_now(revoke):
            print(json.dumps({"id": args.key, "revoked": True}) if args.json else f"{args.key} is revoked")
        else:
            raise ConfigError(f"no key {args.key} holds", fix="`assay keys list` shows them")
    finally:
        database.close()
        home.close()
    return 0


def _tell(args: argparse.Namespace, rows: list[dict[str, object]]) -> None:
    if args.json:
        print(json.dumps({"keys": rows}))
        return
    from assay.cli.terminal import show_table  # noqa: PLC0415

    table: list[tuple[str, ...]] = [("key", "name", "scopes", "a minute", "made", "state")]
    for row in rows:
        made = datetime.fromtimestamp(float(str(row["created_at"])), UTC).strftime("%Y-%m-%d")
        state = "holds" if row["revoked_at"] is None else "revoked"
        table.append(
            (str(row["id"]), str(row["name"]), str(row["scopes"]), str(row["per_minute"] or "-"), made, state)
        )
    show_table(table)


COMMAND = Command(
    "keys",
    "Make, list and revoke keys of a service. Works while it runs, and before it runs for the first time.",
    _add_arguments,
    _run,
    _EPILOG,
)
