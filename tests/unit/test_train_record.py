"""A network whose graph cannot be drawn is trained all the same."""

from __future__ import annotations

import json

import torch
from torch import nn

from assay.train.record import Recorder


class Moody(nn.Module):
    """Answers each time in another way, which torch's tracer does not forgive."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x.sin() if self.calls % 2 else x.cos().exp()


def test_a_graph_that_differs_each_time_is_left_out_with_a_note(tmp_path):
    with Recorder(tmp_path) as recorder:
        recorder.graph(Moody(), torch.rand(1, 3))
    notes = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text("utf-8").splitlines()]
    assert [note["text"].partition(":")[0] for note in notes] == ["the graph is not in TensorBoard"]
