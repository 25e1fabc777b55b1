"""Is an explanation true of the network? Each kind is tested before it is shown, and the rule stands here.

A kind *passes* for a network when

1. its *gain* over chance is above zero: insertion minus deletion (see ``curves``), minus the same for the map laid at
   another place of the picture, in pairs on the same pictures, with a 95 % bootstrap interval that excludes zero;
2. neither deletion nor insertion alone is clearly worse than chance (interval wholly on the wrong side);
3. its maps change when the weights are shuffled (see ``randomisation``): with everything shuffled the mean rank
   correlation with the maps before is below ``MOST_ALIKE``. The mean is over several shuffles, as one alone may look
   at the same things by luck.

A map that is a blob in the middle is reported beside it: what people photograph is mostly there. A kind that does not
beat it says little more than that, so this is told, but it does not fail for it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.errors import ModelError
from assay.explain.curves import Areas, Bench, elsewhere
from assay.explain.maps import centre_map
from assay.explain.randomisation import LEVELS, randomised, similarity
from assay.metrics.interval import Estimate, bootstrap
from assay.models.classifier import Classifier

MOST_ALIKE = 0.5
"""Rank correlation from which maps count as unchanged."""
FEWEST = 8
"""Pictures below which nothing can be said."""
SHUFFLED_PICTURES = 8
"""Pictures on which maps before and after shuffling are compared."""
BATCH = 8
"""Pictures that a kind gets at once."""

Kind = Callable[[Classifier, Tensor, Tensor], Tensor]
Tick = Callable[[str, int], None]
"""(what is done, pictures done since the last call)."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """How a kind did on ``n`` pictures.

    ``deletion`` (small is good), ``insertion`` (large is good) are areas from 0 to 1; ``gain`` is by how much insertion
    minus deletion beats chance, ``over_centre`` by how much it beats a blob in the middle. ``likeness`` is the rank
    correlation with the maps before, by what was shuffled. ``verdict`` is "passed", "failed" or "refused" (the kind
    cannot be drawn for this network), ``reason`` says why in plain words.
    """

    kind: str
    n: int
    verdict: str
    reason: str
    deletion: Estimate | None = None
    insertion: Estimate | None = None
    deletion_gain: Estimate | None = None
    insertion_gain: Estimate | None = None
    gain: Estimate | None = None
    over_centre: Estimate | None = None
    chance: dict[str, float] = field(default_factory=dict)
    centre: dict[str, float] = field(default_factory=dict)
    likeness: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether maps of this kind may be shown for this network."""
        return self.verdict == "passed"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; undefined numbers are None."""
        plain: dict[str, Any] = {}
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            plain[name] = value.to_dict() if isinstance(value, Estimate) else value
        plain["likeness"] = {k: None if math.isnan(v) else round(v, 6) for k, v in self.likeness.items()}
        return plain

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Score:
        """The inverse of ``to_dict``."""
        found = dict(values)
        for name in ESTIMATES:
            found[name] = None if found.get(name) is None else Estimate.from_dict(found[name])
        found["likeness"] = {k: math.nan if v is None else v for k, v in found.get("likeness", {}).items()}
        return cls(**found)


ESTIMATES = ("deletion", "insertion", "deletion_gain", "insertion_gain", "gain", "over_centre")


class Examiner:
    """Tests kinds of explanation on the same pictures of one network.

    Parameters
    ----------
    model : the network.
    x : (N, C, H, W) prepared pictures; their number decides how small a gain can be told from chance.
    temperature : of the network's calibration.
    groups : (N,) number of each picture's group (its seller, its patient), where pictures have groups.
    tick : is told of progress.
    """

    def __init__(
        self,
        model: Classifier,
        x: Tensor,
        *,
        temperature: float = 1.0,
        groups: NDArray[np.int64] | None = None,
        tick: Tick | None = None,
    ) -> None:
        self.model, self.x, self.groups = model, x, groups
        self.tick: Tick = tick or (lambda _what, _n: None)
        self.classes = answers(model, x)
        self.bench = Bench(model, x, self.classes, temperature)
        self._centre: Areas | None = None
        self._shuffled: dict[tuple[str, int], Classifier] = {}

    @property
    def steps(self) -> int:
        """How many pictures ``tick`` will be told of for one kind."""
        return 3 * len(self.x) + sum(seeds for _, _, seeds in LEVELS) * self.compared

    @property
    def compared(self) -> int:
        """Pictures on which maps before and after shuffling are compared."""
        return min(SHUFFLED_PICTURES, len(self.x))

    @property
    def centre(self) -> Areas:
        """Areas of the blob in the middle; measured once."""
        if self._centre is None:
            blob = centre_map((int(self.x.shape[2]), int(self.x.shape[3])))
            cells = self.bench.read(blob.expand(len(self.x), -1, -1))
            self._centre = self.bench.measure(cells)
        return self._centre

    def test(self, name: str, kind: Kind) -> Score:
        """Draw maps of this kind and test them."""
        begun = time.monotonic()
        n = len(self.x)
        if n < FEWEST:
            reason = f"cannot be told from {n} picture{'s' if n != 1 else ''}: at least {FEWEST} are needed"
            return Score(name, n, "failed", reason)
        try:
            cells = self._cells(name, self.model, kind, self.x, self.classes)
        except ModelError as error:
            return Score(name, n, "refused", error.what)
        if not (np.ptp(cells.reshape(n, -1), axis=1) > 0).any():
            return Score(name, n, "failed", "its maps are empty: nothing in the pictures moves the answer")
        own = self.bench.measure(cells, tick=lambda done: self.tick(name, done))
        chance = self.bench.measure(elsewhere(cells), tick=lambda done: self.tick(name, done))
        likeness = self._likeness(name, kind, cells[: self.compared])
        return self._score(name, own, chance, likeness, time.monotonic() - begun)

    def _cells(self, name: str, model: Classifier, kind: Kind, x: Tensor, classes: Tensor) -> Floats:
        """(N, g, g) of the maps of this kind."""
        found = []
        for part, labels in zip(x.split(BATCH), classes.split(BATCH), strict=True):
            found.append(self.bench.read(kind(model, part, labels)))
            self.tick(name, len(part))
        return np.concatenate(found)

    def _likeness(self, name: str, kind: Kind, before: Floats) -> dict[str, float]:
        """What was shuffled -> mean rank correlation with the maps before."""
        x, classes = self.x[: self.compared], self.classes[: self.compared]
        found = {}
        for level, share, seeds in LEVELS:
            alike = []
            for seed in range(seeds):
                if (level, seed) not in self._shuffled:
                    self._shuffled[level, seed] = randomised(self.model, share, self.x[:32], seed)
                after = self._cells(name, self._shuffled[level, seed], kind, x, classes)
                alike.append(similarity(before, after))
            known = np.concatenate(alike)
            known = known[~np.isnan(known)]
            found[level] = float(known.mean()) if len(known) else math.nan
        return found

    def _score(
        self, name: str, own: Areas, chance: Areas, likeness: dict[str, float], seconds: float
    ) -> Score:
        gains = {
            "deletion_gain": self._mean(chance.deletion - own.deletion),
            "insertion_gain": self._mean(own.insertion - chance.insertion),
            "gain": self._mean(own.both - chance.both),
        }
        verdict, reason = judge(**gains, likeness=likeness, moved=self._moved())
        return Score(
            name,
            len(self.x),
            verdict,
            reason,
            deletion=self._mean(own.deletion),
            insertion=self._mean(own.insertion),
            **gains,
            over_centre=self._mean(own.both - self.centre.both),
            chance=_means(chance),
            centre=_means(self.centre),
            likeness=likeness,
            seconds=round(seconds, 2),
        )

    def _moved(self) -> bool:
        """Whether covering or blurring a whole picture changes any answer at all."""
        bench = self.bench
        ends = np.abs(np.stack([bench.covered, bench.hidden]) - bench.whole)
        return bool((ends > 1e-6).any())

    def _mean(self, values: Floats) -> Estimate:
        return bootstrap(
            lambda weights: np.asarray(weights @ values / weights.sum(1)),
            len(values),
            draws=2000,
            groups=self.groups,
        )


def judge(
    *,
    deletion_gain: Estimate,
    insertion_gain: Estimate,
    gain: Estimate,
    likeness: dict[str, float],
    moved: bool = True,
) -> tuple[str, str]:
    """("passed" or "failed", the reason in plain words) by the rule at the top of this file."""
    alike = likeness[LEVELS[-1][0]]
    if not moved:
        return "failed", "the answer stays the same whatever is covered, so there is nothing to explain"
    for told, name in ((deletion_gain, "covering"), (insertion_gain, "bringing back")):
        if told.high < 0:
            return "failed", f"{name} what it marks does less than {name} the same shape elsewhere"
    if gain.low <= 0:
        return "failed", "what it marks matters no more to the answer than the same shape laid elsewhere"
    if math.isnan(alike):
        return "failed", "its maps are flat on the pictures compared"
    if alike >= MOST_ALIKE:
        return "failed", (
            f"its maps stay alike (rank correlation {alike:.2f}) when all weights are shuffled: "
            "it shows the picture, not the network"
        )
    return "passed", "what it marks moves the answer more than chance, and it changes with the weights"


def answers(model: Classifier, x: Tensor) -> Tensor:
    """(N,) int64: the class that the network gives to each picture."""
    model.eval()
    with torch.inference_mode():
        told = torch.cat([model(part).argmax(1) for part in x.split(32)]) if len(x) else torch.empty(0)
    return told.clone().long()


def _means(areas: Areas) -> dict[str, float]:
    return {"deletion": float(areas.deletion.mean()), "insertion": float(areas.insertion.mean())}
