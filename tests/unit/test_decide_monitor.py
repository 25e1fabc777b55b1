"""The brake on automatic verdicts: known answers, what it counts, what it says, and what is kept of it."""

from __future__ import annotations

import json
import math

import pytest
from tests.shop_policy import SHOP

from assay.decide.bets import (
    NO_STAKES,
    anytime_bounds,
    clopper_pearson,
    evidence,
    kept_aside,
    lay,
    log_wealth,
)
from assay.decide.budgets import Budgets, Kind
from assay.decide.clauses import BUILT_IN, LANGUAGES
from assay.decide.decision import Fixed, decide, differences
from assay.decide.evidence import Evidence
from assay.decide.monitor import Monitor, Watch, Watched, watch_all
from assay.decide.policy_read import parse_policy
from assay.errors import ConfigError, PolicyError

POLICY = parse_policy(SHOP, "shop")
START = Watch("accept", "bag", 0.01, 0.95)
PHOTO = Evidence(
    "a.jpg",
    "f" * 64,
    (500, 500),
    {"product": {"product": 0.99}, "kind": {"bag": 0.98}, "genuine": {"genuine": 0.97}},
)


def kind(name, threshold=0.9, verdict="accept"):
    return Kind(verdict, name, 0.01, 0.95, threshold, 500, 0, 0.8, 0.0, None)


BUDGETS = Budgets("rules", {}, (kind("bag"), kind("shoe"), kind("hat", None)), 1500, 1500)


def test_intervals_are_those_of_the_books():
    assert clopper_pearson(0, 10).high == pytest.approx(1 - 0.025 ** (1 / 10))
    assert clopper_pearson(10, 10).low == pytest.approx(0.025 ** (1 / 10))
    found = clopper_pearson(5, 100)  # R: binom.test(5, 100)
    assert (found.low, found.high) == (pytest.approx(0.01643188), pytest.approx(0.11283491))
    nothing = clopper_pearson(0, 0)
    assert math.isnan(nothing.value)
    assert (nothing.low, nothing.high) == (0.0, 1.0)
    with pytest.raises(ConfigError, match="0 <= wrong <= observed"):
        clopper_pearson(3, 2)


def test_no_bet_gains_on_average_at_the_accepted_risk():
    for risk in (0.01, 0.2):
        for over, at in ((True, risk), (True, risk / 2), (False, risk), (False, 2 * risk)):
            mean = sum(
                p * math.exp(log_wealth(wrong, 1, risk, over=over)) for wrong, p in ((1, at), (0, 1 - at))
            )
            assert mean <= 1 + 1e-12
        stakes = lay(lay(NO_STAKES, 0, True, risk), 1, False, risk)
        before = evidence(stakes, 1, 2, risk)
        after = [evidence(lay(stakes, 2, wrong, risk), 1 + wrong, 3, risk) for wrong in (True, False)]
        assert risk * after[0] + (1 - risk) * after[1] == pytest.approx(before)
        assert after[1] < before < after[0]


def test_the_evidence_begins_at_one_and_all_is_kept_aside():
    assert START.evidence == 1.0
    assert kept_aside(0) == 1.0
    assert kept_aside(10**6) < kept_aside(10) < 1


