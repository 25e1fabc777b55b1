"""The command decides by what it is given, and says what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from assay.cli.commands.compare import _count
from assay.errors import ConfigError
from assay.labels import ClassNames
from assay.metrics.evaluate import build_evaluation

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def evaluations(tmp_path: Path) -> tuple[Path, Path]:
    """Two runs' evaluations as files: the second one is right on more pictures."""
    found = []
    for name, right in (("old", 12), ("new", 28)):
        targets = np.arange(30) % 3
        said = np.where(np.arange(30) < right, targets, (targets + 1) % 3)
        probs = np.full((30, 3), 0.05, np.float32)
        probs[np.arange(30), said] = 0.9
        evaluation = build_evaluation(
            probs,
            targets,
            ClassNames(["a", "b", "c"]),
            paths=[f"{i}.png" for i in range(30)],
            part="test",
            model=name,
        )
        found.append(evaluation.save(tmp_path / name))
    return found[0], found[1]


def test_two_evaluations_give_a_verdict_and_a_page(
    cli: Callable[..., Any], evaluations: tuple[Path, Path], tmp_path: Path
) -> None:
    told = cli("compare", *evaluations, "--out", tmp_path / "page.html")
    assert told.code == 0, told.err
    assert "new is better than old by 53.3 points" in told.out
    assert "old wrong" in told.out
    assert (tmp_path / "page.html").read_text().count("<figure") > 3


def test_json_is_one_object(cli: Callable[..., Any], evaluations: tuple[Path, Path], tmp_path: Path) -> None:
    told = cli("compare", *evaluations, "--json", "--out", tmp_path / "page.html")
    values = json.loads(told.out)
    assert values["better"] == "new"
    assert values["only_b"] == 16
    assert values["page"].endswith("page.html")


def test_the_page_lands_in_comparisons(
    cli: Callable[..., Any], evaluations: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("compare", *evaluations).code == 0
    assert (tmp_path / "comparisons" / "old-and-new.html").is_file()


def test_data_without_models(cli: Callable[..., Any], photos: Path) -> None:
    told = cli("compare", photos)
    assert told.code == 2
    assert "is no run" in told.err
    assert "--models cnn,rnn-bigru" in told.err


def test_one_run_and_three_runs(cli: Callable[..., Any], evaluations: tuple[Path, Path]) -> None:
    one, two = evaluations
    for places, got in (([one], "only"), ([one, two, one], "3 runs")):
        told = cli("compare", *places)
        assert told.code == 2
        assert "two runs are compared" in told.err
        assert got in told.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--models", "cnn"], "at least two networks"),
        (["--models", "cnn,nosuchnet"], "nosuchnet"),
        (["--models", "cnn,csp-nano", "--equal", "parms"], "did you mean params"),
        (["--models", "cnn,csp-nano", "--seeds", "0"], "seeds is 0"),
        (["--models", "cnn,csp-nano", "--params", "many"], "a size is a number"),
        (["--models", "cnn,csp-nano", "--part", "test"], "--part is for two runs"),
        (["--models", "cnn,csp-nano", "--size", "3"], "size is 3"),
        (["--models", "cnn,csp-nano", "--seed", "3"], "unknown option --seed"),
    ],
)
def test_bad_requests_leave_nothing_behind(
    cli: Callable[..., Any], photos: Path, tmp_path: Path, words: list[str], told: str
) -> None:
    found = cli("compare", photos, "--out", tmp_path / "out", *words)
    assert found.code == 2
    assert told in found.err
    assert not (tmp_path / "out").exists()


def test_missing_places(cli: Callable[..., Any], tmp_path: Path, evaluations: tuple[Path, Path]) -> None:
    assert "does not exist" in cli("compare", tmp_path / "nowhere", "--models", "cnn,csp-nano").err
    assert "does not exist" in cli("compare", evaluations[0], tmp_path / "nowhere").err
    told = cli("compare", *evaluations, "--part", "validation")
    assert told.code == 1
    assert "is about part test" in told.err


def test_training_options_without_models_are_a_mistake(
    cli: Callable[..., Any], evaluations: tuple[Path, Path]
) -> None:
    told = cli("compare", *evaluations, "--epochs", "3")
    assert told.code == 2
    assert "--epochs is for comparing networks" in told.err


def test_two_data_sets_are_a_mistake(cli: Callable[..., Any], photos: Path, tmp_path: Path) -> None:
    assert "one data set" in cli("compare", photos, tmp_path, "--models", "cnn,csp-nano").err


@pytest.mark.parametrize(
    ("text", "number"), [("500", 500), ("250k", 250_000), ("1.5M", 1_500_000), ("2_000", 2000)]
)
def test_sizes_are_read_with_their_units(text: str, number: int) -> None:
    assert _count(text) == number
    with pytest.raises(ConfigError, match="a size is a number"):
        _count("1.5.2k")


@pytest.mark.slow
def test_networks_on_the_command_line(cli: Callable[..., Any], photos: Path, tmp_path: Path) -> None:
    words = [
        "models=cnn:width=4:depth=2,rnn-bigru:width=4:depth=1",
        "seeds=1",
        "epochs=1",
        "size=16",
        "batch=4",
    ]
    told = cli("compare", photos, *words, "out=" + str(tmp_path / "out"), "--no-latency", "--json")
    assert told.code == 0, told.err
    values = json.loads(told.out)
    assert values["status"] == "finished"
    assert Path(values["page"]).is_file()
    again = cli("compare", tmp_path / "out")
    assert again.code == 0
    assert "cnn:width=4:depth=2" in again.out
