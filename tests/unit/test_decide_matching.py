"""What a policy makes of matches: read strictly, and never more than matching may do alone."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
import yaml
from tests.shop_policy import SHOP

from assay.decide.budgets import fit_budgets
from assay.decide.decision import Fixed, by_matching, decide, differences
from assay.decide.evidence import Evidence
from assay.decide.match import Match
from assay.decide.policy import Effect
from assay.decide.policy_read import parse_policy, read_policy
from assay.errors import PolicyError

MATCHING = {
    "references": "known.references",
    "embedding": "kind",
    "item": "kind",
    "false_alarm": 0.05,
    "effects": {"known-fake": {"verdict": "reject", "clause": "known-fake"}, "copied": {"verdict": "review"}},
}
TOLD = {**copy.deepcopy(SHOP), "matching": MATCHING}
POLICY = parse_policy(TOLD, "shop")
FINE = {"product": {"product": 0.99}, "kind": {"bag": 0.97}, "genuine": {"genuine": 0.98}}
FAKE = Match("fake", "near", "a" * 64, "bag", 0.2)
EXACT = Match("fake", "exact", "b" * 64)
COPY = Match("genuine", "near", "c" * 64, "bag", 0.1)
UNLIKE = Match("genuine", "embedding", "d" * 64, "bag", 0.7, 0.03, 40)
USUAL = replace(UNLIKE, p=0.4)
LIKE = Match("fake", "embedding", "e" * 64, "bag", 0.05, 0.025, 40)


def photo(*matches, size_hw=(600, 800), unknown=(), error=None, **answers):
    return Evidence("a.jpg", "1" * 64, size_hw, {**FINE, **answers}, unknown, error, matches=matches)


def told(evidence, threshold=0.9, policy=POLICY):
    found = decide(policy, Fixed(threshold), evidence)
    return found.verdict, found.clause


def test_what_a_file_says():
    rules = POLICY.matching
    assert (rules.references, rules.embedding, rules.item, rules.false_alarm) == (
        "known.references", "kind", "kind", 0.05,
    )  # fmt: skip
    assert rules.effect("known-fake") == Effect("reject", "known-fake")
    assert rules.effect("like-fake") == Effect("review", "like-fake")
    assert rules.effect("copied") == Effect("review", "copied")
    least = parse_policy({**SHOP, "matching": {"references": "x"}}, "a").matching
    assert least.effect("known-fake") == Effect("review", "known-fake")
    assert least.effect("copied") == Effect("pass")
    assert least.false_alarm == 0.01


def test_the_references_lie_beside_the_policy(tmp_path):
    path = tmp_path / "shop.yaml"
    path.write_text(yaml.safe_dump(TOLD, allow_unicode=True), "utf-8")
    assert read_policy(path).references_path == tmp_path / "known.references"
    assert parse_policy(SHOP, "a").references_path is None


def test_a_known_fake_is_rejected_whatever_else_is_known():
    for match in (FAKE, EXACT):
        assert told(photo(match)) == ("reject", "known-fake")
        assert told(photo(match), None) == ("reject", "known-fake")  # a person has confirmed the reference
        assert told(photo(match, size_hw=(20, 20))) == ("reject", "known-fake")
        assert told(photo(match, unknown=("kind",))) == ("reject", "known-fake")
    found = decide(POLICY, Fixed(0.9), photo(USUAL, COPY, FAKE, EXACT))
    assert (found.proposed.answer, found.proposed.score, found.threshold) == ("b" * 64, 1.0, None)
    assert found.automatic
    assert told(photo(FAKE, error="broken")) == ("resubmit", "unreadable")
    assert told(photo(FAKE), policy=parse_policy(SHOP, "shop")) == ("accept", "all-right")


def test_a_rejection_by_a_match_is_audited_as_others_are():
    always = replace(POLICY, audit=1.0)
    assert decide(always, Fixed(None), photo(FAKE)).audited
    assert not decide(replace(POLICY, audit=0.0), Fixed(None), photo(FAKE)).audited


def test_nearness_in_the_eyes_of_a_network_only_asks_for_a_look():
    assert told(photo(USUAL)) == ("accept", "all-right")
    assert told(photo(UNLIKE)) == ("review", "unlike-genuine")
    assert told(photo(LIKE)) == ("review", "like-fake")
    assert told(photo(LIKE, UNLIKE)) == ("review", "like-fake")  # the smaller p
    assert told(photo(COPY)) == ("review", "copied")
    other = {"product": {"other": 0.99}}
    assert told(photo(UNLIKE, **other)) == ("reject", "no-product")  # sure of another thing
    assert told(photo(UNLIKE, **other), 0.999) == ("review", "unlike-genuine")
    found = decide(POLICY, Fixed(0.9), photo(UNLIKE))
    assert found.proposed.verdict == "accept"  # what the answers asked for


def test_what_may_be_an_edited_fake_goes_to_people():
    perhaps = replace(FAKE, distance=1.1)
    assert told(photo(perhaps)) == ("review", "like-fake")
    assert told(photo(replace(COPY, distance=1.1))) == ("accept", "all-right")
    strict = replace(POLICY, matching=replace(POLICY.matching, near=0.1))
    assert told(photo(FAKE), policy=strict) == ("review", "like-fake")
    assert told(photo(EXACT), policy=strict) == ("reject", "known-fake")


def test_another_photo_can_be_asked_for_where_a_reference_was_copied():
    rules = replace(POLICY.matching, effects={"copied": Effect("resubmit", "copied")})
    assert told(photo(COPY), None, replace(POLICY, matching=rules)) == ("resubmit", "copied")


def test_a_record_can_be_replayed_without_references_and_older_ones_are_read():
    first = decide(POLICY, Fixed(0.9), photo(FAKE, UNLIKE))
    record = json.loads(json.dumps(first.to_dict()))
    assert differences(record, POLICY, Fixed(0.9)) == []
    record["evidence"]["matches"] = []
    assert any("now 'accept'" in text for text in differences(record, POLICY, Fixed(0.9)))
    del record["evidence"]["matches"]
    assert Evidence.from_dict(record["evidence"]).matches == ()
    record["evidence"]["matches"] = [{"list": "fakes"}]
    with pytest.raises(PolicyError, match="cannot be read"):
        Evidence.from_dict(record["evidence"])


def test_digests_cover_matching_and_stay_where_there_is_none():
    plain = parse_policy(SHOP, "shop")
    assert POLICY.rules != plain.rules
    assert POLICY.digest != plain.digest
    other = copy.deepcopy(TOLD)
    other["matching"]["false_alarm"] = 0.06
    assert parse_policy(other, "shop").rules != POLICY.rules
    other["matching"]["false_alarm"] = 0.05
    assert parse_policy(other, "shop").digest == POLICY.digest


def test_thresholds_are_for_photos_that_no_match_decides():
    told_ = copy.deepcopy(TOLD)
    told_["automatic"] = {"accept": {"risk": 0.3, "confidence": 0.8}}
    policy = parse_policy(told_, "shop")
    right = {"product": "product", "label": "bag", "kind": "bag", "genuine": "genuine"}
    photos = [photo() for _ in range(40)]
    fakes = [photo(FAKE) for _ in range(9)] + [photo(UNLIKE) for _ in range(9)]
    budgets = fit_budgets(policy, photos + fakes, [right] * len(photos + fakes))
    assert budgets.used == 40
    assert by_matching(policy, fakes[0]).verdict == "reject"
    assert by_matching(policy, photos[0]) is None


def changed(*path, to):
    found = copy.deepcopy(TOLD)
    place = found
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return found


@pytest.mark.parametrize(
    ("told_", "words"),
    [
        (changed("matching", to=3), "matching is no mapping"),
        (changed("matching", "reference", to="x"), "matching: unknown key 'reference'"),
        (changed("matching", "references", to=" "), "references is empty"),
        (changed("matching", to={}), "matching: references is missing"),
        (changed("matching", "embedding", to="knd"), "embedding names no question\n  got: knd"),
        (changed("matching", "item", to="x"), "item names no question"),
        (changed("matching", "false_alarm", to=1), "false_alarm must be above 0 and below 1"),
        (changed("matching", to={"references": "x", "item": "kind"}), "item says nothing without an embedding"),
        (changed("matching", to={"references": "x", "effects": {"unlike-genuine": "review"}}), "found by an embedding"),
        (changed("matching", "near", to=1.3), "near is 1.3"),
        (changed("matching", "near", to=True), "near has a wrong value"),
        (changed("matching", "effects", "known-fak", to="review"), "did you mean known-fake?"),
        (changed("matching", "effects", "known-fake", to="reject"), "reject has no clause"),
        (changed("matching", "effects", "known-fake", to="pass"), "choose reject or review"),
        (
            changed("matching", "effects", "like-fake", to={"verdict": "reject", "clause": "known-fake"}),
            "only the photo of a confirmed fake is rejected without a person",
        ),
        (
            changed("matching", "effects", "unlike-genuine", to={"verdict": "resubmit", "clause": "copied"}),
            "unlike-genuine: resubmit is not for this",
        ),
        (changed("matching", "effects", "copied", to={"verdict": "reject", "clause": "copied"}), "choose pass"),
        (changed("examples", 0, "match", to="known-fak"), "did you mean known-fake"),
        (changed("examples", 0, "match", to="known-fake"), "comes out otherwise"),
        ({**SHOP, "examples": [{**SHOP["examples"][0], "match": "copied"}]}, "the policy matches nothing"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_place(told_, words, tmp_path):
    path = tmp_path / "shop.yaml"
    path.write_text(yaml.safe_dump(told_, allow_unicode=True), "utf-8")
    with pytest.raises(PolicyError) as found:
        read_policy(path)
    assert words in str(found.value)
    assert "shop.yaml" in str(found.value)


@pytest.mark.parametrize(
    ("match", "verdict"),
    [("known-fake", "reject"), ("like-fake", "review"), ("unlike-genuine", "review"), ("copied", "review")],
)
def test_examples_may_have_matches(match, verdict, tmp_path):
    example = {**SHOP["examples"][0], "match": match, "verdict": verdict, "clause": match}
    path = tmp_path / "shop.yaml"
    path.write_text(yaml.safe_dump({**TOLD, "examples": [example]}, allow_unicode=True), "utf-8")
    assert read_policy(path).examples[0].match == match
