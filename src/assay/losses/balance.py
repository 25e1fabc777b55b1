"""Losses of several tasks, brought to one scale once.

Each loss is divided by its running mean at the end of warm-up; from then on the scales are frozen and the weights
fixed, 1 for each task unless told otherwise. What differs from learned weights (Kendall et al. 2018, "Multi-Task
Learning Using Uncertainty to Weigh Losses") and from gradient balancing (Chen et al. 2018, "GradNorm"): nothing moves
during the run, so a falling loss means learning and two runs can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.errors import ConfigError
from assay.tables import suggest

MOMENTUM = 0.9
LEAST_MEAN = 0.05
"""A task that is nearly solved at the end of warm-up is not blown up to the size of the others."""

Mean = Callable[[Tensor], Tensor]


class Balance(nn.Module):
    """``balance(losses) -> ()``; ``freeze()`` at the end of warm-up. Its buffers belong into a checkpoint.

    Parameters
    ----------
    tasks : names of the losses.
    weights : factor of each task after scaling; 1 where it is left out.
    mean : average of a tensor over all processes; the identity where there is one.

    Raises
    ------
    ConfigError : a weight is given for a loss that is not among the tasks.
    """

    means: Tensor
    seen: Tensor
    frozen: Tensor

    def __init__(
        self, tasks: tuple[str, ...], *, weights: Mapping[str, float] | None = None, mean: Mean | None = None
    ) -> None:
        super().__init__()
        for task in weights or {}:
            if task not in tasks:
                raise ConfigError(f"unknown loss {task!r} among the weights", fix=suggest(task, list(tasks)))
        self.tasks = tasks
        self.weights = {task: float((weights or {}).get(task, 1.0)) for task in tasks}
        self._mean = mean or (lambda values: values)
        self.register_buffer("means", torch.zeros(len(tasks)))
        self.register_buffer("seen", torch.zeros(len(tasks)))
        self.register_buffer("frozen", torch.tensor(False))

    def forward(self, losses: Mapping[str, Float[Tensor, ""]]) -> Float[Tensor, ""]:
        """The sum of all losses, each over its scale; until frozen the scales are 1 and the means are taken.

        In eval mode nothing is taken in.
        """
        values = torch.stack([losses[task] for task in self.tasks])
        if self.training and not bool(self.frozen):
            self._note(self._mean(values.detach().float()))
        weights = torch.tensor([self.weights[task] for task in self.tasks], device=values.device)
        return (weights * values / self.scales.to(values.device)).sum()

    @torch.no_grad()
    def _note(self, values: Float[Tensor, " N"]) -> None:
        """The mean stays where a loss is exactly 0 (no picture of the batch has the task), infinite or no number."""
        there = (values > 0) & values.isfinite()
        blended = MOMENTUM * self.means + (1 - MOMENTUM) * values.to(self.means)
        self.means.copy_(torch.where(there.to(self.means.device), blended, self.means))
        self.seen.add_(there.to(self.seen))

    def freeze(self) -> None:
        """The end of warm-up. A task that was not met by then keeps the scale 1."""
        self.frozen.fill_(True)

    @property
    def scales(self) -> Float[Tensor, " N"]:
        """What each loss is divided by: 1 until frozen, then its running mean, corrected for its start at 0."""
        met = self.seen > 0
        unbiased = self.means / (1 - MOMENTUM ** self.seen.clamp_min(1))
        return torch.where(met & self.frozen, unbiased.clamp_min(LEAST_MEAN), torch.ones_like(unbiased))
