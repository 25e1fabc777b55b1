"""Two runs on the same pictures: read, made sure that the comparison is honest, and compared.

Where one run was measured on more pictures than the other, the common ones may be compared only if neither run learned
from any of them. The runs' own split tables tell.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.errors import ConfigError, DatasetError
from assay.metrics.compare import Comparison
from assay.metrics.compare import compare as compare_answers
from assay.metrics.evaluation import Evaluation

_PREFERRED = ("test", "all", "validation", "train")
_UNTOLD = {"seed", "root", "workers", "cache_gb", "checkpoint_s"}
"""Settings that say nothing of how two networks differ, but for the seed, which is told by itself."""


@dataclass(frozen=True)
class Side:
    """One of the two: its evaluation, the record of its run (empty for an evaluation alone), and where it lies."""

    name: str
    evaluation: Evaluation
    run: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None


@dataclass(frozen=True)
class Pair:
    """Two runs with their comparison. ``settings`` are (name, value of A, value of B) where they differ."""

    a: Side
    b: Side
    comparison: Comparison
    settings: tuple[tuple[str, str, str], ...] = ()


def compare(
    a: str | Path | Evaluation | Any,
    b: str | Path | Evaluation | Any,
    *,
    part: str | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare two runs picture by picture.

    Parameters
    ----------
    a, b : run folders, what ``train`` returned, PART.json files of ``assay evaluate``, or Evaluations.
    part : which part to compare on; test where both have it.
    draws, seed : of the bootstrap intervals.

    Raises
    ------
    ConfigError : no such run, or a run without this part.
    DatasetError : the two were not measured on the same pictures, or labels differ, or one learned from the other's.
    """
    return read_pair(a, b, part=part, draws=draws, seed=seed).comparison


def read_pair(
    a: str | Path | Evaluation | Any,
    b: str | Path | Evaluation | Any,
    *,
    part: str | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> Pair:
    """Both sides and their comparison. Takes and raises what ``compare`` does."""
    part = part or _common_part(a, b)
    sides = [_read_side(a, part), _read_side(b, part)]
    if sides[0].name == sides[1].name:
        sides = [_renamed(side, i) for i, side in enumerate(sides)]
    one, other = sides
    comparison = compare_answers(
        one.evaluation,
        other.evaluation,
        common=_is_honest(one, other),
        names=(one.name, other.name),
        draws=draws,
        seed=seed,
    )
    return Pair(one, other, comparison, tuple(different_settings(one.run, other.run)))


def is_run(place: str | Path) -> bool:
    """Whether a path is a run folder, or an evaluation's file."""
    path = Path(place)
    if path.is_dir():
        return (path / "run.json").is_file() or (path / "evaluation").is_dir()
    return path.suffix.lower() == ".json" and path.with_suffix(".npz").is_file()


def _folder_of(source: Any) -> Path | None:
    """The run folder behind a source; None for evaluations."""
    if isinstance(source, Evaluation):
        return None
    path = Path(getattr(source, "folder", source))
    if path.is_dir():
        return path
    above = [path.parent.parent, path.parent.parent.parent]  # of other data than its own: a folder deeper
    return next(
        (run for run in above if (run / "evaluation").is_dir() and (run / "run.json").is_file()), None
    )


def _parts_of(source: Any) -> list[str]:
    if isinstance(source, Evaluation):
        return [source.part]
    path = Path(getattr(source, "folder", source))
    if path.is_file():
        return [Evaluation.load(path).part]
    if not is_run(path):
        raise ConfigError(
            f"{path} is no run",
            got="no run.json in it" if path.is_dir() else "no such file or folder",
            fix="give the folder of `assay train --out`, or a PART.json of `assay evaluate`",
        )
    return [file.stem for file in sorted((path / "evaluation").glob("*.json"))]


def _common_part(a: Any, b: Any) -> str:
    of_a, of_b = _parts_of(a), _parts_of(b)
    both = [part for part in _PREFERRED if part in of_a and part in of_b]
    both += [part for part in of_a if part in of_b and part not in both]
    if both:
        return both[0]
    raise DatasetError(
        "two models are compared on the same part of the data",
        got=f"{', '.join(of_a) or 'nothing'} of one, {', '.join(of_b) or 'nothing'} of the other were measured",
        fix="measure both on one part: `assay evaluate RUN --part test`",
    )


def _read_side(source: Any, part: str) -> Side:
    folder = _folder_of(source)
    if isinstance(source, Evaluation):
        return Side(source.model, source)
    path = Path(getattr(source, "folder", source))
    if path.is_file():
        evaluation = Evaluation.load(path)
    else:
        have = _parts_of(path)
        if part not in have:
            raise ConfigError(
                f"{path} was not measured on {part}",
                got=", ".join(have) or "nothing was measured",
                fix=f"run `assay evaluate {path} --part {part}`",
            )
        evaluation = Evaluation.load(path / "evaluation" / f"{part}.json")
    if evaluation.part != part:
        raise DatasetError(f"{path} is about part {evaluation.part}", fix=f"name an evaluation of {part}")
    run = _read_json(folder / "run.json") if folder is not None else {}
    return Side(folder.resolve().name if folder is not None else evaluation.model, evaluation, run, folder)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):  # the comparison needs answers, not the record
        return {}
    return values if isinstance(values, dict) else {}


