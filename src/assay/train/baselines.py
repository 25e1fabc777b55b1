"""Two baselines that every network must beat: the class priors, and colours alone.

Both are Predictors, so ``evaluate`` measures them with everything that it measures of a network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.cores import usable_cores
from assay.errors import DatasetError, ImageError
from assay.image import read_image, read_size
from assay.labels import ClassNames
from assay.types import Dataset, Prediction

BINS = 8
MOST_SIDE = 256
"""Larger pictures are thinned out before counting: a histogram of colours needs no more pixels."""
MOST_PICTURES = 2000
"""So many are enough to fit it; a training part of any size costs what these cost, in time and memory."""
CHUNK = 256
STRENGTH = 0.01
"""C of the logistic regression: 512 bins and few pictures need a strong penalty."""


@dataclass(frozen=True)
class MajorityBaseline:
    """Says the same of every picture: how often each class occurs in training."""

    classes: ClassNames
    prior: NDArray[np.float32]

    def predict(self, sources: Iterable[str | Path]) -> Iterator[Prediction]:
        """The class priors for every picture whose header can be read."""
        for source in sources:
            try:
                size_hw = read_size(source)
            except ImageError as error:
                yield _unreadable(source, self.classes, error)
                continue
            yield Prediction(str(source), self.classes, self.prior, size_hw)


@dataclass(frozen=True)
class ColourBaseline:
    """Logistic regression on a histogram of colours.

    ``weight`` (F, K) and ``bias`` (K,) act on raw features; the standardisation is folded in. A class without
    training pictures has bias minus infinity: its probability is 0.
    """

    classes: ClassNames
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    workers: int | None = None

    def predict(self, sources: Iterable[str | Path]) -> Iterator[Prediction]:
        """One Prediction a source, in order; constant memory."""
        for source, found in _read_features(sources, self.workers):
            if isinstance(found, ImageError):
                yield _unreadable(source, self.classes, found)
                continue
            features, size_hw = found
            yield Prediction(str(source), self.classes, _softmax(features @ self.weight + self.bias), size_hw)


def fit_majority(dataset: Dataset) -> MajorityBaseline:
    """The share of each class in the training part (in all rows, where there are no parts).

    Raises
    ------
    DatasetError : no training row has a label.
    """
    _, targets = _training_rows(dataset)
    counts = np.bincount(targets, minlength=len(dataset.classes))
    return MajorityBaseline(dataset.classes, (counts / counts.sum()).astype(np.float32))


def fit_colour_histogram(dataset: Dataset, workers: int | None = None) -> ColourBaseline:
    """Colour histograms of the training part (of all rows, where there are no parts) -> logistic regression.

    Of more than ``MOST_PICTURES`` pictures that many are taken, each class by its share and with one at least;
    the same ones every time. Pictures that cannot be read are passed over. Some seconds for a thousand.

    Raises
    ------
    DatasetError : fewer than two classes have a readable training picture.
    """
    paths, targets = _training_rows(dataset)
    rows = _sample_rows(targets, MOST_PICTURES)
    paths, targets = [paths[i] for i in rows], targets[rows]
    found = [features for _, features in _read_features(paths, workers)]
    kept = [i for i, features in enumerate(found) if not isinstance(features, ImageError)]
    present = np.unique(targets[kept])
    if len(present) < 2:
        raise DatasetError(
            "a colour baseline needs readable training pictures of at least two classes",
            got=f"{len(kept)} readable pictures of {len(present)} classes",
        )
    features = np.stack([found[i][0] for i in kept])  # type: ignore[index]
    weight, bias = _fit_logistic(features, targets[kept], len(dataset.classes))
    return ColourBaseline(dataset.classes, weight, bias, workers)


def colour_histogram(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W, 3) RGB -> (512,): the square roots of the shares of 8 x 8 x 8 colours; they have length 1.

    The root (Hellinger's distance) keeps a large plain background from drowning all else.
    """
    step = -(-max(image.shape[:2]) // MOST_SIDE)
    levels = image[::step, ::step].reshape(-1, 3) // (256 // BINS)
    codes = levels.astype(np.int32) @ np.array([BINS * BINS, BINS, 1], np.int32)
    counts = np.bincount(codes, minlength=BINS**3)
    return np.sqrt(counts / counts.sum()).astype(np.float32)


def _fit_logistic(
    features: NDArray[np.float32], targets: NDArray[np.int64], classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - a second to import

    mean, std = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    scale = 1 / np.where(std > 1e-6, std, np.inf)  # a colour that never occurs says nothing
    fitted = LogisticRegression(C=STRENGTH, max_iter=1000).fit((features - mean) * scale, targets)
    coefficients, intercepts = fitted.coef_, fitted.intercept_
    if len(fitted.classes_) == 2:  # one row, for the second class
        coefficients, intercepts = (
            np.vstack([-coefficients, coefficients]) / 2,
            np.append(-intercepts, intercepts) / 2,
        )
    weight, bias = np.zeros((features.shape[1], classes)), np.full(classes, -np.inf)
    weight[:, fitted.classes_] = (coefficients * scale).T
    bias[fitted.classes_] = intercepts - (coefficients * scale) @ mean
    return weight, bias


def _training_rows(dataset: Dataset) -> tuple[list[Path], NDArray[np.int64]]:
    """(paths, targets) of the labelled training rows."""
    part = dataset.part("train") if dataset.parts else dataset
    labelled = np.flatnonzero(part.targets >= 0)
    if not len(labelled):
        raise DatasetError(
            f"{dataset.name} has no labelled training pictures", fix="label some, or check the parts"
        )
    paths = [part.root / path for path in part.table["path"].to_pylist()]
    return [paths[i] for i in labelled], part.targets[labelled]


def _sample_rows(targets: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Ascending rows: all, or ``most`` of them, stratified by class (N,). A class has one before any has more."""
    if len(targets) <= most:
        return np.arange(len(targets))
    shuffled = np.random.default_rng(0).permutation(len(targets))
    order = shuffled[np.argsort(targets[shuffled], kind="stable")]  # class by class, at random inside
    counts = np.bincount(targets)
    first = np.cumsum(counts) - counts
    place = (np.arange(len(order)) - first[targets[order]]) / counts[targets[order]]  # 0 to 1 in its class
    return np.sort(order[np.argsort(place, kind="stable")[:most]])


_Found = tuple[NDArray[np.float32], tuple[int, int]] | ImageError


def _read_features(sources: Iterable[str | Path], workers: int | None) -> Iterator[tuple[str | Path, _Found]]:
    """Each source with its features and size, or its error, in order; a chunk at a time in memory."""
    waiting = iter(sources)
    with ThreadPoolExecutor(workers or usable_cores()) as pool:
        while chunk := list(islice(waiting, CHUNK)):
            yield from zip(chunk, pool.map(_features_of, chunk), strict=True)


def _features_of(source: str | Path) -> _Found:
    try:
        image = read_image(source)
    except ImageError as error:
        return error
    return colour_histogram(image), (image.shape[0], image.shape[1])


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max())
    return (powers / powers.sum()).astype(np.float32)


def _unreadable(source: str | Path, classes: ClassNames, error: ImageError) -> Prediction:
    return Prediction(str(source), classes, np.zeros(0, np.float32), error=str(error))