def test_bounds_close_in_on_the_risk_and_move_with_the_answers():
    widths = []
    for n in (50, 500, 5000):
        low, high = anytime_bounds(n // 50, n, 0.95)
        assert low < 0.02 < high
        exact = clopper_pearson(n // 50, n)
        assert low <= exact.low  # to hold at every look costs width
        assert exact.high <= high
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)
    lows, highs = zip(*(anytime_bounds(wrong, 100, 0.95) for wrong in range(101)), strict=True)
    assert list(lows) == sorted(lows)
    assert list(highs) == sorted(highs)
    assert anytime_bounds(0, 0, 0.95) == (0.0, 1.0)


def test_a_lower_bound_above_the_accepted_share_means_withdrawn():
    watch = START
    for at in range(400):
        watch = watch.answered(at % 25 != 0)
        if watch.bounds[0] > watch.accepted:
            assert watch.state == "withdrawn"
            return
    pytest.fail("4 % wrong for 400 answers is above 1 %")


def test_states_come_one_after_another_and_withdrawn_stays():
    assert START.state == "kept"
    one = START.answered(False)
    assert one.state == "watched"
    two = one.answered(False)
    assert (two.state, two.withdrawn_at) == ("withdrawn", 2)
    later = two.followed([True] * 2000)
    assert (later.state, later.withdrawn_at, later.observed, later.wrong) == ("withdrawn", 2, 2002, 2)
    assert one.followed([True] * 30).state == "kept"


def test_good_answers_show_the_promise_and_one_wrong_now_and_then_is_no_matter():
    watch = START.followed([True] * 700)
    assert watch.state == "kept"
    assert watch.is_shown
    assert not START.is_shown
    assert START.followed([at % 200 != 150 for at in range(2000)]).state == "kept"


def test_a_change_after_a_long_good_time_is_seen_soon():
    good = START.followed([True] * 3000)
    bad = good.followed([at % 5 != 0 for at in range(200)])
    assert bad.withdrawn_at is not None
    assert bad.withdrawn_at - 3000 < 100
    assert bad.bounds[0] < bad.accepted  # all answers together would still look fine


def test_more_wrong_answers_never_speak_for_the_promise():
    values = [START.followed([False] * wrong + [True] * (300 - wrong)).evidence for wrong in range(2)]
    values += [START.followed([True] * (300 - wrong) + [False] * wrong).evidence for wrong in range(2, 6)]
    assert values == sorted(values)


def test_the_budget_burns():
    burn = START.followed([True] * 99 + [False]).burn
    assert burn.used == pytest.approx(1.0)
    assert burn.allowed == pytest.approx(1.0)
    exact = clopper_pearson(1, 100)
    assert (burn.low, burn.high) == (pytest.approx(100 * exact.low), pytest.approx(100 * exact.high))
    assert math.isnan(START.burn.used)


def test_words_say_state_reason_and_figures():
    assert "No verdict of this kind was audited yet" in START.words()
    kept = START.followed([True] * 100).words()
    assert "Nothing speaks against" in kept
    assert "0 of 100 audited verdicts were wrong" in kept
    assert "1 % are accepted" in kept
    assert "The audits alone show" in START.followed([True] * 700).words()
    watched = START.answered(False).words()
    assert "20 withdraws this kind" in watched
    withdrawn = START.followed([False] * 2).words()
    assert "Withdrawn with audited verdict 2" in withdrawn
    assert "at an error of 5 %" in withdrawn
    for watch in (START, START.answered(False), START.followed([False] * 2), START.followed([True] * 700)):
        assert watch.words("zh") != watch.words()
    assert "停用" in START.followed([False] * 2).words("zh")


def test_it_is_kept_as_json_and_goes_on_alike():
    watch = START.followed([True] * 40 + [False])
    again = Watch.from_dict(json.loads(json.dumps(watch.to_dict())))
    assert again == watch
    answers = [True, False] * 3
    assert again.followed(answers) == watch.followed(answers)
    monitor = watch_all(BUDGETS).answered("accept", "shoe", True)
    assert Monitor.from_dict(json.loads(json.dumps(monitor.to_dict()))) == monitor


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"wrong": 3}, "3 of 0 wrong"),
        ({"observed": "1"}, "wrong"),
        ({"accepted": 0}, "accepted 0"),
        ({"stakes": [1.0]}, "1 stakes"),
        ({"stakes": [math.inf] * len(NO_STAKES)}, "stakes"),
        ({"withdrawn_at": 4}, "withdrawn at 4 of 0"),
        ({"colour": "red"}, "colour"),
        ({"stakes": None}, "TypeError"),
    ],
)
def test_a_damaged_state_is_refused_in_words(changed, told):
    with pytest.raises(PolicyError, match="a watch cannot be read") as error:
        Watch.from_dict({**START.to_dict(), **changed})
    assert told in str(error.value)
    assert "start the monitor anew" in str(error.value)


def test_a_monitor_of_another_format_is_refused():
    told = watch_all(BUDGETS).to_dict()
    with pytest.raises(PolicyError, match="a monitor cannot be read"):
        Monitor.from_dict({**told, "format": 2})
    with pytest.raises(PolicyError, match="a monitor cannot be read"):
        Monitor.from_dict({"format": 1})


def test_only_kinds_with_a_threshold_are_watched():
    monitor = watch_all(BUDGETS)
    assert [one.name for one in monitor.watches] == ["bag", "shoe"]
    assert monitor.thresholds == BUDGETS.digest
    with pytest.raises(PolicyError, match="no audit of accept hat can be counted") as error:
        monitor.answered("accept", "hat", True)
    assert "watched: accept bag, accept shoe" in str(error.value)


def test_a_withdrawn_kind_goes_to_people_by_its_own_clause():
    monitor = watch_all(BUDGETS)
    for _ in range(2):
        monitor = monitor.answered("accept", "bag", False)
    assert monitor.withdrawn == {("accept", "bag")}
    inner = Fixed(0.9)
    found = decide(POLICY, Watched(inner, monitor.withdrawn), PHOTO)
    assert (found.verdict, found.clause, found.threshold) == ("review", "withdrawn", None)
    assert found.thresholds == Watched(inner, monitor.withdrawn).digest
    assert decide(POLICY, Watched(inner), PHOTO).verdict == "accept"
    other = Evidence("b.jpg", "f" * 64, (500, 500), {**PHOTO.answers, "kind": {"shoe": 0.98}})
    assert decide(POLICY, Watched(inner, monitor.withdrawn), other).verdict == "accept"
    assert decide(POLICY, Watched(Fixed(None), frozenset()), PHOTO).clause == "no-promise"


def test_the_digest_tells_what_is_withdrawn():
    bag, shoe = ("accept", "bag"), ("accept", "shoe")
    sets = [frozenset(), frozenset({bag}), frozenset({shoe}), frozenset({bag, shoe})]
    digests = [Watched(BUDGETS, out).digest for out in sets]
    assert len(set(digests)) == 4
    assert digests[0] == BUDGETS.digest
    assert Watched(BUDGETS, frozenset({shoe, bag})).digest == digests[3]


def test_a_decision_is_replayed_with_the_same_set_alone():
    watched = Watched(Fixed(0.9), frozenset({("accept", "bag")}))
    record = decide(POLICY, watched, PHOTO).to_dict()
    assert differences(record, POLICY, watched) == []
    assert any("clause: 'withdrawn'" in text for text in differences(record, POLICY, Fixed(0.9)))


def test_the_clause_has_words_in_all_languages():
    assert set(BUILT_IN["withdrawn"]) == set(LANGUAGES)
