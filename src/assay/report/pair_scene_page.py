"""The page about two networks of several heads on the same pictures: head by head, and where they part most."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from assay.errors import AssayError
from assay.image import encode_image, read_image
from assay.metrics.scene_evaluation import SceneEvaluation
from assay.report import pair_scene_words as words
from assay.report.charts import ACCENT, INK, SECOND
from assay.report.figure import drawing, figure_of, to_svg
from assay.report.pair_sides import about, command_line
from assay.report.scene_names import named
from assay.report.scene_shots import drawn_outcomes, outcome_colours
from assay.report.template import fill, markup
from assay.report.thumbnails import QUALITY
from assay.trials.pair import Pair
from assay.trials.scene_pair import Parting, SceneComparison

GALLERY = 8
"""Pictures on which one of the two does better."""
SIDE = 360


def render_scene_pair(pair: Pair, c: SceneComparison) -> str:
    """The page as text."""
    won_a, won_b = (
        [one for one in c.partings if (one.difference < 0) == of_a and one.difference]
        for of_a in (True, False)
    )
    return fill(
        "pair_scene.html",
        c=c,
        headline=words.headline(c),
        second_line=words.second_line(c),
        points=words.points(c),
        sides=[{"name": side.name, "about": about(side)} for side in (pair.a, pair.b)],
        commands=[text for side in (pair.a, pair.b) if (text := command_line(side))],
        chart=markup(differences_chart(c)),
        heads=[
            {"cells": words.cells(c, head), "told": named(one.metric).explained, "better": c.better_in(head)}
            for head, one in c.heads.items()
        ],
        galleries=[
            {"name": name, "other": other, "anchor": anchor, "n": len(won), "shots": _shots(pair, c, won)}
            for name, other, anchor, won in ((c.a, c.b, "first", won_a), (c.b, c.a, "second", won_b))
            if won
        ],
        colours=outcome_colours() if "boxes" in c.heads else None,
        settings=pair.settings,
    )


def differences_chart(c: SceneComparison) -> str:
    """The difference of every head in points with its interval, and which side of zero is whose."""
    rows = [(named(one.metric).title, one.difference) for one in c.heads.values()]
    ends = np.abs([[d.low, d.high, d.value] for _, d in rows])
    reach = 110 * max(0.01, float(np.nanmax(ends, initial=0.0)))
    with drawing():
        figure, axes = figure_of((5.2, 0.9 + 0.36 * len(rows)))
        axes.axvspan(-reach, 0, color=SECOND, alpha=0.1, linewidth=0)
        axes.axvspan(0, reach, color=ACCENT, alpha=0.1, linewidth=0)
        axes.axvline(0, color=INK, linewidth=1)
        for y, (_, d) in enumerate(rows):
            axes.plot([100 * d.low, 100 * d.high], [y, y], color=INK, linewidth=2.2)
            axes.plot([100 * d.value], [y], marker="o", markersize=7, color=ACCENT if d.value > 0 else SECOND)
        axes.set_yticks(range(len(rows)), [title for title, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(-reach, reach)
        axes.set_xlabel("difference, points: left of zero the second is better, right of it the first")
        axes.tick_params(length=0)
        axes.grid(visible=False, axis="y")
        return to_svg(figure, "differences", "Differences of the scores with their intervals")


def _shots(pair: Pair, c: SceneComparison, partings: list[Parting]) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(4) as threads:
        return list(threads.map(lambda one: _shot(pair, c, one), partings[:GALLERY]))


def _shot(pair: Pair, c: SceneComparison, parting: Parting) -> dict[str, Any]:
    a, b = pair.a.evaluation, pair.b.evaluation
    assert isinstance(a, SceneEvaluation)
    assert isinstance(b, SceneEvaluation)
    image = _read(Path(a.root) / parting.a.path, a, parting.a.row)
    sides = []
    for name, e, one in ((c.a, a, parting.a), (c.b, b, parting.b)):
        drawn = None
        if image is not None:
            looked = "boxes" in c.heads and e.material.truth[one.row] is not None
            drawn = _encoded(drawn_outcomes(e, one.row, image) if looked else Image.fromarray(image))
        sides.append({"who": name, "picture": drawn, "told": words.outcome(one)})
    return {"path": parting.a.path, "sides": sides}


def _read(path: Path, e: SceneEvaluation, row: int) -> Any:
    """(H, W, 3) uint8, if the picture is still there and still the one that was measured."""
    try:
        image = read_image(path)
    except (AssayError, OSError):
        return None
    return image if image.shape[:2] == tuple(e.material.sizes_hw[row].tolist()) else None


def _encoded(picture: Image.Image) -> str:
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    data = encode_image(np.asarray(picture), "WEBP", QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(data).decode('ascii')}"
