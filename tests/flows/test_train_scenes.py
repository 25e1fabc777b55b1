"""From pictures with boxes, masks, pixels, tags and classes to a run folder that answers; kill and resume."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.drawn_scenes import write_scenes
from tests.flows.test_train import finish, losses, start, wait_for_step

from assay.errors import ConfigError
from assay.export.export import export
from assay.train.predictor import load_run
from assay.train.retell import retell
from assay.train.start import train

SMALL: dict[str, Any] = {"size": 64, "batch": 4, "precision": "fp32", "progressive": False}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("drawn") / "scenes", tags_only=4)


def test_all_that_is_labelled_is_learned_and_told(drawn: Path, tmp_path: Path) -> None:
    run = train(drawn, tmp_path / "run", epochs=3, **SMALL)
    record = json.loads((run.folder / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["task"] == run.card.task == "scene"
    assert run.card.heads == ("class", "tags", "boxes", "masks", "pixels")
    assert list(run.card.pixel_classes) == ["background", "disc", "square"]
    steps = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    assert {"class", "tags", "boxes", "masks", "pixels"} <= set(next(s for s in steps if s["kind"] == "step"))
    evaluation = run.evaluations["test"]
    assert {"accuracy", "tags.map", "boxes.ap50_95", "masks.ap50_95", "pixels.miou"} <= set(
        evaluation.metrics
    )
    answer = load_run(run.folder)(drawn.parent / "002.png")
    assert answer.pixels is not None
    assert answer.pixels.shape == answer.size_hw == (64, 64)
    assert answer.boxes is not None
    assert answer.tags is not None
    assert answer.label in ("one", "more", "disc", "square")


def test_only_the_heads_that_were_asked_for(drawn: Path, tmp_path: Path) -> None:
    run = train(drawn, tmp_path / "run", epochs=1, heads=("boxes",), **SMALL)
    assert run.card.heads == ("boxes",)
    assert run.evaluations["test"].heads == ("boxes",)
    answer = load_run(run.folder)(drawn.parent / "002.png")
    assert (answer.label, answer.pixels, answer.tags) == (None, None, None)


def test_the_class_alone_is_a_classifier(tmp_path: Path) -> None:
    run = train(
        write_scenes(tmp_path / "scenes"),
        tmp_path / "run",
        epochs=1,
        heads=("class",),
        size=32,
        baselines=False,
    )
    assert run.card.task == "classify"


def test_kill_and_resume_gives_the_losses_of_an_unbroken_run(drawn: Path, tmp_path: Path) -> None:
    options = SMALL | {"epochs": 12, "checkpoint_s": 0.0}
    finish(start(drawn, tmp_path / "whole", **options))
    broken = start(drawn, tmp_path / "broken", **options)
    wait_for_step(tmp_path / "broken", 5, broken)
    os.kill(broken.pid, signal.SIGKILL)
    broken.communicate()
    finish(start(None, tmp_path / "broken", "--resume"))
    assert losses(tmp_path / "broken") == losses(tmp_path / "whole")


@pytest.mark.slow
def test_the_drawn_scenes_are_learned(tmp_path: Path) -> None:
    """Enough steps, and unseen pictures are told right: the whole corridor fits together."""
    table = write_scenes(tmp_path / "scenes", 96)
    run = train(
        table, tmp_path / "run", epochs=50, lr=3e-3, mosaic=0.2, zoom=(0.8, 1.3), **SMALL | {"batch": 8}
    )
    scores = run.evaluations["test"].main_scores()
    assert scores["boxes"] > 0.5
    assert scores["masks"] > 0.4
    assert scores["pixels"] > 0.8
    assert np.isfinite(list(scores.values())).all()
    picked = run.card.thresholds
    assert picked["nms_free"]["ap50"] > 0.3
    assert picked["nms_free"]["score"] != picked["boxes"]["score"]
    free = export(run, tmp_path / "free.bundle", nms_free=True).card.thresholds
    assert free == {"boxes": picked["nms_free"]}
    again = retell(run, target="recall", value=0.5)
    assert again.threshold["target"] == "recall"
    assert again.evaluations["validation"].told_from == again.threshold["score"]
    assert load_run(run.folder).card.thresholds == {"boxes": again.threshold}  # the twin's score was for F1


def test_a_score_to_tell_things_from_needs_things(drawn: Path, tmp_path: Path) -> None:
    run = train(drawn, tmp_path / "run", epochs=1, heads=("pixels",), **SMALL)
    with pytest.raises(ConfigError, match=r"finds no things\n  got: it tells pixels"):
        retell(run, target="recall", value=0.5)
