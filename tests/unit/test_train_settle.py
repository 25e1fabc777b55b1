from __future__ import annotations

from typing import Any

import pytest

from assay.configs import Recipe
from assay.errors import ConfigError
from assay.train.settle import peak_lr, settle


def settled(**options: Any) -> Any:
    return settle(Recipe.from_options(options)).train


def test_without_a_word_about_time_a_run_is_boxed() -> None:
    assert settled().minutes == 10.0
    assert settled(epochs=3).minutes is None


def test_weights_change_the_recipe() -> None:
    scratch, started = settled(minutes=1), settled(minutes=1, weights="w.safetensors")
    assert (scratch.transfer, scratch.layer_decay) == ("all", 1.0)
    assert (started.transfer, started.layer_decay) == ("probe-then-all", 0.85)
    assert started.lr < scratch.lr


def test_what_is_given_is_kept() -> None:
    train = settled(weights="w", lr=0.5, transfer="all", layer_decay=0.3, progressive=False, workers=7)
    assert (train.lr, train.transfer, train.layer_decay, train.progressive, train.workers) == (
        0.5, "all", 0.3, False, 7
    )  # fmt: skip


def test_the_peak_rate_follows_the_batch() -> None:
    assert peak_lr("adamw", 256, started=False) == pytest.approx(2 * peak_lr("adamw", 64, started=False))
    assert peak_lr("sgd", 256, started=False) == pytest.approx(4 * peak_lr("sgd", 64, started=False))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"epochs": 2, "minutes": 2}, "both epochs and minutes are given"),
        ({"transfer": "frozen"}, "transfer=frozen needs weights to start from"),
        ({"patience": 3}, "patience is for runs with --epochs"),
    ],
)
def test_contradictions_are_told(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        settled(**options)
