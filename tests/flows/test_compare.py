"""Comparisons from end to end: two tiny networks, two seeds; broken off anywhere, the same call goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from assay.errors import ConfigError, DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable

NETWORKS = ["cnn:width=4:depth=2", "rnn-bigru:width=4:depth=1"]
SMALL = {"epochs": 2, "size": 16, "batch": 4, "precision": "fp32", "validation": 0.25, "test": 0.25}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 12 small pictures."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("flow") / "shapes"
    for k, name in enumerate(("dark", "light")):
        (folder / name).mkdir(parents=True)
        for i in range(12):
            rng = np.random.default_rng(100 * k + i)
            pixels = rng.integers(90 * k, 160 + 90 * k, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def compared(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished comparison. Tests that change it take a copy."""
    from assay.trials.compare import compare_models

    out = tmp_path_factory.mktemp("flow") / "done"
    compare_models(drawn, NETWORKS, out, seeds=2, **SMALL)
    return out


def copy(folder: Path, place: Path) -> Path:
    return Path(shutil.copytree(folder, place / folder.name))


def test_all_runs_share_data_and_split(compared: Path) -> None:
    from assay.trials.trials import Trials

    trials = Trials.load(compared)
    assert trials.status == "finished"
    assert [(row.network, row.seed) for row in trials.rows] == [(n, s) for s in (0, 1) for n in NETWORKS]
    records = [json.loads((compared / row.run / "run.json").read_text()) for row in trials.rows]
    assert {record["split_hash"] for record in records} == {trials.data["split_hash"]}
    assert {record["recipe"]["train"]["seed"] for record in records} == {0, 1}
    assert records[0]["command"][:2] == ["assay", "train"]
    for network in trials.networks:
        assert network.parameters > 0
        assert network.macs > 0
        assert network.latency["median_ms"] > 0
        assert network.seeds == (0, 1)
        assert set(network.scores) == {"validation", "test"}
    assert len(trials.tests["best"]) == 1
    assert all(row.pictures == row.steps * 4 and len(row.curve) == 2 for row in trials.rows)


def test_the_same_call_trains_nothing_again(
    compared: Path, drawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assay.trials import series
    from assay.trials.compare import compare_models

    monkeypatch.setattr(series, "train", lambda *_, **__: pytest.fail("a finished run was trained again"))
    trials = compare_models(drawn, NETWORKS, compared, seeds=2, reference=NETWORKS[0], latency=False, **SMALL)
    assert trials.status == "finished"
    assert {test.b for tests in trials.tests.values() for test in tests} >= {
        NETWORKS[0]
    } or trials.best == NETWORKS[0]


def test_more_seeds_go_on_with_it(compared: Path, drawn: Path, tmp_path: Path) -> None:
    from assay.trials.compare import compare_models

    out = copy(compared, tmp_path)
    trials = compare_models(drawn, NETWORKS, out, seeds=3, latency=False, **SMALL)
    assert [row.seed for row in trials.rows if row.is_finished] == [0, 0, 1, 1, 2, 2]


def test_another_request_is_refused(compared: Path, drawn: Path) -> None:
    from assay.trials.compare import compare_models

    with pytest.raises(ConfigError, match="holds another comparison") as told:
        compare_models(drawn, NETWORKS, compared, seeds=2, **SMALL | {"epochs": 3})
    assert "epochs is 3, was 2" in str(told.value)


def test_a_folder_with_something_else_is_refused(drawn: Path, tmp_path: Path) -> None:
    from assay.trials.compare import compare_models

    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match="is not empty"):
        compare_models(drawn, NETWORKS, tmp_path, **SMALL)


