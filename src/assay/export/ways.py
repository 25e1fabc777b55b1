"""Faster ways in which a Bundle may answer, each taken only when it passed its gate: decoding, 8 bits, bf16."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.bundle import INT8
from assay.data.own_pictures import own_pictures
from assay.errors import AssayError, ConfigError, ExportError
from assay.export.gate import Gate, Judge, judge_of, require_gate
from assay.export.parity_pictures import part_paths
from assay.export.verify import read_pixels
from assay.preprocess import Preprocess
from assay.runtime.golden import golden_distance
from assay.tables import ENGINES

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from assay.card import Card
    from assay.runtime.engines.engine import Engine

DECODINGS = ("auto", "exact", "scaled")
FURTHER = ("bf16", "int8")
"""Precisions that a Bundle may answer in besides fp32."""

AUTO_LOSS = 0.5
"""Points that a score may fall for decoding that nobody asked for."""
AUTO_DOUBT = 2.0
"""Points that it must be shown not to fall by: the low end of the 95 % interval of the difference stays above.

Where none of 20 pictures is lost, sixteen points may be. Twice the point that those who ask accept by default is what
some hundreds of pictures can rule out: 189 where both ways answer all alike, more where they do not.
"""
CALIBRATION = 300
"""Pictures of the training part that set the ranges of 8-bit integers."""
_LEAST_CALIBRATION = 16
_BATCH = 8
_KEPT = (0.0, 0.1, 0.25, 0.5)
"""Shares of the layers that stay in float, tried one after the other until the gate is passed."""
_GOLDEN_ROOM, _GOLDEN_FLOOR = 2.0, 0.02
"""Other processors and engines round in other places: so much further than here the golden answers may be off."""

Progress = Callable[[str, int, int], None]
"""Called with (what is done, pictures done, pictures in all)."""


@dataclass(frozen=True)
class Ways:
    """The card as it goes into the Bundle, the members that belong to it, and the gates that were passed or not."""

    card: Card
    members: dict[str, bytes] = field(default_factory=dict)
    gates: tuple[Gate, ...] = ()


@dataclass(frozen=True)
class WaysAsked:
    """What was asked for: see ``export.export.export``.

    Raises
    ------
    ConfigError : a decoding or precision that there is not, points below 0.
    """

    decode: str
    precisions: tuple[str, ...]
    most_loss: float
    tell: Progress

    def __post_init__(self) -> None:
        if self.decode not in DECODINGS:
            raise ConfigError(f"decode is {self.decode!r}", fix=f"choose {', '.join(DECODINGS)}")
        if unknown := [name for name in self.precisions if name not in (*FURTHER, "fp32")]:
            raise ConfigError(
                f"unknown precision {unknown[0]!r}",
                fix=f"choose from {', '.join(FURTHER)}; fp32 is always there",
            )
        if not self.most_loss >= 0:
            raise ConfigError(f"most_loss is {self.most_loss}", fix="give points from 0 up, e.g. 1")


def faster_ways(
    asked: WaysAsked,
    card: Card,
    graph: bytes,
    golden: bytes,
    engine: Engine,
    folder: Path,
    record: Mapping[str, Any],
) -> Ways:
    """What passed its gate; nothing is measured where nothing was asked for.

    Parameters
    ----------
    card : as it would go into the Bundle without faster ways. graph, golden : the Bundle's members. engine : of the
        graph, in fp32. folder, record : of the run.

    Raises
    ------
    ConfigError : exact decoding of a run that learned from scaled pictures; no engine for bf16.
    ExportError : there is nothing to measure on, or what was asked for costs too much.
    """
    wanted = [name for name in FURTHER if name in asked.precisions]
    own = card.preprocess.decode
    if asked.decode == "exact" and own == "scaled":
        raise ConfigError(
            "this run learned from JPEG files that were decoded smaller",
            got="decode=exact",
            fix="leave it out, or train with --decode exact",
        )
    measures_decoding = asked.decode != "exact" and own == "exact"
    if not wanted and not measures_decoding:
        return Ways(card)
    try:
        judge = judge_of(
            own_pictures(folder, record),
            card,
            engine,
            on_progress=lambda done, total: asked.tell("exact", done, total),
        )
    except AssayError:
        if wanted or asked.decode == "scaled":
            raise
        return Ways(card)  # nothing to measure on: the exact way
    ways = Ways(card)
    if measures_decoding:
        ways = _choose_decoding(judge, card, engine, asked.decode, asked.most_loss, asked.tell)
    if "bf16" in wanted:
        ways = _joined(ways, _add_bf16(judge, ways.card, graph, golden, asked.most_loss, asked.tell))
    if "int8" in wanted:
        paths = part_paths(folder, record, "train", CALIBRATION)
        ways = _joined(ways, _add_int8(judge, ways.card, graph, golden, paths, asked.most_loss, asked.tell))
    return ways


def _joined(ways: Ways, further: Ways) -> Ways:
    return Ways(further.card, {**ways.members, **further.members}, (*ways.gates, *further.gates))


def _choose_decoding(
    judge: Judge, card: Card, engine: Engine, decode: str, most_loss: float, tell: Progress
) -> Ways:
    """Whether JPEG files are decoded smaller, where the run decoded them whole.

    ``auto`` takes it where the pictures show that it costs next to nothing.

    Raises
    ------
    ExportError : it was asked for and costs too much.
    """
    scaled = replace(card, preprocess=replace(card.preprocess, decode="scaled"))
    gate = judge.measure(
        "decoding JPEG files smaller",
        scaled,
        engine,
        most_loss=most_loss if decode == "scaled" else min(AUTO_LOSS, most_loss),
        most_doubt=None if decode == "scaled" else AUTO_DOUBT,
        on_progress=_named(tell, "decode"),
    )
    if decode == "scaled":
        require_gate(gate)
    chosen = scaled if gate.passed else card
    return Ways(replace(chosen, parity={**card.parity, "decode": gate.to_dict()}), {}, (gate,))


def _add_int8(
    judge: Judge,
    card: Card,
    graph: bytes,
    golden: bytes,
    paths: Iterable[str | Path],
    most_loss: float,
    tell: Progress,
) -> Ways:
    """The network in 8-bit integers, with as few layers left in float as the gate asks for.

    Parameters
    ----------
    paths : training pictures to calibrate on.

    Raises
    ------
    ExportError : too few pictures can be read, the network cannot be quantised, or it loses too much with half of its
        layers left in float.
    """
    from assay.export.quantize import layers_by_damage, quantize  # noqa: PLC0415 - the tool's packages

    pixels = read_pixels(paths, card, CALIBRATION)
    if len(pixels) < _LEAST_CALIBRATION:
        raise ExportError(
            "8-bit integers are calibrated on training pictures, and too few of them can be read",
            got=f"{len(pixels)}; at least {_LEAST_CALIBRATION} are needed",
            fix="put the run's pictures back where they were, or export without int8",
        )
    batches = _batches(Preprocess(card.preprocess), pixels)
    build, found = ENGINES.load("onnxruntime"), quantize(graph, batches)
    order: list[str] = []
    for share in _KEPT:
        if share:
            order = order or layers_by_damage(graph, found, next(batches()))
            found = quantize(graph, batches, exclude=order[: _kept(share, order)])
        kept = _kept(share, order)
        engine = build(found, precision="int8")
        gate = judge.measure(
            "8-bit integers",
            card,
            engine,
            most_loss=most_loss,
            on_progress=_named(tell, f"int8, {kept} layers in float" if kept else "int8"),
            facts={
                "engine": engine.name,
                "calibration_pictures": len(pixels),
                "layers_in_float": order[:kept],
                "golden_limit": _golden_limit(golden, engine, card),
            },
        )
        if gate.passed:
            break
    require_gate(gate)
    return Ways(replace(card, parity={**card.parity, "int8": gate.to_dict()}), {INT8: found}, (gate,))


def _add_bf16(
    judge: Judge, card: Card, graph: bytes, golden: bytes, most_loss: float, tell: Progress
) -> Ways:
    """Whether the float graph may be computed in bf16.

    Raises
    ------
    ConfigError : no engine here computes in bf16. ExportError : it costs too much.
    """
    engine = ENGINES.load("openvino")(graph, precision="bf16")
    gate = judge.measure(
        "bf16",
        card,
        engine,
        most_loss=most_loss,
        on_progress=_named(tell, "bf16"),
        facts={"engine": engine.name, "golden_limit": _golden_limit(golden, engine, card)},
    )
    require_gate(gate)
    return Ways(replace(card, parity={**card.parity, "bf16": gate.to_dict()}), {}, (gate,))


def _kept(share: float, order: list[str]) -> int:
    """How many layers stay in float: at least one where any shall."""
    return -(-round(100 * share * len(order)) // 100) if share else 0


def _golden_limit(golden: bytes, engine: Engine, card: Card) -> float:
    return max(_GOLDEN_FLOOR, round(_GOLDEN_ROOM * golden_distance(golden, engine, card)[1], 4))


def _batches(
    preprocess: Preprocess, pixels: NDArray[np.uint8]
) -> Callable[[], Iterator[NDArray[np.float32]]]:
    def batches() -> Iterator[NDArray[np.float32]]:
        for at in range(0, len(pixels), _BATCH):
            yield preprocess.normalise(pixels[at : at + _BATCH])

    return batches


def _named(tell: Progress, what: str) -> Callable[[int, int], Any]:
    return lambda done, total: tell(what, done, total)
