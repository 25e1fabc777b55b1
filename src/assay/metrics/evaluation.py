"""Evaluation: what was measured, on which pictures, of which model; its files are PART.json and PART.npz.

The JSON is for people and scripts, the arrays (no pickle) for the report and for comparing two models
picture by picture.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import ConfigError, DatasetError
from assay.files import write_file
from assay.labels import ClassNames
from assay.metrics.classify import DENSE_CLASSES, answers, class_rows, confused_pairs, confusion
from assay.metrics.doubts import Doubts, measure_doubts, read_doubts
from assay.metrics.interval import Estimate, group_numbers
from assay.metrics.metric import Probs, Targets

FORMAT = 1


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The answers of a model to N labelled pictures, and the metrics of them.

    ``probs`` (N, K) float32 and ``targets``, ``predicted`` (N,) follow ``classes``, the model's own order.
    ``paths`` are as the data set has them, relative to ``root``. ``unreadable`` pictures are in no metric.
    ``split_hash`` is that of the whole data set. ``doubts`` say which answers were held back, where that was asked.
    """

    metrics: dict[str, Estimate]
    classes: ClassNames
    targets: Targets
    probs: Probs
    predicted: Targets
    paths: list[str]
    part: str
    groups: list[str | None] | None = None
    model: str = "model"
    dataset: str = "dataset"
    root: str = ""
    split_hash: str = ""
    unreadable: list[dict[str, str]] = field(default_factory=list)
    unlabelled: int = 0
    interval: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    doubts: Doubts | None = None

    @property
    def n(self) -> int:
        """Number of pictures measured."""
        return len(self.targets)

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """(N,) whether the answer is the target."""
        return np.asarray(self.predicted == self.targets)

    @cached_property
    def confidence(self) -> NDArray[np.float64]:
        """(N,) probability of the answer."""
        return np.asarray(self.probs.max(1), dtype=np.float64)

    @cached_property
    def per_class(self) -> list[dict[str, Any]]:
        """One mapping a class: class, support, predicted, precision, recall, f1."""
        return class_rows(list(self.classes), self.predicted, self.targets)

    @cached_property
    def confusion(self) -> NDArray[np.int64] | None:
        """(K, K) pictures, row target, column answer; None above ``DENSE_CLASSES`` classes."""
        k = len(self.classes)
        return confusion(self.predicted, self.targets, k) if k <= DENSE_CLASSES else None

    @cached_property
    def abstention(self) -> dict[str, Estimate] | None:
        """What was found of held-back answers (``measure_doubts``); None where it was not asked for."""
        if self.doubts is None:
            return None
        return measure_doubts(self.doubts, self.right, group_numbers(self.groups, self.n))

    def confused(self, most: int = 20) -> list[dict[str, Any]]:
        """The commonest mistakes: class, answer, n; commonest first."""
        pairs = confused_pairs(self.predicted, self.targets, len(self.classes), most)
        return [{"class": self.classes[t], "answer": self.classes[a], "n": n} for t, a, n in pairs]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; undefined numbers are None."""
        return {
            "metrics": {name: estimate.to_dict() for name, estimate in self.metrics.items()},
            "n": self.n,
            "part": self.part,
            "split_hash": self.split_hash,
            "model": self.model,
            "dataset": self.dataset,
            "classes": list(self.classes),
            "interval": dict(self.interval),
            "per_class": self.per_class,
            "confusion": None if self.confusion is None else self.confusion.tolist(),
            "confused": self.confused(),
            "unreadable": self.unreadable,
            "unlabelled": self.unlabelled,
            "root": self.root,
            "seconds": round(self.seconds, 3),
            "format": FORMAT,
            **(
                {}
                if self.abstention is None
                else {"abstention": {name: found.to_dict() for name, found in self.abstention.items()}}
            ),
        }

    def save(self, folder: str | Path) -> Path:
        """Write ``PART.json`` and ``PART.npz`` into ``folder``; returns the path of the JSON.

        Raises
        ------
        AssayError : the disk is full, or the folder cannot be written.
        """
        folder = Path(folder)
        arrays: dict[str, Any] = {
            "targets": self.targets,
            "probs": self.probs,
            "paths": np.array(self.paths, dtype=np.str_),
        }
        if self.doubts is not None:
            arrays |= self.doubts.arrays()
        if self.groups is not None:
            arrays["groups"] = np.array([name or "" for name in self.groups], dtype=np.str_)
        packed = io.BytesIO()
        np.savez_compressed(packed, **arrays)
        write_file(folder / f"{self.part}.npz", packed.getvalue())
        text = json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)
        write_file(folder / f"{self.part}.json", text.encode())
        return folder / f"{self.part}.json"

    @classmethod
    def load(cls, path: str | Path) -> Evaluation:
        """Read what ``save`` wrote; ``path`` is the JSON file, with the arrays beside it.

        Raises
        ------
        ConfigError : a file is missing. DatasetError : the files are damaged or do not fit each other.
        """
        path = Path(path)
        for file in (path, path.with_suffix(".npz")):
            if not file.is_file():
                raise ConfigError(f"{file} does not exist", fix="run `assay evaluate` first")
        try:
            about = json.loads(path.read_text("utf-8"))
            with (
                path.with_suffix(".npz").open("rb") as packed,
                np.load(packed, allow_pickle=False) as arrays,
            ):
                return cls._from_files(about, {name: arrays[name] for name in arrays.files})
        except (ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError) as error:
            raise DatasetError(
                f"{path} is not an evaluation",
                got=f"{type(error).__name__}: {error}",
                fix="run `assay evaluate` again",
            ) from error

    @classmethod
    def _from_files(cls, about: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Evaluation:
        if about.get("task", "classify") != "classify":
            raise ValueError("it is of a network that tells more than a class")
        probs, targets = arrays["probs"], arrays["targets"]
        if probs.shape != (about["n"], len(about["classes"])) or targets.shape != probs.shape[:1]:
            raise ValueError(f"probs {probs.shape} of {about['n']} pictures, {len(about['classes'])} classes")
        groups = [str(g) or None for g in arrays["groups"]] if "groups" in arrays else None
        return cls(
            metrics={name: Estimate.from_dict(value) for name, value in about["metrics"].items()},
            classes=ClassNames(about["classes"]),
            targets=targets,
            probs=probs,
            predicted=answers(probs),
            paths=[str(p) for p in arrays["paths"]],
            groups=groups,
            doubts=read_doubts(arrays, about["n"]),
            **{key: about[key] for key in _ABOUT},
        )


_ABOUT = ("part", "model", "dataset", "root", "split_hash", "unreadable", "unlabelled", "interval", "seconds")
