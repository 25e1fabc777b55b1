"""A loaded Bundle of a network with several heads: class, tags, boxes with masks, and pixels of a photo."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.errors import BundleError, ConfigError
from assay.image import DEFAULT_LIMITS
from assay.pipeline import Prepared
from assay.pipeline_scene import SceneCorridor, answer_scenes, told_from
from assay.preprocess import Preprocess
from assay.runtime.golden import check_golden
from assay.runtime.photo import prepare_photo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.card import Card
    from assay.labels import ClassNames
    from assay.photos import Source
    from assay.runtime.engines.engine import Engine
    from assay.types import Prediction


@dataclass(frozen=True)
class BundleScenePredictor:
    """A network that answers: ``predictor("photo.jpg").boxes``, or ``for p in predictor.predict(paths)``.

    ``digest`` is the SHA-256 of the Bundle; ``path`` is where it lies; ``batch`` the most pictures in one call of the
    engine.

    Raises
    ------
    BundleError : the network's outputs are not those of the card's heads and classes.
    """

    card: Card
    engine: Engine
    digest: str = ""
    path: Path | None = None
    batch: int = 8

    def __post_init__(self) -> None:
        _require_fit(self.card, self.engine.ends)

    @property
    def classes(self) -> ClassNames:
        """The classes of the picture and of its tags; empty where neither is told."""
        return self.card.classes

    @property
    def name(self) -> str:
        """The name on the card."""
        return self.card.name

    @cached_property
    def preprocess(self) -> Preprocess:
        """What happens to a decoded picture before the network sees it."""
        return Preprocess(self.card.preprocess)

    def __repr__(self) -> str:
        told = ", ".join(self.card.heads)
        return f"BundleScenePredictor({self.name!r}, {told}, {self.card.preprocess.size} px)"

    def __call__(
        self, photo: Any, *, least_score: float | None = None, masks: bool = True, pixels: bool = True
    ) -> Prediction:
        """The Prediction of one picture; one with ``error`` where the network's outputs are not finite numbers.

        Parameters
        ----------
        photo : a path, the bytes of a file, an (H, W, 3) uint8 RGB array, or a Pillow image.
        least_score, masks, pixels : as ``predict``.

        Raises
        ------
        ConfigError : there is no such file, or it is none of these.
        ImageError : the picture cannot be read. (``predict`` gives a Prediction with ``error`` instead.)
        """
        check_score(least_score)
        name, image, size_hw = prepare_photo(photo, self.preprocess)
        corridor = self._corridor(least_score, masks=masks, pixels=pixels)
        return corridor.predict([Prepared(name, image, size_hw)])[0]

    def predict(
        self,
        sources: Iterable[Source],
        *,
        least_score: float | None = None,
        masks: bool = True,
        pixels: bool = True,
        batch: int | None = None,
        workers: int | None = None,
        embed: bool = False,
    ) -> Iterator[Prediction]:
        """One Prediction a source, in order, in constant memory; a broken picture gives one with ``error``.

        Parameters
        ----------
        sources : as ``BundlePredictor.predict``.
        least_score : score from which a thing is told; the card's when not given.
        masks, pixels : False leaves out what is costly and not wanted.
        batch : most pictures in one call of the engine; the predictor's own when not given.
        workers : threads, each of which decodes and answers; by the number of cores when not given.
        embed : also tell the features of class and tags: ``Prediction.embedding``; None where there are neither.

        Raises
        ------
        ConfigError : a single name with nothing behind it; batch or workers below 1; a score outside of 0 to 1.
        """
        if isinstance(sources, str | Path):
            from assay.runtime.containers import pictures  # noqa: PLC0415 - most callers bring their own list

            sources = pictures(sources)
        check_score(least_score)
        return answer_scenes(
            sources,
            self.engine.scene,
            self.card,
            least_score=least_score,
            masks=masks,
            pixels=pixels,
            batch=self.batch if batch is None else batch,
            workers=workers,
            alone=lambda lanes: self.engine.alone(lanes).scene,
            embed=embed,
        )

    def answer(
        self,
        images: Sequence[NDArray[np.uint8]],
        path: str = "array",
        *,
        least_score: float | None = None,
        masks: bool = True,
        pixels: bool = True,
    ) -> list[Prediction]:
        """One Prediction for each decoded picture (H, W, 3) uint8; all are called ``path``."""
        check_score(least_score)
        corridor = self._corridor(least_score, masks=masks, pixels=pixels)
        found: list[Prediction] = []
        for start in range(0, len(images), self.batch):
            part = images[start : start + self.batch]
            found += corridor.predict(
                [Prepared(path, self.preprocess.pixels(image), image.shape[:2]) for image in part]
            )
        return found

    def _corridor(self, least_score: float | None, *, masks: bool, pixels: bool) -> SceneCorridor:
        score = told_from(self.card) if least_score is None else least_score
        return SceneCorridor(
            self.engine.scene, self.card, self.preprocess, DEFAULT_LIMITS, self.card, score, masks, pixels
        )

    def embed(self, photo: Any) -> NDArray[np.float32]:
        """(F,) float32 of length 1: what the heads of class and tags stand on, for search and near-duplicates.

        Takes and raises what calling does; ModelError where the network has neither of these heads.
        """
        pixels = prepare_photo(photo, self.preprocess)[1]
        return np.asarray(self.engine.embed(self.preprocess.normalise(pixels)[None])[0])

    def check(self, golden: bytes) -> float:
        """Answer the golden pictures; the greatest difference, a share of the values' scale.

        Raises
        ------
        BundleError : the answers are not those of the checkpoint.
        """
        return check_golden(golden, self.engine, self.card)


def check_score(score: float | None) -> None:
    """Refuse a least score that is none. Raises ConfigError."""
    if score is not None and not 0 <= score < 1:
        raise ConfigError(f"least_score is {score}", fix="give a number from 0 up to, but not, 1")


def _require_fit(card: Card, ends: Mapping[str, tuple[Any, ...]]) -> None:
    """Every head of the card has its outputs and no other has, each as wide as there are classes."""
    found: dict[str, Any] = {}
    for head, name, axis in (
        ("class", "class_logits", 0),
        ("tags", "tag_logits", 0),
        ("boxes", "boxes_class_logits", 1),
        ("boxes", "one_to_one_class_logits", 1),
        ("masks", "prototypes", None),
        ("pixels", "pixel_logits", 0),
    ):
        if name in ends:
            found[head] = None if axis is None else ends[name][axis]
    sizes = {"boxes": len(card.object_classes), "pixels": len(card.pixel_classes), "masks": None}
    wanted = {head: sizes.get(head, len(card.classes)) for head in card.heads}
    if found != wanted:
        raise BundleError(
            "the network's outputs do not fit the card",
            got=f"outputs of {_told(found)}; the card says {_told(wanted)}",
            fix="export the run again with `assay export`",
        )


def _told(heads: Mapping[str, int | None]) -> str:
    sizes = (name if n is None else f"{name} ({n} classes)" for name, n in sorted(heads.items()))
    return ", ".join(sizes) or "nothing"
