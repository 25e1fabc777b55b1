"""Deletion and insertion: does the answer follow the order in which a map ranks the picture's cells?

Petsiuk et al. 2018 (RISE), section 4.2. *Deletion* covers the picture cell by cell, the most important first; a good
map makes the probability fall at once, so the area under its curve is small. *Insertion* begins with a blurred picture
and brings it back in the same order; a good map makes the area large. As in the paper, deletion covers with a plain
colour and insertion begins from a blur: an order that is good against both does not live from one of them.

Every map is read at the same cells, whatever it was drawn at, so none gains by finer or coarser steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from assay.explain.maps import blur, pool
from assay.explain.target import frozen
from assay.models.classifier import Classifier

GRID = 14
"""Cells a side at which maps are read."""
SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
"""Shares of the cells at which the network is asked; close together at the beginning, where curves fall."""
VEIL = 1 / 10
"""Sigma of insertion's blur, as a share of the longer side."""
AT_ONCE = 32
"""Pictures in one forward pass."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Areas:
    """Areas under the deletion and the insertion curve, (N,) each, between 0 and 1."""

    deletion: Floats
    insertion: Floats

    @property
    def both(self) -> Floats:
        """(N,) insertion minus deletion: one figure that is large for a good map, from -1 to 1."""
        return self.insertion - self.deletion


class Bench:
    """Pictures on which maps are measured, with what the network says of them whole, covered and veiled.

    Parameters
    ----------
    model : the network.
    x : (N, C, H, W) prepared pictures.
    classes : (N,) the class of each whose probability is followed: the network's own answer.
    temperature : of the network's calibration.
    """

    def __init__(self, model: Classifier, x: Tensor, classes: Tensor, temperature: float = 1.0) -> None:
        self.model, self.x, self.classes, self.temperature = model, x, classes, temperature
        self.grid = min(GRID, *x.shape[2:])
        self.plain = x.mean((2, 3), keepdim=True).expand_as(x)
        self.veiled = blur(x, VEIL * max(x.shape[2:]))
        self.whole, self.covered, self.hidden = (self._ask(y, classes) for y in (x, self.plain, self.veiled))

    def read(self, maps: Tensor) -> Floats:
        """Maps (N, H, W) -> (N, g, g): the mean of each cell."""
        return np.asarray(pool(maps.float(), self.grid).cpu().numpy(), dtype=np.float64)

    def measure(self, cells: Floats, seed: int = 0, tick: Callable[[int], None] | None = None) -> Areas:
        """The areas for the order that ``cells`` (N, g, g) give; equal cells come in an order by chance."""
        ranks = torch.from_numpy(ranked(cells, seed)).to(self.x.device)  # N g*g
        between = SHARES[1:-1]
        deletion = np.empty((len(cells), len(SHARES)))
        insertion = np.empty_like(deletion)
        deletion[:, 0], deletion[:, -1] = self.whole, self.covered
        insertion[:, 0], insertion[:, -1] = self.hidden, self.whole
        step = max(1, AT_ONCE // (2 * len(between)))
        for start in range(0, len(cells), step):
            rows = slice(start, start + step)
            found = self._steps(rows, ranks[rows], between)
            deletion[rows, 1:-1], insertion[rows, 1:-1] = found
            if tick is not None:
                tick(len(ranks[rows]))
        at = np.array(SHARES)
        return Areas(np.trapezoid(deletion, at, axis=1), np.trapezoid(insertion, at, axis=1))

    def _steps(self, rows: slice, ranks: Tensor, shares: tuple[float, ...]) -> tuple[Floats, Floats]:
        """Probabilities (n, T) of deletion and of insertion between the ends of their curves."""
        x, plain, veiled = self.x[rows], self.plain[rows], self.veiled[rows]
        seen = []
        for share in shares:
            first = (ranks < round(share * ranks.shape[1])).float()
            mask = F.interpolate(first.reshape(-1, 1, self.grid, self.grid), x.shape[2:], mode="nearest")
            seen += [x + mask * (plain - x), veiled + mask * (x - veiled)]
        classes = self.classes[rows].repeat(len(seen))
        told = self._ask(torch.cat(seen), classes).reshape(len(shares), 2, len(x))
        return told[:, 0].T, told[:, 1].T

    def _ask(self, x: Tensor, classes: Tensor) -> Floats:
        """(n,) calibrated probability of each picture's class."""
        found = []
        with frozen(self.model), torch.inference_mode():
            for part, labels in zip(x.split(AT_ONCE), classes.split(AT_ONCE), strict=True):
                told = (self.model(part).double() / self.temperature).softmax(1)
                found.append(told.gather(1, labels.to(told.device).unsqueeze(1)).squeeze(1).cpu().numpy())
        return np.concatenate(found)


def ranked(cells: Floats, seed: int = 0) -> NDArray[np.int64]:
    """(N, g, g) -> (N, g*g): 0 for the largest cell, 1 for the next; equal ones in an order by chance."""
    flat = cells.reshape(len(cells), -1)
    chance = np.random.default_rng(seed).random(flat.shape)
    order = np.lexsort((chance, -flat), axis=1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(flat.shape[1])[None].repeat(len(flat), 0), axis=1)
    return ranks


def elsewhere(cells: Floats, seed: int = 0) -> Floats:
    """The same maps laid at another place: (N, g, g), each rolled by a quarter to three quarters of both sides.

    The level of chance. Cells in a wholly random order would be scattered, and covering scattered cells hurts any
    picture more than covering a blob; so chance must have the blobs of the map itself, without their place.
    """
    rng = np.random.default_rng(seed)
    side = cells.shape[1]
    low = max(1, side // 4)
    shifts = rng.integers(low, max(low + 1, side - low + 1), size=(len(cells), 2))
    return np.stack([np.roll(map_, tuple(shift), (0, 1)) for map_, shift in zip(cells, shifts, strict=True)])
