"""The scene while it is painted, and what can still be seen of everything in it.

Layers are put down from back to front. Each one shades the ground below it and hides what it covers, so the masks
are those of visible pixels, and are exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from assay.data.shop.camera import cast_shadow, relief
from assay.data.shop.canvas import SUPERSAMPLE, Floats
from assay.data.shop.sellers import Seller

_LEAST_PIXELS = 8


@dataclass(frozen=True)
class Instance:
    """One visible thing: ``category`` is a kind or "mark"; ``mask`` (H, W) bool of what can be seen of it."""

    category: str
    mask: NDArray[np.bool_]
    genuine: str = "none"


@dataclass
class _Seen:
    category: str
    mask: Floats
    area: float


@dataclass
class Stage:
    """The scene while it is painted: ``pixels`` (H, W, 3), and the visible mask of everything put down so far."""

    pixels: Floats
    size_wh: tuple[int, int]
    visible: list[_Seen] = field(default_factory=list)

    def put(
        self, layer: Image.Image, seller: Seller, rng: np.random.Generator, lift: float, category: str = ""
    ) -> None:
        """Lay a drawn layer onto the scene, shaded and with its shadow; it hides what lies beneath."""
        small = np.asarray(layer.reduce(SUPERSAMPLE), dtype=np.float32)
        alpha = small[..., 3] / 255
        ground = cast_shadow(self.pixels, alpha, seller, lift)
        shaded = small[..., :3] * relief(alpha, seller, rng)[..., None]
        self.pixels = ground + (shaded - ground) * alpha[..., None]
        for seen in self.visible:
            seen.mask = seen.mask * (1 - alpha)
        if category:
            self.note(category, layer)

    def note(self, category: str, layer: Image.Image) -> None:
        """Remember where a layer can be seen."""
        alpha = np.asarray(layer.getchannel("A").reduce(SUPERSAMPLE), dtype=np.float32) / 255
        self.visible.append(_Seen(category, alpha, float(alpha.sum())))

    def instances(self, genuine: str) -> tuple[Instance, ...]:
        """What can still be seen; a mark only where at least half of it can, or nobody could judge it."""
        return tuple(
            Instance(seen.category, seen.mask >= 0.5, genuine if seen.category == "mark" else "none")
            for seen in self.visible
            if seen.mask.sum() >= (0.5 * seen.area if seen.category == "mark" else 0)
            and (seen.mask >= 0.5).sum() >= _LEAST_PIXELS
        )
