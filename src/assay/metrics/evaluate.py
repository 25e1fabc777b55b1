"""Evaluation: the answer corridor walked over one part of a data set, every metric with an interval.

It takes anything with ``classes`` and ``predict(sources)``: a checkpoint, a Bundle, a service. So one set of
metrics measures them all. Classes are compared by name. Nothing is dropped without a word: unlabelled
pictures are counted, and pictures that cannot be read are listed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from assay.errors import DatasetError, ModelError
from assay.labels import ClassNames
from assay.metrics.classify import answers
from assay.metrics.doubts import gather_doubts
from assay.metrics.evaluation import Evaluation
from assay.metrics.interval import LEVEL, group_numbers
from assay.metrics.metric import Metric, Probs, Targets, measure
from assay.tables import METRICS
from assay.types import Dataset, Doubt, Predictor

__all__ = ["Evaluation", "Progress", "build_evaluation", "evaluate", "load_metrics", "model_targets"]

Progress = Callable[[int, int], None]
"""Called with (pictures done, pictures in all)."""


def evaluate(
    predictor: Predictor,
    dataset: Dataset,
    part: str | None = "test",
    *,
    on_progress: Progress | None = None,
    draws: int = 1000,
    seed: int = 0,
    model: str | None = None,
    abstain: bool = False,
) -> Evaluation:
    """Answer every labelled picture of a part and measure the answers.

    ``part`` None takes every picture. ``draws`` and ``seed`` are those of the bootstrap intervals; ``model``
    is the name to record (the card's when not given). With ``abstain`` the predictor also says of each answer
    whether it should be held back: ``Evaluation.doubts``. All other metrics are of all answers, held back or not.

    Raises
    ------
    ConfigError : the data set has no such part; ``abstain`` where the predictor has no thresholds.
    DatasetError : a label is unknown to the model, no picture is labelled, or none can be read.
    ModelError : the predictor does not give one answer a picture.
    """
    began = time.perf_counter()
    chosen = dataset if part is None else dataset.part(part)
    labelled, unlabelled = _labelled(chosen)
    targets = model_targets(labelled, predictor.classes)
    table = _answers(predictor, labelled, on_progress, abstain=abstain)
    read = table.read
    if not read.any():
        raise DatasetError(
            f"none of the {len(read)} pictures of {_called(dataset, part)} can be read",
            got=f"{table.unreadable[0]['path']}: {table.unreadable[0]['error']}",
            fix="run `assay check` on the data set",
        )
    paths, groups = _columns(labelled, read)
    return build_evaluation(
        table.probs[read],
        targets[read],
        predictor.classes,
        paths=paths,
        groups=groups,
        part=part,
        dataset=dataset.name,
        root=str(dataset.root),
        split_hash=dataset.split_hash,
        model=model or _model_name(predictor),
        unreadable=table.unreadable,
        unlabelled=unlabelled,
        draws=draws,
        seed=seed,
        seconds=lambda: time.perf_counter() - began,
        doubts=gather_doubts(table.doubts, targets[read], predictor.classes, _thresholds(predictor))
        if abstain
        else None,
    )


def build_evaluation(
    probs: Probs,
    targets: Targets,
    classes: ClassNames,
    *,
    paths: list[str],
    groups: list[str | None] | None = None,
    part: str | None = None,
    draws: int = 1000,
    seed: int = 0,
    seconds: Callable[[], float] = lambda: 0.0,
    **about: Any,
) -> Evaluation:
    """An Evaluation from answers at hand: probs (N, K), targets (N,) in the order of ``classes``.

    ``about`` are further fields of Evaluation: model, dataset, root, split_hash, unreadable, unlabelled, doubts.

    Raises
    ------
    ConfigError : shapes do not fit.
    """
    numbers = group_numbers(groups, len(targets))
    metrics = measure(load_metrics(), probs, targets, draws=draws, seed=seed, groups=numbers)
    return Evaluation(
        metrics=metrics,
        classes=classes,
        targets=targets,
        probs=probs.astype(np.float32, copy=False),
        predicted=answers(probs),
        paths=paths,
        groups=groups,
        part=part or "all",
        interval={
            "level": LEVEL,
            "proportions": "wilson" if numbers is None else "wilson, effective number of pictures by groups",
            "others": f"bootstrap of {'pictures' if numbers is None else 'groups'}",
            "ece_floor": "range of simulated calibrated models",
            "draws": draws,
            "seed": seed,
            "groups": None if numbers is None else int(numbers.max()) + 1,
        },
        seconds=seconds(),
        **about,
    )


def load_metrics() -> dict[str, Metric]:
    """Every entry of the table METRICS, by name."""
    return {name: METRICS.load(name) for name in METRICS}


def model_targets(dataset: Dataset, classes: ClassNames) -> Targets:
    """(N,) class index of every row in the order of the model's ``classes``, matched by name; -1 unlabelled.

    Raises
    ------
    DatasetError : a label that occurs is no class of the model.
    """
    own = dataset.targets
    places = np.array([classes.position(n) if n in classes else -1 for n in dataset.classes] or [-1])
    used = np.unique(own[own >= 0])
    strange = [dataset.classes[int(i)] for i in used if places[i] < 0]
    if strange:
        raise DatasetError(
            f"{len(strange)} label(s) of {dataset.name} are no class of the model: {_few(strange)}",
            got=f"the model's {len(classes)} classes: {_few(list(classes))}",
            fix="rename or leave out these labels, or train a model that knows them",
        )
    return np.where(own >= 0, places[own], -1).astype(np.int64)


def _few(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _called(dataset: Dataset, part: str | None) -> str:
    return f"{dataset.name}, part {part}" if part else dataset.name


def _labelled(dataset: Dataset) -> tuple[Dataset, int]:
    mask = dataset.targets >= 0
    if mask.any():
        return dataset.select(mask), int((~mask).sum())
    raise DatasetError(
        f"no picture of {dataset.name} has a label, so nothing can be measured",
        got=f"{len(dataset)} pictures without label",
        fix="add a label column, or use `assay predict` for pictures without labels",
    )


@dataclass(slots=True)
class _Answers:
    probs: NDArray[np.float32]
    read: NDArray[np.bool_]
    unreadable: list[dict[str, str]]
    doubts: list[Doubt]


def _answers(
    predictor: Predictor, dataset: Dataset, on_progress: Progress | None, *, abstain: bool
) -> _Answers:
    n = len(dataset)
    found = _Answers(np.zeros((n, len(predictor.classes)), np.float32), np.zeros(n, bool), [], [])
    options: dict[str, Any] = {"abstain": True} if abstain else {}  # not every predictor can
    names = [str(path) for path in dataset.table["path"].to_pylist()]
    done = 0
    for i, answer in enumerate(predictor.predict((dataset.root / name for name in names), **options)):
        if i >= n:
            break
        done = i + 1
        if answer.error is None:
            found.probs[i], found.read[i] = answer.probs, True
            if abstain:
                found.doubts.append(answer.doubt or Doubt())
        else:
            found.unreadable.append({"path": names[i], "error": answer.error})
        if on_progress is not None:
            on_progress(done, n)
    if done < n:
        raise ModelError(
            f"the predictor answered {done} of {n} pictures", fix="one Prediction a source is needed"
        )
    return found


def _columns(dataset: Dataset, read: NDArray[np.bool_]) -> tuple[list[str], list[str | None] | None]:
    table = dataset.table.filter(read)
    if "group" not in table.column_names or table["group"].null_count == len(table):
        return table["path"].to_pylist(), None
    return table["path"].to_pylist(), pc.cast(table["group"], "string").to_pylist()


def _thresholds(predictor: Predictor) -> str:
    return str(getattr(getattr(predictor, "abstention", None), "digest", ""))


def _model_name(predictor: Predictor) -> str:
    card = getattr(predictor, "card", None)
    return str(getattr(card, "name", None) or type(predictor).__name__)
