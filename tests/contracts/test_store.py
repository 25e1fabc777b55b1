"""The store behaves alike on SQLite and on PostgreSQL: every test runs on both."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sql
from tests.postgres import new_database, postgres_server
from tests.shop_policy import SHOP

from assay.decide.decision import decide
from assay.decide.evidence import Evidence
from assay.decide.policy_read import parse_policy
from assay.errors import ConfigError
from assay.service.store import (
    appeals,
    decisions,
    erasure,
    hooks,
    jobs,
    keys,
    photos,
    record,
    reviews,
    settle,
)
from assay.service.store.database import Database
from assay.service.store.engine import open_engine
from assay.service.store.ids import new_id
from assay.service.store.migrate import differences, migrate, require_newest
from assay.service.store.prepared import Prepared
from assay.service.store.schema import DECISIONS, META, OUTBOX, PHOTOS, RECORD, REFERENCES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = b"k" * 32


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    address = None if request.param == "sqlite" else new_database(request.getfixturevalue("server"))
    engine = open_engine(address, tmp_path)
    migrate(engine)
    made = Database(engine)
    yield made
    made.close()


@pytest.fixture
def policy() -> Any:
    return parse_policy(SHOP, "shop")


class Promise:
    """Thresholds of one value."""

    digest = "t" * 64

    def __init__(self, value: float | None) -> None:
        self.value = value

    def threshold(self, verdict: str, kind: str) -> float | None:
        return self.value

    def clause(self, verdict: str, kind: str) -> str:
        return "no-promise"


def take(database: Database, owner: str = "s_1", sha: str = "ab" * 32, **more: Any) -> str:
    upload = photos.Upload(new_id("p"), sha, 10, "k_1", time.time(), **more)
    return database.write_now(lambda c: photos.take_in(c, upload, owner, time.time() + 5))[0]


def decided(
    database: Database, policy: Any, photo_id: str, sure: float = 0.99, value: float | None = 0.9,
    owner: str = "s_1", sha: str = "ab" * 32, product: str = "product",
) -> bool:  # fmt: skip
    answers = {"product": {product: sure}, "kind": {"bag": sure}, "genuine": {"genuine": sure}}
    evidence = Evidence(photo_id, sha, (500, 500), answers)
    one = decisions.Decided(photo_id, decide(policy, Promise(value), evidence), {"product": "m"}, alike=sha)
    row = database.write_now(lambda c: decisions.keep(c, owner, KEY, time.time(), [one]))[0]
    assert row is None or row == live(database, photo_id)
    return row is not None


def live(database: Database, photo_id: str) -> Any:
    return database.read_now(lambda c: photos.live_decision(c, photo_id))


def whole(database: Database) -> tuple[str, ...]:
    return database.read_now(lambda c: record.verify(c, KEY)).faults


def test_migrations_make_the_tables_of_the_schema(database: Database) -> None:
    migrate(database.engine)
    assert differences(database.engine) == []


def test_a_newer_database_is_refused(database: Database) -> None:
    database.write_now(lambda c: c.execute(sql.text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(ConfigError, match="made by another version of Assay"):
        require_newest(database.engine)
    with pytest.raises(Exception, match="made by another version of Assay") as told:
        migrate(database.engine)
    assert "9999" in told.value.got


def test_who_only_looks_makes_no_tables(tmp_path: Path) -> None:
    engine = open_engine(None, tmp_path)
    with pytest.raises(ConfigError, match="the database holds no service"):
        require_newest(engine)
    assert not sql.inspect(engine).get_table_names()
    engine.dispose()


def test_a_photo_and_its_job_are_one(database: Database) -> None:
    name = take(database)
    assert database.read_now(jobs.waiting)[0] == 1
    with pytest.raises(sql.exc.IntegrityError):
        database.write_now(lambda c: photos.take_in(c, photos.Upload(name, "x", 1, "k", 0.0), "s", 0.0))
    assert database.read_now(jobs.waiting)[0] == 1


def test_the_same_idempotency_key_gives_the_same_photo(database: Database) -> None:
    first = take(database, repeat="r1")
    assert take(database, repeat="r1") == first
    with pytest.raises(photos.ConflictError, match="came with another photo"):
        take(database, repeat="r1", sha="cd" * 32)
    assert take(database, repeat="r2") != first
    assert database.read_now(jobs.waiting)[0] == 2


def test_one_of_many_failing_writes_harms_no_other(database: Database) -> None:
    def fails(connection: sql.Connection) -> None:
        raise ValueError("mine")

    futures = [database.submit(fails if i % 3 == 0 else lambda c, i=i: i) for i in range(30)]
    for i, future in enumerate(futures):
        if i % 3 == 0:
            with pytest.raises(ValueError, match="mine"):
                future.result(30)
        else:
            assert future.result(30) == i


def test_fifty_writers_never_see_a_locked_database(database: Database) -> None:
    others = [
        Database(open_engine(str(database.engine.url.render_as_string(hide_password=False)), None))
        for _ in range(5)
    ]  # type: ignore[arg-type]
    try:

        def write(n: int) -> str:
            return take(others[n % 5], sha=f"{n:064x}")

        with ThreadPoolExecutor(50) as pool:
            made = list(pool.map(write, range(200)))
        assert len(set(made)) == 200
        assert database.read_now(jobs.waiting)[0] == 200
    finally:
        for one in others:
            one.close()


def test_the_writer_gets_another_connection_after_an_error(database: Database) -> None:
    take(database)
    kept = database._writing
    with pytest.raises(photos.ConflictError):
        take(database, repeat="r") and take(database, repeat="r", sha="cd" * 32)
    assert database._writing is kept
    with pytest.raises(sql.exc.DBAPIError, match="no_such_table"):
        database.write_now(lambda c: c.execute(sql.text("SELECT * FROM no_such_table")))
    take(database)
    assert database._writing is not kept
    assert database.read_now(jobs.waiting)[0] == 3


def test_a_connection_that_the_server_ended_is_replaced(server: str, tmp_path: Path) -> None:
    engine = open_engine(new_database(server), tmp_path)
    migrate(engine)
    database = Database(engine)
    try:
        for other in range(3):
            take(database)
            pid = database.write_now(lambda c: c.execute(sql.text("SELECT pg_backend_pid()")).scalar())
            with database.reading() as connection:
                connection.execute(sql.text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            take(database, sha=f"{other:064x}")
        assert database.read_now(jobs.waiting)[0] == 6
    finally:
        database.close()


def test_prepared_statements_say_what_sqlalchemy_says(database: Database) -> None:
    found = Prepared(
        sql.select(PHOTOS).where(PHOTOS.c.key_id == sql.bindparam("key")).order_by(PHOTOS.c.id).limit(2)
    )
    gone = Prepared(sql.delete(PHOTOS).where(PHOTOS.c.key_id == sql.bindparam("key")).returning(PHOTOS.c.id))
    names = sorted(take(database, sha=f"{n:064x}") for n in range(3))
    usual = sql.select(PHOTOS).order_by(PHOTOS.c.id).limit(2)
    rows = database.read_now(lambda c: found.rows(c, key="k_1"))
    assert rows == [tuple(row) for row in database.read_now(lambda c: c.execute(usual).all())]
    assert [row[0] for row in rows] == names[:2]
    assert database.read_now(lambda c: found.rows(c, key="k_2")) == []
    assert database.write_now(lambda c: gone.rows(c, key="k_2")) == []
    assert sorted(database.write_now(lambda c: gone.rows(c, key="k_1"))) == [(name,) for name in names]


def test_a_job_goes_to_one_server(database: Database) -> None:
    names = {take(database, owner="", sha=f"{n:064x}") for n in range(40)}
    database.write_now(jobs.free_all)
    got: list[str] = []
    lock = threading.Lock()

    def claim(n: int) -> None:
        found = database.write_now(lambda c: jobs.claim(c, f"s_{n}", time.time(), time.time() + 60, 7))
        with lock:
            got.extend(job.photo_id for job in found)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(claim, range(8)))
    assert len(got) == len(set(got)) == 40
    assert set(got) == names


def test_a_lease_that_runs_out_is_taken_over_and_kept_once(database: Database, policy: Any) -> None:
    name = take(database, owner="s_dead")
    later = time.time() + 6
    assert [
        job.photo_id for job in database.write_now(lambda c: jobs.claim(c, "s_2", later, later + 5, 9))
    ] == [name]
    assert not decided(database, policy, name, owner="s_dead")
    assert decided(database, policy, name, owner="s_2")
    assert not decided(database, policy, name, owner="s_2")
    assert (
        database.read_now(lambda c: c.execute(sql.select(sql.func.count()).select_from(DECISIONS)).scalar())
        == 1
    )


def test_a_renewed_lease_stays(database: Database) -> None:
    name = take(database)
    database.write_now(lambda c: jobs.renew(c, "s_1", [name], time.time() + 100))
    later = time.time() + 50
    assert database.write_now(lambda c: jobs.claim(c, "s_2", later, later + 5, 9)) == []
    assert database.write_now(lambda c: jobs.release(c, "s_1")) == 1
    assert len(database.write_now(lambda c: jobs.claim(c, "s_2", later, later + 5, 9))) == 1


def test_a_second_live_decision_is_impossible(database: Database, policy: Any) -> None:
    name = take(database)
    decided(database, policy, name)
    row = dict(live(database, name)) | {"id": new_id("d")}
    with pytest.raises(sql.exc.IntegrityError):
        database.write_now(lambda c: c.execute(sql.insert(DECISIONS).values(**row)))


def test_keys_are_kept_as_hashes_and_can_be_revoked(database: Database) -> None:
    key, words = database.write_now(lambda c: keys.add_key(c, KEY, 1.0, "k_1", "shop", ("submit",)))
    rows = database.read_now(lambda c: str(c.execute(sql.select(META.tables["keys"])).all()))
    assert words.split(".")[2] not in rows
    assert database.read_now(lambda c: keys.find_key(c, words)) == key
    assert database.read_now(lambda c: keys.find_key(c, words + "x")) is None
    assert database.write_now(lambda c: keys.revoke_key(c, KEY, 2.0, "k_1", key.id))
    assert database.read_now(lambda c: keys.find_key(c, words)) is None
    with pytest.raises(Exception, match="no scope 'submti'"):
        database.write_now(lambda c: keys.add_key(c, KEY, 1.0, "k_1", "shop", ("submti",)))
    entries = database.read_now(lambda c: list(record.read_record(c)))
    assert [(one.kind, one.subject) for one in entries] == [("key", key.id), ("key revoked", key.id)]
    assert json.loads(entries[0].body) == {"key": key.id, "name": "shop", "scopes": ["submit"], "by": "k_1"}


def test_a_record_goes_on_with_its_own_key_alone(database: Database, tmp_path: Path) -> None:
    database.read_now(lambda c: record.require_key(c, b"x" * 32, tmp_path))  # there is none yet
    database.write_now(lambda c: keys.add_key(c, KEY, 1.0, "k_1", "shop", ("submit",)))
    database.read_now(lambda c: record.require_key(c, KEY, tmp_path))
    with pytest.raises(ConfigError, match="was not kept with the key in") as told:
        database.read_now(lambda c: record.require_key(c, b"x" * 32, tmp_path))
    assert "record.key" in told.value.fix


def review(database: Database, reviewer: str, now: float, **given: Any) -> tuple[Any, str]:
    task = database.write_now(lambda c: reviews.next_tasks(c, reviewer, now, 1))[0]
    answer = reviews.Answer(
        given.get("verdict", "reject"), given.get("clause", "mark"), {}, given.get("fake", False)
    )
    return task, database.write_now(lambda c: reviews.answer(c, reviewer, task.id, answer, now))


def settled(database: Database, now: float) -> Any:
    return database.write_now(lambda c: settle.settle(c, KEY, now, lambda *_: None))


def test_a_review_decides_after_ten_seconds(database: Database, policy: Any) -> None:
    name, now = take(database), time.time()
    decided(database, policy, name, value=None)
    assert live(database, name)["verdict"] == "review"
    _, given = review(database, "k_r", now)
    assert settled(database, now + 5).answers == 0
    done = settled(database, now + 11)
    assert (done.answers, done.decided) == (1, [name])
    assert live(database, name)["verdict"] == "reject"
    assert live(database, name)["decided_by"] == "k_r"
    assert settled(database, now + 12).answers == 0
    assert given.startswith("a_")
    assert whole(database) == ()


def test_an_answer_can_be_taken_back(database: Database, policy: Any) -> None:
    name, now = take(database), time.time()
    decided(database, policy, name, value=None)
    task, _ = review(database, "k_r", now)
    assert database.write_now(lambda c: reviews.undo(c, "k_other", now + 1)) is None
    assert database.write_now(lambda c: reviews.undo(c, "k_r", now + 1)) == task.id
    assert database.write_now(lambda c: reviews.undo(c, "k_r", now + 1)) is None
    assert settled(database, now + 20).answers == 0
    assert [one.id for one in database.write_now(lambda c: reviews.next_tasks(c, "k_r", now + 2))] == [
        task.id
    ]


def test_nobody_gets_anothers_photo(database: Database, policy: Any) -> None:
    for n in range(20):
        decided(database, policy, take(database, sha=f"{n:064x}"), value=None, sha=f"{n:064x}")
    now = time.time()

    def lease(n: int) -> list[str]:
        return [task.id for task in database.write_now(lambda c: reviews.next_tasks(c, f"k_{n}", now, 3))]

    with ThreadPoolExecutor(10) as pool:
        got = [name for names in pool.map(lease, range(10)) for name in names]
    assert len(got) == len(set(got)) == 20
    task = database.write_now(lambda c: reviews.next_tasks(c, "k_0", now, 1))[0]
    answer = reviews.Answer("accept", "all-right", {})
    with pytest.raises(reviews.NotYoursError, match="no longer yours"):
        database.write_now(lambda c: reviews.answer(c, "k_9", task.id, answer, now))
    with pytest.raises(reviews.NotYoursError):
        database.write_now(lambda c: reviews.answer(c, "k_0", task.id, answer, now + 1000))


def test_copies_are_one_job(database: Database, policy: Any) -> None:
    names = [take(database) for _ in range(4)]
    for name in names:
        decided(database, policy, name, value=None)
    now = time.time()
    tasks = database.write_now(lambda c: reviews.next_tasks(c, "k_r", now, 5))
    assert [task.copies for task in tasks] == [3]
    assert database.write_now(lambda c: reviews.next_tasks(c, "k_2", now, 5)) == []
    review(database, "k_r", now)
    assert sorted(settled(database, now + 11).decided) == sorted(names)
    assert {live(database, name)["verdict"] for name in names} == {"reject"}


def test_two_who_disagree_get_a_third(database: Database, policy: Any) -> None:
    name, now = take(database), time.time()
    evidence = Evidence(
        name,
        "ab" * 32,
        (500, 500),
        {"product": {"product": 0.6}, "kind": {"bag": 0.6}, "genuine": {"genuine": 0.6}},
    )
    one = decisions.Decided(name, decide(policy, Promise(None), evidence), {}, alike="ab" * 32, double=True)
    database.write_now(lambda c: decisions.keep(c, "s_1", KEY, now, [one]))
    review(database, "k_1", now, verdict="reject")
    settled(database, now + 11)
    assert database.write_now(lambda c: reviews.next_tasks(c, "k_1", now + 12)) == []
    task, _ = review(database, "k_2", now + 12, verdict="accept", clause="all-right")
    assert task.why == "double"
    assert task.blind
    settled(database, now + 30)
    task, _ = review(database, "k_3", now + 31, verdict="accept", clause="all-right")
    assert task.why == "tie"
    settled(database, now + 60)
    assert live(database, name)["verdict"] == "accept"


def test_a_confirmed_fake_is_enrolled(database: Database, policy: Any) -> None:
    name, now = take(database, item="bag-1"), time.time()
    decided(database, policy, name, value=None)
    review(database, "k_r", now, fake=True)
    assert settled(database, now + 11).fakes == [name]
    row = database.read_now(lambda c: c.execute(sql.select(REFERENCES)).one())
    assert (row.sha256, row.list, row.item) == ("ab" * 32, "fake", "bag-1")


def test_an_appeal_goes_to_somebody_else(database: Database, policy: Any) -> None:
    name, now = take(database), time.time()
    with pytest.raises(appeals.NoAppealError, match="no decision"):
        database.write_now(lambda c: appeals.appeal(c, KEY, name, "why", now))
    decided(database, policy, name, value=None)
    review(database, "k_r", now)
    settled(database, now + 11)
    database.write_now(lambda c: appeals.appeal(c, KEY, name, "it is real", now + 12))
    with pytest.raises(appeals.NoAppealError, match="before"):
        database.write_now(lambda c: appeals.appeal(c, KEY, name, "again", now + 12))
    assert database.write_now(lambda c: reviews.next_tasks(c, "k_r", now + 13)) == []
    review(database, "k_2", now + 13, verdict="accept", clause="all-right")
    settled(database, now + 30)
    assert live(database, name)["verdict"] == "accept"
    assert whole(database) == ()


def test_webhooks_are_told_in_the_same_transaction(database: Database, policy: Any) -> None:
    row = {"id": "h_1", "url": "https://x.example/y", "secret": "s", "created_at": 0.0}
    database.write_now(lambda c: c.execute(sql.insert(META.tables["hooks"]).values(**row)))
    name = take(database)
    decided(database, policy, name)
    now = time.time() + 1
    (letter,) = database.write_now(lambda c: hooks.due(c, now, now + 60))
    assert name in letter.body
    assert database.write_now(lambda c: hooks.due(c, now, now + 60)) == []
    database.write_now(lambda c: hooks.sent(c, letter, "refused", now))
    (again,) = database.write_now(lambda c: hooks.due(c, now + 3, now + 60))
    assert again.tries == 1
    database.write_now(lambda c: hooks.sent(c, again, "", now))
    assert database.read_now(lambda c: c.execute(sql.select(OUTBOX.c.state)).scalar()) == "sent"
    assert database.read_now(hooks.hook_rows)[0]["waiting"] == 0


def test_erasing_leaves_the_record_whole(database: Database, policy: Any) -> None:
    name = take(database, sender="somebody", name="secret.jpg")
    other = take(database)
    decided(database, policy, name)
    decided(database, policy, other)
    receipt = database.write_now(lambda c: erasure.erase(c, KEY, name, time.time(), "asked for"))
    assert receipt["object"] == ""  # the other photo has the same bytes
    assert len(receipt["code"]) == 64
    assert (
        database.write_now(lambda c: erasure.erase(c, KEY, other, time.time(), "asked for"))["object"]
        == "ab" * 32
    )
    with pytest.raises(erasure.NothingThereError):
        database.write_now(lambda c: erasure.erase(c, KEY, name, time.time(), "again"))
    everything = database.read_now(
        lambda c: [str(c.execute(sql.select(table)).all()) for table in META.sorted_tables]
    )
    assert not any("somebody" in rows or "secret.jpg" in rows for rows in everything)
    assert whole(database) == ()


def test_old_photos_are_found_unless_somebody_looks(database: Database, policy: Any) -> None:
    done, waits = take(database), take(database, sha="cd" * 32)
    decided(database, policy, done)
    decided(database, policy, waits, value=None, sha="cd" * 32)
    assert database.read_now(lambda c: erasure.too_old(c, time.time() - 100)) == []
    assert database.read_now(lambda c: erasure.too_old(c, time.time() + 100)) == [done]


def _exchange(connection: sql.Connection) -> None:
    rows = connection.execute(sql.select(RECORD).where(RECORD.c.seq.in_([3, 4])).order_by(RECORD.c.seq)).all()
    connection.execute(sql.delete(RECORD).where(RECORD.c.seq.in_([3, 4])))
    first, second = (dict(row._mapping) for row in rows)
    connection.execute(sql.insert(RECORD), [first | {"seq": 4}, second | {"seq": 3}])


def _put_in(connection: sql.Connection) -> None:
    last = connection.execute(sql.select(RECORD).order_by(RECORD.c.seq.desc()).limit(1)).one()
    row = dict(last._mapping) | {"seq": last.seq + 1, "previous": last.mac}
    connection.execute(sql.insert(RECORD), [row])


def _rewrite(connection: sql.Connection) -> None:
    rows = list(record.read_record(connection))
    connection.execute(sql.delete(RECORD))
    for row in rows:
        record.append(connection, b"x" * 32, row.at, [(row.kind, row.subject, json.loads(row.body))])


def _decision_put_in(connection: sql.Connection) -> None:
    row = connection.execute(sql.select(DECISIONS).where(DECISIONS.c.seq == 5)).one()
    connection.execute(sql.insert(DECISIONS), [dict(row._mapping) | {"id": new_id("d"), "photo_id": "p_new"}])


_FIFTH = sql.update(DECISIONS).where(DECISIONS.c.seq == 5)
TAMPERINGS = {
    "an entry is changed": lambda c: c.execute(sql.update(RECORD).where(RECORD.c.seq == 3).values(body="{}")),
    "an entry is deleted": lambda c: c.execute(sql.delete(RECORD).where(RECORD.c.seq == 3)),
    "the first is deleted": lambda c: c.execute(sql.delete(RECORD).where(RECORD.c.seq == 1)),
    "the last are deleted": lambda c: c.execute(sql.delete(RECORD).where(RECORD.c.seq > 6)),
    "two are exchanged": _exchange,
    "one is put in": _put_in,
    "all is written anew with another key": _rewrite,
    "a time is changed": lambda c: c.execute(sql.update(RECORD).where(RECORD.c.seq == 4).values(at=1.0)),
    "a decision is changed": lambda c: c.execute(_FIFTH.values(verdict="reject")),
    "a decision's evidence is changed": lambda c: c.execute(_FIFTH.values(body="{}")),
    "a decision's body is blanked": lambda c: c.execute(_FIFTH.values(body="")),
    "a decision is deleted": lambda c: c.execute(sql.delete(DECISIONS).where(DECISIONS.c.seq == 5)),
    "a decision is put in": _decision_put_in,
    "the last decision goes with its entry": lambda c: (
        c.execute(sql.delete(RECORD).where(RECORD.c.seq == 8)),
        c.execute(sql.delete(DECISIONS).where(DECISIONS.c.seq == 8)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", list(TAMPERINGS))
def test_every_tampering_is_found(database: Database, policy: Any, how: str) -> None:
    for n in range(8):
        decided(database, policy, take(database, sha=f"{n:064x}"), sha=f"{n:064x}")
    rows = database.read_now(lambda c: list(record.read_record(c)))
    anchors = {rows[-1].seq: rows[-1].mac}
    assert database.read_now(lambda c: record.verify(c, KEY, anchors)).faults == ()
    database.write_now(TAMPERINGS[how])
    assert database.read_now(lambda c: record.verify(c, KEY, anchors)).faults, how
