"""Models in sequence, one predictor: those of the whole picture together, then each crop of what they found.

Answers of the whole picture are put into one Prediction, each part by the one model that tells it. A step that looks at
crops cuts them as ``assay crops`` does, so that a classifier trained on such crops sees what it was trained on. Its
answers stand in ``Prediction.crops`` under the step's name; with ``relabel`` things also take its classes, and their
score times its probability, which has to reach the score from which things are told, as the finder's own had to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, tee
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.data.crop_frames import target_frame
from assay.errors import ConfigError, ImageError
from assay.live import Live, taking
from assay.pipeline import default_workers, one_line
from assay.pipeline_scene import told_from
from assay.postprocess import picture_of
from assay.runtime.photo import open_photo
from assay.runtime.pipeline_file import Step, read_steps
from assay.runtime.predictor import BundlePredictor
from assay.runtime.scene_predictor import BundleScenePredictor, check_score
from assay.runtime.sequence_plan import classes_after, compose, require_plan
from assay.types import Prediction
from assay.verb_configs import CropsConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.card import Card
    from assay.labels import ClassNames
    from assay.photos import Source

    Model = BundlePredictor | BundleScenePredictor

_PICTURES = 4
"""Whole pictures that are in memory at once, to be cut."""


@dataclass(frozen=True)
class SequencePredictor:
    """Models that answer together: ``predictor("photo.jpg").crops["kind"][0].label``.

    ``steps`` are in the order of working; ``models`` by the names of the steps; ``path`` is the pipeline file;
    ``batch`` the most pictures in one call of an engine.

    Raises
    ------
    ConfigError : two steps tell the same part of the whole picture; a step looks at the things of one that finds none,
        or at classes that it does not know.
    """

    steps: tuple[Step, ...]
    models: Mapping[str, Model]
    name: str = "sequence"
    path: Path | None = None
    batch: int = 8

    def __post_init__(self) -> None:
        require_plan(self.steps, {name: model.card for name, model in self.models.items()}, self.name)

    @cached_property
    def card(self) -> Card:
        """What all of them tell together: classes, heads, and the score from which a thing is told."""
        cards = {name: model.card for name, model in self.models.items()}
        return replace(compose(self.steps, cards), name=self.name)

    @property
    def classes(self) -> ClassNames:
        """The classes of the whole picture; empty where none is told."""
        return self.card.classes

    @property
    def digest(self) -> str:
        """64 hex digits that change with any of the models and with how they are joined."""
        told = [[step.to_dict() | {"model": self.models[step.name].digest}] for step in self.steps]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def __repr__(self) -> str:
        told = ", ".join(f"{s.name} of {s.crops_of}" if s.crops_of else s.name for s in self.steps)
        return f"SequencePredictor({self.name!r}, {told})"

    def __call__(
        self, photo: Any, *, least_score: float | None = None, masks: bool = True, pixels: bool = True
    ) -> Prediction:
        """The Prediction of one picture, as ``BundleScenePredictor``.

        Each model that looks at the whole picture decodes it as its Bundle says, as ``predict`` does; where things are
        cut out, all pixels are decoded for that.
        """
        check_score(least_score)
        wanted = _Wanted(least_score, masks, pixels)
        told = {s.name: self._whole(s, photo, wanted) for s in self.steps if s.crops_of is None}
        found = self._joined(told)
        return self._deepen(found, open_photo(photo)[1] if self._cuts(found) else None, None, wanted)

    def predict(
        self,
        sources: Iterable[Source],
        *,
        least_score: float | None = None,
        masks: bool = True,
        pixels: bool = True,
        batch: int | None = None,
        workers: int | None = None,
    ) -> Iterator[Prediction]:
        """One Prediction a source, in order, as ``BundleScenePredictor.predict``."""
        if isinstance(sources, str | Path):
            from assay.runtime.containers import pictures  # noqa: PLC0415 - most callers bring their own list

            sources = pictures(sources)
        check_score(least_score)
        wanted, size = _Wanted(least_score, masks, pixels), self.batch if batch is None else batch
        waiting = iter(sources)
        if isinstance(waiting, Live):
            return self._live(waiting, wanted, size, workers)
        return self._over(waiting, wanted, size, workers)

    def _live(self, sources: Live, wanted: _Wanted, batch: int, workers: int | None) -> Iterator[Prediction]:
        """What came is answered by all steps before more is taken: no answer waits for the next source."""
        with taking(sources, batch) as take:
            while part := take():
                yield from self._over(part, wanted, batch, workers)

    def _over(
        self, sources: Iterable[Source], wanted: _Wanted, batch: int, workers: int | None
    ) -> Iterator[Prediction]:
        whole = [step for step in self.steps if step.crops_of is None]
        walks = {
            step.name: self._walk(step, one, wanted, batch, workers)
            for step, one in zip(whole, tee(sources, len(whole)), strict=True)
        }
        return self._answers(walks, wanted, workers or default_workers())

    def _whole(self, step: Step, photo: Any, wanted: _Wanted) -> Prediction:
        model = self.models[step.name]
        return model(photo) if isinstance(model, BundlePredictor) else model(photo, **wanted.options(step))

    def _walk(
        self, step: Step, sources: Iterable[Source], wanted: _Wanted, batch: int, workers: int | None
    ) -> Iterator[Prediction]:
        model = self.models[step.name]
        if isinstance(model, BundlePredictor):
            return model.predict(sources, batch=batch, workers=workers)
        return model.predict(sources, batch=batch, workers=workers, **wanted.options(step))

    def _answers(
        self, walks: Mapping[str, Iterator[Prediction]], wanted: _Wanted, workers: int
    ) -> Iterator[Prediction]:
        """Whole answers joined, and their things looked at; for its crops a picture is decoded once more."""
        with ExitStack() as stack:
            for walk in walks.values():
                stack.enter_context(closing(walk))  # type: ignore[type-var]
            pool = ThreadPoolExecutor(min(workers, _PICTURES), thread_name_prefix="assay-crops")
            stack.callback(pool.shutdown, wait=True, cancel_futures=True)
            rows = zip(*walks.values(), strict=True)
            while part := [
                self._joined(dict(zip(walks, row, strict=True))) for row in islice(rows, _PICTURES)
            ]:
                for found, image in zip(part, pool.map(self._picture, part), strict=True):
                    if isinstance(image, str):
                        yield self._broken(found, image)
                    else:
                        yield self._deepen(found, image, None, wanted)

    def _picture(self, found: Prediction) -> NDArray[np.uint8] | str | None:
        """In a thread: the whole picture, where something is to be cut from it; or what is wrong with it."""
        if not self._cuts(found):
            return None
        try:
            return picture_of(found)
        except ImageError as error:  # gone since it was first read
            return one_line(error)

    def _cuts(self, found: Prediction) -> bool:
        """Whether a step looks at things that were found in the whole picture."""
        some = found.boxes is not None and len(found.boxes) > 0
        return some and any(step.crops_of is not None for step in self.steps)

    def _look(
        self, step: Step, images: Sequence[NDArray[np.uint8]], path: str, wanted: _Wanted
    ) -> list[Prediction]:
        """What a step says of cut-outs of the picture ``path``."""
        model = self.models[step.name]
        if isinstance(model, BundlePredictor):
            return model.answer(images, path)
        return model.answer(images, path, **wanted.options(step))

    def _joined(self, told: Mapping[str, Prediction]) -> Prediction:
        """One Prediction of what the steps on the whole picture say."""
        answers, card = list(told.values()), self.card
        first = answers[0]
        if fault := next((one.error for one in answers if one.error is not None), None):
            return self._broken(first, fault)
        found = replace(first, classes=card.classes)
        for one in answers[1:]:
            found = replace(
                found,
                probs=one.probs if len(one.probs) else found.probs,
                tags=found.tags if one.tags is None else one.tags,
                boxes=found.boxes if one.boxes is None else one.boxes,
                pixels=found.pixels if one.pixels is None else one.pixels,
                object_classes=one.object_classes or found.object_classes,
                pixel_classes=one.pixel_classes or found.pixel_classes,
            )
        return found

    def _broken(self, found: Prediction, error: str) -> Prediction:
        none = np.empty(0, np.float32)
        return Prediction(found.path, self.classes, none, found.size_hw, error=error, photo=found.photo)

    def _deepen(
        self, found: Prediction, image: NDArray[np.uint8] | None, of: str | None, wanted: _Wanted
    ) -> Prediction:
        """What further steps say of the things that step ``of`` found; None stands for the whole picture's."""
        finders = {s.name for s in self.steps if s.crops_of is None} if of is None else {of}
        steps = [step for step in self.steps if step.crops_of in finders]
        if found.boxes is None or not steps:
            return found
        crops = {step.name: self._of_things(step, found, image, wanted) for step in steps}
        return self._relabelled(replace(found, crops=crops), steps, self._told_from(of, wanted))

    def _told_from(self, finder: str | None, wanted: _Wanted) -> float:
        """The score from which things of a step are told; None stands for the whole picture's."""
        if wanted.least_score is not None:
            return wanted.least_score
        if finder is None:
            return told_from(self.card)
        own = next(step.least_score for step in self.steps if step.name == finder)
        return told_from(self.models[finder].card) if own is None else own

    def _of_things(
        self, step: Step, found: Prediction, image: NDArray[np.uint8] | None, wanted: _Wanted
    ) -> tuple[Prediction | None, ...]:
        assert found.boxes is not None
        names = set(step.classes or found.object_classes)
        rows = [i for i, label in enumerate(found.boxes.labels) if found.object_classes[int(label)] in names]
        answers: list[Prediction | None] = [None] * len(found.boxes)
        if not rows or image is None:
            return tuple(answers)
        config, rng = CropsConfig(margin=step.margin), np.random.default_rng(0)
        frames = [target_frame(found.boxes.boxes_xyxy[i].tolist(), found.size_hw, config, rng) for i in rows]
        cuts = [np.ascontiguousarray(image[y1:y2, x1:x2]) for x1, y1, x2, y2 in frames]
        for i, frame, cut, one in zip(
            rows, frames, cuts, self._look(step, cuts, found.path, wanted), strict=True
        ):
            answers[i] = self._deepen(replace(one, origin_xy=frame[:2]), cut, step.name, wanted)
        return tuple(answers)

    def _relabelled(self, found: Prediction, steps: Sequence[Step], least: float) -> Prediction:
        """Things under the classes of the steps that ask for it, the best first again, without those below ``least``.

        No product is above the finder's score, so whoever asks for a low score and filters afterwards, as ``evaluate``
        does, is left with the same things as whoever asks for the high one.
        """
        naming = [step for step in steps if step.relabel]
        if not naming or found.boxes is None:
            return found
        boxes = found.boxes
        classes = classes_after(found.object_classes, steps, {n: m.classes for n, m in self.models.items()})
        labels = [found.object_classes[int(label)] for label in boxes.labels]
        scores = boxes.scores.astype(np.float64)
        for step in naming:
            for i, crop in enumerate(found.crops[step.name]):
                if crop is None:
                    continue
                if crop.label is None:
                    return self._broken(found, crop.error or "a crop has no class")
                labels[i], scores[i] = crop.label, scores[i] * crop.confidence
        told = scores.astype(np.float32)
        order = np.argsort(-told, kind="stable")
        order = order[told[order] >= np.float32(least)]
        positions = np.array([classes.position(labels[i]) for i in order], np.int64)
        again = replace(
            boxes,
            boxes_xyxy=boxes.boxes_xyxy[order],
            labels=positions,
            scores=told[order],
            masks=tuple(boxes.masks[i] for i in order),
        )
        crops = {name: tuple(answers[i] for i in order) for name, answers in found.crops.items()}
        return replace(found, boxes=again, object_classes=classes, crops=crops)


@dataclass(frozen=True)
class _Wanted:
    """What was asked for, handed on to every step that finds things."""

    least_score: float | None
    masks: bool
    pixels: bool

    def options(self, step: Step) -> dict[str, Any]:
        score = step.least_score if self.least_score is None else self.least_score
        return {"least_score": score, "masks": self.masks, "pixels": self.pixels}


def load_sequence(path: Path, **options: Any) -> SequencePredictor:
    """The models of a pipeline file, each loaded once. Takes and raises what ``load`` does."""
    from assay.runtime.load import PIPELINE_FILE, load  # noqa: PLC0415 - it calls this

    steps = read_steps(path)
    loaded: dict[str, Model] = {}
    for step in steps:
        if Path(step.model).suffix.lower() == PIPELINE_FILE:
            raise ConfigError(
                f"{path}: {step.name} is a pipeline file itself", got=step.model, fix="name Bundles"
            )
        if step.model not in loaded:
            found = load(step.model, **options)
            assert not isinstance(found, SequencePredictor)
            loaded[step.model] = found
    return SequencePredictor(steps, {step.name: loaded[step.model] for step in steps}, path.stem, path)
