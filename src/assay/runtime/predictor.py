"""A loaded Bundle: call it with a photo, or let it walk the answer corridor over many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.errors import ConfigError
from assay.image import DEFAULT_LIMITS
from assay.pipeline import ClassCorridor, Prepared, answer
from assay.preprocess import Preprocess
from assay.runtime.golden import check_golden
from assay.runtime.photo import prepare_photo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.card import Card
    from assay.decide.abstention import Abstention
    from assay.labels import ClassNames
    from assay.photos import Source
    from assay.runtime.engines.engine import Engine
    from assay.types import Prediction


@dataclass(frozen=True)
class BundlePredictor:
    """A network that answers: ``predictor("photo.jpg").label``, or ``for p in predictor.predict(paths)``.

    ``digest`` is the SHA-256 of the Bundle, for records of what answered; ``path`` is where it lies; ``batch``
    is the most pictures in one call of the engine; ``abstention`` the thresholds that the Bundle holds, if any.
    """

    card: Card
    engine: Engine
    digest: str = ""
    path: Path | None = None
    batch: int = 8
    abstention: Abstention | None = None

    @property
    def classes(self) -> ClassNames:
        """The classes, in the order of ``Prediction.probs``."""
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
        return f"BundlePredictor({self.name!r}, {len(self.classes)} classes, {self.card.preprocess.size} px)"

    def __call__(self, photo: Any, *, abstain: bool = False) -> Prediction:
        """The Prediction of one picture; one with ``error`` where the network's scores are not finite numbers.

        Parameters
        ----------
        photo : a path, the bytes of a file, an (H, W, 3) uint8 RGB array, or a Pillow image.
        abstain : also say whether the answer should be held back: ``Prediction.doubt``.

        Raises
        ------
        ConfigError : there is no such file, or it is none of these; ``abstain`` without stored thresholds.
        ImageError : the picture cannot be read. (``predict`` gives a Prediction with ``error`` instead.)
        """
        corridor = self._corridor(self._doubter() if abstain else None)
        name, pixels, size_hw = prepare_photo(photo, self.preprocess)
        return corridor.predict([Prepared(name, pixels, size_hw)])[0]

    def predict(
        self,
        sources: Iterable[Source],
        *,
        batch: int | None = None,
        workers: int | None = None,
        abstain: bool = False,
        embed: bool = False,
    ) -> Iterator[Prediction]:
        """One Prediction a source, in order, in constant memory; a broken picture gives one with ``error``.

        Parameters
        ----------
        sources : paths of pictures, or ``Photo``. A single name may be whatever ``assay predict`` takes: a file, a
            folder, a pattern, an archive.
        batch : most pictures in one call of the engine; the predictor's own when not given.
        workers : threads, each of which decodes and answers; by the number of cores when not given.
        abstain : also say whether each answer should be held back: ``Prediction.doubt``.
        embed : also tell the features before the last layer: ``Prediction.embedding``.

        Raises
        ------
        ConfigError : a single name with nothing behind it; batch or workers below 1; ``abstain`` where the Bundle
            holds no thresholds.
        """
        doubter = self._doubter() if abstain else None
        if isinstance(sources, str | Path):
            from assay.runtime.containers import pictures  # noqa: PLC0415 - most callers bring their own list

            sources = pictures(sources)
        both = doubter is not None or embed
        return answer(
            sources,
            self.engine.outputs if both else self.engine,
            self.card,
            doubt=doubter,
            batch=self.batch if batch is None else batch,
            workers=workers,
            alone=(lambda lanes: self.engine.alone(lanes).outputs) if both else self.engine.alone,
            embed=embed,
        )

    def answer(self, images: Sequence[NDArray[np.uint8]], path: str = "array") -> list[Prediction]:
        """One Prediction for each decoded picture (H, W, 3) uint8; all are called ``path``."""
        corridor = self._corridor(None)
        found: list[Prediction] = []
        for start in range(0, len(images), self.batch):
            part = images[start : start + self.batch]
            found += corridor.predict(
                [Prepared(path, self.preprocess.pixels(i), (i.shape[0], i.shape[1])) for i in part]
            )
        return found

    def _corridor(self, doubter: Abstention | None) -> ClassCorridor:
        """The same way from pixels to Predictions as ``predict`` goes, so that none says what another does not."""
        engine = self.engine if doubter is None else self.engine.outputs
        return ClassCorridor(engine, self.card, self.preprocess, DEFAULT_LIMITS, doubter)

    def embed(self, photo: Any) -> NDArray[np.float32]:
        """(F,) float32: the features before the last layer, for search and for finding near-duplicates.

        Takes and raises what calling does.
        """
        pixels = prepare_photo(photo, self.preprocess)[1]
        return np.asarray(self.engine.embed(self.preprocess.normalise(pixels)[None])[0])

    def check(self, golden: bytes) -> float:
        """Answer the golden pictures; the greatest difference, a share of the scores' scale.

        Raises
        ------
        BundleError : the answers are not those of the checkpoint.
        """
        return check_golden(golden, self.engine, self.card)

    def _doubter(self) -> Abstention:
        if self.abstention is None:
            raise ConfigError(
                f"{self.path or self.name} holds no thresholds, so it cannot abstain",
                fix="run `assay calibrate` on the run folder, then `assay export` again",
            )
        if (precision := getattr(self.engine, "precision", "fp32")) != "fp32":
            raise ConfigError(
                "what is held back was promised for answers in fp32",
                got=f"precision {precision}",
                fix="choose --precision fp32, or leave --abstain out",
            )
        return self.abstention
