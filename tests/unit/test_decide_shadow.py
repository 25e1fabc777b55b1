"""A candidate beside the live policy: counts by hand, intervals over senders, the gravest differences first."""

from __future__ import annotations

import json
import math

import pytest

from assay.decide.shadow import Shadowed, compare_shadow, compare_streams
from assay.errors import PolicyError
from assay.metrics.interval import wilson


def rows(*pairs: tuple[str, str], sender: str = "") -> list[Shadowed]:
    return [Shadowed(f"p{i}", live, shadow, sender) for i, (live, shadow) in enumerate(pairs)]


def test_counts_and_shares():
    found = compare_shadow(
        rows(*[("accept", "accept")] * 6, ("accept", "review"), ("review", "accept"), ("reject", "accept"),
             ("review", "review"))
    )  # fmt: skip
    assert found.n == 10
    assert found.table["accept"] == {"accept": 6, "reject": 0, "resubmit": 0, "review": 1}
    assert (found.agreement.value, found.agreement.low) == (0.7, wilson(7, 10).low)
    assert found.by_verdict["accept"].value == pytest.approx(6 / 7)
    assert math.isnan(found.by_verdict["resubmit"].value)
    assert (found.automatic_live.value, found.automatic_shadow.value) == (0.8, 0.8)
    assert found.automatic_change.value == 0.0
    assert found.automatic_change.low < 0 < found.automatic_change.high
    assert (found.different, [one.photo for one in found.disagreements]) == (3, ["p8", "p6", "p7"])
    json.dumps(found.to_dict(), allow_nan=False)


def test_the_gravest_come_first_and_the_list_has_an_end():
    found = compare_shadow(rows(("accept", "review"), ("resubmit", "accept"), ("reject", "accept")), most=2)
    assert [(one.photo, one.gravity) for one in found.disagreements] == [("p2", 3), ("p1", 2)]
    assert found.different == 3


def test_photos_of_one_sender_count_less():
    alone = compare_shadow(rows(*[("accept", "accept")] * 30, *[("accept", "review")] * 10))
    together = compare_shadow(
        [*rows(*[("accept", "accept")] * 30, sender="a"), *rows(*[("accept", "review")] * 10, sender="b")]
    )
    assert together.agreement.value == alone.agreement.value
    assert together.agreement.high - together.agreement.low > alone.agreement.high - alone.agreement.low


def test_streams_are_joined_by_photo():
    live = [("a", "accept"), ("b", "review"), ("c", "reject")]
    found = compare_streams(live, [("c", "reject"), ("b", "accept"), ("d", "accept")], {"b": "seller"})
    assert (found.n, found.only_live, found.only_shadow) == (2, 1, 1)
    assert [(one.photo, one.sender) for one in found.disagreements] == [("b", "seller")]


def test_nothing_is_no_failure():
    found = compare_shadow([])
    assert (found.n, found.different) == (0, 0)
    json.dumps(found.to_dict(), allow_nan=False)


def test_refusals():
    with pytest.raises(PolicyError, match="stands twice among the live"):
        compare_streams([("a", "accept"), ("a", "reject")], [])
    with pytest.raises(PolicyError, match="has no verdict"):
        compare_shadow(rows(("accept", "perhaps")))
