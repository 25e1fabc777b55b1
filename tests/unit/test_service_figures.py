"""Kappa, drift, numbers in words, truths of an answer, charts: known answers."""

from __future__ import annotations

import re

import pytest
from tests.service_stage import POLICY, budgets_of

from assay.decide.policy_read import parse_policy
from assay.service.pages import charts
from assay.service.pages.tell import moment, percent, short, span
from assay.service.pages.words import Words
from assay.service.store.drift import expected_shares, stability_index
from assay.service.store.looks import heat_question, questions, reject_reasons, resubmit_reasons
from assay.service.store.progress import cohen_kappa
from assay.service.store.truths import AnswerError, checked_answer, implied


@pytest.fixture
def policy():
    return parse_policy(POLICY, "shop")


def test_kappa_is_that_of_the_books():
    # Fleiss, Levin and Paik (2003), Statistical Methods for Rates and Proportions, table 18.3: kappa .676, s.e. .088
    found = cohen_kappa([[75, 1, 4], [5, 4, 1], [0, 0, 10]])
    assert found.value == pytest.approx(0.676, abs=5e-4)
    assert (found.high - found.low) / 2 / 1.96 == pytest.approx(0.088, abs=1e-3)


def test_kappa_of_nothing_or_of_one_answer_is_unknown():
    for table in ([[0, 0], [0, 0]], [[9, 0], [0, 0]]):
        found = cohen_kappa(table)
        assert found.value != found.value
        assert (found.low, found.high) == (-1.0, 1.0)
    assert cohen_kappa([[5, 0], [0, 5]]).value == 1.0


def test_the_index_of_the_same_shares_is_nothing(policy):
    expected = expected_shares(budgets_of(policy))
    assert sum(expected.values()) == pytest.approx(1)
    same = {cell: round(10_000 * share) for cell, share in expected.items() if share}
    assert stability_index(expected, same, 5000) == 0.0
    half = {("a", True): 0.5, ("b", True): 0.5}
    # (0.9 - 0.5) ln(0.9 / 0.5) + (0.1 - 0.5) ln(0.1 / 0.5) = 0.8789
    assert stability_index(half, {("a", True): 90_000, ("b", True): 10_000}, 10**9) == pytest.approx(
        0.8789, abs=1e-3
    )


def test_numbers_are_told_in_two_digits():
    told = [percent(share).replace("\u202f", " ") for share in (0.0043, 0.012, 0.5, 0.997, 1, 0)]
    assert told == ["0.43 %", "1.2 %", "50 %", "99.7 %", "100 %", "0 %"]
    assert percent(None) == percent(float("nan")) == "–"
    words = Words("en")
    assert [span(s, words) for s in (3, 61, 5000, 7200, 86400 * 3)] == [
        "3 s",
        "1 min",
        "83 min",
        "2 h",
        "3 d",
    ]
    assert moment(0) == "1970-01-01 00:00"
    assert short("a" * 20, 5) == "aaaaa…"


def test_truths_follow_from_a_verdict_only_where_one_answer_can_be_meant(policy):
    assert implied(policy, "accept", "all-right") == {"product": "product", "sharp": "sharp"}
    assert implied(policy, "reject", "no-product") == {"product": "other"}
    assert implied(policy, "reject", "not-allowed") == {}
    assert implied(policy, "reject", "known-fake", fake=True) == {"genuine": "suspect"}
    given = checked_answer(policy, "reject", "mark", {"kind": "bag"}, note="  x ")
    assert (given.truth, given.note) == ({"genuine": "suspect", "kind": "bag"}, "x")
    with pytest.raises(AnswerError, match="does not pass"):
        checked_answer(policy, "accept", "", {"genuine": "suspect"})


def test_reasons_are_those_of_the_policy(policy):
    assert reject_reasons(policy) == ["no-product", "mark", "not-allowed"]
    assert resubmit_reasons(policy) == ["blurred", "too-small", "unreadable"]
    assert heat_question(policy, {"question": "genuine"}) == "genuine"
    assert heat_question(policy, None) == "kind"


def test_options_are_the_machines_first_and_all_of_them_in_the_menu(policy):
    seen = {"answers": {"kind": {"a": 0.1, "b": 0.7, "c": 0.1, "d": 0.05, "e": 0.05}}, "unknown": ["kind"]}
    kind = questions(policy, seen, {"kind": ("a", "f", "g")})[1]
    assert [option["name"] for option in kind["options"]] == ["b", "a", "c", "d"]
    assert kind["options"][0]["checked"]
    assert kind["more"] == ["e", "f", "g"]
    assert kind["unknown"]
    assert not kind["sure"]
    blind = questions(policy, {}, {"kind": tuple("abcdefghijk")})[1]
    assert [len(blind["options"]), blind["more"]] == [9, ["j", "k"]]
    assert not any(option["checked"] for option in blind["options"])


def test_charts_are_drawn_to_scale_and_escaped():
    bars = [("<1>", {"accept": 3, "reject": 1}), ("2", {}), ("3", {"accept": 2})]
    drawn = charts.stacked(bars, [("accept", "A"), ("reject", "R")], 'photos "&"')
    tall = [float(value) for value in re.findall(r'class="c-\w+"[^>]*height="([\d.]+)"', drawn)]
    assert tall == pytest.approx([tall[0], tall[0] / 3, 2 * tall[0] / 3], abs=0.1)
    assert "&lt;1&gt;" in drawn
    assert 'aria-label="photos &#34;&amp;&#34;"' in drawn
    empty = charts.columns([("a", 0.0)], "none")
    assert "NaN" not in empty
    line = charts.lines([("a", 0.1, True), ("b", None, False), ("c", 0.3, False)], [(0.25, "far")], "drift")
    assert line.count("<circle") == 2
    assert line.count("few") == 1
