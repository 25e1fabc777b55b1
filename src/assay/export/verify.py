"""Does the exported network say what the checkpoint says? Measured on real pictures, and stored on the card.

An export that scores differently is the most common silent fault of this field, so a difference beyond the
tolerance refuses the export. The pictures come from the run's own validation part where they are still there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from assay.errors import ExportError, ImageError
from assay.postprocess import probabilities
from assay.preprocess import Preprocess

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.card import Card
    from assay.models.build import Classifier

PICTURES = 64
"""Most pictures that are compared."""

_CHUNK = 16


@dataclass(frozen=True)
class Parity:
    """How far an export is from its checkpoint.

    ``logit_difference`` is the greatest absolute difference of a logit and ``logit_scale`` the greatest logit
    (at least 1): their quotient is held to ``tolerance``. So are the two of the embedding, on which abstention and
    matching stand. ``label_agreement`` is the share of pictures with the same label; ``ties`` counts those whose two
    best logits are closer than the difference. ``pictures`` says how many were compared and ``source`` which.
    """

    pictures: int
    source: str
    logit_difference: float
    logit_scale: float
    probability_difference: float
    embedding_difference: float
    embedding_scale: float
    label_agreement: float
    ties: int
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether logits and embedding are within the tolerance and no label differs but at a tie."""
        apart = round((1 - self.label_agreement) * self.pictures)
        near = self.logit_difference <= self.tolerance * self.logit_scale
        return (
            near and self.embedding_difference <= self.tolerance * self.embedding_scale and apart <= self.ties
        )

    @property
    def sentence(self) -> str:
        """What a person is told."""
        return (
            f"compared on {self.pictures} pictures ({self.source}): {self.label_agreement:.1%} of labels agree, "
            f"probabilities differ by at most {self.probability_difference:.2g}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the card."""
        return asdict(self)


def measure_parity(
    model: Classifier, engine: Any, pixels: NDArray[np.uint8], card: Card, *, source: str, tolerance: float
) -> Parity:
    """Answer (n, S, S, C) uint8 with both, the engine in batches of 1 and of many, and compare."""
    x = Preprocess(card.preprocess).normalise(pixels)  # n C S S
    with torch.inference_mode():
        expected = _in_chunks(lambda part: model(torch.from_numpy(part)).float().numpy(), x)
        features = _in_chunks(lambda part: model.embed(torch.from_numpy(part)).float().numpy(), x)
    found = _in_chunks(engine, x)
    gap = _largest(found - expected)
    best = np.sort(expected, axis=1)
    ties = int((best[:, -1] - best[:, -2] <= 2 * gap).sum()) if expected.shape[1] > 1 else 0
    spread = probabilities(found, card.temperature) - probabilities(expected, card.temperature)
    return Parity(
        pictures=len(pixels),
        source=source,
        logit_difference=gap,
        logit_scale=max(1.0, _largest(expected)),
        probability_difference=_largest(spread),
        embedding_difference=_largest(_in_chunks(engine.embed, x) - features),
        embedding_scale=max(1.0, _largest(features)),
        label_agreement=float((found.argmax(1) == expected.argmax(1)).mean()),
        ties=ties,
        tolerance=tolerance,
    )


def require_parity(parity: Parity, why: Callable[[], str | None] | None = None) -> None:
    """Refuse an export that differs. Raises ExportError with the numbers, and with what ``why`` finds."""
    if parity.holds:
        return
    logits, embedding = (
        f"by up to {apart:.3g} ({apart / scale:.2g} of their scale, allowed {parity.tolerance:g})"
        for apart, scale in (
            (parity.logit_difference, parity.logit_scale),
            (parity.embedding_difference, parity.embedding_scale),
        )
    )
    raise ExportError(
        "the export does not answer as the checkpoint does, so nothing was written",
        got=f"on {parity.pictures} pictures ({parity.source}) logits differ {logits}, features {embedding}, "
        f"and {parity.label_agreement:.1%} of labels agree{told_why(why)}",
        fix="report this with the name of the network; --tolerance allows more where you know why",
    )


def told_why(why: Callable[[], str | None] | None) -> str:
    """What was found, behind a colon; nothing where nothing was."""
    try:
        found = None if why is None else why()
    except Exception:  # whatever goes wrong in looking for the reason must not hide that there is one
        found = None
    return "" if found is None else f": {found}"


def read_pixels(paths: Iterable[str | Path], card: Card, limit: int = PICTURES) -> NDArray[np.uint8]:
    """(n, S, S, C) uint8 of the first ``limit`` pictures that can be read; n may be 0."""
    preprocess = Preprocess(card.preprocess)

    def readable() -> Iterator[NDArray[np.uint8]]:
        for path in paths:
            try:
                yield preprocess.read(path)[0]
            except ImageError:
                continue  # broken pictures are the business of `assay check`

    side = card.preprocess.size
    pictures = list(islice(readable(), limit))
    return np.stack(pictures) if pictures else np.empty((0, side, side, card.channels), np.uint8)


def render_patterns(card: Card, n: int) -> NDArray[np.uint8]:
    """(n, S, S, C) uint8: soft colour fields with grain, the same everywhere. Nobody's photo."""
    side, channels = card.preprocess.size, card.channels
    rng = np.random.default_rng(20250)
    pictures = []
    for _ in range(n):
        field = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        soft = np.asarray(field.resize((side, side), Image.Resampling.BICUBIC), dtype=np.int16)
        grain = rng.integers(-24, 25, (side, side, 1), dtype=np.int16)
        pictures.append(np.clip(soft + grain, 0, 255).astype(np.uint8)[:, :, :channels])
    return np.stack(pictures)


def _in_chunks(
    answer: Callable[[NDArray[np.float32]], NDArray[np.float32]], x: NDArray[np.float32]
) -> NDArray[np.float32]:
    """A first call with one picture, then with up to ``_CHUNK``: the batch size must change nothing."""
    bounds = [0, 1, *range(1 + _CHUNK, len(x), _CHUNK), len(x)] if len(x) > 1 else [0, len(x)]
    return np.concatenate([answer(x[a:b]) for a, b in pairwise(bounds)])


def _largest(values: NDArray[np.floating[Any]]) -> float:
    return float(np.abs(values).max())
