"""From rights and wrongs of several seeds to summaries and tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from assay.errors import ConfigError, DatasetError
from assay.labels import ClassNames
from assay.metrics.evaluate import build_evaluation
from assay.trials.row import Row
from assay.trials.summary import (
    PairTest,
    Rights,
    gather_rights,
    pair_test,
    paired_tests,
    score_part,
    spread,
)
from assay.trials.trials import Network, Trials

N = 60


def evaluation(right: np.ndarray, paths: list[str] | None = None, groups=None):
    probs = np.where(right[:, None], [[0.8, 0.2]], [[0.3, 0.7]]).astype(np.float32)
    paths = paths or [f"{i}.png" for i in range(len(right))]
    return build_evaluation(
        probs, np.zeros(len(right), np.int64), ClassNames(["a", "b"]), paths=paths, groups=groups, draws=5
    )


def rights(groups=None, **shares: float) -> Rights:
    """Three seeds of each network; the first ``share`` of the pictures is right, a little shifted by seed."""
    by_network = {
        name: np.stack([(np.arange(N) + seed) % N < share * N for seed in range(3)]).astype(float)
        for name, share in shares.items()
    }
    return Rights(by_network, groups, {name: [0, 1, 2] for name in shares})


def test_the_spread_is_that_of_a_sample():
    found = spread([0.5, 0.6, 0.7])
    assert (found.mean, found.least, found.most) == (pytest.approx(0.6), 0.5, 0.7)
    assert found.sd == pytest.approx(0.1)
    assert spread([0.5]).sd is None


def test_a_clear_winner_is_shown_and_an_equal_is_not():
    tests = {t.a: t for t in paired_tests(rights(good=0.95, equal=0.9, poor=0.4), "good")}
    assert tests["poor"].better == "good"
    assert tests["equal"].better is None
    assert tests["poor"].by_seed == pytest.approx([-0.55, -0.55, -0.55])
    assert tests["poor"].p_holm >= tests["poor"].p
    assert tests["poor"].pictures.high < 0


def test_a_few_groups_show_nothing():
    groups = np.repeat(np.arange(3), N // 3)
    assert pair_test(rights(groups, good=0.95, poor=0.4), "poor", "good").p > 0.2


def test_the_interval_of_a_part_is_over_pictures():
    runs = [evaluation(np.arange(N) < k) for k in (40, 45, 50)]
    found = gather_rights({"net": dict(enumerate(runs))})
    score = score_part(runs, found.by_network["net"], found)
    assert score.n == N
    assert score.metrics["accuracy"].mean == pytest.approx(0.75)
    assert score.interval.value == pytest.approx(0.75)
    assert score.interval.low < 0.65 < 0.84 < score.interval.high


def test_pictures_are_brought_into_one_order():
    right = np.arange(N) < 20
    paths = [f"{i}.png" for i in range(N)]
    turned = evaluation(right[::-1], paths[::-1])
    found = gather_rights({"a": {0: evaluation(right, paths)}, "b": {0: turned}})
    assert np.array_equal(found.by_network["a"], found.by_network["b"])


def test_other_pictures_are_refused():
    right = np.ones(5, bool)
    with pytest.raises(DatasetError, match="other pictures"):
        gather_rights({"a": {0: evaluation(right)}, "b": {1: evaluation(right, list("vwxyz"))}})


def test_trials_are_read_back_as_they_were(tmp_path: Path):
    runs = [evaluation(np.arange(N) < k) for k in (40, 45)]
    found = gather_rights({"cnn": {0: runs[0]}, "rnn": {0: runs[1]}})
    networks = tuple(
        Network(
            name,
            name,
            "CNN",
            {"width": 3.0},
            10,
            20,
            seeds=(0,),
            scores={"test": score_part([run], found.by_network[name], found)},
        )
        for name, run in zip(("cnn", "rnn"), runs, strict=True)
    )
    rows = (
        Row("cnn", 0, "finished", scores={"test": {"accuracy": 0.5}}),
        Row("rnn", 0, "failed", "too small"),
    )
    tests = {"best": tuple(paired_tests(found, "rnn"))}
    trials = Trials(
        tmp_path, {"seeds": 1}, {"name": "x"}, rows, networks, tests, best="rnn", warnings=("a word",)
    )
    trials.save()
    again = Trials.load(tmp_path)
    assert again == trials
    assert again.network("cnn").accuracy("test") == pytest.approx(40 / N)
    assert [n.name for n in again.ranked] == ["rnn", "cnn"]
    assert isinstance(again.tests["best"][0], PairTest)
    table = (tmp_path / "trials.csv").read_text().splitlines()
    assert table[0].startswith("network,seed,status")
    assert table[2].endswith("too small")


def test_no_or_damaged_trials_are_told(tmp_path: Path):
    with pytest.raises(ConfigError, match="is no comparison"):
        Trials.load(tmp_path)
    (tmp_path / "trials.json").write_text(json.dumps({"rows": []}))
    with pytest.raises(DatasetError, match="damaged"):
        Trials.load(tmp_path)
