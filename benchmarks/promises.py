"""Promises of the screening service at full size: thousands of kills, and every kind of tampering, counted.

What CI does with a few (``tests/promises``), this does with many, through the same harness. It needs the development
setup and, for the second database, Debian's PostgreSQL.

    python -m benchmarks.promises --kills 2000                  SQLite and PostgreSQL, half of the kills each
    python -m benchmarks.promises --tamperings 1000
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from tests.kills import kill_and_count
from tests.postgres import new_database, postgres_server
from tests.served import served
from tests.tiny_policy import write_tiny_policy

from assay.service.store import record
from assay.service.store.database import Database
from assay.service.store.engine import open_engine
from assay.service.store.ids import new_id
from assay.service.store.migrate import migrate
from assay.service.store.schema import DECISIONS, RECORD
from benchmarks.machine import RESULTS, append_line, stamp

KEY = b"k" * 32


def kills(number: int, seed: int, kind: str) -> dict[str, Any]:
    """Kill processes of one server so many times while photos come in, and count."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        policy = write_tiny_policy(folder)
        begun = time.monotonic()

        def told(done: int) -> None:
            if done % 50 == 0:
                print(f"  {kind}: {done} kills in {time.monotonic() - begun:.0f} s", flush=True)

        if kind == "sqlite":
            with served(policy, folder / "home") as server:
                found = kill_and_count(server, number, seed=seed, on_kill=told)
        else:
            with postgres_server() as address:
                own = new_database(address)
                with served(policy, folder / "home", "--database", own) as server:
                    found = kill_and_count(server, number, seed=seed, database=own, on_kill=told)
        return {
            "what": "kills",
            "database": kind,
            "seed": seed,
            "minutes": (time.monotonic() - begun) / 60,
            **asdict(found),
        }


def tamperings(number: int, seed: int) -> dict[str, Any]:
    """Change a record of 200 decisions in random ways, each time from the same start; how many were found."""
    noise = random.Random(seed)
    found: dict[str, list[int]] = {kind.__name__.strip("_"): [0, 0] for kind in _WAYS}
    with tempfile.TemporaryDirectory() as name:
        database = Database(open_engine(None, Path(name)))
        migrate(database.engine)
        database.write_now(_fill)
        rows = database.read_now(lambda c: list(record.read_record(c)))
        anchors = {rows[-1].seq: rows[-1].mac}
        clean = len(database.read_now(lambda c: record.verify(c, KEY, anchors)).faults)
        for _ in range(number):
            way = noise.choice(_WAYS)
            with database.engine.connect() as connection:
                begun = connection.begin()
                changed = way(connection, noise)
                if changed:
                    count = found[way.__name__.strip("_")]
                    count[0] += 1
                    count[1] += bool(record.verify(connection, KEY, anchors).faults)
                begun.rollback()
        database.close()
    made, seen = (sum(column) for column in zip(*found.values(), strict=True))
    return {
        "what": "tamperings",
        "seed": seed,
        "made": made,
        "found": seen,
        "by_way": found,
        "false_alarms": clean,
    }


def _fill(connection: sql.Connection) -> None:
    for n in range(200):
        body = f'{{"n": {n}}}'
        row = {
            "id": new_id("d"), "photo_id": f"p_{n}", "live": True, "verdict": "accept", "clause": "all-right",
            "automatic": True, "audited": False, "kind": "all", "decided_by": "machine", "policy": "x",
            "thresholds": "y", "body": body, "at": float(n),
        }  # fmt: skip
        told = {
            "decision": row["id"], "photo": row["photo_id"], "verdict": "accept", "clause": "all-right",
            "body": record.body_digest(body),
        }  # fmt: skip
        row["seq"] = record.append(connection, KEY, float(n), [("decision", str(row["photo_id"]), told)])[0]
        connection.execute(sql.insert(DECISIONS), [row])


def _one_letter(connection: sql.Connection, noise: random.Random) -> bool:
    """One letter of one column of one entry."""
    seq = noise.randint(1, 200)
    row = connection.execute(sql.select(RECORD).where(RECORD.c.seq == seq)).one()
    name = noise.choice(["kind", "subject", "body", "previous", "mac"])
    old = getattr(row, name)
    at = noise.randrange(len(old))
    new = old[:at] + noise.choice("0123456789abcdefxyz{}") + old[at + 1 :]
    connection.execute(sql.update(RECORD).where(RECORD.c.seq == seq).values(**{name: new}))
    return bool(new != old)


def _time(connection: sql.Connection, noise: random.Random) -> bool:
    seq = noise.randint(1, 200)
    connection.execute(sql.update(RECORD).where(RECORD.c.seq == seq).values(at=noise.uniform(1e3, 1e9)))
    return True


def _delete(connection: sql.Connection, noise: random.Random) -> bool:
    first = noise.randint(1, 200)
    gone = RECORD.c.seq.between(first, min(200, first + noise.randint(0, 5)))
    connection.execute(sql.delete(RECORD).where(gone))
    return True


