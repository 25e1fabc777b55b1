"""The face that every classifier shows to training, export and measuring: trunk -> ``embed`` -> ``head``.

The conformance suite (``tests/contracts/test_models.py``) holds every network to what is promised here.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn


class Classifier(nn.Module):
    """A network that turns pictures into logits.

    ``forward``: x (B, C, H, W) float -> logits (B, K). In eval mode ``head(embed(x))`` equals ``forward(x)``.
    """

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """(B, C, H, W) -> logits (B, K)."""
        logits: Tensor = self.head(self.embed(x))
        return logits

    def embed(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """(B, C, H, W) -> (B, F): the pooled features that the head sees."""
        raise NotImplementedError

    def features(self, x: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """(B, C, H, W) -> feature maps (B, C_i, H / s_i, W / s_i) at strides 4, 8, 16, 32, those that exist.

        A network that reads whole rows has one map (B, C_i, H, 1): it knows which row, and no column.
        """
        raise NotImplementedError

    @property
    def head(self) -> nn.Module:
        """The last layer or layers, which know the classes; everything else is the trunk."""
        raise NotImplementedError

    def blocks(self) -> list[list[nn.Parameter]]:
        """Every parameter exactly once, in blocks from input to output: the stem first, the head last."""
        raise NotImplementedError


def parameter_blocks(modules: Sequence[nn.Module], head: nn.Module) -> list[list[nn.Parameter]]:
    """The parameters of ``modules`` and then of ``head``, a block each; modules without any are passed over."""
    blocks = [list(module.parameters()) for module in (*modules, head)]
    return [block for block in blocks if block]
