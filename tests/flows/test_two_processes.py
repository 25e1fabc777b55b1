"""Two processes on one machine, as torchrun starts them: one run folder, each step once, better than chance."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = (
    "model=cnn",
    "width=8",
    "depth=2",
    "size=32",
    "batch=4",
    "precision=fp32",
    "validation=0.25",
    "test=0.25",
)


def torchrun(*words: str) -> subprocess.CompletedProcess[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1"]
    # gloo looks the machine's own name up, which may lead nowhere
    here = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, f"--master-port={port}", "-m", "assay", *words],
        capture_output=True,
        text=True,
        timeout=240,
        env=here,
        check=False,
    )


def steps_of(run: Path) -> list[int]:
    lines = [json.loads(text) for text in (run / "log.jsonl").read_text("utf-8").splitlines()]
    return [line["step"] for line in lines if line["kind"] == "step"]


@pytest.mark.slow
def test_two_processes_make_one_run(photos, tmp_path):
    run = tmp_path / "run"
    told = torchrun("train", str(photos), "--out", str(run), "--no-baselines", "epochs=4", "seed=1", *SMALL)
    assert told.returncode == 0, told.stderr[-3000:]
    record = json.loads((run / "run.json").read_text("utf-8"))
    assert record["status"] == "finished"
    steps = steps_of(run)
    assert steps == sorted(set(steps))
    # 14 pictures to train on: two processes of four take one step an epoch, one process would take three
    assert 4 <= len(steps) <= 8
    metrics = json.loads((run / "evaluation" / "test.json").read_text("utf-8"))["metrics"]
    assert metrics["accuracy"]["value"] > 1 / 3


@pytest.mark.slow
def test_a_run_that_is_there_is_refused_in_one_line(photos, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "notes.txt").write_text("mine")
    told = torchrun("train", str(photos), "--out", str(run), "epochs=1", *SMALL)
    assert told.returncode != 0
    assert told.stderr.count("is not empty") == 1, told.stderr
    assert (run / "notes.txt").read_text() == "mine"
