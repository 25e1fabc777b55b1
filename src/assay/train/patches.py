"""Trains the classifier behind sliding patches: on crops of targets and backgrounds, then on its own mistakes.

Crops are cut by the rules of ``assay crops`` (``data.crop_frames``): targets shaken a little, backgrounds beside them.
After each round the detector looks at training pictures, and what it takes for a thing where there is none becomes
background of the next round (Sung and Poggio 1998, "Example-based learning for view-based human face detection",
bootstrapping): patches between two things, which no crop beside the boxes shows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from assay.boxes import iou
from assay.data.crop_frames import Boxes, Frame, background_frames, target_frame
from assay.errors import ConfigError, DatasetError, ImageError
from assay.image import read_image
from assay.models.sliding_patches import SIDE, PatchNet, SlidingPatches, resized, to_input
from assay.verb_configs import CropsConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.objects import Objects
    from assay.types import Dataset, Sample

ROUNDS = 4
BATCH = 128
LEARNING_RATE = 0.003
MOST_TARGETS, MOST_MINED = 20_000, 4_000
"""Patches that are kept in memory, 3 kB each; mined ones a round."""
BACKGROUNDS = 8
"""Tried beside the boxes of a picture; the mistakes of each round are worth more."""
STEP = 2 ** (1 / 3)
"""From one size of the pyramid to the next."""
_CUT = CropsConfig(square=True, min_overlap=0.7, max_overlap=0.3, min_size=1)
_IS_BACKGROUND = 0.3
"""IoU with every box up to which a patch is a mistake to learn from."""


@dataclass
class _Patches:
    """Patches (31, 31, 3) uint8 with their labels; 0 is background."""

    pixels: list[NDArray[np.uint8]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    def cut(self, image: NDArray[np.uint8], frame: Frame, label: int) -> None:
        """Add what lies in a frame of the picture."""
        x1, y1, x2, y2 = frame
        self.pixels.append(resized(image[y1:y2, x1:x2], (SIDE, SIDE)))
        self.labels.append(label)


def train_patches(
    dataset: Dataset,
    *,
    part: str | None = "train",
    steps: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
) -> SlidingPatches:
    """Sliding patches for the things of a data set, for so many steps of 128 patches or so many minutes, on the CPU.

    The same ``seed`` and ``steps`` give the same detector. Pictures where nobody looked are left out, crowds teach
    nothing.

    Raises
    ------
    ConfigError : neither steps nor minutes are given, or both; the data set has no such part.
    DatasetError : no picture that can be read has a box.
    """
    if (steps is None) == (minutes is None) or (steps or minutes or 0) <= 0:
        raise ConfigError("sliding patches are trained for steps or for minutes", fix="give one, above 0")
    clock = _Clock(steps, None if minutes is None else 60 * minutes)
    rng = np.random.default_rng(seed)
    chosen = dataset if part is None else dataset.part(part)
    samples = [sample for sample in chosen if sample.objects is not None]
    patches, sides = _cut_all(samples, rng)
    if not sides:
        raise DatasetError(
            f"no picture of {dataset.name} has a box to cut a patch from",
            got=f"{len(samples)} pictures in which somebody looked for things",
            fix="give a data set with boxes",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = PatchNet(len(dataset.object_classes))
        made = SlidingPatches(net, dataset.object_classes, pyramid(sides))
        optimiser = torch.optim.AdamW(net.parameters(), LEARNING_RATE, weight_decay=0.05)
        for k in range(ROUNDS):
            _learn(net, optimiser, patches, clock, (k + 1) / ROUNDS, rng)
            if k + 1 < ROUNDS:
                _mine(made, samples, patches, clock, (k + 1.5) / ROUNDS, rng)
    net.eval()
    return made


class _Clock:
    """How far a run is, 0 to 1, by steps or by time."""

    def __init__(self, steps: int | None, seconds: float | None) -> None:
        self._steps, self._seconds, self._began = steps, seconds, time.perf_counter()
        self.done = 0

    @property
    def progress(self) -> float:
        """Share of the steps, or of the time."""
        if self._seconds is not None:
            return (time.perf_counter() - self._began) / self._seconds
        return self.done / (self._steps or 1)


def pyramid(sides: list[float]) -> tuple[float, ...]:
    """Sizes to look for: from the 2nd to the 98th percentile of ``sides``, in equal steps of about a quarter."""
    low, high = np.quantile(sides, [0.02, 0.98])
    count = 1 + int(np.ceil(np.log(high / low) / np.log(STEP)))
    return tuple(float(side) for side in np.geomspace(low, high, count))


def _cut_all(samples: list[Sample], rng: np.random.Generator) -> tuple[_Patches, list[float]]:
    """Shaken targets and as many backgrounds of all pictures, and the longer side of every box."""
    boxes = sum(len(sample.objects) for sample in samples if sample.objects is not None)
    copies = min(16, max(1, MOST_TARGETS // max(boxes, 1)))
    patches, sides = _Patches(), list[float]()
    for sample, image in _read(samples):
        size_hw, things = (image.shape[0], image.shape[1]), sample.objects
        everything, own = _usable(things, size_hw)
        frames = []
        for box, label in own:
            sides.append(max(box[2] - box[0], box[3] - box[1]))
            for _ in range(copies):
                frames.append(target_frame(box, size_hw, _CUT, rng))
                patches.cut(image, frames[-1], 1 + label)
        sizes = [(y2 - y1, x2 - x1) for x1, y1, x2, y2 in frames]
        if not sizes and sides:  # nothing is here, so any place is background
            sizes = [(max(1, int(side)),) * 2 for side in sides]
        wanted = [sizes[i] for i in rng.permutation(len(sizes))[:BACKGROUNDS]]
        for frame in background_frames(wanted, Boxes(everything), size_hw, _CUT, rng):
            patches.cut(image, frame, 0)
    return patches, sides


def _usable(
    things: Objects | None, size_hw: tuple[int, int]
) -> tuple[NDArray[np.float64], list[tuple[tuple[float, ...], int]]]:
    """All boxes of a picture, inside it, and those of single things with their labels."""
    if things is None:
        return np.zeros((0, 4)), []
    inside = np.clip(things.boxes_xyxy, 0, np.array([size_hw[1], size_hw[0]] * 2))
    real = (inside[:, 2:] - inside[:, :2] >= 1).all(axis=1)
    single = real & ~(np.zeros(len(inside), bool) if things.crowd is None else things.crowd)
    own = [(tuple(map(float, inside[i])), int(things.labels[i])) for i in np.flatnonzero(single)]
    return inside[real], own


def _read(samples: list[Sample]) -> Iterator[tuple[Sample, NDArray[np.uint8]]]:
    """Pictures that can be read; what is wrong with the others the doctor says."""
    for sample in samples:
        try:
            yield sample, read_image(sample.path)
        except ImageError:
            continue


def _learn(
    net: PatchNet,
    optimiser: torch.optim.Optimizer,
    patches: _Patches,
    clock: _Clock,
    until: float,
    rng: np.random.Generator,
) -> None:
    """Steps up to a share of the run: half of each batch targets, every class as often, half background."""
    pixels, labels = np.stack(patches.pixels), np.array(patches.labels)
    kinds = [np.flatnonzero(labels == kind) for kind in np.unique(labels)]
    is_target = labels > 0
    chances = np.zeros(len(labels))
    for rows in kinds:
        chances[rows] = 1 / (len(rows) * (max(1, len(kinds) - 1) if is_target[rows[0]] else 1))
    chances /= chances.sum()
    net.train()
    while clock.progress < until:
        rows = rng.choice(len(labels), BATCH, p=chances)
        x, y = to_input(pixels[rows]), torch.from_numpy(labels[rows])
        flipped = torch.from_numpy(rng.random(BATCH) < 0.5)
        x = torch.where(flipped[:, None, None, None], x.flip(3), x)
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * max(0.02, 1 - clock.progress)
        optimiser.zero_grad()
        cross_entropy(net(x)[:, :, 0, 0], y).backward()
        optimiser.step()
        clock.done += 1


def _mine(
    made: SlidingPatches,
    samples: list[Sample],
    patches: _Patches,
    clock: _Clock,
    until: float,
    rng: np.random.Generator,
) -> None:
    """What the detector finds far from all boxes becomes background, until enough, or half of a round's time."""
    drawn = [samples[i] for i in rng.permutation(len(samples))[:200]]
    mined = 0
    for sample, image in _read(drawn):
        if mined >= MOST_MINED or clock.progress >= until:
            return
        everything, _ = _usable(sample.objects, (image.shape[0], image.shape[1]))
        found = made.find(image, least_score=0.3)
        wrong = iou(found.boxes_xyxy, everything).max(axis=1, initial=0) <= _IS_BACKGROUND
        for x1, y1, x2, y2 in found.boxes_xyxy[wrong].round().astype(int).tolist():
            if x2 > x1 and y2 > y1:
                patches.cut(image, (x1, y1, x2, y2), 0)
                mined += 1
