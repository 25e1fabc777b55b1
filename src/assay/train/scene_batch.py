"""Batches of partly labelled scenes: which pictures, changed how, with what is known of them afterwards.

Pictures are drawn by what they teach: those with the same set of labels form a stratum, and n pictures of one are drawn
at a rate of w sqrt(n), with w the worth of the heads that they teach (``WORTH``), so that few boxes are not drowned by
many tags and are not seen to death either; a pass over the network costs the same whatever it teaches. Where all
pictures teach the same, every epoch shows each of them once. As in ``batch``, everything is a function of (seed, step).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from assay.configs import AugmentConfig
from assay.losses.targets import Target, Targets, collate
from assay.models.multitask import Heads
from assay.pixel_masks import IGNORE
from assay.train.batch import Moment, Stream
from assay.train.scene import PAD_LEVEL, Scene
from assay.train.scene_augment import augment_scene, wants_mosaic
from assay.train.scene_source import Known, SceneSource
from assay.train.scene_target import scene_target

PLANE_STEP = 2
"""Pixel classes are compared at half the side: a quarter of the time, and no finer than the logits can tell. Of each
two rows and columns one is drawn, so that on average labels lie where logits do: in the middle."""
WORTH = {"class": 1.0, "tags": 1.0, "boxes": 4.0, "masks": 4.0, "pixels": 4.0}
"""Of a pass to each head: where things are takes longer to learn than what a picture shows."""
RARE_FROM = 0.03
"""A class with less than this share of the training pixels is rare."""


@dataclass(frozen=True)
class SceneBatch:
    """``images`` (B, S, S, C) uint8, and what is known of them."""

    images: NDArray[np.uint8]
    targets: Targets


class SceneBatches(Stream):
    """An endless, seekable sequence of batches of scenes.

    Parameters
    ----------
    source : scenes by row.
    heads : of the network.
    rare : classes of pixels that crops are drawn towards.
    pad : grey level around pictures.
    """

    def __init__(
        self,
        source: SceneSource,
        heads: Heads,
        augment: AugmentConfig,
        *,
        rare: Sequence[int] = (),
        pad: int = PAD_LEVEL,
        **stream: Any,
    ) -> None:
        super().__init__(len(source), **stream)
        self._source, self._heads, self._augment = source, heads, augment
        self._rare, self._pad = np.array(rare, np.int64), pad

    def make(self, step: int, moment: Moment) -> SceneBatch:
        """The batch of one step."""
        epoch, rows = self.rows_of(step)
        seen = self._heads.boxes or self._heads.pixels  # of a mosaic nobody says what else it shows
        mosaics = bool(seen) and moment.progress < self._augment.mosaic_until
        made = [
            self._one(int(row), moment.size, self._rng(step, epoch, int(row), i), mosaics)
            for i, row in enumerate(rows)
        ]
        images = np.stack([scene.image for scene, _ in made])
        targets = collate([target for _, target in made], self._heads, images.shape[1:3])
        return SceneBatch(images, targets)

    def _one(self, row: int, size: int, rng: np.random.Generator, mosaics: bool) -> tuple[Scene, Target]:
        known = self._source.known[row]
        dense = known.objects is not None or known.pixels is not None  # a mosaic teaches nothing else
        if mosaics and dense and wants_mosaic(self._augment, rng):
            others = rng.integers(len(self._source), size=3)
            four = [self._source[row], *(self._source[int(other)] for other in others)]
            return self._target(augment_scene(four, size, self._augment, rng, pad=self._pad), None, rng)
        scene = self._source[row]
        towards = self._rare_pixel(scene, rng)
        changed = augment_scene([scene], size, self._augment, rng, towards_yx=towards, pad=self._pad)
        return self._target(changed, known, rng)

    def _target(self, scene: Scene, known: Known | None, rng: np.random.Generator) -> tuple[Scene, Target]:
        """What a picture of several shows as a whole nobody said: ``known`` is None there."""
        label, tags = -1, None
        if known is not None and known.label is not None:
            label = known.label
        if known is not None and known.tags is not None and self._heads.tags:
            tags = torch.zeros(self._heads.tags)
            tags[list(known.tags)] = 1.0
        small = None if scene.pixels is None else _halved(scene.pixels, rng)
        return scene, scene_target(Scene(scene.image, scene.things, small), label=label, tags=tags)

    def _rare_pixel(self, scene: Scene, rng: np.random.Generator) -> tuple[float, float] | None:
        """A pixel of a rare class that this picture has, each class as likely as the others; mostly None."""
        if scene.pixels is None or not len(self._rare) or rng.random() >= self._augment.rare:
            return None
        there = np.intersect1d(np.unique(scene.pixels), self._rare)
        if not len(there):
            return None
        y, x = np.nonzero(scene.pixels == rng.choice(there))
        i = int(rng.integers(len(y)))
        return float(y[i]), float(x[i])


def _halved(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """(H, W) classes at half the side, rounded up."""
    rows, columns = (
        np.minimum(np.arange(0, side, PLANE_STEP) + rng.integers(PLANE_STEP), side - 1)
        for side in pixels.shape
    )
    return np.ascontiguousarray(pixels[rows][:, columns])


def stratum_weights(known: Sequence[Known], heads: Sequence[str]) -> NDArray[np.float64] | None:
    """(N,) chances of each row, by what it teaches; None where all teach the same. Rows that teach nothing have 0."""
    sets = np.array([one.labelled(heads) for one in known], bool).reshape(len(known), len(heads))
    strata, owner, counts = np.unique(sets, axis=0, return_inverse=True, return_counts=True)
    teaches = strata.any(axis=1)
    if len(strata) == 1 and teaches.all():
        return None
    worth = strata @ np.array([WORTH[head] for head in heads])
    each = np.where(teaches, worth / np.sqrt(counts), 0.0)[owner.reshape(-1)]
    return np.asarray(each / each.sum())


def balanced(
    known: Sequence[Known], classes: int, weights: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """(N,) chances that show pictures with rare things more often: a picture by its rarest thing.

    Repeat factors max(1, sqrt(t / f)) of Gupta et al. 2019, "LVIS", section 4.2, with t the share that each of so many
    equally common classes would have; f is the share of labelled pictures with the class.
    """
    held = np.zeros((len(known), classes), bool)
    for row, one in enumerate(known):
        if one.objects is not None:
            held[row, one.objects.labels] = True
    looked = max(1, sum(one.objects is not None for one in known))
    share = held.sum(axis=0) / looked
    factor = np.sqrt(np.maximum(1.0, np.divide(1 / classes, share, out=np.ones(classes), where=share > 0)))
    repeat = np.where(held, factor, 1.0).max(axis=1)
    found = repeat if weights is None else repeat * weights
    return np.asarray(found / found.sum())


def rare_classes(source: SceneSource, classes: int, most: int = 200) -> list[int]:
    """Classes of pixels with a small share of the training pixels, by a sample of the pictures."""
    with_pixels = [row for row, one in enumerate(source.known) if one.pixels is not None]
    rows = np.random.default_rng(0).permutation(with_pixels)[:most]
    counts = np.zeros(IGNORE + 1, np.int64)
    for row in rows:
        plane = source.pixels(int(row))
        if plane is not None:
            counts += np.bincount(plane[::4, ::4].reshape(-1), minlength=IGNORE + 1)
    shares = counts[:classes] / max(1, counts[:classes].sum())
    return [int(k) for k in np.flatnonzero((shares > 0) & (shares < RARE_FROM))]
