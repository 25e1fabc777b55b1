"""One run of a comparison: what is kept of it in the table. Read from the run's folder, so nothing is told twice."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from assay.errors import AssayError
from assay.metrics.scene_evaluation import SceneEvaluation
from assay.trials.evaluations import AnyEvaluation, read_evaluation

PARTS = ("validation", "test")


@dataclass(frozen=True)
class Row:
    """A network with one seed.

    ``status`` is finished, failed or waiting; ``reason`` says why it failed. ``run`` is the folder below the
    comparison's. ``pictures`` counts those trained on, with repetition. ``scores`` hold the value of every metric by
    part, and the mean of the main ones as ``score`` where there are several heads; ``curve`` holds rows of (epoch,
    seconds, validation accuracy or score).
    """

    network: str
    seed: int
    status: str = "waiting"
    reason: str = ""
    run: str = ""
    parameters: int | None = None
    minutes: float | None = None
    steps: int | None = None
    pictures: int | None = None
    epochs: float | None = None
    scores: dict[str, dict[str, float | None]] = field(default_factory=dict)
    curve: list[list[float]] = field(default_factory=list)

    @property
    def is_finished(self) -> bool:
        """Whether the run came to its end."""
        return self.status == "finished"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of ``to_dict``."""
        return cls(**values)


def failed_row(network: str, seed: int, error: BaseException, run: str = "") -> Row:
    """What could not be trained, with the reason in one line."""
    reason = str(error).replace("\n  ", "; ") if isinstance(error, AssayError) else _first_line(error)
    return Row(network, seed, "failed", reason, run)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__


def read_row(network: str, seed: int, folder: Path, root: Path) -> Row:
    """The row of a finished run in ``folder``, below the comparison's folder ``root``.

    Raises
    ------
    AssayError : the run's files are damaged.
    """
    record = json.loads((folder / "run.json").read_text("utf-8"))
    train = record["resolved"]["train"]
    lines = _log(folder / "log.jsonl")
    steps = max((line["step"] for line in lines if line["kind"] in ("step", "done")), default=0)
    a_step = train["batch"] * train["accumulate"]
    scores = {part: _scores(evaluation) for part, evaluation in read_evaluations(folder).items()}
    n_train = record["parts"].get("train", 0)
    return Row(
        network,
        seed,
        "finished",
        run=folder.relative_to(root).as_posix(),
        parameters=record.get("parameters"),
        minutes=record["minutes"],
        steps=steps,
        pictures=steps * a_step,
        epochs=round(steps * a_step / n_train, 2) if n_train else None,
        scores=scores,
        curve=_curve(lines),
    )


def _scores(evaluation: AnyEvaluation) -> dict[str, float | None]:
    found = {name: estimate.to_dict()["value"] for name, estimate in evaluation.metrics.items()}
    if isinstance(evaluation, SceneEvaluation):
        found["score"] = evaluation.score if math.isfinite(evaluation.score) else None
    return found


def read_evaluations(folder: Path) -> dict[str, AnyEvaluation]:
    """The evaluations of a run by part. Raises AssayError where one is damaged."""
    files = {part: folder / "evaluation" / f"{part}.json" for part in PARTS}
    return {part: read_evaluation(file) for part, file in files.items() if file.is_file()}


def _log(path: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in path.read_text("utf-8").splitlines() if text.startswith("{")]


def _curve(lines: list[dict[str, Any]]) -> list[list[float]]:
    """Looks at validation as (epoch, seconds, accuracy or score); seconds go on over interruptions."""
    found: list[list[float]] = []
    before = last = 0.0
    for line in lines:
        if line["seconds"] < last:  # a resumed run's clock begins anew
            before += last
        last = line["seconds"]
        if line["kind"] == "epoch":
            told = line["validation"]
            found.append([line["epoch"], round(before + last, 2), told.get("score", told.get("accuracy"))])
    return found
