"""What differs between a run that learns classes and one that learns boxes, masks and pixels as well.

The corridor (``start``) is one: read, gather, build, measure, train, choose, measure again. A job stands beside it and
says what each of these steps means.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

    from assay.bundle import Card
    from assay.configs import Recipe
    from assay.train.batch import Shard
    from assay.train.begin import Parts
    from assay.train.folder import RunRecord
    from assay.train.loop import Fit
    from assay.train.record import Recorder
    from assay.types import Dataset


class Job(ABC):
    """One kind of run. ``task`` is what its card says."""

    task: str

    @abstractmethod
    def gather(self, dataset: Dataset, recipe: Recipe, recorder: Recorder) -> Any:
        """Check and split the data, and decode what training and validation need: the job's own material."""

    def baselines(self, material: Any, recorder: Recorder) -> dict[str, Any]:  # noqa: ARG002 - asked of every job
        """What everyone must beat, by name and part; may be empty."""
        return {}

    @abstractmethod
    def build(
        self, recipe: Recipe, material: Any, recorder: Recorder, device: torch.device, *, fresh: bool
    ) -> tuple[nn.Module, dict[str, Any]]:
        """(network, facts for the record): built, with its first weights where it starts from some."""

    @abstractmethod
    def parts(self, model: Any, recipe: Recipe, material: Any, shard: Shard, device: torch.device) -> Parts:
        """What the loop works with."""

    @abstractmethod
    def finish(self, f: Fit, material: Any, card: Card, record: RunRecord) -> tuple[Card, dict[str, Any]]:
        """The chosen weights are in place: calibrate, and measure; (the whole card, evaluation by part)."""
