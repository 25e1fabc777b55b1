"""What may be asked of a comparison, and what an earlier one holds it to."""

from __future__ import annotations

import pytest

from assay.errors import ConfigError
from assay.trials.request import ask_for

TWO = ["cnn", "rnn-bigru"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"equal": "parms"}, ["equal is 'parms'", "params"]),
        ({"seeds": 0}, ["seeds is 0"]),
        ({"params": 1000}, ["params is the common size of equal=params"]),
        ({"equal": "flops", "params": 1000}, ["params is the common size"]),
        ({"equal": "params", "params": 0}, ["params is 0"]),
        ({"reference": "resnet18"}, ["not among the networks"]),
        ({"tune_minutes": 0.0}, ["tune_minutes is 0"]),
        ({"equal": "params", "options": {"width": 8.0}}, ["searches the widths"]),
        ({"equal": "minutes", "options": {"epochs": 3}}, ["equal minutes", "--minutes"]),
        ({"options": {"epochs": 3, "minutes": 1.0}}, ["both epochs and minutes"]),
        ({"options": {"model": "cnn"}}, ["model is for one run"]),
        ({"options": {"seed": 1}}, ["seed is for one run"]),
        ({"options": {"sized": 1}}, ["unknown option 'sized'"]),
    ],
)
def test_contradictions_are_told(given, words):
    with pytest.raises(ConfigError) as told:
        ask_for("data", TWO, **given)
    for word in words:
        assert word in str(told.value)


def test_one_text_is_no_list():
    with pytest.raises(ConfigError, match="models is a list"):
        ask_for("data", "cnn,rnn-bigru")


def test_a_width_of_its_own_contradicts_equal_sizes():
    with pytest.raises(ConfigError, match="cnn:width=3"):
        ask_for("data", ["cnn:width=3", "csp-nano"], equal="params")


def test_more_seeds_and_networks_go_on_with_it():
    earlier = ask_for("data", TWO, seeds=2, options={"epochs": 3}).to_dict()
    assert (
        ask_for("data", [*TWO, "csp-nano"], seeds=3, reference="cnn", options={"epochs": 3}).differences(
            earlier
        )
        == []
    )


def test_other_requests_say_what_differs():
    earlier = ask_for("data", TWO, equal="params", options={"epochs": 3}).to_dict()
    other = ask_for(
        "elsewhere", ["csp-nano", "cnn"], equal="params", seeds=1, options={"epochs": 4, "size": 32}
    )
    told = "; ".join(other.differences(earlier))
    for words in (
        "data is",
        "epochs is 4, was 3",
        "size is 32, was not given",
        "rnn-bigru is not among",
        "seeds is 1, was 3",
    ):
        assert words in told
    turned = ask_for("data", ["rnn-bigru", "cnn"], equal="params", options={"epochs": 3})
    assert "which gives the size" in turned.differences(earlier)[0]
