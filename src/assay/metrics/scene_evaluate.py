"""Evaluation of networks of several heads: the answer corridor walked over one part of a data set, each head measured
where its truth is known.

Every picture is answered once. What it holds for a head that nobody labelled there counts neither for nor against the
network. Pixels are counted picture by picture as the answers come, so memory does not grow with them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import pyarrow.compute as pc

from assay.errors import DatasetError, ImageError, ModelError
from assay.metrics.evaluate import Progress
from assay.metrics.scene_evaluation import SceneEvaluation
from assay.metrics.scene_material import SceneMaterial
from assay.metrics.scene_measure import measure_scene
from assay.metrics.scene_panoptic import PanopticTally
from assay.metrics.scene_pixels import PixelTally
from assay.metrics.scene_tags import TAG_SCORE
from assay.metrics.scene_truth import SceneTruth
from assay.pipeline_scene import EVERY_SCORE, told_from

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.card import Card
    from assay.detections import Detections
    from assay.objects import Objects
    from assay.types import Dataset, Prediction, Sample


@runtime_checkable
class ScenePredictorLike(Protocol):
    """What can be evaluated: a checkpoint, a Bundle."""

    @property
    def card(self) -> Card:
        """Its classes, heads and thresholds."""
        ...

    def predict(
        self, sources: Iterable[str | Path], *, least_score: float | None = None
    ) -> Iterator[Prediction]:
        """One Prediction a source, in order, with all things of ``least_score`` or more."""
        ...


def evaluate_scenes(
    predictor: ScenePredictorLike,
    dataset: Dataset,
    part: str | None = "test",
    *,
    on_progress: Progress | None = None,
    draws: int = 1000,
    seed: int = 0,
    model: str | None = None,
    told: float | None = None,
) -> SceneEvaluation:
    """Answer every picture of a part that has a label for one of the network's heads, and measure the answers.

    ``part`` None takes every picture. ``draws`` and ``seed`` are those of the bootstrap intervals; with 0 draws there
    are none, which is quick. ``model`` is the name to record (the card's when not given). ``told`` is the score from
    which things are told (the card's when not given); average precision looks at all of them.

    Raises
    ------
    ConfigError : the data set has no such part.
    DatasetError : a label that occurs is unknown to the network, nothing that it tells is labelled, or no picture can
    be read.
    ModelError : the predictor does not give one answer a picture.
    """
    began = time.perf_counter()
    chosen, card = dataset if part is None else dataset.part(part), predictor.card
    truth = SceneTruth.of(chosen, card)
    measured = chosen.select(truth.labelled)
    walk = _Walk(truth, told_from(card) if told is None else told)
    answers = predictor.predict(
        (measured.root / str(name) for name in measured.table["path"].to_pylist()), least_score=EVERY_SCORE
    )
    done = 0
    for done, (sample, answer) in enumerate(zip(measured, answers, strict=False), 1):
        walk.take(sample, answer)
        if on_progress is not None:
            on_progress(done, len(measured))
    if done < len(measured):
        raise ModelError(
            f"the predictor answered {done} of {len(measured)} pictures",
            fix="one Prediction a source is needed",
        )
    if not walk.rows:
        raise DatasetError(
            f"none of the {len(measured)} pictures of {dataset.name} can be read",
            got=f"{walk.unreadable[0]['path']}: {walk.unreadable[0]['error']}",
            fix="run `assay check` on the data set",
        )
    found = measure_scene(
        walk.material(measured),
        walk.told_from,
        draws=draws,
        seed=seed,
        part=part,
        tag_score=float(card.thresholds.get("tags", {}).get("score", TAG_SCORE)),
        model=model or card.name,
        dataset=dataset.name,
        root=str(dataset.root),
        split_hash=dataset.split_hash,
        unreadable=walk.unreadable,
        faulty=walk.faulty,
        unlabelled=len(chosen) - len(measured),
    )
    return replace(found, seconds=time.perf_counter() - began)


@dataclass
class _Walk:
    """What is gathered, picture by picture; ``rows`` are positions of those that could be read."""

    truth: SceneTruth
    told_from: float
    rows: list[int] = field(default_factory=list)
    done: int = 0
    sizes: list[tuple[int, int]] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    probs: list[NDArray[np.float32]] = field(default_factory=list)
    tags: list[NDArray[np.int8]] = field(default_factory=list)
    tag_scores: list[NDArray[np.float32]] = field(default_factory=list)
    objects: list[Objects | None] = field(default_factory=list)
    found: list[Detections] = field(default_factory=list)
    unreadable: list[dict[str, str]] = field(default_factory=list)
    faulty: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        of = self.truth
        self.pixels = PixelTally(of.pixel_classes)
        self.panoptic = PanopticTally(of.object_classes, of.pixel_classes, self.told_from)

    def take(self, sample: Sample, answer: Prediction) -> None:
        """Keep what a picture's truth and answer are worth."""
        self.done += 1
        name = self._name(sample)
        if answer.error is not None:
            self.unreadable.append({"path": name, "error": answer.error})
            return
        row, of = len(self.rows), self.truth
        self.rows.append(self.done - 1)
        self.sizes.append(answer.size_hw)
        self.targets.append(of.label(sample))
        self.probs.append(answer.probs)
        self.tags.append(of.tags(sample))
        self.tag_scores.append(np.zeros(0, np.float32) if answer.tags is None else answer.tags)
        self.objects.append(self._objects(sample, answer.size_hw))
        self.found.append(of.detections(answer.boxes))
        self._count(row, sample, answer)

    def _name(self, sample: Sample) -> str:
        root = self.truth.dataset.root
        return (
            sample.path.relative_to(root).as_posix() if sample.path.is_relative_to(root) else str(sample.path)
        )

    def _objects(self, sample: Sample, size_hw: tuple[int, int]) -> Objects | None:
        """None, and a word of it, where masks are of another picture size."""
        own = self.truth.objects(sample)
        if own is None:
            return None
        for mask in own.masks:
            if mask is not None and mask.size_hw != size_hw:
                self._fault(sample, f"masks of {_size(mask.size_hw)}, the picture has {_size(size_hw)}")
                return None
        return own

    def _count(self, row: int, sample: Sample, answer: Prediction) -> None:
        if answer.pixels is None:
            return
        try:
            plane = self.truth.pixels(sample)
        except ImageError as error:
            self._fault(sample, f"its mask of pixels: {error}")
            return
        if plane is None:
            return
        if plane.shape != answer.pixels.shape:
            self._fault(sample, f"a mask of {_size(plane.shape)}, the picture has {_size(answer.size_hw)}")
            return
        self.pixels.add(row, plane, answer.pixels)
        objects = self.objects[row]
        if objects is not None and "masks" in self.truth.heads:
            self.panoptic.add(row, objects, plane, self.found[row], answer.pixels)

    def _fault(self, sample: Sample, error: str) -> None:
        self.faulty.append({"path": self._name(sample), "error": error})

    def material(self, dataset: Dataset) -> SceneMaterial:
        """What was gathered, of the pictures that could be read."""
        table, of = dataset.table.take(self.rows), self.truth
        groups = None
        if "group" in table.column_names and table["group"].null_count < len(table):
            groups = pc.cast(table["group"], "string").to_pylist()
        has_tags, has_class = "tags" in of.heads, "class" in of.heads
        n, k = len(self.rows), len(of.classes)
        empty: Any = np.zeros((n, 0))
        return SceneMaterial(
            paths=table["path"].to_pylist(),
            groups=groups,
            sizes_hw=np.array(self.sizes, np.int64).reshape(-1, 2),
            heads=of.heads,
            classes=of.classes,
            object_classes=of.object_classes,
            pixel_classes=of.pixel_classes,
            targets=np.array(self.targets, np.int64),
            probs=(np.stack(self.probs).reshape(n, k) if has_class else empty).astype(np.float32),
            tags=(np.stack(self.tags).reshape(n, k) if has_tags else empty).astype(np.int8),
            tag_scores=(np.stack(self.tag_scores).reshape(n, k) if has_tags else empty).astype(np.float32),
            truth=tuple(self.objects),
            found=tuple(self.found),
            pixels=self.pixels.counts(),
            panoptic=self.panoptic.counts(),
            planes=self.pixels.planes(),
        )


def _size(size_hw: tuple[int, ...]) -> str:
    return f"{size_hw[1]} x {size_hw[0]}"
