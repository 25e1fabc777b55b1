"""Does any upload crash the decoder's parent, take more than 3 s or 512 MiB, or harm the next photo?

Every file goes through the service's own decoders, and a good photo after each. Files are the collection of broken ones
(``../shared/data/bad-images``), what ``benchmarks.data.hostile_files`` makes, small photos of every format cut off at
every byte, and copies of them with bytes changed at random. One JSON line says what became of them.

    python -m benchmarks.hostile_uploads                    all of it (about 20,000 files)
    python -m benchmarks.hostile_uploads --only made shared
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assay.configs import PreprocessConfig
from assay.runtime.screen_parts import Decoded, DecodePlan, decode
from assay.service.workers.pool import Decoders
from benchmarks.data.hostile_files import Maker, cut_files, made_files, mutated_files, photograph
from benchmarks.machine import RESULTS, SHARED, append_line, stamp

PLAN = DecodePlan(
    (PreprocessConfig(size=224, decode="scaled"), PreprocessConfig(size=320, resize="letterbox")), prints=True
)
"""Two networks, one of which sees every pixel, and the prints: each photo is decoded three times."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM")
KINDS = ("shared", "made", "cut", "mutated")
LIMIT_S, LIMIT_MIB = 3.0, 512.0


@dataclass(frozen=True)
class Fate:
    """What became of one file. ``answer_s`` until its answer; ``good`` whether the next good photo was answered."""

    name: str
    answer_s: float
    error: str | None
    good: bool


class Watched:
    """Decoders, and the greatest memory of any of their processes as the kernel keeps it (VmHWM)."""

    def __init__(self, decoders: Decoders) -> None:
        self.decoders, self.peak_mib, self.pids = decoders, 0.0, set[int]()

    def look(self) -> None:
        """Once, at all processes that are there."""
        for pid in self.decoders.crew.pids:
            self.pids.add(pid)
            self.peak_mib = max(self.peak_mib, peak_mib(pid))

    async def watch(self) -> None:
        """Again and again: what is killed in the middle was looked at shortly before."""
        while True:
            self.look()
            await asyncio.sleep(0.01)


def peak_mib(pid: int) -> float:
    """The most memory that a process has had; 0 when it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def shared_files(folder: Path = SHARED / "bad-images") -> Iterator[tuple[str, Maker]]:
    """The collection of awkward and broken files; none where it is not there."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.name, path.read_bytes


async def fates(files: Iterable[tuple[str, Maker]], watched: Watched) -> AsyncIterator[Fate]:
    """Each file through the decoders, and a good photo after it."""
    photo = photograph("JPEG")
    right = decode(photo, PLAN)
    watching = asyncio.create_task(watched.watch())
    try:
        for name, make in files:
            data = make()
            begun = time.perf_counter()
            found = await watched.decoders.decode(data, PLAN)
            answer_s = time.perf_counter() - begun
            watched.look()
            after = await watched.decoders.decode(photo, PLAN)
            yield Fate(name, answer_s, found.error, is_same(after, right))
    finally:
        watching.cancel()


def is_same(a: Decoded, b: Decoded) -> bool:
    """Whether two answers hold the same pixels."""
    return a.error is None and all(np.array_equal(x, y) for x, y in zip(a.pixels, b.pixels, strict=True))


async def measure(files: Iterable[tuple[str, Maker]], *, aloud: bool) -> dict[str, Any]:
    """All files through one decoder; a summary of what became of them."""
    decoders = Decoders(1)
    await decoders.start()
    watched, found = Watched(decoders), []
    try:
        async for fate in fates(files, watched):
            found.append(fate)
            if aloud and (fate.answer_s > 1 or not fate.good):
                print(f"{fate.answer_s:6.2f} s  {fate.name}: {fate.error or 'read'}", flush=True)
    finally:
        confined = decoders.confined
        await decoders.stop()
    slowest = sorted(found, key=lambda fate: -fate.answer_s)[:5]
    ended = Counter(fate.error for fate in found if (fate.error or "").startswith("the decoder "))
    return {
        "files": len(found),
        "read": sum(fate.error is None for fate in found),
        "refused": sum(fate.error is not None for fate in found),
        "ended_the_decoder": dict(ended),
        "processes": len(watched.pids),
        "slowest_s": {fate.name: round(fate.answer_s, 3) for fate in slowest},
        "peak_mib": round(watched.peak_mib, 1),
        "next_good_photo_lost": sum(not fate.good for fate in found),
        "over_3_s": [fate.name for fate in found if fate.answer_s > LIMIT_S],
        "confined": confined,
    }


def of_kind(kind: str, stride: int, mutations: int) -> Iterator[tuple[str, Maker]]:
    """The files of one of ``KINDS``."""
    if kind == "shared":
        return shared_files()
    if kind == "made":
        return made_files()
    return cut_files(FORMATS, stride) if kind == "cut" else mutated_files(FORMATS, mutations)


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.hostile_uploads", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS, help="kinds of files")
    parser.add_argument("--stride", type=int, default=1, help="bytes between two cuts")
    parser.add_argument("--mutations", type=int, default=500, help="changed copies for each format")
    parser.add_argument("--results", type=Path, default=RESULTS / "hostile_uploads.jsonl")
    given = parser.parse_args()
    broken = 0
    for kind in given.only:
        files = of_kind(kind, given.stride, given.mutations)
        begun = stamp()
        line = {
            "benchmark": "hostile_uploads",
            "kind": kind,
            **asyncio.run(measure(files, aloud=True)),
            **begun,
        }
        append_line(given.results, line)
        print(
            f"{kind}: {line['files']} files, {line['read']} read, peak {line['peak_mib']} MiB, {line['over_3_s']}"
        )
        broken += bool(line["over_3_s"] or line["next_good_photo_lost"] or line["peak_mib"] > LIMIT_MIB)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
