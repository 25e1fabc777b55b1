"""What the pages read and write behaves alike on SQLite and on PostgreSQL: every test runs on both."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from tests.postgres import new_database, postgres_server
from tests.served import drawn
from tests.service_stage import Stage, answers, staged

from assay.decide.match import Match
from assay.decide.monitor import watch_all
from assay.service.live import read_monitor
from assay.service.store import drift, enrolled, figures, looks, progress, reviews, stories
from assay.service.store.erasure import erase
from assay.service.store.hooks import announce
from assay.service.store.schema import HOOKS, OUTBOX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UNSURE = answers(kind={"bag": 0.55, "shoe": 0.45})


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    address = None if request.param == "sqlite" else new_database(request.getfixturevalue("server"))
    with staged(tmp_path, database=address) as found:
        yield found


def test_traffic_stands_in_the_bar_of_its_time(stage):
    now = 1_800_000_000.0 + 1800
    for hours, said in ((0, None), (0, UNSURE), (5, None), (30, None)):
        stage.photo(drawn(hours), at=now - 3600 * hours, said=said)
    with stage.database.reading() as connection:
        day = figures.traffic(connection, now, "day")
        month = figures.traffic(connection, now, "month")
    assert day["totals"] == {
        "photos": 3, "automatic": 2, "automatic_share": pytest.approx(2 / 3), "verdicts": {"accept": 2, "review": 1},
    }  # fmt: skip
    filled = {i: bar["verdicts"] for i, bar in enumerate(day["bars"]) if bar["verdicts"]}
    assert filled == {23: {"accept": 1, "review": 1}, 18: {"accept": 1}}
    assert month["totals"]["photos"] == 4


def test_the_queue_is_told_by_kind_and_age(stage):
    now = time.time()
    stage.photo(drawn(1), at=now - 30, said=UNSURE)
    stage.photo(drawn(2), at=now - 7000, said=UNSURE, double=True)
    with stage.database.reading() as connection:
        told = figures.queue(connection, now)
    assert (told["open"], told["ages"]["10min"], told["ages"]["4h"]) == (3, 1, 2)
    assert told["kinds"]["review"]["open"] == 2
    assert told["oldest_s"] == pytest.approx(7000, abs=5)


def test_audits_make_precision_recall_and_agreement(stage):
    now = time.time()
    keys = [stage.key(name, "review")[0].id for name in ("one", "two")]
    for seed in range(8):
        stage.photo(drawn(seed), audited=True, double=True, at=now - 100)
    stage.photo(drawn(20), said=UNSURE, at=now - 100)
    for reviewer in keys:
        while True:
            tasks = stage.database.write_now(lambda c, r=reviewer: reviews.next_tasks(c, r, now, 20))
            if not tasks:
                break
            for task in tasks:
                given = reviews.Answer("accept", "all-right", {})
                stage.database.write_now(
                    lambda c, r=reviewer, t=task.id, g=given: reviews.answer(c, r, t, g, now)
                )
    assert stage.settle(60).answers == 17
    with stage.database.reading() as connection:
        monitor = read_monitor(connection, stage.budgets)
        kinds = figures.kinds(connection, stage.budgets, monitor, 0.0)
        recall = figures.recall(connection, 0.0)
        agreed = progress.agreement(connection, 0.0)
        people = progress.people(connection, 0.0)
        mine = progress.own_progress(connection, keys[0], now)
    bag = next(one for one in kinds if one["name"] == "bag")
    assert (bag["automatic"], bag["audited"], bag["wrong"], bag["precision"]["value"]) == (8, 8, 0, 1.0)
    # eight accepted by the machine, one by a person: 8 / 9 by itself
    assert recall[0]["recall"]["value"] == pytest.approx(8 / 9)
    assert (agreed["pairs"], agreed["same"], agreed["table"][0][0]) == (8, 8, 8)
    assert agreed["kappa"]["value"] is None  # both only ever said one thing
    assert {one["name"] for one in people} == {"one", "two"}
    assert mine["pairs"] == 8
    assert mine["agreed"] == 1.0


def test_drift_is_seen_and_chance_is_not(stage):
    now = time.time()
    seed = 0
    for (name, is_sure), share in drift.expected_shares(stage.budgets).items():
        sure = 0.99 if is_sure else 0.6
        said = answers(kind={name: sure, "x": round(1 - sure, 2)})
        if name == "no-product":
            said = answers(product={"other": sure, "product": round(1 - sure, 2)})
        elif name == "blurred":
            said = answers(sharp={"blurred": sure, "sharp": round(1 - sure, 2)})
        for _ in range(round(200 * share)):
            stage.photo(drawn(seed := seed + 1), at=now - 60, said=said)
    with stage.database.reading() as connection:
        calm = drift.drift(connection, stage.budgets, now)
    for place in range(120):
        stage.photo(drawn(1000 + place), at=now - 50, said=answers(kind={"lamp": 0.99, "x": 0.01}))
    with stage.database.reading() as connection:
        moved = drift.drift(connection, stage.budgets, now)
        none = drift.drift(connection, type(stage.budgets)("", {}, (), 0, 0), now)
    assert calm["last"] < 0.1
    assert calm["told"] == "stable"
    assert moved["last"] > 0.25
    assert moved["told"] == "shifted"
    assert none["last"] is None


def test_webhooks_tell_their_failure(stage):
    now = time.time()
    hook = {"id": "h_1", "url": "https://shop.example", "secret": "s", "created_at": now}
    stage.database.write_now(lambda c: c.execute(HOOKS.insert().values(**hook)))
    stage.photo(drawn(1))
    with stage.database.reading() as connection:
        assert figures.hooks(connection)["failing"] == 0
    stage.database.write_now(lambda c: c.execute(OUTBOX.update().values(tries=2, failure="503")))
    late = {"photo_id": "p", "id": "d", "verdict": "accept", "clause": "c", "automatic": True}
    stage.database.write_now(lambda c: announce(c, now + 9, [late]))  # not tried yet: says nothing
    with stage.database.reading() as connection:
        told = figures.hooks(connection)
    assert told["failing"] == 1
    assert (told["list"][0]["waiting"], told["list"][0]["failure"]) == (2, "503")


def test_a_look_tells_what_matches_and_what_the_sender_sent_before(stage):
    fake = stage.photo(drawn(1), item="bag", sender="anna")
    genuine = stage.photo(drawn(2), item="bag", sender="anna")
    key = stage.home.key
    for photo_id, kind in ((fake, "fake"), (genuine, "genuine")):
        stage.database.write_now(
            lambda c, p=photo_id, k=kind: enrolled.add_reference(c, key, p, k, "k_me", time.time())
        )
    with stage.database.reading() as connection:
        listed = enrolled.list_references(connection)
    digest = next(one["sha256"] for one in listed if one["list"] == "fake")
    matches = (Match("fake", "near", digest, "bag", 0.02), Match("genuine", "near", "9" * 64, None, 0.1))
    stage.photo(drawn(3), said=UNSURE, item="bag", sender="anna", matches=matches)
    reviewer = stage.key("r", "review")[0].id
    (task,) = stage.database.write_now(lambda c: reviews.next_tasks(c, reviewer, time.time()))
    with stage.database.reading() as connection:
        told = looks.look(connection, stage.policy, task, "zh", {"kind": ("bag", "shoe", "sofa")})
    assert {one["photo_id"] for one in told["earlier"]} == {fake, genuine}
    shown = {(one["photo_id"], one["list"]) for one in told["references"]}
    assert shown == {(fake, "fake"), (None, "genuine"), (genuine, "genuine")}
    assert told["reject_reasons"][0]["words"] == "照片中没有可出售的商品。"
    assert "sofa" in {
        name for q in told["questions"] for name in [*q["more"], *(o["name"] for o in q["options"])]
    }
    stage.database.write_now(lambda c: erase(c, key, fake, time.time(), "test"))
    with stage.database.reading() as connection:
        told = looks.look(connection, stage.policy, task, "en")
        listed = enrolled.list_references(connection)
    assert {(one["photo_id"], one["list"]) for one in told["references"]} == {
        (None, "fake"), (None, "genuine"), (genuine, "genuine"),
    }  # fmt: skip
    assert {one["list"]: one["shown"] for one in listed} == {"fake": False, "genuine": True}


def test_a_story_has_every_decision_and_entry(stage):
    photo = stage.photo(drawn(1), said=UNSURE, key="k_shop")
    reviewer = stage.key("ruth", "review")[0].id
    (task,) = stage.database.write_now(lambda c: reviews.next_tasks(c, reviewer, time.time()))
    given = reviews.Answer("reject", "mark", {})
    stage.database.write_now(lambda c: reviews.answer(c, reviewer, task.id, given, time.time()))
    stage.settle()
    with stage.database.reading() as connection:
        told = stories.story(connection, stage.policy, photo, "en")
        latest = stories.latest_of_key(connection, "k_shop")
    assert [(one["verdict"], one["live"]) for one in told["decisions"]] == [
        ("reject", True),
        ("review", False),
    ]
    assert told["decisions"][0]["why"] == "review"
    assert told["people"][reviewer] == "ruth"
    assert [one["kind"] for one in told["entries"]] == ["decision", "decision"]
    assert json.loads(told["entries"][1]["body"])["instead_of"] == told["decisions"][1]["id"]
    assert [(one["id"], decision["verdict"]) for one, decision in latest] == [(photo, "reject")]


def test_versions_are_told_with_their_networks(stage):
    with stage.database.reading() as connection:
        (version,) = figures.versions(connection)
        assert figures.live_since(connection) == version["from_at"]
    assert version["models"]["kind"].startswith("kind.bundle")
    assert watch_all(stage.budgets).thresholds == stage.budgets.digest
