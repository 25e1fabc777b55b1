"""What a report is made of: the files of a run folder, read with patience.

A report is often wanted of a run that failed or is still going, so a missing or damaged file is a missing
section with a word about it, never a stop.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.errors import AssayError, ConfigError
from assay.metrics.evaluation import Evaluation
from assay.metrics.scene_evaluation import SceneEvaluation
from assay.trials.evaluations import read_evaluation

_ORDER = ("test", "all", "validation", "train")
"""The part that a page is about is the first of these that was measured."""


@dataclass(frozen=True)
class Material:
    """A run as its folder tells it.

    ``steps`` and ``epochs`` are the lines of the log; ``split`` rows of path, label, part; ``evaluations`` by part,
    ``scenes`` those of networks of several heads; ``notes`` say what is missing or damaged. ``folder`` is None for an
    evaluation without a run.
    """

    name: str
    folder: Path | None = None
    run: dict[str, Any] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)
    epochs: list[dict[str, Any]] = field(default_factory=list)
    split: list[dict[str, Any]] = field(default_factory=list)
    evaluations: dict[str, Evaluation] = field(default_factory=dict)
    scenes: dict[str, SceneEvaluation] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def evaluation(self) -> Evaluation | None:
        """The evaluation that the report is about: of the test part if there is one."""
        return next((self.evaluations[part] for part in _ORDER if part in self.evaluations), None)

    @property
    def scene(self) -> SceneEvaluation | None:
        """As ``evaluation``, of a network of several heads."""
        return next((self.scenes[part] for part in _ORDER if part in self.scenes), None)

    @property
    def is_scene(self) -> bool:
        """Whether the page is about a network of several heads."""
        return self.card.get("task") == "scene" or bool(self.scenes)

    @property
    def root(self) -> Path | None:
        """The folder that picture paths start from, as far as it is known."""
        measured = self.scene or self.evaluation
        if measured is not None and measured.root:
            return Path(measured.root)
        data = self.run.get("data")
        if not isinstance(data, str):
            return None
        return Path(data) if Path(data).is_dir() else Path(data).parent


def read_material(folder: Path) -> Material:
    """Read a run folder.

    Raises
    ------
    ConfigError : the folder does not exist or is no run.
    """
    if not folder.is_dir() or not ((folder / "run.json").is_file() or (folder / "evaluation").is_dir()):
        raise ConfigError(
            f"{folder} is not a run",
            got="no run.json in it" if folder.is_dir() else "no such folder",
            fix="give the folder of `assay train --out`",
        )
    notes: list[str] = []
    evaluations, scenes = _read_evaluations(folder / "evaluation", notes)
    lines = _read_log(folder / "log.jsonl", notes)
    return Material(
        name=folder.resolve().name,
        folder=folder,
        run=_read_json(folder / "run.json", notes),
        card=_read_json(folder / "card.json", notes),
        steps=[line for line in lines if line.get("kind") == "step"],
        epochs=[line for line in lines if line.get("kind") == "epoch"],
        split=_read_split(folder / "split.parquet", notes),
        evaluations=evaluations,
        scenes=scenes,
        notes=notes,
    )


def _read_json(path: Path, notes: list[str]) -> dict[str, Any]:
    if not path.is_file():
        notes.append(f"{path.name} is missing")
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        notes.append(f"{path.name} cannot be read: {error}")
        return {}
    return found if isinstance(found, dict) else {}


def _read_log(path: Path, notes: list[str]) -> list[dict[str, Any]]:
    if not path.is_file():
        notes.append("log.jsonl is missing")
        return []
    lines: list[dict[str, Any]] = []
    for text in path.read_text("utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:  # the last line of a run that was killed
            continue
        if isinstance(line, dict):
            lines.append(line)
    return lines


def _read_split(path: Path, notes: list[str]) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    import pyarrow as pa  # noqa: PLC0415 - only where there is something to read
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        table = pq.read_table(path)
        wanted = [name for name in ("path", "label", "part") if name in table.column_names]
        return list(table.select(wanted).to_pylist())
    except (OSError, pa.ArrowInvalid) as error:
        notes.append(f"{path.name} cannot be read: {error}")
        return []


def _read_evaluations(
    folder: Path, notes: list[str]
) -> tuple[dict[str, Evaluation], dict[str, SceneEvaluation]]:
    classes, scenes = {}, {}
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        try:
            found = read_evaluation(path)
        except AssayError as error:
            notes.append(str(error).replace("\n  ", "; "))
            continue
        if isinstance(found, SceneEvaluation):
            scenes[path.stem] = found
        else:
            classes[path.stem] = found
    return classes, scenes
