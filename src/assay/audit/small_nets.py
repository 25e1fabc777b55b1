"""Small networks trained on the data itself, one a fold, each asked about the fold that it has not seen.

A time limit holds for all folds together. The learning rate falls along a cosine of the time that has gone by; where
the time is too short to see all pictures a few times, each class is cut to an equal share of what can be seen. The
answers of a fold are kept on disk, so a broken-off audit goes on at the next one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from assay.configs import ModelConfig
from assay.files import write_file
from assay.models.build import build_model
from assay.models.classifier import Classifier

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

NETWORK = "csp-nano"
LEAST_PASSES, MOST_PASSES = 4, 40
_PEAK, _WARM_UP, _DECAY, _SMOOTHING, _SHIFT = 3e-3, 0.1, 0.05, 0.05, 0.125


@dataclass(frozen=True)
class Told:
    """``logits`` (M, K) out of fold; ``passes``: how often a network saw its pictures; ``share``: of them it saw."""

    logits: NDArray[np.float32]
    passes: float
    share: float


def train_small_nets(
    pixels: NDArray[np.uint8],
    targets: Ints,
    classes: int,
    folds: Ints,
    *,
    seconds: float,
    folder: Path,
    seed: int,
    progress: Callable[[int, int], None],
) -> Told:
    """Train one network a fold.

    Parameters
    ----------
    pixels : (M, S, S, 3) uint8, may be mapped.
    seconds : for all folds together.
    folder : where each fold's answers are kept.
    progress : called with (hundredths of the time that are done, of how many).
    """
    count = int(folds.max()) + 1
    logits = np.zeros((len(targets), classes), np.float32)
    passes, shares = [], []
    for fold in range(count):
        path = folder / f"fold-{fold}.npz"
        earlier = _load(path, (int((folds == fold).sum()), classes))
        if earlier is None:
            fit = _Fit(pixels, targets, classes, np.flatnonzero(folds != fold), seed * 1000 + fold)
            fit.run(seconds / count, lambda part, at=fold: progress(100 * at + int(100 * part), 100 * count))  # type: ignore[misc]
            earlier = fit.answers(np.flatnonzero(folds == fold)), fit.passes, fit.share
            _save(path, *earlier)
        logits[folds == fold] = earlier[0]
        passes.append(earlier[1])
        shares.append(earlier[2])
        progress(100 * (fold + 1), 100 * count)
    return Told(logits, float(np.mean(passes)), float(np.mean(shares)))


class _Fit:
    """One network and the rows that it learns from."""

    def __init__(self, pixels: NDArray[np.uint8], targets: Ints, classes: int, rows: Ints, seed: int) -> None:
        self.pixels, self.targets, self.rows = pixels, targets, rows
        self.rng = np.random.default_rng(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model: Classifier = build_model(ModelConfig(model=NETWORK, drop_path=0.0), classes)
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.batch = int(np.clip(len(rows) // 16, 8, 64))
        self.passes, self.share = 0.0, 1.0

    def run(self, seconds: float, progress: Callable[[float], None]) -> None:
        """Train until the time is up, or MOST_PASSES passes are made."""
        loss_of = nn.CrossEntropyLoss(label_smoothing=_SMOOTHING)
        optimiser = torch.optim.AdamW(self.model.parameters(), lr=_PEAK, weight_decay=_DECAY)
        started, seen, used, part = time.monotonic(), 0, 0.0, 0.0
        most = MOST_PASSES * len(self.rows)
        order = self.rng.permutation(self.rows)
        self.model.train()
        while part < 1.0:
            for group in optimiser.param_groups:
                group["lr"] = _PEAK * _rate(part)
            if len(order) < self.batch:
                order = np.concatenate([order, self.rng.permutation(self.rows)])
            chosen, order = order[: self.batch], order[self.batch :]
            loss = loss_of(self.model(self._varied(chosen)), torch.from_numpy(self.targets[chosen]))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
            optimiser.step()
            seen += len(chosen)
            used = time.monotonic() - started
            if seen == 8 * self.batch:
                order = self._cut(int(seen / max(used, 1e-3) * seconds))
            part = max(used / seconds if seconds > 0 else 1.0, seen / most)
            progress(min(part, 1.0))
        self.passes = seen / max(1, len(self.rows))

    def _cut(self, affordable: int) -> Ints:
        """Where the time is too short for LEAST_PASSES, learn from an equal number of each class; the new order."""
        wanted = max(affordable // LEAST_PASSES, 2 * self.batch)
        if wanted < len(self.rows):
            before = len(self.rows)
            self.rows = evenly(self.targets, self.rows, wanted, self.rng)
            self.share = len(self.rows) / before
        return self.rng.permutation(self.rows)

    def _varied(self, chosen: Ints) -> Tensor:
        """(B, 3, S, S) pictures, shifted by up to an eighth and mirrored at random."""
        images = np.ascontiguousarray(self.pixels[np.sort(chosen)])[np.argsort(np.argsort(chosen))]
        side = images.shape[1]
        reach = int(side * _SHIFT)
        padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="edge")
        varied = np.empty_like(images)
        shifts = self.rng.integers(0, 2 * reach + 1, (len(images), 2))
        for i, ((down, across), mirrored) in enumerate(
            zip(shifts, self.rng.random(len(images)) < 0.5, strict=True)
        ):
            piece = padded[i, down : down + side, across : across + side]
            varied[i] = piece[:, ::-1] if mirrored else piece
        return _to_tensor(varied)

    def answers(self, rows: Ints) -> NDArray[np.float32]:
        """(R, K) logits, the mean over each picture and its mirror image."""
        self.model.eval()
        found = []
        with torch.inference_mode():
            for start in range(0, len(rows), 256):
                x = _to_tensor(np.ascontiguousarray(self.pixels[rows[start : start + 256]]))
                found.append(((self.model(x) + self.model(x.flip(3))) / 2).numpy())
        return np.concatenate(found)


def _rate(part: float) -> float:
    """Warm-up, then a half cosine down to nothing."""
    if part < _WARM_UP:
        return max(part / _WARM_UP, 0.02)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (part - _WARM_UP) / (1 - _WARM_UP))))


def _to_tensor(images: NDArray[np.uint8]) -> Tensor:
    """(B, S, S, 3) uint8 -> (B, 3, S, S) float32 about 0, channels last in memory."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().mul_(1 / 58).sub_(2.2)


def evenly(targets: Ints, rows: Ints, wanted: int, rng: np.random.Generator) -> Ints:
    """About ``wanted`` of the rows, large classes cut first, so that small ones stay whole."""
    counts = np.bincount(targets[rows])
    low, high = 0, int(counts.max())
    while low < high:  # the greatest cap under which no more than wanted are left
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(counts, middle).sum() <= wanted else (low, middle - 1)
    kept = []
    for label in np.flatnonzero(counts):
        members = rows[targets[rows] == label]
        kept.append(rng.choice(members, min(len(members), max(low, 1)), replace=False))
    return np.concatenate(kept)


def _load(path: Path, shape: tuple[int, int]) -> tuple[NDArray[np.float32], float, float] | None:
    try:
        with np.load(path, allow_pickle=False) as held:
            logits, passes, share = held["logits"], float(held["passes"]), float(held["share"])
    except (OSError, ValueError, KeyError):
        return None
    return (logits, passes, share) if logits.shape == shape else None


def _save(path: Path, logits: NDArray[np.float32], passes: float, share: float) -> None:
    stream = BytesIO()
    np.savez(stream, logits=logits, passes=passes, share=share)
    write_file(path, stream.getvalue())
