"""Two runs on the same pictures: read, made sure that the comparison is honest, and compared.

Where one run was measured on more pictures than the other, the common ones may be compared only if neither run learned
from any of them. The runs' own split tables tell. Two networks of several heads are compared head by head; one of them
beside a classifier is its class alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from assay.errors import ConfigError, DatasetError
from assay.metrics.compare import Comparison
from assay.metrics.compare import compare as compare_answers
from assay.metrics.evaluation import Evaluation
from assay.metrics.scene_evaluation import SceneEvaluation
from assay.trials.evaluations import AnyEvaluation, paths_of, read_evaluation
from assay.trials.pair_settings import different_settings
from assay.trials.scene_pair import SceneComparison, compare_pair

_PREFERRED = ("test", "all", "validation", "train")


@dataclass(frozen=True)
class Side:
    """One of the two: its evaluation, the record of its run (empty for an evaluation alone), and where it lies."""

    name: str
    evaluation: AnyEvaluation
    run: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None


@dataclass(frozen=True)
class Pair:
    """Two runs with their comparison. ``settings`` are (name, value of A, value of B) where they differ.

    The evaluations of both sides are of the comparison's kind.
    """

    a: Side
    b: Side
    comparison: Comparison | SceneComparison
    settings: tuple[tuple[str, str, str], ...] = ()


def compare(
    a: str | Path | AnyEvaluation | Any,
    b: str | Path | AnyEvaluation | Any,
    *,
    part: str | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> Comparison | SceneComparison:
    """Compare two runs picture by picture.

    Parameters
    ----------
    a, b : run folders, what ``train`` returned, PART.json files of ``assay evaluate``, or Evaluations. Two networks of
        several heads give a SceneComparison, head by head; one beside a classifier is compared in the class alone.
    part : which part to compare on; test where both have it.
    draws, seed : of the bootstrap intervals.

    Raises
    ------
    ConfigError : no such run, a run without this part, or the two have nothing in common that they tell.
    DatasetError : the two were not measured on the same pictures, or labels differ, or one learned from the other's.
    """
    return read_pair(a, b, part=part, draws=draws, seed=seed).comparison


def read_pair(
    a: str | Path | AnyEvaluation | Any,
    b: str | Path | AnyEvaluation | Any,
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
    common = _is_honest(one, other)
    settings = tuple(different_settings(one.run, other.run))
    names = (one.name, other.name)
    if isinstance(one.evaluation, SceneEvaluation) and isinstance(other.evaluation, SceneEvaluation):
        heads = compare_pair(one.evaluation, other.evaluation, names, draws=draws, seed=seed)
        return Pair(one, other, heads, settings)
    (e, one), (f, other) = _as_classifier(one, other), _as_classifier(other, one)
    classes = compare_answers(e, f, common=common, names=names, draws=draws, seed=seed)
    notes = (*_only_class(*sides), *classes.notes)
    return Pair(one, other, replace(classes, notes=notes), settings)


def _as_classifier(side: Side, other: Side) -> tuple[Evaluation, Side]:
    """The class alone of a network that may tell more. Raises ConfigError where it tells none."""
    e = side.evaluation
    if isinstance(e, Evaluation):
        return e, side
    if e.classify is None:
        raise ConfigError(
            f"{side.name} and {other.name} have nothing in common that both were measured on",
            got=f"a network that tells {', '.join(e.heads)}, and a classifier",
            fix="compare it with a network that tells one of these, or train one with `--heads class` among others",
        )
    return e.classify, replace(side, evaluation=e.classify)


def _only_class(*sides: Side) -> list[str]:
    """What is left out of a network that tells more than the other."""
    return [
        f"{side.name} also tells {', '.join(h for h in side.evaluation.heads if h != 'class')}: "
        "only the class is compared."
        for side in sides
        if isinstance(side.evaluation, SceneEvaluation) and side.evaluation.heads != ("class",)
    ]


def is_run(place: str | Path) -> bool:
    """Whether a path is a run folder, or an evaluation's file."""
    path = Path(place)
    if path.is_dir():
        return (path / "run.json").is_file() or (path / "evaluation").is_dir()
    return path.suffix.lower() == ".json" and path.with_suffix(".npz").is_file()


def _folder_of(source: Any) -> Path | None:
    """The run folder behind a source; None for evaluations."""
    if isinstance(source, AnyEvaluation):
        return None
    path = Path(getattr(source, "folder", source))
    if path.is_dir():
        return path
    above = [path.parent.parent, path.parent.parent.parent]  # of other data than its own: a folder deeper
    return next(
        (run for run in above if (run / "evaluation").is_dir() and (run / "run.json").is_file()), None
    )


def _parts_of(source: Any) -> list[str]:
    if isinstance(source, AnyEvaluation):
        return [source.part]
    path = Path(getattr(source, "folder", source))
    if path.is_file():
        return [read_evaluation(path).part]
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
    if isinstance(source, AnyEvaluation):
        return Side(source.model, source)
    path = Path(getattr(source, "folder", source))
    if path.is_file():
        evaluation = read_evaluation(path)
    else:
        have = _parts_of(path)
        if part not in have:
            raise ConfigError(
                f"{path} was not measured on {part}",
                got=", ".join(have) or "nothing was measured",
                fix=f"run `assay evaluate {path} --part {part}`",
            )
        evaluation = read_evaluation(path / "evaluation" / f"{part}.json")
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
    measured = [set(paths_of(side.evaluation)) for side in (a, b)]
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
