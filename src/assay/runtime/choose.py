"""Which engine, and in which precision? Measured here, on this machine, with this network, and remembered.

No engine is the fastest everywhere: dense networks like 8-bit integers, depthwise ones bf16, very small ones the engine
with the least overhead. So those that are installed answer a few batches in turns, as many at once as there are cores
to work with, and the fastest that gives the golden answers is taken. The choice is kept in the cache folder under the
Bundle's digest, the processor and the versions of the engines, so that it is made once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.bundle import GOLDEN
from assay.errors import AssayError, BundleError
from assay.files import write_file
from assay.folders import cache_folder
from assay.pipeline import default_lanes
from assay.runtime.engines.engine import Engine
from assay.runtime.engines.processor import identity
from assay.runtime.golden import check_golden
from assay.runtime.precisions import ANY, graph_of, precisions_of
from assay.tables import ENGINES

if TYPE_CHECKING:
    from assay.bundle import Bundle

AUTO = "auto"
FIRST = ("onnxruntime", "fp32")
"""What is used where nothing was measured, and kept unless something else is clearly faster."""
CLEARLY = 1.05

_ROUNDS, _ROUND_S = 3, 0.25


@dataclass(frozen=True)
class Rate:
    """How fast one engine answers in one precision; ``fault`` says why it cannot, and the rate is then 0."""

    engine: str
    precision: str
    pictures_per_s: float
    fault: str | None = None


@dataclass(frozen=True)
class Choice:
    """The engine and precision that are taken, and what each of the candidates did."""

    engine: str
    precision: str
    rates: tuple[Rate, ...]


def known_choice(bundle: Bundle, engine: str, precision: str, *, lanes: int, batch: int = 8) -> Choice | None:
    """What was measured before; None where nothing was, or another version or processor did it."""
    try:
        told = json.loads(_place(bundle, engine, precision, lanes, batch).read_bytes())
        return Choice(told["engine"], told["precision"], tuple(Rate(**rate) for rate in told["rates"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def choose(
    bundle: Bundle, engine: str = AUTO, precision: str = "fp32", *, lanes: int | None = None, batch: int = 8
) -> Choice:
    """The fastest of what is installed, within a few seconds; remembered.

    Parameters
    ----------
    engine : "auto", or the one to choose a precision for.
    precision : one of ``precisions.PRECISIONS``, or "any" for all that the Bundle passed.
    lanes : threads that answer at once; as many as walk over pictures when not given.
    batch : pictures in one call.

    Raises
    ------
    ConfigError, BundleError : nothing works; the reason is that of ``FIRST``, or of the one that was named.
    """
    lanes = lanes or default_lanes()
    found = known_choice(bundle, engine, precision, lanes=lanes, batch=batch)
    if found is not None:
        return found
    rates = measure(bundle, candidates(bundle, engine, precision), lanes=lanes, batch=batch)
    best = _best(rates)
    choice = Choice(best.engine, best.precision, tuple(rates))
    with contextlib.suppress(AssayError):  # a full disk costs a second measurement, no more
        place = _place(bundle, engine, precision, lanes, batch)
        write_file(place, json.dumps(asdict(choice), indent=2).encode())
    return choice


def chosen(
    bundle: Bundle, engine: str, precision: str, *, lanes: int | None = None, measure: bool = True
) -> tuple[str, str]:
    """(engine, precision): as ``choose``; without ``measure``, for a few pictures, what starts soonest."""
    if measure:
        found = choose(bundle, engine, precision, lanes=lanes)
        return found.engine, found.precision
    usual = FIRST[1] if precision == ANY else precision
    if engine != AUTO:
        return engine, usual
    return ("openvino" if usual == "bf16" else FIRST[0]), usual


def candidates(bundle: Bundle, engine: str, precision: str) -> list[tuple[str, str]]:
    """(engine, precision) in the order of the tables, of what can be used here."""
    engines = [engine]
    if engine == AUTO:
        engines = [name for name in ENGINES if ENGINES.load(name).missing() is None]
    wanted = precisions_of(bundle) if precision == ANY else (precision,)
    pairs = [(name, one) for name in engines for one in wanted]
    possible = [(name, one) for name, one in pairs if one in ENGINES.load(name).precisions]
    return possible or pairs  # what is asked for and cannot be is told by the engine


def measure(
    bundle: Bundle, wanted: Sequence[tuple[str, str]], *, lanes: int, batch: int, round_s: float = _ROUND_S
) -> list[Rate]:
    """Pictures a second of each candidate, in turns, ``lanes`` at once; one that cannot be used has a fault."""
    card = bundle.card
    side = card.preprocess.size
    x = np.random.default_rng(0).normal(size=(batch, card.channels, side, side)).astype(np.float32)
    opened: dict[tuple[str, str], Engine] = {}
    faults: dict[tuple[str, str], str] = {}
    for name, precision in wanted:
        try:
            engine = ENGINES.load(name)(
                graph_of(bundle, precision), threads=1, precision=precision, callers=lanes
            )
            check_golden(bundle.member(GOLDEN), engine, card)
            engine.scene(x)  # a batch that does not fit is told here
            opened[name, precision] = engine
        except AssayError as error:
            faults[name, precision] = error.what + (f": {error.got}" if error.got else "")
    rates: dict[tuple[str, str], list[float]] = {pair: [] for pair in opened}
    with ThreadPoolExecutor(lanes, thread_name_prefix="assay-measure") as pool:
        for engine in opened.values():
            list(pool.map(engine.scene, [x] * lanes))  # the first calls set things up
        for _ in range(_ROUNDS):
            for pair, engine in opened.items():
                rates[pair].append(engine_rate(engine, x, pool, lanes, round_s))
    return [
        Rate(*pair, round(float(np.median(rates[pair])), 2))
        if pair in rates
        else Rate(*pair, 0.0, faults[pair])
        for pair in wanted
    ]


def engine_rate(engine: Engine, x: Any, pool: ThreadPoolExecutor, lanes: int, round_s: float) -> float:
    """Pictures a second of all lanes together, over at least ``round_s``."""

    def work(until: float) -> int:
        done = 0
        while True:
            engine.scene(x)
            done += len(x)
            if time.perf_counter() >= until:
                return done

    begun = time.perf_counter()
    done = sum(pool.map(work, [begun + round_s] * lanes))
    return done / (time.perf_counter() - begun)


def _best(rates: Iterable[Rate]) -> Rate:
    working = [rate for rate in rates if rate.fault is None]
    if not working:
        first = next(iter(rates))
        raise BundleError("no engine can answer this Bundle here", got=first.fault)
    best = max(working, key=lambda rate: rate.pictures_per_s)
    usual = next((rate for rate in working if (rate.engine, rate.precision) == FIRST), None)
    if usual is not None and best.pictures_per_s < CLEARLY * usual.pictures_per_s:
        return usual
    return best


def _place(bundle: Bundle, engine: str, precision: str, lanes: int, batch: int) -> Path:
    facts = [bundle.digest, engine, precision, lanes, batch, identity(), *_versions()]
    name = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
    return cache_folder() / "engines" / f"{name}.json"


def _versions() -> list[str]:
    found = []
    for name in (*ENGINES, "onnxruntime-gpu"):
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return found