def _renamed(side: Side, i: int) -> Side:
    """Two of one name are told apart by the folders they lie in, or by their order."""
    name = f"{side.name} ({'first' if i == 0 else 'second'})"
    if side.folder is not None:
        name = "/".join(side.folder.resolve().parts[-2:])
    return Side(name, side.evaluation, side.run, side.folder)


def _is_honest(a: Side, b: Side) -> bool:
    """Whether the pictures that both were measured on are new to both. Raises DatasetError where they are not.

    Only asked where the split tables of both runs are at hand; without them nothing is promised.
    """
    learned = [_learned(side) for side in (a, b)]
    measured = [set(side.evaluation.paths) for side in (a, b)]
    if not measured[0] & measured[1]:  # the same files, written from other folders
        roots = [Path(side.evaluation.root) for side in (a, b)]
        measured = [{(root / p).as_posix() for p in of} for root, of in zip(roots, measured, strict=True)]
        learned = [
            of and {(root / p).as_posix() for p in of} for root, of in zip(roots, learned, strict=True)
        ]
    shared = measured[0] & measured[1]
    for side, paths in zip((a, b), learned, strict=True):
        if paths is not None and a.evaluation.part != "train" and (seen := shared & paths):
            raise DatasetError(
                f"{side.name} learned from pictures that it would be compared on",
                got=f"{len(seen):,} of {len(shared):,}, e.g. {min(seen)}",
                fix="train both on one split: the same data and --salt",
            )
    return all(paths is not None for paths in learned)


def _learned(side: Side) -> set[str] | None:
    """Pictures that a run was trained on, or that chose its weights; None where that is not known."""
    table = None if side.folder is None else side.folder / "split.parquet"
    if table is None or not table.is_file():
        return None
    import pyarrow as pa  # noqa: PLC0415 - only where there is something to read
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        rows = pq.read_table(table, columns=["path", "part"]).to_pydict()
    except (OSError, pa.ArrowInvalid, KeyError):
        return None
    parts = ("train",) if side.evaluation.part == "validation" else ("train", "validation")
    return {path for path, part in zip(rows["path"], rows["part"], strict=True) if part in parts}


def different_settings(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(name, value in A, value in B) of what the two runs were asked for, or decided, differently."""
    mine, theirs = _settings(a), _settings(b)
    if not a or not b:
        return []
    names = [
        name for name in {**mine, **theirs} if name not in _UNTOLD and mine.get(name) != theirs.get(name)
    ]
    if mine.get("seed") != theirs.get("seed"):
        names.append("seed")
    return [(name.replace("_", " "), _said(mine.get(name)), _said(theirs.get(name))) for name in names]


def _settings(run: Mapping[str, Any]) -> dict[str, Any]:
    """Everything flat: the recipe, overruled by what was decided, and what came out of it."""
    found: dict[str, Any] = {}
    for section in (run.get("recipe") or {}).values():
        found |= section if isinstance(section, Mapping) else {}
    resolved = run.get("resolved") or {}
    found |= {k: v for k, v in (resolved.get("train") or {}).items() if v is not None}
    found |= {"precision": resolved.get("precision"), "split hash": run.get("split_hash")}
    return {**found, "parameters": run.get("parameters"), "minutes used": run.get("minutes")}


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_said(v) for v in value) or "none"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    return "not given" if value is None else str(value)
