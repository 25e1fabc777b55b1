"""What follows from a person's verdict: the one answer that it leaves, or nothing."""

from __future__ import annotations

import pytest

from assay.decide.policy import Effect, Policy, Question
from assay.decide.truths import answers_named, contradicts, implied_truth

PASS = Effect("pass")
POLICY = Policy(
    "shop",
    "1",
    (
        Question("product", "p", {"product": PASS, "other": Effect("reject", "no-product")}),
        Question(
            "kind", "k", {"*": PASS, "knife": Effect("reject", "arms"), "gun": Effect("reject", "arms")}
        ),
        Question("mark", "m", {"genuine": PASS, "suspect": Effect("review", "mark")}, counterfeit=True),
        Question("view", "v", {"front": PASS, "*": Effect("resubmit", "turn")}),
    ),
    {},
)
KNOWN = answers_named(POLICY, {"kind": ["bag", "knife", "gun"], "view": ["front", "back"]})


def test_answers_are_those_of_the_network_and_of_the_policy():
    assert KNOWN == {
        "product": ("product", "other"),
        "kind": ("bag", "knife", "gun"),
        "mark": ("genuine", "suspect"),
        "view": ("front", "back"),
    }


@pytest.mark.parametrize(
    ("verdict", "clause", "said", "follows"),
    [
        (
            "accept",
            "all-right",
            {},
            {"product": "product", "kind": "bag", "mark": "genuine", "view": "front"},
        ),
        ("accept", "all-right", {"kind": "bag"}, {"product": "product", "mark": "genuine", "view": "front"}),
        ("reject", "no-product", {}, {"product": "other"}),
        ("reject", "arms", {}, {}),
        ("reject", "mark", {}, {"mark": "suspect"}),
        ("resubmit", "turn", {}, {"view": "back"}),
        ("reject", "no-product", {"product": "product"}, {}),
        ("reject", "unreadable", {}, {}),
        ("reject", "", {}, {}),
        ("accept", "all-right", {"kind": "knife"}, {}),
    ],
)
def test_only_what_leaves_no_doubt_follows(verdict, clause, said, follows):
    assert implied_truth(POLICY, verdict, clause, said, KNOWN) == follows


def test_two_kinds_that_pass_name_none():
    known = answers_named(POLICY, {"kind": ["bag", "shoe"]})
    assert "kind" not in implied_truth(POLICY, "accept", "", {}, known)


def test_an_accept_against_its_own_words_contradicts():
    assert contradicts(POLICY, "accept", {"kind": "knife"})
    assert not contradicts(POLICY, "accept", {"mark": "suspect"})
    assert not contradicts(POLICY, "reject", {"kind": "bag", "unknown": "x"})
