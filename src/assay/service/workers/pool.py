"""The pools of the screening service: processes that decode photos, and processes that answer what was decoded."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from assay.decide.evidence import Evidence
from assay.errors import AssayError
from assay.image import ImageLimits
from assay.runtime.screen_parts import NAMELESS, SERVICE_LIMITS, Decoded, DecodePlan, named
from assay.service.workers.answers import decoded_of, evidence_of, facts_of
from assay.service.workers.child import STOPPED, TIME, Child, LostError
from assay.service.workers.crew import Crew
from assay.service.workers.facts import Facts, Failed
from assay.service.workers.frames import Blob
from assay.service.workers.sandbox import DECODER_BYTES

TRIES = 2
"""Times that a photo is decoded before it is called the culprit of its decoder's end."""
TRIES_ALONE = 3
"""Times that a photo is answered alone, where the process ends each time and nobody can say why."""
MOST_PHOTOS = 256
"""In one batch."""

_LOG = logging.getLogger(__name__)
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_MEMORY = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "8388608", "MALLOC_TRIM_THRESHOLD_": "33554432"}
_MOST_PIXELS = 256 * 1024 * 1024
_PASSED_ON = (
    "ASSAY_CACHE", "CUDA_VISIBLE_DEVICES", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ",
    "XDG_CACHE_HOME",
)  # fmt: skip
"""What an answerer sees of the environment; keys and addresses of databases are not its business."""


