"""Perceptual prints of a photo: 256 bits a view that survive re-encoding, resizing, mirroring and small edits.

The print is that of PDQ (Facebook, *The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm*, 2019,
section 3): luma at 64 x 64, its 16 x 16 lowest cosine frequencies without the constant ones, and for each whether it is
above their median. Mirroring and turning the photo by quarters only change signs of frequencies and transpose them, so
the prints of all 8 orientations come from one transform.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE = 64
"""Height and width of the luma that is printed."""


@dataclass(frozen=True, eq=False)
class Prints:
    """The prints of one photo: ``bits`` (V, 4) uint64 of V views of it, ``quality`` (V,) 0 to 100.

    ``luma`` (64, 64) uint8 is the photo itself, small and grey, from which everything else can be had.
    """

    luma: NDArray[np.uint8]

    def to_bytes(self) -> bytes:
        """For another process: 4,096 bytes."""
        return self.luma.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Prints:
        """The inverse of ``to_bytes``. Raises ValueError where these are none."""
        return cls(np.frombuffer(data, np.uint8).reshape(SIDE, SIDE))
