"""What a network of several heads gives in one pass; every part may be absent.

Named tuples of tensors, as torch's export, tracing and accelerate know them: no class of ours has to be made known to
any of them. An engine knows a flat list of named arrays instead; ``named`` is that list and ``Ends`` the network in
that form. Points and strides are not in it: they follow from the size of the picture
(``assay.postprocess_boxes.box_points``).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class BoxOutputs(NamedTuple):
    """One answer for each of P points, those of the finest level first, row by row.

    ``class_logits`` (B, P, K). ``distances`` (B, P, 4): from the point to the left, upper, right and lower side of its
    box, in strides of its level; below 0 where the point lies outside. ``coefficients`` (B, P, M): how much of each
    prototype is in the mask, where there are masks.
    """

    class_logits: Tensor
    distances: Tensor
    coefficients: Tensor | None = None


class Outputs(NamedTuple):
    """Everything that one pass gives.

    Attributes
    ----------
    class_logits : (B, K); softmax gives the class of the picture.
    tag_logits : (B, T); sigmoid of each says whether the tag applies.
    embedding : (B, 128) of length 1.
    boxes : several points for each thing; needs non-maximum suppression.
    boxes_one_to_one : one point for each thing; needs none.
    points : (P, 2) x and y in pixels of the network's input.
    strides : (P,) pixels.
    pixel_logits : (B, S, h, w) at a quarter of the side.
    prototypes : (B, M, h, w) at a quarter of the side.
    """

    class_logits: Tensor | None = None
    tag_logits: Tensor | None = None
    embedding: Tensor | None = None
    boxes: BoxOutputs | None = None
    boxes_one_to_one: BoxOutputs | None = None
    points: Tensor | None = None
    strides: Tensor | None = None
    pixel_logits: Tensor | None = None
    prototypes: Tensor | None = None

    def named(self) -> dict[str, Tensor]:
        """Name -> tensor of what is there, in a fixed order, without points and strides."""
        flat = {
            "class_logits": self.class_logits,
            "tag_logits": self.tag_logits,
            "embedding": self.embedding,
            **_flat(self.boxes, "boxes"),
            **_flat(self.boxes_one_to_one, "one_to_one"),
            "pixel_logits": self.pixel_logits,
            "prototypes": self.prototypes,
        }
        return {name: value for name, value in flat.items() if value is not None}


class FoundOutputs(NamedTuple):
    """Finished boxes: what a detector gives that decodes and suppresses itself.

    ``boxes`` (B, N, 4) x1, y1, x2, y2 in pixels of the network's input, the best first; ``scores`` (B, N), 0 where a
    row is only filled up; ``labels`` (B, N) int64 from 0 up, without background; ``masks`` (B, N, 28, 28) how likely
    each cell of the box belongs to the thing, where there are masks.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    masks: Tensor | None = None

    def named(self) -> dict[str, Tensor]:
        """Name -> tensor of what is there, as ``Outputs.named``."""
        return {f"found_{name}": value for name, value in self._asdict().items() if value is not None}


def _flat(boxes: BoxOutputs | None, prefix: str) -> dict[str, Tensor | None]:
    return {} if boxes is None else {f"{prefix}_{name}": value for name, value in boxes._asdict().items()}


class Ends(nn.Module):
    """A network whose forward gives ``Outputs``, as one that gives a tuple of tensors, as exporters want it.

    ``names`` are those of the tensors. ``example`` (1, C, H, W) is looked at once to learn them.
    """

    def __init__(self, model: nn.Module, example: Tensor) -> None:
        super().__init__()
        self.model = model.eval()
        with torch.no_grad():
            self.names = tuple(model(example).named())

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """(B, C, H, W) -> the tensors of ``names``."""
        outputs: Outputs = self.model(pixels)
        return tuple(outputs.named().values())
