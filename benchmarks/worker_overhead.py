"""What the service's own process pays for a photo that others decode and answer: its processor time, apart from theirs.

A JPEG of 800 x 600 goes to a decoder and 224 x 224 pixels come back; then 32 of those go to an answerer and evidence
comes back. The parent's processor time is what counts; wall time is beside it, and the decoding alone
in one process.

    python -m benchmarks.worker_overhead --policy shop.yaml
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from assay.configs import PreprocessConfig
from assay.runtime.screen_parts import DecodePlan, decode
from assay.service.workers.pool import Answerers, Decoders
from benchmarks.machine import RESULTS, append_line, stamp

PLAN = DecodePlan((PreprocessConfig(size=224, decode="scaled"),))
BATCH = 32


def photograph(width: int = 800, height: int = 600) -> bytes:
    """A JPEG of about 100 KB."""
    rng = np.random.default_rng(0)
    rough = Image.fromarray(rng.integers(0, 256, (75, 100, 3), dtype=np.uint8))
    with BytesIO() as target:
        rough.resize((width, height), Image.Resampling.BICUBIC).save(target, "JPEG", quality=80)
        return target.getvalue()


async def timed(work: Callable[[], Awaitable[Any]], times: int) -> tuple[float, float]:
    """(processor, wall) milliseconds of this process, for each time."""
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(times):
        await work()
    return (time.process_time() - cpu) / times * 1e3, (time.perf_counter() - wall) / times * 1e3


async def measure_decoders(photo: bytes, photos: int) -> dict[str, float]:
    """One photo after the other on one process; then as many at once as there are processes."""
    decoders = Decoders(2)
    await decoders.start()
    try:
        await timed(lambda: decoders.decode(photo, PLAN), 20)
        cpu, wall = await timed(lambda: decoders.decode(photo, PLAN), photos)
        both_cpu, both_wall = await timed(
            lambda: asyncio.gather(*(decoders.decode(photo, PLAN) for _ in range(8))), photos // 8
        )
    finally:
        await decoders.stop()
    return {
        "parent_ms": round(cpu, 3),
        "wall_ms": round(wall, 3),
        "parent_ms_two_at_once": round(both_cpu / 8, 3),
        "photos_per_s_two_at_once": round(8e3 / both_wall, 1),
    }


async def measure_answerers(policy: Path, photo: bytes, batches: int) -> dict[str, float]:
    """Batches of ``BATCH``, two on their way at a time."""
    answerers = Answerers(policy, 1)
    await answerers.start()
    try:
        decoded = [decode(photo, answerers.facts.plan)] * BATCH
        names, digests = [f"{i}.jpg" for i in range(BATCH)], ["0" * 64] * BATCH

        async def two() -> None:
            await asyncio.gather(*(answerers.answer(decoded, names, digests) for _ in range(2)))

        await timed(two, 2)
        cpu, wall = await timed(two, batches // 2)
    finally:
        await answerers.stop()
    return {"parent_ms": round(cpu / 2 / BATCH, 3), "wall_ms": round(wall / 2 / BATCH, 3)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.worker_overhead", description=__doc__.splitlines()[0])
    parser.add_argument("--policy", type=Path, help="a policy's file, for the answerers")
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--results", type=Path, default=RESULTS / "worker_overhead.jsonl")
    given = parser.parse_args()
    photo, line = photograph(), stamp()
    begun = time.perf_counter()
    for _ in range(50):
        decode(photo, PLAN)
    line["benchmark"], line["bytes"] = "worker_overhead", len(photo)
    line["decode_alone_ms"] = round((time.perf_counter() - begun) / 50 * 1e3, 3)
    line["decoder"] = asyncio.run(measure_decoders(photo, given.photos))
    if given.policy is not None:
        line["answerer"] = asyncio.run(measure_answerers(given.policy, photo, given.photos // BATCH))
    append_line(given.results, line)
    print({name: line[name] for name in ("bytes", "decode_alone_ms", "decoder", "answerer") if name in line})
    return 0


if __name__ == "__main__":
    sys.exit(main())
