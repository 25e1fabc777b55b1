"""Occlusion: cover a window, ask again, and see how far the answer falls (Zeiler and Fergus 2014, section 4.2).

It needs nothing of the network but its answers, so it works for any. Windows overlap by half, and a cell gets the mean
fall of those that cover it. The cover is the picture's own mean colour: black or noise would add something new.
"""

from __future__ import annotations

import torch
from torch import Tensor

from assay.explain.maps import finish
from assay.explain.target import frozen
from assay.models.classifier import Classifier

CELLS = 7
"""Cells a side; a window covers 2 x 2 of them, so a picture is asked about (CELLS - 1)² + 1 times."""
AT_ONCE = 32
"""Pictures in one forward pass."""


def occlusion(model: Classifier, x: Tensor, classes: Tensor) -> Tensor:
    """Fall of the class's log-probability where a window is covered.

    x (B, C, H, W), classes (B,) int64 -> (B, H, W) float32 in [0, 1].
    """
    size_hw = (int(x.shape[2]), int(x.shape[3]))
    windows = _windows(min(CELLS, *size_hw), x.device)  # N g g
    covers = _enlarge(windows, size_hw).unsqueeze(1)  # N 1 H W
    colour = x.mean((2, 3), keepdim=True)  # B C 1 1
    with frozen(model), torch.inference_mode():
        whole = _log_share(model, x, classes)  # B
        falls = torch.stack(
            [
                whole[i] - _covered(model, picture, colour[i], covers, classes[i])
                for i, picture in enumerate(x)
            ]
        )  # B N
    cells = torch.einsum("bn,nhw->bhw", falls, windows) / windows.sum(0)
    return finish(cells.clone(), size_hw)


def _covered(model: Classifier, picture: Tensor, colour: Tensor, covers: Tensor, label: Tensor) -> Tensor:
    """(N,) log-probability of ``label`` under each cover."""
    found = []
    for part in covers.split(AT_ONCE):
        seen = picture + part * (colour - picture)
        found.append(_log_share(model, seen, label.expand(len(seen))))
    return torch.cat(found)


def _log_share(model: Classifier, x: Tensor, classes: Tensor) -> Tensor:
    """(B,) log-probability of each picture's class."""
    told: Tensor = model(x).float().log_softmax(1)
    return told.gather(1, classes.to(told.device).unsqueeze(1)).squeeze(1)


def _windows(cells: int, device: torch.device) -> Tensor:
    """(N, g, g) of zeros and ones: every window of 2 x 2 cells; one of a single cell where there is one only."""
    if cells < 2:
        return torch.ones(1, 1, 1, device=device)
    found = []
    for row in range(cells - 1):
        for column in range(cells - 1):
            window = torch.zeros(cells, cells, device=device)
            window[row : row + 2, column : column + 2] = 1
            found.append(window)
    return torch.stack(found)


def _enlarge(windows: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """(N, g, g) -> (N, H, W) with hard borders."""
    return torch.nn.functional.interpolate(windows.unsqueeze(1), size_hw, mode="nearest").squeeze(1)
