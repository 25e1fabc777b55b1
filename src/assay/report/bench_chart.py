"""What ``assay bench`` measured, as one picture: each way's rate beside the limit, and its latency."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assay.errors import ConfigError
from assay.files import write_file
from assay.report.figure import colour_of, drawing, figure_of

if TYPE_CHECKING:
    from assay.runtime.bench import Bench

_ENDINGS = {".png": "png", ".svg": "svg"}
_LIMIT = "#9aa3ab"


def draw_bench(found: Bench, path: str | Path) -> None:
    """Write the chart, whole or not at all. Raises ConfigError for another ending than .png or .svg."""
    kind = _ENDINGS.get(Path(path).suffix.lower())
    if kind is None:
        raise ConfigError(f"{path} is no PNG or SVG", fix="name a file that ends with .png or .svg")
    import io  # noqa: PLC0415

    ways = sorted((way for way in found.ways if way.fault is None), key=lambda way: way.per_s)
    names = [f"{way.engine} {way.precision}" for way in ways]
    rows = range(len(ways))
    with drawing():
        figure, (rates, times) = figure_of((10, 1.4 + 0.5 * len(ways)), 1, 2, width_ratios=(2, 1))
        limits = [1 / (1 / found.decode_per_s + 1 / way.engine_per_s) for way in ways]
        rates.barh(rows, limits, height=0.7, color=_LIMIT, alpha=0.35, label="the limit")
        rates.barh(rows, [way.per_s for way in ways], height=0.4, color=colour_of(0), label="end to end")
        for row, way in zip(rows, ways, strict=True):
            rates.annotate(f" {way.per_s:,.0f}, {way.share:.0%}", (limits[row], row), va="center", fontsize=9)
        rates.set_yticks(rows, names)
        rates.set_xlabel("pictures a second, all cores")
        rates.set_xlim(0, 1.25 * max(limits))
        rates.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
        times.barh(rows, [way.p50_ms for way in ways], height=0.4, color=colour_of(1))
        times.plot([way.p99_ms for way in ways], rows, "|", color=colour_of(3), markersize=14, label="p99")
        times.set_yticks(rows, [""] * len(ways))
        times.set_xlabel("ms, one picture at a time")
        times.set_xlim(0, 1.1 * max(way.p99_ms for way in ways))
        times.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False)
        for panel in (rates, times):  # numbers stand beside the bars; the same rows on both sides
            panel.grid(visible=False)
            panel.set_ylim(-0.6, len(ways) - 0.4)
        held = io.BytesIO()
        figure.savefig(held, format=kind, dpi=150)
    write_file(path, held.getvalue())
