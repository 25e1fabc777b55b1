"""People's answers as data: which one holds, what a photo stands for, and why photos are left out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.answered import AnsweredService, picture, write_policy
from tests.postgres import new_database, postgres_server

from assay.service.store.export import DISAGREED, ERASED, NO_SHARE, Exported, erased_among, read_reviewed


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnsweredService]:
    address = None if request.param == "sqlite" else new_database(request.getfixturevalue("server"))
    found = AnsweredService(write_policy(tmp_path / "shapes.yaml"), address)
    yield found
    found.close()


def exported(service: AnsweredService, share: float = 0.25) -> Exported:
    return service.database.read_now(lambda c: read_reviewed(c, {service.policy.digest: share}))


def test_each_arm_has_its_weight(service):
    unsure = service.send(picture(1), "a")
    audited = service.send(picture(2), "b", "accept", audited=True)
    refused = service.send(picture(3), "c", "reject")
    service.answer(unsure, "accept", shape="square")
    service.answer(audited, "reject", "round", shape="circle")
    service.appeal(refused)
    service.answer(refused, "accept")
    found = exported(service)
    rows = {one.photo_id: one for one in found.reviewed}
    assert [(rows[p].arm, rows[p].weight) for p in (unsure, audited, refused)] == [
        ("review", 1.0),
        ("audit", 4.0),
        ("appeal", 1.0),
    ]
    assert rows[audited].truth == {"shape": "circle"}
    assert (rows[audited].verdict, rows[audited].sender) == ("reject", "b")
    assert found.answers == {"appeal": 1, "audit": 1, "review": 1}
    assert found.excluded == ()


def test_an_audited_photo_whose_sender_appeals_stands_for_itself(service):
    photo = service.send(picture(1), "a", "reject", audited=True)
    service.answer(photo, "reject", "round")
    service.appeal(photo)
    service.answer(photo, "accept", reviewer="bob")
    (row,) = exported(service).reviewed
    assert (row.arm, row.weight, row.verdict) == ("appeal", 1.0, "accept")
    assert len(row.answers) == 2


def test_two_who_disagree_wait_for_a_third(service):
    photo = service.send(picture(1), "a", double=True)
    service.answer(photo, "accept", shape="square")
    service.answer(photo, "reject", "round", reviewer="bob", shape="circle")
    found = exported(service)
    assert found.reviewed == ()
    assert found.excluded == ((photo, DISAGREED),)
    service.answer(photo, "reject", "round", reviewer="eve")
    (row,) = exported(service).reviewed
    assert (row.arm, row.weight, row.verdict, row.truth) == ("tie", 1.0, "reject", {})


def test_a_tie_over_an_audited_photo_keeps_its_weight(service):
    photo = service.send(picture(1), "a", "accept", audited=True, double=True)
    service.answer(photo, "accept")
    service.answer(photo, "reject", "round", reviewer="bob")
    service.answer(photo, "accept", reviewer="eve", shape="square")
    (row,) = exported(service).reviewed
    assert (row.arm, row.weight, row.truth) == ("tie", 4.0, {"shape": "square"})


def test_who_agree_on_the_verdict_and_not_on_the_truth_say_nothing_of_it(service):
    photo = service.send(picture(1), "a", double=True)
    service.answer(photo, "accept", shape="square")
    service.answer(photo, "accept", reviewer="bob", shape="größer 三角")
    (row,) = exported(service).reviewed
    assert (row.verdict, row.truth) == ("accept", {})


def test_what_is_not_final_erased_or_without_a_share_is_left_out(service):
    held = service.send(picture(1), "a")
    gone = service.send(picture(2), "b")
    audited = service.send(picture(3), "c", "accept", audited=True)
    service.answer(gone, "accept")
    service.answer(audited, "accept")
    service.erase(gone)
    service.answer(held, "accept", settled=False)
    found = service.database.read_now(read_reviewed)
    assert found.reviewed == ()
    assert set(found.excluded) == {(gone, ERASED), (audited, NO_SHARE)}
    assert found.held == 1


def test_the_share_comes_from_the_version_that_decided(service):
    import sqlalchemy as sql

    from assay.service.store.schema import VERSIONS

    photo = service.send(picture(1), "a", "accept", audited=True)
    service.answer(photo, "accept")
    values = dict.fromkeys(("thresholds", "name", "version", "path", "budgets", "models"), "")
    text = service.policy.path.read_text("utf-8").replace("audit: 0.25", "audit: 0.1")
    service.write(
        lambda c: c.execute(
            sql.insert(VERSIONS).values(
                id="v", policy=service.policy.digest, text=text, from_at=0.0, **values
            )
        )
    )
    (row,) = service.database.read_now(read_reviewed).reviewed
    assert row.weight == pytest.approx(10.0)


def test_bytes_are_erased_when_the_last_photo_with_them_is(service):
    import hashlib

    data = picture(1)
    first, second = service.send(data, "a"), service.send(data, "b")
    digest = hashlib.sha256(data).hexdigest()
    service.erase(first)
    assert service.database.read_now(lambda c: erased_among(c, [digest])) == {}
    service.erase(second)
    assert set(service.database.read_now(lambda c: erased_among(c, [digest]))) == {digest}
