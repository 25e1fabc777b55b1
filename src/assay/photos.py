"""What is walked through by the answer corridor: files by their paths, and photos that are no file of their own.

A member of an archive, a row of a table, a frame of a video has a name that people can find it by, and bytes (or
pixels) that are taken when its turn comes, in the thread that decodes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


Facts = tuple[tuple[str, Any], ...]
"""Names and plain values."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo that is no file of its own.

    ``name`` is what its Prediction is called (``photos.zip/a/b.jpg``, ``walk.mp4#120``). ``read`` gives the bytes of a
    picture file, or (H, W, 3) uint8; it may be called again, perhaps in another thread, and raises ImageError where
    there is nothing to give. ``facts`` are told beside the answer (the second of a frame).
    """

    name: str
    read: Callable[[], bytes | NDArray[np.uint8]]
    facts: Facts = ()


def once(read: Callable[[], bytes]) -> Callable[[], bytes]:
    """Keeps what was read: for what cannot be read twice, or costs much."""
    held: list[bytes] = []

    def reading() -> bytes:
        if not held:
            held.append(read())
        return held[0]

    return reading


Source = str | Path | Photo


def name_of(source: Source) -> str:
    """What the Prediction of a source is called."""
    return source.name if isinstance(source, Photo) else str(source)