def _delete_and_renumber(connection: sql.Connection, noise: random.Random) -> bool:
    seq = noise.randint(1, 199)
    connection.execute(sql.delete(RECORD).where(RECORD.c.seq == seq))
    for later in range(seq + 1, 201):
        connection.execute(sql.update(RECORD).where(RECORD.c.seq == later).values(seq=later - 1))
        connection.execute(sql.update(DECISIONS).where(DECISIONS.c.seq == later).values(seq=later - 1))
    return True


def _exchange(connection: sql.Connection, noise: random.Random) -> bool:
    first, second = noise.sample(range(1, 201), 2)
    rows = {
        row.seq: dict(row._mapping)
        for row in connection.execute(sql.select(RECORD).where(RECORD.c.seq.in_([first, second])))
    }
    connection.execute(sql.delete(RECORD).where(RECORD.c.seq.in_([first, second])))
    connection.execute(sql.insert(RECORD), [rows[first] | {"seq": second}, rows[second] | {"seq": first}])
    return True


def _copy_in(connection: sql.Connection, noise: random.Random) -> bool:
    row = connection.execute(sql.select(RECORD).where(RECORD.c.seq == noise.randint(1, 200))).one()
    last = connection.execute(sql.select(RECORD).where(RECORD.c.seq == 200)).one()
    connection.execute(sql.insert(RECORD), [dict(row._mapping) | {"seq": 201, "previous": last.mac}])
    return True


def _cut_the_end(connection: sql.Connection, noise: random.Random) -> bool:
    first = noise.randint(150, 200)
    connection.execute(sql.delete(RECORD).where(RECORD.c.seq >= first))
    connection.execute(sql.delete(DECISIONS).where(DECISIONS.c.seq >= first))
    return True


def _verdict(connection: sql.Connection, noise: random.Random) -> bool:
    seq = noise.randint(1, 200)
    values = noise.choice(
        [
            {"verdict": "reject"},
            {"clause": "rule"},
            {"body": "{}"},
            {"body": ""},
            {"photo_id": "p_x"},
            {"seq": 0},
        ]
    )
    connection.execute(sql.update(DECISIONS).where(DECISIONS.c.seq == seq).values(**values))
    return True


def _delete_decision(connection: sql.Connection, noise: random.Random) -> bool:
    connection.execute(sql.delete(DECISIONS).where(DECISIONS.c.seq == noise.randint(1, 200)))
    return True


def _rewritten(connection: sql.Connection, noise: random.Random) -> bool:
    """The whole record anew, without the key."""
    rows = list(record.read_record(connection))
    connection.execute(sql.delete(RECORD))
    left = noise.randint(0, len(rows) - 1)
    key = noise.randbytes(32)
    for n, row in enumerate(rows):
        if n != left:
            record.append(connection, key, row.at, [(row.kind, row.subject, json.loads(row.body))])
    return True


_WAYS = (
    _one_letter, _time, _delete, _delete_and_renumber, _exchange, _copy_in, _cut_the_end, _verdict, _delete_decision,
    _rewritten,
)  # fmt: skip


def table(lines: list[dict[str, Any]]) -> list[str]:
    """Lines of Markdown: the newest kills on each database, and the newest tamperings."""
    newest = {(line["what"], line.get("database", "")): line for line in lines}
    found = [
        "| database | kills of server, decoder, answerer | photos taken in | refused meanwhile | lost | decided twice |"
        " undecided | faults of the record | minutes |",
        "|---" * 9 + "|",
    ]
    for (what, database), line in newest.items():
        if what == "kills":
            hit = line["kills"]
            kills = f"{sum(hit.values()):,}: {hit['server']:,}, {hit['decoder']:,}, {hit['answerer']:,}"
            counts = [line[name] for name in ("taken", "refused", "lost", "twice", "undecided", "faults")]
            told = " | ".join(f"{count:,}" for count in counts)
            found.append(f"| {database} | {kills} | {told} | {line['minutes']:.0f} |")
    for (what, _), line in newest.items():
        if what == "tamperings":
            ways = ", ".join(
                f"{way.replace('_', ' ')} {seen} of {made}" for way, (made, seen) in line["by_way"].items()
            )
            found += [
                "",
                f"Tamperings found: **{line['found']:,} of {line['made']:,}** ({ways}); "
                f"false alarms {line['false_alarms']}.",
            ]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--tamperings", type=int, default=0)
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS / "promises.jsonl")
    args = parser.parse_args()
    failed = False
    for kind in args.databases if args.kills else ():
        line = kills(args.kills // len(args.databases), args.seed, kind)
        failed |= any(line[name] for name in ("lost", "twice", "undecided", "faults"))
        append_line(args.results, {**line, **stamp()})
        print(line)
    if args.tamperings:
        line = tamperings(args.tamperings, args.seed)
        failed |= line["found"] != line["made"] or line["false_alarms"] > 0
        append_line(args.results, {**line, **stamp()})
        print(line)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
