"""From a scene, as the random changes leave it, to what the losses compare with.

An ignored region becomes a crowd: of its class, or of all classes (label -1). Masks become shares of cells some at a
time, so only these are held at full size in float.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from assay.losses.targets import Target, cover
from assay.postprocess_masks import CELL
from assay.train.scene import Scene, Things

if TYPE_CHECKING:
    from torch import Tensor


_MOST_PIXELS = 4_000_000
"""Of masks that are made float at once."""


def scene_target(
    scene: Scene,
    *,
    label: int = -1,
    tags: Tensor | None = None,
) -> Target:
    """The target of a picture that goes into the network as the scene has it.

    ``label`` and ``tags`` (T,) are as in ``Target``; a scene does not hold them.
    """
    pixels = None if scene.pixels is None else torch.from_numpy(scene.pixels)
    things = scene.things
    if things is None:
        return Target(label=label, tags=tags, pixels=pixels)
    known = [mask is not None for mask in things.masks] + [False] * len(things.ignored_xyxy)
    is_region = np.arange(len(known)) >= len(things)
    return Target(
        label=label,
        tags=tags,
        boxes_xyxy=torch.from_numpy(np.concatenate([things.boxes_xyxy, things.ignored_xyxy])).float(),
        box_labels=torch.from_numpy(np.concatenate([things.labels, things.ignored_labels])),
        box_crowd=torch.from_numpy(is_region),
        box_masks=_shares(things, scene.size_hw, len(known)) if any(known) else None,
        box_masks_known=torch.tensor(known, dtype=torch.bool),
        pixels=pixels,
    )


def _shares(things: Things, size_hw: tuple[int, int], count: int) -> Tensor:
    """(count, h, w) shares of cells; zeros where there is no mask."""
    shares = torch.zeros(count, *(-(-side // CELL) for side in size_hw))
    known = [i for i, mask in enumerate(things.masks) if mask is not None]
    step = max(1, _MOST_PIXELS // (size_hw[0] * size_hw[1]))
    for start in range(0, len(known), step):
        some = known[start : start + step]
        shares[some] = cover(torch.from_numpy(np.stack([things.masks[i] for i in some])))  # type: ignore[misc]
    return shares