def test_changed_data_are_noticed(compared: Path, drawn: Path, tmp_path: Path) -> None:
    from assay.trials.compare import compare_models

    out, data = copy(compared, tmp_path), copy(drawn, tmp_path)
    text = (out / "trials.json").read_text().replace(str(drawn), str(data))
    (out / "trials.json").write_text(text)
    shutil.copy(data / "dark" / "0.png", data / "light" / "twin.png")
    with pytest.raises(DatasetError, match="data changed"):
        compare_models(data, NETWORKS, out, seeds=2, latency=False, **SMALL)


def test_what_cannot_be_trained_is_one_failed_row(drawn: Path, tmp_path: Path) -> None:
    from assay.report.trials_page import render_trials
    from assay.trials.compare import compare_models

    names = [NETWORKS[0], "vit_tiny_patch16_224"]  # takes pictures of 224 px only
    trials = compare_models(drawn, names, tmp_path / "out", seeds=1, latency=False, **SMALL)
    good, bad = trials.rows
    assert good.is_finished
    assert bad.status == "failed"
    assert "16 px" in bad.reason
    assert trials.network("vit_tiny_patch16_224").failed == bad.reason
    assert trials.best == NETWORKS[0]
    assert bad.reason.split(";")[0] in render_trials(trials).replace("&#39;", "'")


