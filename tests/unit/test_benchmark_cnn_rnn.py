"""The benchmark of the two families: its requests make sense, its split is fixed, its tables come from its lines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks.cnn_rnn import JOBS, MODES, NETWORKS, is_done, plain, settings, without_paths
from benchmarks.cnn_rnn_summary import summarise
from benchmarks.data.make_digits import deal

from assay.configs import Recipe
from assay.metrics.interval import proportion
from assay.trials.request import ask_for
from assay.trials.row import Row
from assay.trials.summary import Rights, paired_tests, spread
from assay.trials.trials import Network, PartScore, Trials


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize("mode", MODES)
def test_every_job_is_a_request_that_makes_sense(name, mode):
    options = settings(name, mode)
    equal, params = options.pop("equal"), options.pop("params", None)
    request = ask_for("x", NETWORKS, equal=equal, params=params, options=options)
    Recipe.from_options(request.options)
    assert is_done(
        name,
        mode,
        [{"job": f"{name}/{mode}", "settings": plain(settings(name, mode)), "networks": list(NETWORKS)}],
    )
    assert not is_done(name, mode, [])


def test_both_families_have_three_networks():
    assert sum(name.startswith("rnn-") for name in NETWORKS) >= 3
    assert sum(not name.startswith("rnn-") for name in NETWORKS) >= 3


def test_the_split_of_the_digits_is_fixed_and_stratified():
    targets = np.repeat(np.arange(3), 50)
    parts = deal(targets)
    assert parts == deal(targets)
    assert [parts[:50].count(part) for part in ("train", "validation", "test")] == [30, 10, 10]
    assert [parts[i] for i in range(6)] == deal(targets)[:6]


def line(name: str = "digits/params") -> dict:
    rng = np.random.default_rng(0)
    by_network = {
        "cnn": (rng.random((2, 50)) < 0.9).astype(float),
        "rnn-bigru": (rng.random((2, 50)) < 0.5).astype(float),
    }
    rights = Rights(by_network, None, {"cnn": [0, 1], "rnn-bigru": [0, 1]})
    networks, rows = [], []
    for network, right in by_network.items():
        scores = right.mean(1).tolist()
        part = PartScore(50, proportion(right.mean(0)), {"accuracy": spread(scores)})
        family = "RNN" if network.startswith("rnn") else "CNN"
        networks.append(
            Network(
                network,
                network,
                family,
                {},
                1000,
                2000,
                seeds=(0, 1),
                minutes=0.1,
                epochs=2.0,
                scores={"test": part, "validation": part},
            )
        )
        rows += [
            Row(
                network,
                seed,
                "finished",
                scores={"test": {"accuracy": score}},
                curve=[[1.0, 1.0, 0.3], [2.0, 2.0, 0.5]],
            )
            for seed, score in enumerate(scores)
        ]
    request = {
        "equal": "params",
        "params": 1000,
        "data": "/here/digits",
        "options": {"epochs": 2, "root": "/here"},
    }
    data = {"name": "digits", "root": "/here/digits", "parts": {"test": 50}}
    trials = Trials(
        Path(),
        request,
        data,
        tuple(rows),
        tuple(networks),
        {"best": tuple(paired_tests(rights, "cnn"))},
        best="cnn",
    )
    machine = {"cpu": "x", "cores": 2, "torch": "2"}
    return {
        "job": name,
        "machine": machine,
        "commit": "c",
        "load_before": 0.1,
        "trials": without_paths(trials.to_dict()),
    }


def test_lines_hold_no_paths_of_this_machine():
    assert "/here" not in json.dumps(line())


def test_tables_and_plots_come_from_the_lines(tmp_path: Path):
    text = summarise([line()], tmp_path)
    assert "| cnn | " in text
    assert "best on validation" in text
    assert "worse: -" in text
    assert "1,000 parameters, 2 epochs; 50 test pictures" in text
    assert {path.name for path in tmp_path.iterdir()} == {
        f"cnn-vs-rnn-{name}.svg" for name in ("accuracy", "cost", "learning")
    }
    assert "nothing to summarise" in summarise([], tmp_path)
