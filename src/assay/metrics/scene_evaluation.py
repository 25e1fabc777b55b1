"""SceneEvaluation: what was measured of a network of several heads, on which pictures; its files are PART.json and
PART.npz (``scene_files``).

``metrics`` has every number under one flat name: those of the class as in ``Evaluation`` (``accuracy``, ``nll``, ...),
the others behind the name of their part (``tags.map``, ``boxes.ap50``, ``masks.ap50_95``, ``pixels.miou``,
``panoptic.pq``, ``whole.found``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from assay.metrics.evaluation import Evaluation
from assay.metrics.interval import Estimate
from assay.metrics.scene_material import SceneMaterial
from assay.metrics.scene_pictures import ScenePicture, picture_rows
from assay.metrics.scene_pixels import PixelSection
from assay.metrics.scene_section import Section
from assay.metrics.scene_tags import TAG_SCORE, TagSection
from assay.metrics.scene_things import ThingSection
from assay.metrics.scene_whole import WholeSection

FORMAT = 1
_OPTIONS = {"draws": 1000, "seed": 0}
MAIN = {
    "class": "accuracy",
    "tags": "tags.map",
    "boxes": "boxes.ap50_95",
    "masks": "masks.ap50_95",
    "pixels": "pixels.miou",
}
"""Head -> the one number by which it is judged."""


@dataclass(frozen=True, eq=False)
class SceneEvaluation:
    """The answers of a network to N pictures, and what was measured of them, head by head.

    A part is None where the network has no such head, or the data no labels for it. ``unreadable`` pictures are in no
    number; ``faulty`` are truths that could not be used (a broken mask, say), and are out of that part alone;
    ``unlabelled`` pictures have no label that the network tells. ``told_from`` is the score from which things are told.
    """

    material: SceneMaterial
    told_from: float
    classify: Evaluation | None = None
    tags: TagSection | None = None
    boxes: ThingSection | None = None
    masks: ThingSection | None = None
    pixels: PixelSection | None = None
    panoptic: Section | None = None
    whole: WholeSection | None = None
    part: str = "all"
    model: str = "model"
    dataset: str = "dataset"
    root: str = ""
    split_hash: str = ""
    unreadable: list[dict[str, str]] = field(default_factory=list)
    faulty: list[dict[str, str]] = field(default_factory=list)
    unlabelled: int = 0
    interval: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def n(self) -> int:
        """Number of pictures that were answered and have some label."""
        return self.material.n

    @property
    def heads(self) -> tuple[str, ...]:
        """What was measured."""
        return self.material.heads

    @property
    def sections(self) -> dict[str, Section]:
        """The parts beside the class, by name; only those that were measured."""
        named = {
            "tags": self.tags,
            "boxes": self.boxes,
            "masks": self.masks,
            "pixels": self.pixels,
            "panoptic": self.panoptic,
            "whole": self.whole,
        }
        return {name: section for name, section in named.items() if section is not None}

    @cached_property
    def metrics(self) -> dict[str, Estimate]:
        """Every number by its flat name."""
        found = {} if self.classify is None else dict(self.classify.metrics)
        for name, section in self.sections.items():
            found |= {f"{name}.{one}": estimate for one, estimate in section.estimates.items()}
        return found

    def main_scores(self) -> dict[str, float]:
        """Head -> its one number (``MAIN``), for those that were measured; NaN where it is undefined."""
        return {head: self.metrics[name].value for head, name in MAIN.items() if name in self.metrics}

    @property
    def score(self) -> float:
        """The mean of the main scores that are defined, by which weights are chosen; NaN where none is."""
        known = [value for value in self.main_scores().values() if math.isfinite(value)]
        return float(np.mean(known)) if known else math.nan

    @cached_property
    def pictures(self) -> list[ScenePicture]:
        """What came out of every picture, in the order of ``material.paths``."""
        tag_score = TAG_SCORE if self.tags is None else self.tags.score
        return picture_rows(self.material, self.told_from, tag_score=tag_score)

    @property
    def worst(self) -> list[ScenePicture]:
        """The pictures, those with the greatest share of mistakes first; of equals the one that stands first."""
        return sorted(self.pictures, key=lambda one: -one.badness)

    def at(self, score: float) -> SceneEvaluation:
        """The same answers, things told from another score on; nothing is predicted again.

        Panoptic quality needs the pixels, which are not kept, so it is None at another score than its own.
        """
        from assay.metrics.scene_measure import measure_told  # noqa: PLC0415 - it builds evaluations

        options = {name: int(self.interval.get(name, default)) for name, default in _OPTIONS.items()}
        panoptic = self.panoptic if score == self.told_from else None
        told = measure_told(self.material, score, options)
        return replace(self, told_from=float(score), panoptic=panoptic, **told)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; undefined numbers are None."""
        scores = {name: value if math.isfinite(value) else None for name, value in self.main_scores().items()}
        of = self.material
        return {
            "task": "scene",
            "metrics": {name: estimate.to_dict() for name, estimate in self.metrics.items()},
            "main": scores,
            "score": self.score if math.isfinite(self.score) else None,
            "n": self.n,
            "heads": list(self.heads),
            "told_from": self.told_from,
            "classes": list(of.classes),
            "object_classes": list(of.object_classes),
            "pixel_classes": list(of.pixel_classes),
            "class": None if self.classify is None else self.classify.to_dict(),
            **dict.fromkeys(("tags", "boxes", "masks", "pixels", "panoptic", "whole")),
            **{name: section.to_dict() for name, section in self.sections.items()},
            **{name: getattr(self, name) for name in ABOUT},
            "interval": dict(self.interval),
            "seconds": round(self.seconds, 3),
            "format": FORMAT,
        }

    def save(self, folder: str | Path) -> Path:
        """Write ``PART.json`` and ``PART.npz`` into ``folder``; returns the path of the JSON.

        Raises
        ------
        AssayError : the disk is full, or the folder cannot be written.
        """
        from assay.metrics.scene_files import save_scene  # noqa: PLC0415 - it reads and writes this class

        return save_scene(self, Path(folder))

    @classmethod
    def load(cls, path: str | Path) -> SceneEvaluation:
        """Read what ``save`` wrote; ``path`` is the JSON file, with the arrays beside it.

        Raises
        ------
        ConfigError : a file is missing. DatasetError : the files are damaged or do not fit each other.
        """
        from assay.metrics.scene_files import load_scene  # noqa: PLC0415 - as in ``save``

        return load_scene(Path(path))


ABOUT = (
    "part",
    "model",
    "dataset",
    "root",
    "split_hash",
    "unreadable",
    "faulty",
    "unlabelled",
    "interval",
    "seconds",
)
"""The fields that say what was measured; plain values."""
