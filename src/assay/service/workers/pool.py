"""The pools of the screening service: processes that decode photos, and processes that answer what was decoded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from assay.decide.evidence import Evidence
from assay.image import ImageLimits
from assay.runtime.screen_parts import SERVICE_LIMITS, Decoded, DecodePlan
from assay.service.workers.facts import Facts, Failed


class Decoders:
    """Processes that know nothing but how to decode a photo, each killed when it takes too long.

    Parameters
    ----------
    number : of processes.
    limits : greatest pixels and bytes of a photo.
    time_limit_s : seconds that a photo may take.
    """

    def __init__(self, number: int, limits: ImageLimits = SERVICE_LIMITS, time_limit_s: float = 3.0) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        """Returns when all are ready. Raises AssayError where one cannot start."""
        raise NotImplementedError

    async def stop(self) -> None:
        """End all processes; whoever still waits gets AssayError. May be called twice."""
        raise NotImplementedError

    async def decode(self, data: bytes, plan: DecodePlan) -> Decoded:
        """One photo; waits for a free process. Broken content is told in ``Decoded.error``."""
        raise NotImplementedError

    @property
    def alive(self) -> int:
        """Processes that are ready and heard of lately."""
        raise NotImplementedError


class Answerers:
    """Processes that hold a policy's networks.

    Parameters
    ----------
    policy_path : the policy's file.
    number : of processes.
    engine, precision : as ``load_screener``.
    threads : that compute at once in each process.
    time_limit_s : seconds that a batch may take.
    """

    def __init__(
        self,
        policy_path: str | Path,
        number: int,
        engine: str = "onnxruntime",
        precision: str = "fp32",
        threads: int = 1,
        time_limit_s: float = 10.0,
    ) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        """Returns when all are ready. Raises AssayError, in the child's words, where the policy or a Bundle is bad."""
        raise NotImplementedError

    async def stop(self) -> None:
        """End all processes; whoever still waits gets AssayError. May be called twice."""
        raise NotImplementedError

    async def answer(
        self, decoded: Sequence[Decoded], names: Sequence[str], digests: Sequence[str]
    ) -> list[Evidence | Failed]:
        """One batch, as ``answer_decoded``, in order. A failing batch is halved until those that fail are alone."""
        raise NotImplementedError

    @property
    def facts(self) -> Facts:
        """What they answer with; there from ``start`` on."""
        raise NotImplementedError

    @property
    def alive(self) -> int:
        """Processes that are ready and heard of lately."""
        raise NotImplementedError
