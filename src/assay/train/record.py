"""What a run leaves behind while it goes: JSON lines, TensorBoard events, and a progress bar.

Only the main process of a distributed run records; the others hold a recorder that does nothing.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import nn


class Recorder:
    """Writes ``log.jsonl`` and ``tensorboard/`` in a run folder, and shows a bar on a terminal.

    Parameters
    ----------
    folder : the run folder, or None to record nothing.
    show : draw a progress bar on standard error.
    resume_at : the last step that a checkpoint holds; lines of later ones are dropped, they will be written again.
    """

    def __init__(self, folder: Path | None, *, show: bool = False, resume_at: int | None = None) -> None:
        self._folder = folder
        self._board: Any = None
        self._started = time.monotonic()
        if folder is not None:
            if resume_at is not None:
                _drop_lines_after(folder / "log.jsonl", resume_at)
            self._file = (folder / "log.jsonl").open("a", encoding="utf-8")
        columns = (
            TextColumn("{task.description:<11}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[words]}"),
        )
        console = Console(file=sys.stderr, soft_wrap=False)
        self._bar = Progress(*columns, console=console, disable=not (show and folder is not None))
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        if self._folder is not None:
            self._file.close()
        if self._board is not None:
            self._board.close()

    def log(self, kind: str, **values: Any) -> None:
        """Append one line to the log and, for numbers at a step, to TensorBoard."""
        if self._folder is None:
            return
        line = {"kind": kind, **values, "seconds": round(time.monotonic() - self._started, 3)}
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()
        if "step" in values and (kind != "step" or values["step"] % 10 == 0):
            self._scalars(kind, values)

    def _scalars(self, kind: str, values: Mapping[str, Any]) -> None:
        flat = {f"{kind}/{k}": v for k, v in values.items()}
        flat |= {f"validation/{k}": v for k, v in (values.get("validation") or {}).items()}
        for name, value in flat.items():
            if isinstance(value, int | float) and not isinstance(value, bool) and name != f"{kind}/step":
                self.board.add_scalar(name, value, values["step"])

    @property
    def board(self) -> Any:
        """TensorBoard's writer, opened on first use."""
        if self._board is None:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - a second of imports

            self._board = SummaryWriter(f"{self._folder}/tensorboard")
        return self._board

    def pictures(self, images: NDArray[np.uint8], step: int) -> None:
        """Show up to 16 training pictures, (B, S, S, C) uint8, as the network gets them."""
        if self._folder is not None:
            self.board.add_images("training pictures", images[:16], step, dataformats="NHWC")

    def graph(self, model: nn.Module, example: torch.Tensor) -> None:
        """Draw the network's graph; a network that cannot be traced is left out with a line in the log."""
        if self._folder is None:
            return
        training = model.training
        try:
            with (
                warnings.catch_warnings(),
                contextlib.redirect_stdout(io.StringIO()),
            ):  # torch prints what it raises
                warnings.simplefilter("ignore")
                self.board.add_graph(model.eval(), example)
        except (RuntimeError, ValueError, TypeError, torch.jit.TracingCheckError) as error:  # type: ignore[attr-defined]
            self.log("note", text=f"the graph is not in TensorBoard: {str(error).splitlines()[0]}")
        finally:
            model.train(training)

    def stage(self, name: str, *, total: float | None = None) -> None:
        """Begin a named part of the work; the bar starts anew."""
        self.log("stage", name=name)
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(name, total=total, words="")

    def advance(self, done: float, words: str = "") -> None:
        """Move the bar of the current part to ``done`` of its total."""
        if self._task is not None:
            self._bar.update(self._task, completed=done, words=words)


def _drop_lines_after(path: Path, step: int) -> None:
    if not path.exists():
        return
    kept = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except ValueError:  # the line that a kill cut short
            continue
        if line.get("step", 0) <= step:
            kept.append(text)
    temporary = path.with_suffix(".part")
    temporary.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
    temporary.replace(path)
