"""Perceptual prints of a photo: 256 bits a view that survive re-encoding, resizing, mirroring and small edits.

The print follows PDQ (Facebook, *The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm*, 2019,
section 3): luma at 64 x 64, its low cosine frequencies, one bit each. Three things differ. The 256 frequencies are the
lowest by their length, those of rows or columns alone among them. A bit is the sign of its frequency, not whether it is
above the median: mirroring then turns known bits round, and the prints of all 8 orientations come from one transform.
And a print alone decides nothing: among thousands of product photos two different shirts, laid out alike, differ in
fewer bits than one photo before and after a crop. So prints find candidates, and ``overlay`` compares their pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.decide.frames import SIDE, frames_of
from assay.decide.views import MIDDLE, middle, seen

Floats = NDArray[np.float32]
Bits = NDArray[np.uint64]

LOW = 64
"""Height and width of the luma that is transformed."""
FREQUENCIES = 17
"""Frequencies in each direction, the constant one among them."""
LEAST_STRUCTURE = 4.0
"""Greys by which the low frequencies must spread, for a print to say anything."""
ORIENTATIONS = tuple((swap, down, across) for swap in (0, 1) for down in (0, 1) for across in (0, 1))
"""Axes swapped first, then rows turned round, then columns; the first one leaves a picture as it is."""


@dataclass(frozen=True, eq=False)
class Prints:
    """What is kept of a photo to find it again: ``frames`` (F, 128, 128) uint8, grey, as ``frames_of`` cuts them.

    A single frame may be given as (128, 128). What has no structure matches nothing.
    """

    frames: NDArray[np.uint8]

    def __post_init__(self) -> None:
        frames = np.asarray(self.frames, np.uint8)
        object.__setattr__(self, "frames", frames[None] if frames.ndim == 2 else frames)
        if self.frames.shape[1:] != (SIDE, SIDE) or not len(self.frames):
            raise ValueError(f"frames of a photo are (F, {SIDE}, {SIDE}), not {self.frames.shape}")

    def to_bytes(self) -> bytes:
        """For another process: 16,384 bytes a frame."""
        return self.frames.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Prints:
        """The inverse of ``to_bytes``. Raises ValueError where these are none."""
        return cls(np.frombuffer(data, np.uint8).reshape(-1, SIDE, SIDE))


def prints_of(grey: NDArray[np.uint8]) -> Prints:
    """The prints of a grey picture (H, W), upright, its longer side at most ``frames.LONGEST`` px."""
    return Prints(frames_of(grey))


class Asked(NamedTuple):
    """What is looked for: (Q, 4) ``bits``; of each the frame, the orientation, and how much of the frame it shows."""

    bits: Bits
    frames: NDArray[np.int16]
    orientations: NDArray[np.int16]
    shares: NDArray[np.float64]


def asked(prints: Prints) -> Asked:
    """Each frame in its 8 orientations, and the middle of the whole: an enrolled photo may be a part of this one.

    A frame without structure is not looked for.
    """
    bits, frames, shares = [np.empty((0, 4), np.uint64)], [], []
    for number, frame in enumerate(prints.frames):
        low = halved(frame)
        if has_structure(low):
            for picture, share in ((low, 1.0), (middle(low), MIDDLE))[: 2 if number == 0 else 1]:
                bits.append(oriented(frequencies(picture)))
                frames.append(number)
                shares.append(share)
    many = len(ORIENTATIONS)
    return Asked(
        np.concatenate(bits),
        np.repeat(np.array(frames, np.int16), many),
        np.tile(np.arange(many, dtype=np.int16), len(frames)),
        np.repeat(np.array(shares, np.float64), many),
    )


def stored(prints: Prints) -> tuple[Bits, NDArray[np.int16], NDArray[np.int16]]:
    """(V, 4) what is looked among: all views of the whole, one of each other frame; (V,) frame and (V,) view of each.

    A frame without structure has none.
    """
    bits, frames, views = [np.empty((0, 4), np.uint64)], [np.empty(0, np.int16)], [np.empty(0, np.int16)]
    for number, frame in enumerate(prints.frames):
        low = halved(frame)
        if has_structure(low):
            pictures = seen(low) if number == 0 else low[None]
            bits.append(packed(frequencies(pictures)))
            frames.append(np.full(len(pictures), number, np.int16))
            views.append(np.arange(len(pictures), dtype=np.int16))
    return np.concatenate(bits), np.concatenate(frames), np.concatenate(views)


def has_structure(low: Floats) -> bool:
    """Whether a (64, 64) luma shows more than one colour, a smooth shade, or noise alone."""
    waves = frequencies(low)
    return bool(np.sqrt((waves**2).sum() - waves[0, 0] ** 2) / LOW >= LEAST_STRUCTURE)


def halved(frame: NDArray[np.uint8]) -> Floats:
    """(..., 2 S, 2 S) -> (..., S, S) float32, the mean of each four."""
    wide = frame.astype(np.float32)
    rows = wide[..., ::2, :] + wide[..., 1::2, :]
    return np.asarray((rows[..., ::2] + rows[..., 1::2]) / 4, np.float32)


def frequencies(low: Floats) -> Floats:
    """(..., 64, 64) luma -> (..., 17, 17) its lowest cosine frequencies (DCT-II), rows first."""
    return np.asarray(_cosines() @ low @ _cosines().T, np.float32)


def packed(waves: Floats) -> Bits:
    """(N, 17, 17) frequencies -> (N, 4) prints: the signs of the 256 lowest, lowest first."""
    bits = waves.reshape(len(waves), -1)[:, _order()] > 0
    return np.ascontiguousarray(np.packbits(bits, axis=1)).view(np.uint64)


def oriented(waves: Floats) -> Bits:
    """(17, 17) frequencies of a picture -> (8, 4) prints of it in ``ORIENTATIONS``."""
    turned = np.where(np.arange(FREQUENCIES) % 2, -1, 1).astype(np.float32)
    sides = [waves.T if swap else waves for swap, _, _ in ORIENTATIONS]
    signs = [
        (turned[:, None] if down else 1) * (turned if across else np.ones_like(turned))
        for _, down, across in ORIENTATIONS
    ]
    return packed(np.stack([side * sign for side, sign in zip(sides, signs, strict=True)]))


def turn(picture: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """(S, S) in one of ``ORIENTATIONS``."""
    swap, down, across = ORIENTATIONS[orientation]
    sides = picture.T if swap else picture
    return sides[:: -1 if down else 1, :: -1 if across else 1]


@lru_cache(maxsize=1)
def _cosines() -> Floats:
    """(17, 64) the lowest rows of the orthonormal DCT-II."""
    k, x = np.arange(FREQUENCIES)[:, None], np.arange(LOW)[None]
    return np.asarray(np.cos(np.pi * (2 * x + 1) * k / (2 * LOW)) * np.sqrt(2 / LOW), np.float32)


@lru_cache(maxsize=1)
def _order() -> NDArray[np.int64]:
    """(256,) places of the frequencies in a flat (17, 17): the shortest first, without the constant one.

    None is in without the one of its transposition, so no orientation leaves the print.
    """
    down, across = np.mgrid[:FREQUENCIES, :FREQUENCIES]
    length = np.hypot(down, across).ravel()
    return np.asarray(np.argsort(length, kind="stable")[1:257])
