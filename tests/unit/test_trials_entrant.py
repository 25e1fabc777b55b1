"""Networks as their users write them."""

from __future__ import annotations

import pytest

from assay.errors import ConfigError
from assay.trials.entrant import read_entrant, read_entrants, read_names


def test_a_name_with_options_of_its_own():
    entrant = read_entrant("cnn:width=24:depth=3")
    assert (entrant.model, dict(entrant.options)) == ("cnn", {"width": 24.0, "depth": 3.0})
    assert entrant.name == "cnn:width=24:depth=3"
    assert entrant.slug == "cnn-width-24-depth-3"


def test_values_are_read_by_their_type():
    options = read_entrant("csp-nano:ema=no:batch=8:crop-scale=0.2,1.0:lr=auto:optimiser=sgd").options
    assert options == {"ema": False, "batch": 8, "crop_scale": [0.2, 1.0], "lr": None, "optimiser": "sgd"}


def test_a_list_inside_an_option_does_not_split_the_names():
    assert read_names("cnn:crop_scale=0.2,1.0, rnn-bigru,csp-nano") == [
        "cnn:crop_scale=0.2,1.0",
        "rnn-bigru",
        "csp-nano",
    ]


@pytest.mark.parametrize(
    ("name", "family"),
    [("cnn", "CNN"), ("rnn-bigru", "RNN"), ("vit_tiny_patch16_224", "transformer"), ("resnet18", "timm")],
)
def test_families(name, family):
    assert read_entrant(name).family == family


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cnn:widht=3", ["unknown option 'widht'", "width"]),
        ("cnn:width=wide", ["width needs a number", "'wide'"]),
        ("cnn:ema=perhaps", ["ema needs yes or no"]),
        ("cnn:width", ["'width' of 'cnn:width' is no option", "NAME:option=value"]),
        ("cnn:seed=3", ["seed is the same for all", "--seeds"]),
        ("cnn:epochs=3", ["epochs is the same for all", "--epochs"]),
        ("cnn:label_column=x", ["label_column is the same for all"]),
        ("cnn:width=5000", ["the most is 1024"]),
        (":width=3", ["no name"]),
    ],
)
def test_mistakes_are_told(text, words):
    with pytest.raises(ConfigError) as told:
        read_entrant(text)
    for word in words:
        assert word in str(told.value)


@pytest.mark.parametrize(
    ("names", "word"),
    [([], "at least two"), (["cnn"], "only cnn"), (["cnn", "CNN"], "named twice"), (["cnn", "cnn"], "twice")],
)
def test_a_comparison_has_two_different_networks(names, word):
    with pytest.raises(ConfigError, match=word):
        read_entrants(names)
