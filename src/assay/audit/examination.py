"""What every checkup is given: the data set, the facts of its files, and features that are made once when asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from assay.types import Dataset
from assay.verb_configs import AuditConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.audit.alike import Copies
    from assay.audit.facts import Facts
    from assay.audit.vectors import Vectors

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, how many are done, of how many)."""


@dataclass(frozen=True)
class Examination:
    """One data set under examination.

    ``facts`` has a row for each row of ``dataset``, in its order. ``folder`` is where what was worked out is kept, so
    that a broken-off audit goes on where it was.
    """

    dataset: Dataset
    facts: Facts
    config: AuditConfig
    folder: Path
    progress: Progress

    @cached_property
    def vectors(self) -> Vectors:
        """Features of the readable pictures and out-of-fold probabilities from them; made on first use, then kept."""
        from assay.audit.vectors import make_vectors  # noqa: PLC0415 - torch or scikit-learn, where wanted

        return make_vectors(self)

    @cached_property
    def copies(self) -> Copies:
        """Which pictures are exact or near copies of others; worked out on first use, then kept."""
        from assay.audit.alike import find_copies  # noqa: PLC0415 - scipy, where wanted

        return find_copies(self.facts, self.config.near_bits, self.progress)

    @cached_property
    def readable(self) -> NDArray[np.bool_]:
        """(N,) whether the picture could be decoded."""
        return self.facts.readable

    @cached_property
    def labelled(self) -> NDArray[np.bool_]:
        """(N,) whether the row has one label."""
        return np.asarray(self.dataset.targets >= 0)
