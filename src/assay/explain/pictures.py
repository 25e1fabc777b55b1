"""Pictures to explain by: those that the run itself held back, or the user's own, prepared as the network sees them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.errors import ConfigError, DatasetError, ImageError
from assay.metrics.evaluation import Evaluation
from assay.preprocess import Preprocess
from assay.runtime.sources import Pictures
from assay.train.predictor import CheckpointPredictor

PARTS = ("validation", "test", "all")
"""Where pictures are taken from, the first that the run has measured."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that may be explained. ``label`` is its true class, ``group`` what it belongs to, where known."""

    path: Path
    name: str
    label: str | None = None
    answer: str | None = None
    confidence: float = float("nan")
    group: str | None = None


def run_pictures(folder: Path) -> tuple[list[Picture], str]:
    """The pictures on which a run was measured with its answers to them, and the part that they are of.

    Raises
    ------
    DatasetError : the run has no evaluation, or its pictures are gone.
    """
    for part in PARTS:
        file = folder / "evaluation" / f"{part}.json"
        if not file.is_file():
            continue
        e = Evaluation.load(file)
        root = Path(e.root)
        groups = e.groups or [None] * e.n
        found = [
            Picture(
                root / path,
                path,
                label=e.classes[int(target)],
                answer=e.classes[int(answer)],
                confidence=float(confidence),
                group=group,
            )
            for path, target, answer, confidence, group in zip(
                e.paths, e.targets, e.predicted, e.confidence, groups, strict=True
            )
        ]
        there = [picture for picture in found if picture.path.is_file()]
        if there:
            return there, part
        raise DatasetError(
            f"the pictures that {folder.name} was measured on are gone",
            got=f"{found[0].path} does not exist" if found else f"the {part} part is empty",
            fix="start from the folder where it was trained, or name pictures",
        )
    raise DatasetError(
        f"{folder.name} was not measured on any pictures",
        fix="run `assay evaluate` on it, or name pictures",
    )


def given_pictures(names: Iterable[str | Path]) -> list[Picture]:
    """The pictures of the user: files, folders, patterns, in order.

    Raises
    ------
    ConfigError : a name that does not exist, or no pictures at all.
    """
    found = [Picture(Path(path), Path(path).name) for path in Pictures([str(name) for name in names])]
    if not found:
        raise ConfigError("there are no pictures to explain", fix="name pictures, or folders of pictures")
    return found


def spread(pictures: Sequence[Picture], most: int, seed: int = 0) -> list[Picture]:
    """At most ``most`` of them, drawn evenly from the classes (of the labels, else of the answers) by chance."""
    order = np.random.default_rng(seed).permutation(len(pictures))
    seen: dict[str | None, int] = {}
    ranked = []
    for place in order:
        name = pictures[place].label or pictures[place].answer
        ranked.append((seen.setdefault(name, 0), int(place)))
        seen[name] += 1
    ranked.sort(key=lambda pair: pair[0])  # one of each class, then a second
    return [pictures[place] for _, place in ranked[:most]]


def telling(pictures: Sequence[Picture], most: int, seed: int = 0) -> list[Picture]:
    """Those worth looking at: three quarters right answers from as many classes as can be, then the surest mistakes."""
    wrong = sorted((p for p in pictures if p.answer != p.label), key=lambda p: -p.confidence)
    right = spread([p for p in pictures if p.answer == p.label], most, seed)
    mistakes = wrong[: max(most // 4, most - len(right))]
    return [*right[: most - len(mistakes)], *mistakes]


def prepare(pictures: Sequence[Picture], predictor: CheckpointPredictor) -> tuple[list[Picture], Tensor]:
    """Those that can be read, and (N, C, S, S) of them as the network takes them, on its device."""
    preprocess = Preprocess(predictor.card.preprocess)

    def read(picture: Picture) -> NDArray[np.float32] | None:
        try:
            return preprocess.normalise(preprocess.read(picture.path)[0])
        except ImageError:
            return None  # broken pictures are the business of `assay check`

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(read, pictures))
    kept = [picture for picture, x in zip(pictures, found, strict=True) if x is not None]
    side = predictor.card.preprocess.size
    stack = [x for x in found if x is not None]
    x = np.stack(stack) if stack else np.empty((0, preprocess.channels, side, side), np.float32)
    device = next(predictor.model.parameters()).device
    return kept, torch.from_numpy(x).to(device).contiguous(memory_format=torch.channels_last)


def fingerprint(pictures: Sequence[Picture], *words: str) -> str:
    """16 hex digits over what these pictures are (name, size, time of the last change) and some words."""
    told = list(words)
    for picture in pictures:
        try:
            state = picture.path.stat()
            told.append(f"{picture.path}|{state.st_size}|{state.st_mtime_ns}")
        except OSError:
            told.append(f"{picture.path}|gone")
    return hashlib.blake2b("\0".join(told).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
