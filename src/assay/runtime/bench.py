"""How fast a Bundle answers on this machine, in every engine and precision, and how near to what is possible.

Three rates, each with all cores at work: *decode* (files to pixels of the network's size), *engine* (the network
alone), and *end to end* (files to Predictions). A picture needs both decoding and computing, on the same cores, so no
walk can be faster than 1 / (1 / decode + 1 / engine): the limit. All ways take turns in short rounds, and medians are
told, so that whatever else the machine does hits all alike.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.bundle import load_bundle
from assay.cores import usable_cores
from assay.errors import AssayError, ImageError
from assay.preprocess import Preprocess
from assay.runtime.choose import AUTO, candidates, engine_rate
from assay.runtime.load import load
from assay.runtime.precisions import ANY

if TYPE_CHECKING:
    from assay.bundle import Bundle
    from assay.photos import Source
    from assay.runtime.predictor import BundlePredictor
    from assay.runtime.scene_predictor import BundleScenePredictor

    Predictor = BundlePredictor | BundleScenePredictor

Progress = Callable[[str, int, int], None]
_ALONE, _ALONE_S = 300, 5.0
"""Single pictures for the latency, and the seconds after which fewer will do."""


@dataclass(frozen=True)
class Way:
    """One engine in one precision. Rates are pictures a second; ``fault`` says why it could not answer.

    ``share`` is the end-to-end rate as a share of the limit. ``p50_ms`` and ``p99_ms`` are from file to Prediction, a
    picture at a time. ``start_s`` and ``memory_mb`` (the most, of the whole process) are those of a new process that
    answers one picture and 64 pictures.
    """

    engine: str
    precision: str
    engine_per_s: float = 0.0
    per_s: float = 0.0
    share: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    start_s: float = 0.0
    memory_mb: float = 0.0
    fault: str | None = None


@dataclass(frozen=True)
class Bench:
    """What was measured of a Bundle on ``pictures`` different pictures; ``decode_per_s`` is that of all ways."""

    bundle: str
    digest: str
    cores: int
    batch: int
    pictures: int
    decode: str
    decode_per_s: float
    ways: tuple[Way, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def bench(
    path: str | Path,
    sources: Sequence[Source],
    *,
    engine: str = AUTO,
    precision: str = ANY,
    rounds: int = 3,
    round_s: float = 2.0,
    batch: int | None = None,
    on_progress: Progress | None = None,
) -> Bench:
    """Measure a Bundle.

    Parameters
    ----------
    path : of the Bundle.
    sources : pictures; they are walked round and round.
    engine, precision : which ways; all by default.
    rounds, round_s : every rate is the median of so many rounds of about so many seconds.

    Raises
    ------
    ConfigError, BundleError : as ``load``. ImageError : none of the pictures can be read.
    """
    bundle, cores = load_bundle(path), usable_cores()
    tell = on_progress or (lambda _what, _done, _total: None)
    ways = candidates(bundle, engine, precision)
    loaded, faults = _load_all(path, ways, tell)
    size = batch or next((p.batch for p in loaded.values()), 16)
    preprocess = Preprocess(bundle.card.preprocess)
    readable = _readable(preprocess, sources)
    rates = _rounds(bundle, loaded, preprocess, readable, cores, size, rounds, round_s, tell)
    decode = float(np.median(rates["decode"]))
    found = []
    for number, way in enumerate(ways, 1):
        if way in faults:
            found.append(Way(*way, fault=faults[way]))
            continue
        alone, whole = (float(np.median(rates[kind, way])) for kind in ("engine", "whole"))
        times = _latencies(loaded[way], readable)
        start_s, memory_mb = _fresh(path, way, readable)
        limit = 1 / (1 / decode + 1 / alone)
        p50, p99 = (round(1000 * float(t), 2) for t in np.quantile(times, [0.5, 0.99]))
        found.append(
            Way(*way, round(alone, 1), round(whole, 1), round(whole / limit, 3), p50, p99, start_s, memory_mb)
        )
        tell("latency, start and memory", number, len(ways))
    return Bench(
        str(path),
        bundle.digest,
        cores,
        size,
        len(readable),
        bundle.card.preprocess.decode,
        round(decode, 1),
        tuple(found),
    )


def _load_all(
    path: str | Path, ways: Sequence[tuple[str, str]], tell: Progress
) -> tuple[dict[tuple[str, str], Predictor], dict[tuple[str, str], str]]:
    loaded: dict[tuple[str, str], Any] = {}
    faults: dict[tuple[str, str], str] = {}
    for number, (engine, precision) in enumerate(ways, 1):
        try:
            loaded[engine, precision] = load(path, engine=engine, precision=precision)
        except AssayError as error:
            faults[engine, precision] = "; ".join(filter(None, (error.what, error.got)))
        tell("loading", number, len(ways))
    return loaded, faults


def _readable(preprocess: Preprocess, sources: Sequence[Source]) -> list[Any]:
    """Those that can be read; reading them once also brings them into the system's file cache."""
    found, fault = [], None
    for source in sources:
        try:
            preprocess.read(source if isinstance(source, str | Path) else source.read())
        except ImageError as error:
            fault = error
        else:
            found.append(source)
    if not found:
        raise fault or ImageError("there are no pictures")
    return found


