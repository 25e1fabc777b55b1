"""Where in a photo an answer rests on: parts are covered one after another, and what the answer loses is drawn.

Occlusion (Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, 2014, section 4.2), through the same
decoders and answerers that decide, so it shows the very network that answered. It is worked out when a person asks for
it, and says where the network looked, not whether it was right.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.bundle import load_bundle
from assay.decide.evidence import Evidence
from assay.errors import AssayError
from assay.postprocess_boxes import Frame

if TYPE_CHECKING:
    from pathlib import Path

    from assay.configs import PreprocessConfig
    from assay.service.live import Live
    from assay.service.workers.pool import Decoders

GRID = 7
"""Rows and columns of the map."""
_COVER = 2
"""Cells that are covered at once, along each side, so that what lies on an edge is covered whole by some."""
_AT_ONCE = 16


async def heat(live: Live, decoders: Decoders, data: bytes, question: str) -> dict[str, Any]:
    """``grid``: GRID rows of what the best answer loses, 0 to 1 of its probability; ``frame_xyxy``: where it lies in
    the upright photo, in px.

    Raises
    ------
    AssayError : there is no such question, the photo cannot be read, or the network tells no class.
    """
    asked = next((one for one in live.policy if one.name == question), None)
    if asked is None or asked.head != "class":
        raise AssayError(
            f"no map can be made for {question!r}", fix="name a question that a classifier answers"
        )
    plan = live.facts.plan
    whole = await decoders.decode(data, plan)
    if whole.error is not None:
        raise AssayError("the photo cannot be read", got=whole.error)
    config = _preprocess(live.policy.model_path(asked), live.facts.models[question])
    place = plan.preprocess.index(config)
    pixels = whole.pixels[place]
    covered = [
        replace(
            whole, pixels=(*whole.pixels[:place], _covered(pixels, row, column), *whole.pixels[place + 1 :])
        )
        for row in range(1 - _COVER, GRID)
        for column in range(1 - _COVER, GRID)
    ]
    found: list[Any] = []
    for start in range(0, len(covered) + 1, _AT_ONCE):
        part = [whole, *covered][start : start + _AT_ONCE]
        found += await live.answerers.answer(part, ["heat"] * len(part), ["0" * 64] * len(part))
    if not all(isinstance(one, Evidence) and one.error is None for one in found):
        raise AssayError("the map could not be worked out", fix="try again")
    answer, before = found[0].best(question)
    losses = [max(0.0, before - one.answers[question].get(answer, 0.0)) for one in found[1:]]
    grid = _spread(np.array(losses).reshape(GRID + _COVER - 1, -1)) / max(before, 1e-6)
    return {
        "question": question, "answer": answer, "probability": before,
        "grid": np.round(np.clip(grid, 0, 1), 3).tolist(), "frame_xyxy": _frame(config, whole.size_hw),
    }  # fmt: skip


def _covered(pixels: Any, row: int, column: int) -> Any:
    """The pixels (S, S, C) with a grey square whose upper left cell is (row, column)."""
    side = pixels.shape[0]
    edges = np.linspace(0, side, GRID + 1).round().astype(int)
    out = pixels.copy()
    top, bottom = edges[max(0, row)], edges[min(GRID, row + _COVER)]
    left, right = edges[max(0, column)], edges[min(GRID, column + _COVER)]
    out[top:bottom, left:right] = np.mean(pixels, axis=(0, 1)).astype(np.uint8)
    return out


def _spread(losses: Any) -> Any:
    """(GRID + 1, GRID + 1) losses of squares -> (GRID, GRID) mean loss of the squares that cover a cell."""
    total = np.zeros((GRID, GRID))
    for down in range(_COVER):
        for right in range(_COVER):
            total += losses[down : down + GRID, right : right + GRID]
    return total / _COVER**2


def _frame(config: PreprocessConfig, size_hw: tuple[int, int]) -> list[float]:
    side = float(config.size)
    box = Frame.of(config, size_hw).to_picture(np.array([[0.0, 0.0, side, side]]))[0]
    return [round(float(value), 1) for value in box]


@lru_cache(maxsize=32)
def _preprocess(path: Path, digest: str) -> PreprocessConfig:
    """How a network's photos are prepared; ``digest`` is that of the Bundle, so a changed file is read anew."""
    del digest
    return load_bundle(path).card.preprocess
