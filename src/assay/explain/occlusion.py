"""Occlusion: cover a window, ask again, and see how far the answer falls (Zeiler and Fergus 2014, section 4.2).

It needs nothing of the network but its answers, so it works for any. Windows overlap by half and reach over the border,
so that every cell is covered as often as any other and gets the mean fall. What falls is the log-odds of the class,
which still moves where the probability is near 1. The cover is the picture's own mean colour: black or noise would
add something new.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from assay.explain.maps import finish
from assay.explain.target import frozen
from assay.models.classifier import Classifier

CELLS = 6
"""Cells a side; a window covers 2 x 2 of them, so a picture is asked about (CELLS + 1)² + 1 times."""
AT_ONCE = 32
"""Pictures in one forward pass."""


def occlusion(model: Classifier, x: Tensor, classes: Tensor) -> Tensor:
    """Fall of the class's log-odds where a window is covered.

    x (B, C, H, W), classes (B,) int64 -> (B, H, W) float32 in [0, 1].
    """
    size_hw = (int(x.shape[2]), int(x.shape[3]))
    windows = _windows(min(CELLS, *size_hw), x.device)  # N g g
    covers = F.interpolate(windows.unsqueeze(1), size_hw, mode="nearest")  # N 1 H W, with hard borders
    colour = x.mean((2, 3), keepdim=True)  # B C 1 1
    with frozen(model), torch.inference_mode():
        whole = _odds(model, x, classes)  # B
        falls = torch.stack(
            [
                whole[i] - _covered(model, picture, colour[i], covers, classes[i])
                for i, picture in enumerate(x)
            ]
        )  # B N
    cells = torch.einsum("bn,nhw->bhw", falls, windows) / windows.sum(0)
    return finish(cells.clone(), size_hw)


def _covered(model: Classifier, picture: Tensor, colour: Tensor, covers: Tensor, label: Tensor) -> Tensor:
    """(N,) log-odds of ``label`` under each cover."""
    found = []
    for part in covers.split(AT_ONCE):
        seen = picture + part * (colour - picture)
        found.append(_odds(model, seen, label.expand(len(seen))))
    return torch.cat(found)


def _odds(model: Classifier, x: Tensor, classes: Tensor) -> Tensor:
    """(B,) log of each picture's class against all others; the logit where there are no others."""
    logits = model(x).float()
    at = classes.to(logits.device).unsqueeze(1)
    own: Tensor = logits.gather(1, at).squeeze(1)
    if logits.shape[1] == 1:
        return own
    return own - logits.scatter(1, at, float("-inf")).logsumexp(1)


def _windows(cells: int, device: torch.device) -> Tensor:
    """(N, g, g) of zeros and ones: every window of 2 x 2 cells, those that reach over the border too."""
    found = torch.zeros((cells + 1) ** 2, cells, cells, device=device)
    for number, window in enumerate(found):
        row, column = divmod(number, cells + 1)
        window[max(row - 1, 0) : row + 1, max(column - 1, 0) : column + 1] = 1
    return found
