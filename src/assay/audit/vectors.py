"""What the doctor learns from the pictures: features of each, and out-of-fold probabilities of its class.

Three steps. *Views*: edges and colours made by hand, and the features of a network where ``config.embedding`` names
one. *Scores*: a kernel ridge regression over each view tells the class of every picture from the other folds; without
an embedding, small networks trained on the data tell it too. *Probabilities*: the scores are stacked and calibrated
out of fold. What takes long is kept in the examination's folder under a key of data and config.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.audit.examination import Examination
from assay.audit.folds import joined, make_folds, renumbered
from assay.audit.hand_features import colours, edges
from assay.audit.kept_vectors import key_of, load_arrays, save_arrays
from assay.audit.kernel_ridge import FoldRidge, KernelMap, best_scores
from assay.audit.mapped_rows import fill_rows
from assay.audit.stack import stacked
from assay.audit.views import View, make_view, side_by_side
from assay.errors import DatasetError, ImageError
from assay.metrics.interval import Estimate, group_numbers, proportion
from assay.preprocess import Preprocess

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

SIDE = 64
MANY = 20_000
"""Above this many pictures nothing is decoded again: all is worked out from the thumbs of the facts."""
LEAST = 20
_NET_SCALE = 0.2
_EASY = 0.98
"""Where so many are told right by hand-made features, no network is trained."""


@dataclass(frozen=True)
class Vectors:
    """What was learnt of M pictures: those that can be read and have a label.

    ``rows`` (M,) are their rows in the data set, ``targets`` (M,) their classes as given. ``features`` (M, D) float32
    have nothing in them that was learnt from the labels. ``probs`` (M, K) are calibrated probabilities from models
    that never saw the picture, nor one of its group or a copy of it; ``folds`` (M,) says which ones were left out
    together. ``how`` says in plain words what was done; ``accuracy`` is the share that is told right, ``chance`` the
    share of the commonest class.
    """

    rows: Ints
    targets: Ints
    features: NDArray[np.float32]
    probs: NDArray[np.float32]
    folds: Ints
    how: str
    accuracy: Estimate
    chance: float

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def right(self) -> NDArray[np.bool_]:
        """(M,) whether the most probable class is the given one."""
        return np.asarray(self.probs.argmax(axis=1) == self.targets)


def why_not_learn(examination: Examination) -> str | None:
    """Why nothing can be learnt from this data set, in words; None where it can."""
    targets = examination.dataset.targets[examination.readable & examination.labelled]
    counts = np.bincount(targets, minlength=1)
    if len(targets) < LEAST:
        return f"there are {len(targets)} pictures that can be read and have a label; {LEAST} are the least"
    if (counts >= 2).sum() < 2:
        return "fewer than two classes have two pictures or more"
    return None


def make_vectors(examination: Examination) -> Vectors:
    """Features and out-of-fold probabilities; what an earlier call has kept is used.

    Raises
    ------
    DatasetError : there is nothing to learn from (see ``why_not_learn``).
    ConfigError : ``config.embedding`` names nothing.
    """
    reason = why_not_learn(examination)
    if reason is not None:
        raise DatasetError("the pictures cannot be learnt from", got=reason)
    rows = np.flatnonzero(examination.readable & examination.labelled)
    folder = examination.folder / "vectors" / key_of(examination, rows)
    kept = load_arrays(folder, len(rows))
    if kept is None:
        return _Maker(examination, rows, folder).make()
    arrays, how = kept
    return _vectors(examination, rows, arrays["features"], np.asarray(arrays["probs"]), arrays["folds"], how)


class _Maker:
    """One making of vectors: the examination, the rows, and where things are kept."""

    def __init__(self, examination: Examination, rows: Ints, folder: Path) -> None:
        self.examination, self.rows, self.folder = examination, rows, folder
        self.config, self.dataset = examination.config, examination.dataset
        self.targets = self.dataset.targets[rows]
        self.classes = len(self.dataset.classes)
        self.many = len(rows) > MANY
        self.paths = [self.dataset.root / p for p in self.dataset.table["path"].take(rows).to_pylist()]
        together = _kept_together(examination, rows)
        self.folds = make_folds(self.targets, self.config.folds, groups=together, seed=self.config.seed)
        self.units = len(rows) if together is None else len(np.unique(together))

    def make(self) -> Vectors:
        """Views, scores, probabilities; and all of it kept."""
        pixels = self._pixels()
        views, how = self._views(pixels)
        scores = []
        for done, view in enumerate(views):
            self.examination.progress("telling classes apart", done, len(views))
            ridge = FoldRidge(KernelMap(view.values, seed=self.config.seed), self.folds)
            scores.append(best_scores(ridge, self.targets, self.classes)[0])
        self.examination.progress("telling classes apart", len(views), len(views))
        probs = self._stacked(scores)
        if self._wants_nets(probs):
            logits, told = self._nets()
            scores.append(logits)
            how = f"{how} and {told}"
            probs = self._stacked(scores)
        weights = {"edges": 0.5, "colours": 0.5} if self.config.embedding else {}
        made = _vectors(self.examination, self.rows, side_by_side(views, weights), probs, self.folds, how)
        arrays: dict[str, NDArray[Any]] = {
            "features": made.features,
            "probs": made.probs,
            "folds": made.folds,
        }
        save_arrays(self.folder, arrays, made.how, no_longer=("pixels.npy", "embedding.npy"))
        return made

    def _stacked(self, scores: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        return stacked(scores, self.targets, self.classes, self.folds, self.config.seed, self.units)

    def _thumbs(self) -> NDArray[np.uint8]:
        """(M, 32, 32, 3) uint8."""
        thumbs = self.examination.facts.thumbs
        return thumbs if len(thumbs) == len(self.rows) else thumbs[self.rows]

    def _pixels(self) -> NDArray[np.uint8]:
        """(M, S, S, 3) uint8: small pictures, the whole of each squeezed into a square."""
        if self.many or self.config.minutes == 0:
            return self._thumbs()
        thumbs = self.examination.facts.thumbs
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

        from assay.configs import PreprocessConfig  # noqa: PLC0415
        from assay.pipeline import default_workers  # noqa: PLC0415

        small = Preprocess(PreprocessConfig(size=SIDE, resize="stretch"))

        def one(row: int) -> NDArray[np.uint8]:
            try:
                return small.read(self.paths[row])[0]
            except ImageError:  # readable a moment ago, when its facts were taken
                return np.asarray(thumbs[self.rows[row]].repeat(2, axis=0).repeat(2, axis=1))

        with ThreadPoolExecutor(default_workers()) as pool:
            return fill_rows(
                self.folder / "pixels.npy",
                len(self.rows),
                (SIDE, SIDE, 3),
                np.uint8,
                lambda block: np.stack(list(pool.map(one, range(block.start, block.stop)))),
                lambda done, total: self.examination.progress("reading small pictures", done, total),
            )

    def _views(self, pixels: NDArray[np.uint8]) -> tuple[list[View], str]:
        count, seed = len(self.rows), self.config.seed
        dims = 128 if self.many else 256
        steps: dict[str, Callable[[slice], NDArray[np.float32]]] = {
            "edges": lambda block: edges(pixels[block]),
            "colours": lambda block: colours(pixels[block]),
        }
        how = "edges and colours"
        if self.config.embedding is not None:
            embedding, told = self._embedding(self.config.embedding)
            steps = {"embedding": lambda block: _unit(embedding[block]), **steps}
            how = f"{told}, {how}"
        views = []
        for done, (name, step) in enumerate(steps.items()):
            self.examination.progress("making features", done, len(steps))
            views.append(make_view(name, step, count, 64 if name == "colours" else dims, seed))
        self.examination.progress("making features", len(steps), len(steps))
        return views, how

    def _embedding(self, named: str) -> tuple[NDArray[np.float32], str]:
        from assay.audit.embed import decoding_pool, load_embedder  # noqa: PLC0415 - may need torch

        embedder = load_embedder(named)
        with decoding_pool() as pool:
            found = fill_rows(
                self.folder / "embedding.npy",
                len(self.rows),
                (embedder.dims(),),
                np.float32,
                lambda block: embedder.embed(self.paths[block], pool),
                lambda done, total: self.examination.progress("asking the network", done, total),
            )
        return found, embedder.how

    def _wants_nets(self, probs: NDArray[np.float32]) -> bool:
        """Whether there is time, need and torch for them."""
        easy = float((probs.argmax(axis=1) == self.targets).mean()) >= _EASY
        wanted = self.config.embedding is None and self.config.minutes > 0
        return wanted and not easy and find_spec("torch") is not None

    def _nets(self) -> tuple[NDArray[np.float32], str]:
        from assay.audit.small_nets import train_small_nets  # noqa: PLC0415 - torch

        pixels = (
            self._thumbs()
        )  # at 64 px a fold sees a fifth of the pictures in the same time, and learns less
        told = train_small_nets(
            pixels,
            self.targets,
            self.classes,
            self.folds,
            seconds=60 * self.config.minutes,
            folder=self.folder,
            seed=self.config.seed,
            progress=lambda done, total: self.examination.progress("training small networks", done, total),
        )
        count = int(self.folds.max()) + 1
        words = f"{count} small networks at {pixels.shape[1]} px, each trained for {told.passes:.0f} passes"
        if told.share < 0.995:
            words += f" over {told.share:.0%} of its pictures, as the time allowed"
        return (told.logits * _NET_SCALE).astype(np.float32), words


def _unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(B, F) each row of length 1: what counts is which features answer, not how loudly."""
    length = np.linalg.norm(values, axis=1, keepdims=True)
    found: NDArray[np.float32] = np.nan_to_num(values / np.maximum(length, 1e-12))
    return found


def _kept_together(examination: Examination, rows: Ints) -> Ints | None:
    """(M,) pictures that must not lie in two folds: those of one group, and copies of each other.

    None where there are no such pictures, and where all are one group: that says nothing.
    """
    table = examination.dataset.table
    named = group_numbers(
        table["group"].take(rows).to_pylist() if "group" in table.column_names else None, len(rows)
    )
    scenes = renumbered(examination.copies.scene[rows])
    together = joined(named, scenes if int(scenes.max()) + 1 < len(rows) else None)
    return None if together is None or together.max() == 0 else together


def _vectors(
    examination: Examination,
    rows: Ints,
    features: NDArray[np.float32],
    probs: NDArray[np.float32],
    folds: Ints,
    how: str,
) -> Vectors:
    targets = examination.dataset.targets[rows]
    right = probs.argmax(axis=1) == targets
    accuracy = proportion(right, _kept_together(examination, rows))
    chance = float(np.bincount(targets).max() / len(targets))
    return Vectors(rows, targets, features, probs, folds, how, accuracy, chance)