class Decoders:
    """Processes that know nothing but how to decode a photo, each killed when it takes too long.

    Parameters
    ----------
    number : of processes.
    limits : greatest pixels and bytes of a photo.
    time_limit_s : seconds that a photo may take.

    ``confined`` says, from ``start`` on, which measures of ``sandbox.Confined`` hold on this system.
    """

    program = ("-m", "assay.service.workers.decoder")

    def __init__(self, number: int, limits: ImageLimits = SERVICE_LIMITS, time_limit_s: float = 3.0) -> None:
        self.limits, self.time_limit_s = limits, time_limit_s
        self.crew = Crew("decoder", number, 1, self._start_child)
        self.confined: dict[str, bool] = {}

    async def start(self) -> None:
        """Returns when all are ready. Raises AssayError where one cannot start."""
        await self.crew.start()

    async def stop(self) -> None:
        """End all processes; whoever still waits gets LostError. May be called twice."""
        await self.crew.stop()

    @property
    def alive(self) -> int:
        """Processes that are ready and heard of lately."""
        return self.crew.alive

    async def decode(self, data: bytes, plan: DecodePlan) -> Decoded:
        """One photo; waits for a free process. Broken content is told in ``Decoded.error``.

        A photo whose process crashed, hung or was killed is tried once more on another one; one that took too long
        is not.

        Raises
        ------
        LostError : the pool was stopped.
        """
        if len(data) > self.limits.max_bytes:
            got = f"{len(data):,} bytes; the limit is {self.limits.max_bytes:,}"
            return Decoded(error=f"{NAMELESS} is too large a file; got: {got}")
        header = {"plan": _plan_text(plan)}
        lost = LostError(TIME)
        for _ in range(TRIES):
            try:
                found: Decoded = await self.crew.ask(
                    header, [data], self.time_limit_s, lambda frame: decoded_of(frame, plan)
                )
                return found
            except LostError as error:
                if error.way == STOPPED:
                    raise
                lost = error
                if error.way == TIME:
                    break
        return Decoded(error=f"the decoder {lost.what}")

    async def render(self, data: bytes, side: int) -> bytes | None:
        """JPEG of at most ``side`` px for people, without metadata; None where the photo cannot be shown."""
        if len(data) > self.limits.max_bytes:
            return None
        try:
            blobs: list[Blob] = await self.crew.ask(
                {"side": side}, [data], self.time_limit_s, lambda frame: frame.blobs
            )
        except LostError:
            return None
        return bytes(blobs[0]) if blobs else None

    async def _start_child(self) -> Child:
        limits = ("--pixels", str(self.limits.max_pixels), "--bytes", str(self.limits.max_bytes))
        command = (*self.program, *limits, "--memory", str(DECODER_BYTES))
        try:
            child, first = await Child.start(command, {**_ONE_THREAD, **_MEMORY}, _MOST_PIXELS, quiet=True)
        except AssayError as error:
            raise AssayError(f"a decoder cannot start: {error.what}", got=error.got) from error
        self.confined = dict(first.header["ready"])
        if missing := [name for name, holds in self.confined.items() if not holds]:
            _LOG.warning("this system does not confine decoders in: %s", ", ".join(missing))
        return child


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

    program = ("-m", "assay.service.workers.answerer")

    def __init__(
        self,
        policy_path: str | Path,
        number: int,
        engine: str = "onnxruntime",
        precision: str = "fp32",
        threads: int = 1,
        time_limit_s: float = 10.0,
    ) -> None:
        how = ("--engine", engine, "--precision", precision, "--threads", str(threads))
        self._command = (*self.program, str(Path(policy_path).absolute()), *how)
        self.time_limit_s = time_limit_s
        self.crew = Crew("answerer", number, 2, self._start_child)
        self._facts: Facts | None = None

    async def start(self) -> None:
        """Returns when all are ready. Raises AssayError, in the child's words, where the policy or a Bundle is bad."""
        await self.crew.start()

    async def stop(self) -> None:
        """End all processes; whoever still waits gets LostError. May be called twice."""
        await self.crew.stop()

    @property
    def alive(self) -> int:
        """Processes that are ready and heard of lately."""
        return self.crew.alive

    @property
    def facts(self) -> Facts:
        """What they answer with; there from ``start`` on, and the same until ``stop``."""
        if self._facts is None:
            raise AssayError("the answerers have not been started")
        return self._facts

    async def answer(
        self, decoded: Sequence[Decoded], names: Sequence[str], digests: Sequence[str], *, masks: bool = False
    ) -> list[Evidence | Failed]:
        """One batch, as ``answer_decoded``, in order. A failing batch is halved until those that fail are alone.

        Raises
        ------
        AssayError : more than ``MOST_PHOTOS``. LostError : the pool was stopped.
        """
        if len(decoded) > MOST_PHOTOS:
            raise AssayError(f"a batch of {len(decoded)} photos", fix=f"give at most {MOST_PHOTOS}")
        batch = [_Photo(*one, masks) for one in zip(decoded, names, digests, strict=True)]
        found = iter(await self._halves([one for one in batch if one.decoded.error is None]))
        return [
            Evidence(one.name, one.digest, error=named(one.decoded.error, one.name))
            if one.decoded.error is not None
            else next(found)
            for one in batch
        ]

    async def _halves(self, batch: Sequence[_Photo]) -> list[Evidence | Failed]:
        """The whole batch at once, else each half on its own; a photo alone is tried again where its process ended."""
        if not batch:
            return []
        reason, left = "", TRIES_ALONE if len(batch) == 1 else 1
        while left:
            try:
                return await self._at_once(batch)
            except LostError as lost:
                if lost.way == STOPPED:
                    raise
                left -= lost.worked
                reason = f"the answerer {lost.what}"
            except _FailedError as failed:
                reason = failed.what
                break
        if len(batch) == 1:
            return [Failed(reason)]
        middle = len(batch) // 2
        first, second = await asyncio.gather(self._halves(batch[:middle]), self._halves(batch[middle:]))
        return first + second

    async def _at_once(self, batch: Sequence[_Photo]) -> list[Evidence | Failed]:
        header = {
            "names": [one.name for one in batch],
            "digests": [one.digest for one in batch],
            "sizes_hw": [one.decoded.size_hw for one in batch],
            "masks": batch[0].masks,
        }
        blobs: list[Blob] = [
            np.ascontiguousarray(pixels).reshape(-1).data for one in batch for pixels in one.decoded.pixels
        ]
        found = await self.crew.ask(
            header, blobs, self.time_limit_s, lambda frame: evidence_of(frame, len(batch))
        )
        if isinstance(found, str):
            raise _FailedError(found)
        return list(found)

    async def _start_child(self) -> Child:
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        try:
            child, first = await Child.start(self._command, {**environment, **_ONE_THREAD}, 0, quiet=False)
        except AssayError as error:
            raise AssayError(f"an answerer cannot start: {error.what}", got=error.got) from error
        try:
            facts = facts_of(first.header)
            if facts != (self._facts or facts):
                raise AssayError(
                    "the policy, its thresholds or a Bundle has changed since the service was started",
                    fix="put the files back, or start the service again",
                )
        except AssayError:
            await child.end()
            raise
        self._facts = facts
        return child


@dataclass(frozen=True)
class _Photo:
    decoded: Decoded
    name: str
    digest: str
    masks: bool


class _FailedError(AssayError):
    """The process is well, and says that the batch failed."""


@lru_cache(maxsize=16)
def _plan_text(plan: DecodePlan) -> str:
    return json.dumps(plan.to_dict())
