"""Training from end to end: a folder of photos becomes a run; breaking it off anywhere changes nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL = {
    "model": "cnn",
    "width": 8,
    "depth": 2,
    "size": 32,
    "batch": 4,
    "baselines": False,
    "precision": "fp32",
    "validation": 0.25,
    "test": 0.25,
}


def losses(run: Path) -> dict[int, float]:
    lines = [json.loads(text) for text in (run / "log.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if line["kind"] == "step"]
    assert steps == sorted(set(steps)), "a step is logged twice"
    return {line["step"]: line["loss"] for line in lines if line["kind"] == "step"}


def start(photos: Path | None, out: Path, *words: str, **options: Any) -> subprocess.Popen[str]:
    flags = [f"{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "assay", "train", *([str(photos)] if photos else []), "--out", str(out)]
    return subprocess.Popen(
        [*command, *words, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> None:
    told = process.communicate(timeout=240)
    assert process.returncode == 0, told


def wait_for_step(run: Path, step: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        log = run / "log.jsonl"
        if log.exists() and f'"step": {step},' in log.read_text():
            return
        time.sleep(0.02)
    raise AssertionError(f"step {step} was not reached: {process.communicate()}")


def test_a_folder_of_photos_becomes_a_run(photos: Path, tmp_path: Path) -> None:
    from assay.train.start import train

    run = train(photos, tmp_path / "run", epochs=8, command=["assay", "train"], **SMALL | {"baselines": True})
    record = json.loads((run.folder / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["split_hash"] == run.evaluations["test"].split_hash
    assert set(record["baselines"]) == {"majority", "colour-histogram"}
    assert record["resolved"]["precision"] == "fp32"
    assert {p.name for p in run.folder.iterdir()} >= {
        "run.json", "card.json", "model.safetensors", "log.jsonl", "split.parquet", "tensorboard", "evaluation"
    }  # fmt: skip
    assert run.card.temperature > 0
    evaluation = run.evaluations["test"].to_dict()
    assert set(evaluation["metrics"]["accuracy"]) >= {"value", "low", "high"}


def test_the_checkpoint_sees_exactly_what_prediction_sees(photos: Path, tmp_path: Path) -> None:
    from assay.image import read_image
    from assay.preprocess import Preprocess
    from assay.train.predictor import load_run
    from assay.train.start import train

    run = train(photos, tmp_path / "run", epochs=1, **SMALL)
    predictor = load_run(run.folder)
    photo = next(photos.rglob("*.png"))
    seen: list[Any] = []
    engine = predictor.engine
    object.__setattr__(predictor, "engine", lambda x: seen.append(x) or engine(x))
    predictor(photo)
    assert np.array_equal(seen[0][0], Preprocess(run.card.preprocess)(read_image(photo)))


@pytest.mark.parametrize("extra", [{}, {"mixup": 0.2, "dropout": 0.2, "optimiser": "sgd", "accumulate": 2}])
def test_kill_and_resume_gives_the_losses_of_an_unbroken_run(
    photos: Path, tmp_path: Path, extra: dict[str, Any]
) -> None:
    options = SMALL | {"epochs": 12, "checkpoint_s": 0.0} | extra
    finish(start(photos, tmp_path / "whole", **options))
    broken = start(photos, tmp_path / "broken", **options)
    wait_for_step(tmp_path / "broken", 5, broken)
    os.kill(broken.pid, signal.SIGKILL)
    broken.communicate()
    finish(start(None, tmp_path / "broken", "--resume"))
    assert losses(tmp_path / "broken") == losses(tmp_path / "whole")
    for part in ("validation", "test"):
        one, other = (
            np.load(tmp_path / name / "evaluation" / f"{part}.npz")["probs"] for name in ("whole", "broken")
        )
        assert np.array_equal(one, other)


def test_ctrl_c_leaves_a_checkpoint_and_a_word(photos: Path, tmp_path: Path) -> None:
    process = start(photos, tmp_path / "run", **SMALL | {"epochs": 4000})
    wait_for_step(tmp_path / "run", 3, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "--resume" in err
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"
    assert (tmp_path / "run" / "checkpoints" / "last.safetensors").exists()


def test_a_time_boxed_run_keeps_its_time(photos: Path, tmp_path: Path) -> None:
    from assay.train.start import train

    run = train(photos, tmp_path / "run", minutes=0.2, **SMALL)
    assert (
        run.seconds < 0.2 * 60 * 1.5
    )  # a guard against a run without end; the benchmarks measure the budget
    log = [json.loads(text) for text in (run.folder / "log.jsonl").read_text().splitlines()]
    last = [line for line in log if line["kind"] == "step"][-1]
    assert last["lr"] < 0.01 * max(line["lr"] for line in log if line["kind"] == "step")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["epochs=1", "modl=cnn"], "did you mean model"),
        (["epochs=1", "model=resnet1888"], "unknown model"),
        (["epochs=1", "minutes=1"], "both epochs and minutes"),
        (["epochs=1", "transfer=frozen"], "needs weights"),
        (["epochs=0"], "the least is 1"),
        (["epochs=1", "weights=absent.safetensors"], "absent.safetensors"),
    ],
)
def test_a_request_that_cannot_be_taken_leaves_nothing(
    photos: Path, tmp_path: Path, cli: Callable[..., Any], words: list[str], told: str
) -> None:
    outcome = cli("train", photos, "--out", tmp_path / "run", "size=32", "precision=fp32", *words)
    assert outcome.code == 2, outcome.err
    assert told in outcome.err
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_keeps_its_options(photos: Path, tmp_path: Path, cli: Callable[..., Any]) -> None:
    process = start(photos, tmp_path / "run", **SMALL | {"epochs": 4000})
    wait_for_step(tmp_path / "run", 3, process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    outcome = cli("train", "--out", tmp_path / "run", "--resume", "batch=8")
    assert outcome.code == 2
    assert "batch is 8, was 4" in outcome.err
    next(photos.rglob("*.png")).unlink()
    outcome = cli("train", "--out", tmp_path / "run", "--resume")
    assert "the data changed since this run began" in outcome.err


def test_patience_stops_a_run_and_a_resumed_one_stays_stopped(photos: Path, tmp_path: Path) -> None:
    from assay.train.start import train

    run = train(photos, tmp_path / "run", epochs=400, patience=1, lr=0.0, **SMALL)
    log = (run.folder / "log.jsonl").read_text()
    assert '"kind": "stop"' in log
    assert len(losses(run.folder)) < 400
    (run.folder / "card.json").unlink()  # as if it had been killed in the final evaluation
    record = json.loads((run.folder / "run.json").read_text())
    (run.folder / "run.json").write_text(json.dumps({**record, "status": "running"}))
    again = train(None, run.folder, resume=True)
    assert losses(again.folder).keys() == losses(run.folder).keys()
    assert np.array_equal(again.evaluations["test"].probs, run.evaluations["test"].probs)


def test_two_runs_do_not_share_a_folder(photos: Path, tmp_path: Path, cli: Callable[..., Any]) -> None:
    process = start(photos, tmp_path / "run", **SMALL | {"epochs": 4000})
    wait_for_step(tmp_path / "run", 3, process)
    outcome = cli("train", "--out", tmp_path / "run", "--resume")
    process.kill()
    process.communicate()
    assert outcome.code == 2
    assert "another process trains in" in outcome.err
    assert "running" in (tmp_path / "run" / "run.json").read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["model=csp-nano", "batch=1"], "need at least 2 pictures a step"),
        (["model=vit_tiny_patch16_224", "size=32"], "takes no others"),
    ],
)
def test_a_network_that_cannot_take_the_pictures_is_told(
    photos: Path, tmp_path: Path, cli: Callable[..., Any], words: list[str], told: str
) -> None:
    outcome = cli("train", photos, "--out", tmp_path / "run", "size=32", "epochs=1", "baselines=no", *words)
    assert outcome.code == 1, outcome.err
    assert told in outcome.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "extra",
    [
        {"imbalance": "sampling"},
        {"imbalance": "weights", "loss": "focal", "optimiser": "sgd", "schedule": "one-cycle"},
        {"imbalance": "logit-adjustment", "colour": "gray", "resize": "letterbox", "smoothing": "median"},
        {"validation": 0.0, "cutmix": 1.0, "schedule": "step", "ema": False},
        {"test": 0.0, "find_lr": True, "progressive": True, "size": 64},
        {"cache_gb": 0.0, "batch": 64, "precision": "bf16"},
    ],
)
def test_options_work_together(photos: Path, tmp_path: Path, extra: dict[str, Any]) -> None:
    from assay.train.start import train

    run = train(photos, tmp_path / "run", epochs=2, **SMALL | extra)
    assert (run.folder / "card.json").exists()
    assert ("validation" in run.evaluations) == (extra.get("validation") != 0.0)
    assert ("test" in run.evaluations) == (extra.get("test") != 0.0)


@pytest.mark.parametrize("transfer", ["frozen", "probe-then-all"])
def test_a_run_starts_from_local_weights(photos: Path, tmp_path: Path, transfer: str) -> None:
    from assay.train.start import train

    first = train(photos, tmp_path / "first", epochs=2, **SMALL)
    weights = str(first.folder / "model.safetensors")
    run = train(photos, tmp_path / "second", epochs=1, weights=weights, transfer=transfer, **SMALL)
    record = json.loads((run.folder / "run.json").read_text())
    assert "fitted" in record["weights"]["summary"]
    assert record["probe"]["accuracy"] > 0
