"""Networks of one size: widths are found, and what cannot be brought there is told."""

from __future__ import annotations

import pytest

from assay.configs import ModelConfig
from assay.errors import ConfigError
from assay.models.build import build_model
from assay.trials.lineup import check_networks, line_up
from assay.trials.request import ask_for
from assay.trials.scale import fit_width, macs_of, measure_by, parameters_of

NETWORKS = ("cnn", "resnet9", "csp-nano", "rnn-bilstm", "rnn-bigru", "rnn-renet", "rnn-mingru")


def test_the_count_is_that_of_the_real_network():
    config = ModelConfig(model="cnn", width=4, depth=2)
    assert parameters_of(config, 3, 3) == sum(p.numel() for p in build_model(config, 3).parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_comes_near_a_size(name):
    found = fit_width(ModelConfig(model=name), 400_000, measure_by("params", 10, 3, 32), "parameters")
    assert found.note == ""
    assert abs(found.size / 400_000 - 1) <= 0.05
    width = ModelConfig(model=name, width=found.width)
    assert parameters_of(width, 10, 3) == found.size


def test_multiply_adds_are_made_equal_at_the_size_of_the_pictures():
    found = fit_width(ModelConfig(model="cnn"), 2_000_000, measure_by("flops", 10, 3, 32), "multiply-adds")
    assert macs_of(ModelConfig(model="cnn", width=found.width), 10, 3, 32) == found.size
    assert abs(found.size / 2_000_000 - 1) <= 0.12


def test_what_is_out_of_reach_says_so():
    tiny = fit_width(ModelConfig(model="csp-nano"), 100, measure_by("params", 10, 3, 32), "parameters")
    assert "csp-nano: its smallest has" in tiny.note
    assert "more than 100" in tiny.note
    huge = fit_width(ModelConfig(model="cnn"), 10**12, measure_by("params", 10, 3, 32), "parameters")
    assert "cnn: its largest has" in huge.note
    assert "fewer than" in huge.note


def test_a_network_without_a_width_keeps_its_size():
    found = fit_width(
        ModelConfig(model="mobilenetv3_small_050"), 1000, measure_by("params", 10, 3, 32), "parameters"
    )
    assert found.width is None
    assert "no width to change" in found.note


def test_the_first_network_gives_the_size_where_none_is_wished():
    request = ask_for("x", ["cnn:depth=2", "rnn-bigru"], equal="params", options={"size": 32})
    first, second = line_up(request, 3)
    assert "width" not in first.options or first.note == ""
    assert abs(second.parameters / first.parameters - 1) <= 0.05
    assert first.macs > 0


def test_no_equality_leaves_networks_as_they_are():
    first, second = line_up(ask_for("x", ["cnn", "csp-nano"], options={"size": 32}), 3)
    assert "width" not in first.options
    assert second.parameters == parameters_of(ModelConfig(model="csp-nano"), 3, 3)


def test_an_unknown_network_is_told_before_any_work():
    with pytest.raises(ConfigError, match="nosuchnet"):
        check_networks(ask_for("x", ["cnn", "nosuchnet"]))
    with pytest.raises(ConfigError, match="cnn: cnn has no shortcuts"):
        check_networks(ask_for("x", ["csp-nano", "cnn"], options={"drop_path": 0.1}))