def start(data: Path, out: Path, **options: Any) -> subprocess.Popen[str]:
    flags = [f"{name}={value}" for name, value in (SMALL | options).items()]
    words = [
        str(data),
        "--models",
        ",".join(NETWORKS),
        "--out",
        str(out),
        "--seeds",
        "1",
        "--no-latency",
        *flags,
    ]
    command = [sys.executable, "-m", "assay", "compare", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(found: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if found():
            return
        time.sleep(0.02)
    raise AssertionError(f"it never came: {process.communicate()}")


def has_begun(out: Path) -> bool:
    log = out / "runs" / "rnn-bigru-width-4-depth-1-seed0" / "log.jsonl"
    return log.exists() and '"step": 5,' in log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_kill_and_the_same_command_gives_the_same_table(
    drawn: Path, tmp_path: Path, sign: signal.Signals
) -> None:
    whole = start(drawn, tmp_path / "whole", epochs=40, checkpoint_s=0.0)
    told = whole.communicate(timeout=240)
    assert whole.returncode == 0, told
    broken = start(drawn, tmp_path / "broken", epochs=40, checkpoint_s=0.0)
    wait_for(lambda: has_begun(tmp_path / "broken"), broken)
    os.kill(broken.pid, sign)
    _, err = broken.communicate(timeout=60)
    if sign == signal.SIGINT:
        assert broken.returncode == 130, err
        assert "the same command goes on" in err
        assert json.loads((tmp_path / "broken" / "trials.json").read_text())["status"] == "interrupted"
    again = start(drawn, tmp_path / "broken", epochs=40, checkpoint_s=0.0)
    told = again.communicate(timeout=240)
    assert again.returncode == 0, told
    tables = [json.loads((tmp_path / name / "trials.json").read_text()) for name in ("whole", "broken")]
    assert tables[0]["status"] == tables[1]["status"] == "finished"
    assert [row["scores"] for row in tables[0]["rows"]] == [row["scores"] for row in tables[1]["rows"]]


def test_tuning_begins_with_the_recipe_and_never_sees_test(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assay.trials import tune as room
    from assay.trials.compare import compare_models

    seen: list[set[str]] = []
    real = room.train

    def watched(data: Any, *words: Any, **options: Any) -> Any:
        seen.append(set(data.parts))
        return real(data, *words, **options)

    monkeypatch.setattr(room, "train", watched)
    monkeypatch.setattr(room, "MOST_TRIALS", 2)
    trials = compare_models(
        drawn, NETWORKS, tmp_path / "out", seeds=1, tune=True, tune_minutes=1, latency=False, **SMALL
    )
    assert len(seen) == 4
    assert all(parts == {"train", "validation"} for parts in seen)
    for network in trials.networks:
        study = network.tuned
        assert study["trials"][0]["options"] == {}
        best = study["trials"][study["best"]]["score"]["accuracy"]
        assert best >= study["trials"][0]["score"]["accuracy"]
        assert (
            json.loads(next((tmp_path / "out" / "tune").glob(f"{network.model}*.json")).read_text()) == study
        )
    text = (tmp_path / "out" / "trials.json").read_text()
    assert "tune_minutes" in text
    again = compare_models(
        drawn, NETWORKS, tmp_path / "out", seeds=1, tune=True, tune_minutes=1, latency=False, **SMALL
    )
    assert len(seen) == 4, "a finished search was made again"
    assert again.networks[0].tuned == trials.networks[0].tuned


def test_a_search_goes_on_after_a_kill(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from assay.trials import tune as room
    from assay.trials.compare import compare_models

    real, calls = room.train, []

    def broken(*words: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*words, **options)

    monkeypatch.setattr(room, "train", broken)
    monkeypatch.setattr(room, "MOST_TRIALS", 2)
    options = SMALL | {"seeds": 1, "tune": True, "tune_minutes": 1, "latency": False}
    with pytest.raises(KeyboardInterrupt, match="the same command goes on"):
        compare_models(drawn, NETWORKS, tmp_path / "out", **options)
    trials = compare_models(drawn, NETWORKS, tmp_path / "out", **options)
    first = trials.networks[0].tuned["trials"]
    assert [trial["number"] for trial in first] == [0, 1]
    assert first[0]["score"] is not None
    assert first[1]["score"] is None


def test_the_page_loads_nothing_and_names_all(compared: Path) -> None:
    from assay.report.trials_page import write_trials

    page = write_trials(compared, compared.parent / "page.html").read_text()
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="https?:', page)
    for name in NETWORKS:
        assert name in page
    assert "Are the differences real?" in page


def test_two_of_its_runs_are_compared_picture_by_picture(compared: Path, tmp_path: Path) -> None:
    from assay.report.pair_page import write_pair
    from assay.trials.pair import compare, read_pair
    from assay.trials.trials import Trials

    a, b = (compared / row.run for row in Trials.load(compared).rows[:2])
    c = compare(a, b)
    assert c.n == c.both + c.only_a + c.only_b + c.neither
    pair = read_pair(a, b)
    assert ("model", "cnn", "rnn-bigru") in pair.settings
    page = write_pair(pair, tmp_path / "pair.html").read_text()
    assert c.verdict in page
    assert "<script" not in page
    files = compare(a / "evaluation" / "test.json", b / "evaluation" / "test.json")
    assert files.difference == c.difference


def test_runs_of_two_splits_meet_on_what_is_new_to_both(compared: Path, drawn: Path, tmp_path: Path) -> None:
    from assay.data.read import read_dataset
    from assay.data.split import split_dataset
    from assay.metrics.evaluate import evaluate
    from assay.train.predictor import load_run
    from assay.train.start import train
    from assay.trials.pair import compare
    from assay.trials.trials import Trials

    first = compared / Trials.load(compared).rows[0].run
    other = train(
        drawn, tmp_path / "other", model="cnn", width=4, depth=2, salt=12345, baselines=False, **SMALL
    )
    c = compare(first, other)  # their test parts overlap, and neither learned from its own
    assert 0 < c.n < 8
    assert any("Left out" in note for note in c.notes)
    assert any("different splits" in note for note in c.notes)
    salted = split_dataset(read_dataset(drawn), _split_of(first))
    seen = evaluate(load_run(other.folder), salted, "test").save(other.folder / "evaluation" / "again")
    with pytest.raises(DatasetError, match="learned from pictures") as told:
        compare(first, seen)
    assert "train both on one split" in str(told.value)


def _split_of(run: Path) -> Any:
    from assay.configs import SplitConfig

    split = json.loads((run / "run.json").read_text())["split"]
    return SplitConfig(validation=split["validation"], test=split["test"], salt=split["salt"])
