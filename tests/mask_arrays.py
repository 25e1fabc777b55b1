"""Masks that networks draw, as whole pictures: for tests that compare pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from assay.postprocess_masks import MaskCrop


def to_arrays(crops: Sequence[MaskCrop], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """(N, H, W) bool: every mask on a picture of its own."""
    found = np.zeros((len(crops), *size_hw), bool)
    for array, (top, left, pixels) in zip(found, crops, strict=True):
        array[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return found