def _rounds(
    bundle: Bundle,
    loaded: dict[tuple[str, str], Predictor],
    preprocess: Preprocess,
    sources: Sequence[Any],
    cores: int,
    batch: int,
    rounds: int,
    round_s: float,
    tell: Progress,
) -> dict[Any, list[float]]:
    """Rates of every round: ``decode``, ("engine", way), ("whole", way)."""
    side, channels = bundle.card.preprocess.size, preprocess.channels
    x = np.random.default_rng(0).normal(size=(batch, channels, side, side)).astype(np.float32)
    rates: dict[Any, list[float]] = {"decode": []}
    with ThreadPoolExecutor(cores, thread_name_prefix="assay-bench") as pool:
        for turn in range(rounds + 1):
            begun = turn == 0  # the first turn sets things up and is not counted
            seconds = 0.2 if begun else round_s
            found = {"decode": _decode_rate(preprocess, sources, pool, cores, seconds)}
            for way, predictor in loaded.items():
                alone = predictor.engine.alone(cores)
                found["engine", way] = engine_rate(alone, x, pool, cores, seconds)  # type: ignore[index]
                found["whole", way] = _whole_rate(predictor, sources, batch, seconds)  # type: ignore[index]
            if not begun:
                for name, rate in found.items():
                    rates.setdefault(name, []).append(rate)
                tell("measuring", turn, rounds)
    return rates


def _decode_rate(
    preprocess: Preprocess, sources: Sequence[Any], pool: ThreadPoolExecutor, cores: int, seconds: float
) -> float:
    def work(offset: int, until: float) -> int:
        done = 0
        for source in cycle([*sources[offset:], *sources[:offset]]):
            preprocess.normalise(
                preprocess.read(source if isinstance(source, str | Path) else source.read())[0]
            )
            done += 1
            if time.perf_counter() >= until:
                return done
        return done

    begun = time.perf_counter()
    offsets = [i * len(sources) // cores for i in range(cores)]
    done = sum(pool.map(work, offsets, [begun + seconds] * cores))
    return done / (time.perf_counter() - begun)


def _whole_rate(predictor: Predictor, sources: Sequence[Any], batch: int, seconds: float) -> float:
    """A walk of about so many seconds, its start and its end in it."""
    stop = False

    def supply() -> Iterator[Any]:
        for source in cycle(sources):
            if stop:
                return
            yield source

    begun, done = time.perf_counter(), 0
    for _ in predictor.predict(supply(), batch=batch):
        done += 1
        stop = time.perf_counter() - begun >= seconds
    return done / (time.perf_counter() - begun)


def _latencies(predictor: Predictor, sources: Sequence[Any]) -> list[float]:
    """Seconds from file to Prediction, a picture at a time."""
    found: list[float] = []
    for number, source in enumerate(islice(cycle(sources), _ALONE + 5)):
        if len(found) >= _ALONE // 5 and sum(found) >= _ALONE_S:
            break
        given = source if isinstance(source, str | Path) else source.read()
        begun = time.perf_counter()
        predictor(given)
        if number >= 5:
            found.append(time.perf_counter() - begun)
    return found


_CHILD = """
import json, sys, time
from pathlib import Path
begun = time.perf_counter()
import assay
bundle, engine, precision, first, *rest = json.loads(sys.argv[1])
predictor = assay.load(bundle, engine=engine, precision=precision)
predictor(first)
took = time.perf_counter() - begun
for _ in predictor.predict([first, *rest]):
    pass
status = Path("/proc/self/status")
lines = status.read_text().splitlines() if status.exists() else []
used = next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)
print(json.dumps([took, used]))
"""


def _fresh(path: str | Path, way: tuple[str, str], sources: Sequence[Any]) -> tuple[float, float]:
    """(seconds until one picture is answered, MB at most) of a new Python; 0 where pictures are no files."""
    files = [str(source) for source in islice(cycle(sources), 64) if isinstance(source, str | Path)]
    if not files:
        return 0.0, 0.0
    told = json.dumps([str(path), *way, *files])
    try:
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, told], capture_output=True, check=False, timeout=300
        )
        took, used = json.loads(done.stdout)
    except (ValueError, subprocess.TimeoutExpired):
        return 0.0, 0.0
    return round(took, 3), round(used, 1)
