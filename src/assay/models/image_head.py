"""What a network says of the picture as a whole: its class, its tags, and a vector to compare it by.

The vector is the pooled map, turned onto 128 fixed orthonormal directions and scaled to length 1. What differs from
learned embeddings (Zhai and Wu 2019): no parameters and so no loss of its own. Up to 128 channels it keeps every cosine
between pictures exactly, above that nearly (Johnson and Lindenstrauss 1984), and it is trained by whatever trains the
trunk. The directions are a buffer: they are saved with the weights.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from assay.models.blocks import build_head

EMBEDDING = 128


class ImageHead(nn.Module):
    """Two linear layers, either of which may be absent, and a fixed projection.

    Parameters
    ----------
    features : F, channels of the trunk's last map.
    classes, tags : numbers of logits; 0 leaves the layer out.
    """

    directions: Tensor

    def __init__(self, features: int, classes: int, tags: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.classes = build_head(features, classes, dropout) if classes else None
        self.tags = build_head(features, tags, dropout) if tags else None
        self.register_buffer("directions", fixed_directions(features))

    def forward(
        self, pooled: Float[Tensor, "B F"]
    ) -> tuple[Float[Tensor, "B K"] | None, Float[Tensor, "B T"] | None, Float[Tensor, "B E"]]:
        """(B, F) -> class logits (B, K), tag logits (B, T), embedding (B, 128)."""
        classes = None if self.classes is None else self.classes(pooled)
        tags = None if self.tags is None else self.tags(pooled)
        return classes, tags, normalize(pooled @ self.directions, dim=1)


def fixed_directions(features: int) -> Float[Tensor, "F E"]:
    """(F, 128), the same for every network of F channels: orthonormal columns, or rows where F is below 128."""
    drawn = torch.randn(max(features, EMBEDDING), min(features, EMBEDDING), generator=_generator())
    found = torch.linalg.qr(drawn).Q
    return (found if features > EMBEDDING else found.T).contiguous()


def _generator() -> torch.Generator:
    """One of its own, so that a network's first weights depend on the seed alone."""
    return torch.Generator().manual_seed(128)
