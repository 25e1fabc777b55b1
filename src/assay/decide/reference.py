"""One enrolled photo: what a person has said of it, and what is kept to find it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.decide.likeness import on_sphere
from assay.decide.prints import Bits, Prints, stored


@dataclass(frozen=True)
class Reference:
    """What was said: ``photo`` is the SHA-256 of its bytes, ``list`` "fake" or "genuine", ``item`` what it shows."""

    photo: str
    list: str
    item: str | None = None


class Rows(NamedTuple):
    """The prints of a photo as ``prints.stored`` makes them: (V, 4) bits, (V,) frame and (V,) view of each."""

    bits: Bits
    frames: NDArray[np.int16]
    views: NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Enrolled:
    """A reference, its ``frames`` (F, 128, 128) uint8, its prints, and its embedding (F,) of length 1, if any."""

    reference: Reference
    frames: NDArray[np.uint8]
    rows: Rows
    embedding: NDArray[np.float16] | None = None


def enrolled(reference: Reference, prints: Prints, embedding: Any = None) -> Enrolled:
    """Prepare a photo to be found again; a few milliseconds."""
    point = None if embedding is None else on_sphere(embedding).astype(np.float16)
    return Enrolled(reference, prints.frames, Rows(*stored(prints)), point)
