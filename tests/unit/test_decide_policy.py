"""A policy's file: what it says, and what is said of mistakes in it."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml
from tests.shop_policy import SHOP

from assay.decide.policy import Effect, Risk
from assay.decide.policy_read import parse_policy, read_policy
from assay.errors import PolicyError


def write(path, told=SHOP):
    path.write_text(yaml.safe_dump(told, allow_unicode=True, sort_keys=False), "utf-8")
    return path


def test_what_a_file_says(tmp_path):
    policy = read_policy(write(tmp_path / "shop.yaml"))
    assert [one.name for one in policy] == ["product", "kind", "genuine"]
    assert policy.version == "3"
    assert policy.risks == {"accept": Risk(0.01), "reject": Risk(0.02, 0.9)}
    assert policy.question("product").effect("other") == Effect("reject", "no-product")
    assert policy.question("kind").effect("whatever") == Effect("pass")
    assert policy.question("product").effect("never named") == Effect("review", "rule")
    assert policy.question("kind").truth == "label"
    assert policy.question("product").truth == "product"
    assert policy.words("mark", "zh") == "商标与正品不一致。"
    assert policy.words("unsure").endswith("a person looks at it.")
    assert policy.model_path(policy.question("kind")) == tmp_path / "kind.bundle"


def test_words_and_costs_change_the_policy_but_not_its_rules():
    first = parse_policy(SHOP, "a")
    told = copy.deepcopy(SHOP)
    told["clauses"]["mark"]["en"] = "Another word."
    told["costs"]["review"] = 1
    other = parse_policy(told, "a")
    assert other.digest != first.digest
    assert other.rules == first.rules
    told["questions"]["kind"]["model"] = "elsewhere/kind.bundle"
    assert parse_policy(told, "a").rules == first.rules
    told["automatic"]["accept"]["risk"] = 0.02
    assert parse_policy(told, "a").rules != first.rules


def changed(*path, to):
    told = copy.deepcopy(SHOP)
    place = told
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return told


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (changed("automatic", "accept", "risk", to=0), "risk must be above 0 and below 1"),
        (changed("automatic", "acept", to={"risk": 0.1}), "did you mean accept?"),
        (changed("automatic", "accept", "rsk", to=1), "unknown key 'rsk'"),
        (changed("questions", to={}), "questions has none"),
        (changed("questions", "product", "model", to=7), "model has a wrong value"),
        (changed("questions", "product", "head", to="mask"), "head is 'mask'"),
        (changed("questions", "product", "answers", "other", to="reject"), "reject has no clause"),
        (
            changed(
                "questions", "product", "answers", "other", to={"verdict": "reject", "clause": "no-prodct"}
            ),
            "did you mean no-product",
        ),
        (changed("questions", "product", "answers", "other", to="pas"), "did you mean pass?"),
        (
            changed("questions", "genuine", "answers", "suspect", to={"verdict": "reject", "clause": "mark"}),
            "a network's score alone never rejects one",
        ),
        (changed("by", to="colour"), "by names no question"),
        (changed("clauses", "mark", to={"en": "only one"}), "zh is missing"),
        (changed("version", to=None), "version has a wrong value"),
        (changed("costs", "review", to=-1), "review has a wrong value"),
        (changed("audit", to=2), "audit must be from 0 to 1"),
        (changed("format", to=2), "format is 2"),
        (changed("examples", 0, "verdict", to="yes"), "no verdict 'yes'"),
        (
            changed("examples", 0, "answers", to={"product": {"product": 1.0}}),
            "does not answer each question",
        ),
        (changed("examples", 0, "answers", "product", to={"product": 2}), "needs answers with probabilities"),
        ([1, 2], "is no mapping"),
    ],
)
def test_mistakes_are_told_with_their_place(told, words, tmp_path):
    with pytest.raises(PolicyError) as found:
        read_policy(write(tmp_path / "shop.yaml", told))
    assert words in str(found.value)
    assert "shop.yaml" in str(found.value)


def test_an_example_that_comes_out_otherwise_refuses_the_policy(tmp_path):
    told = changed("examples", 0, "verdict", to="review")
    with pytest.raises(PolicyError, match=r"number 1 comes out otherwise\n  got: accept \(all-right\)"):
        read_policy(write(tmp_path / "shop.yaml", told))


def test_files_that_are_no_policy(tmp_path):
    with pytest.raises(PolicyError, match="is no file"):
        read_policy(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1\nb: 2", "utf-8")
    with pytest.raises(PolicyError, match="line 2 is no YAML"):
        read_policy(tmp_path / "bad.yaml")
    (tmp_path / "code.yaml").write_text("!!python/object/apply:os.system ['true']", "utf-8")
    with pytest.raises(PolicyError, match="is no YAML"):
        read_policy(tmp_path / "code.yaml")
    (tmp_path / "twice.yaml").write_text("name: a\nversion: 1\nname: b\n", "utf-8")
    with pytest.raises(PolicyError, match="the key 'name' stands twice"):
        read_policy(tmp_path / "twice.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(PolicyError, match="too large"):
        read_policy(tmp_path / "large.yaml")


@pytest.mark.parametrize("page", ["screening.md", "screening.zh-CN.md"])
def test_the_guides_policy_can_be_read(page, tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "guides" / page).read_text("utf-8")
    (tmp_path / "shop.yaml").write_text(text.split("```yaml\n")[1].split("```")[0], "utf-8")
    assert len(read_policy(tmp_path / "shop.yaml").examples) == 3
