"""A map of pictures as SVG (inside a page, or a file of its own) and as PNG."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from assay.image import encode_image
from assay.lettering import fit
from assay.report.map_layout import EDGE, LEGEND_COLUMN, LEGEND_LINE, THUMB, MapLayout, short

_INK, _MUTED, _PAPER, _BAD = "#1d2126", "#636a73", "#ffffff", "#d0342c"
_STYLE = f"""\
.map-points circle {{ stroke: {_PAPER}; stroke-width: .8; }}
.map-rings circle {{ fill: none; stroke: {_BAD}; stroke-width: 2; }}
.map-names text {{ font: 600 15px sans-serif; fill: {_INK}; text-anchor: middle; dominant-baseline: central;
  paint-order: stroke; stroke: {_PAPER}; stroke-width: 4px; stroke-linejoin: round; }}
.map-legend text {{ font: 14px sans-serif; fill: {_MUTED}; dominant-baseline: central; }}
.map-key {{ fill: none; stroke: {_BAD}; stroke-width: 2; }}
"""
"""For a file of its own; inside a page the page's style.css has the same names."""
_SCALE = 2

Thumbs = Mapping[int, NDArray[np.uint8]]
"""Row -> (h, w, 3) small picture."""


def map_svg(layout: MapLayout, thumbs: Thumbs, *, alone: bool = False) -> str:
    """The map as an SVG element; with ``alone`` as a file of its own, with its style and a white ground."""
    size = f'viewBox="0 0 {layout.width} {layout.height}"'
    head = f'<svg {size} class="map" role="img" aria-label="{escape(layout.title)}"'
    ground = ""
    if alone:
        head += f' xmlns="http://www.w3.org/2000/svg" width="{layout.width}" height="{layout.height}"'
        ground = f'<style>{_STYLE}</style><rect width="100%" height="100%" fill="{_PAPER}"/>'
    pieces = [
        _group("map-points", [_point(p.x, p.y, layout.radius, p.colour, p.told) for p in layout.points]),
        _group(
            "map-rings",
            [
                f'<circle cx="{p.x:.1f}" cy="{p.y:.1f}" r="{layout.radius + 2.6:.1f}"/>'
                for p in layout.points
                if p.wrong
            ],
        ),
        _group("map-thumbs", _thumbs(layout, thumbs)),
        _group("map-names", [_text(n.x, n.y, n.text, layout.name_size) for n in layout.names]),
        _group("map-legend", _legend(layout)),
    ]
    return f"{head}>{ground}{''.join(pieces)}</svg>"


def _group(name: str, pieces: list[str]) -> str:
    return f'<g class="{name}">{"".join(pieces)}</g>'


def _point(x: float, y: float, radius: float, colour: str, told: str) -> str:
    circle = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{colour}">'
    return f"{circle}<title>{escape(told)}</title></circle>"


def _text(x: float, y: float, text: str, size: int | None = None) -> str:
    style = "" if size is None else f' style="font-size:{size}px"'
    return f'<text x="{x:.1f}" y="{y:.1f}"{style}>{escape(text)}</text>'


def _thumbs(layout: MapLayout, thumbs: Thumbs) -> list[str]:
    found = []
    for t in layout.thumbs:
        if t.row not in thumbs:
            continue
        data = base64.b64encode(encode_image(thumbs[t.row], "WEBP", 80)).decode("ascii")
        x, y = t.x - THUMB / 2, t.y - THUMB / 2
        place = f'x="{x:.1f}" y="{y:.1f}" width="{THUMB}" height="{THUMB}"'
        picture = f'<image {place} preserveAspectRatio="xMidYMid slice" href="data:image/webp;base64,{data}">'
        told = f"<title>{escape(layout.points[t.row].told)}</title></image>"
        frame = f'<rect {place} rx="3" fill="none" stroke="{t.colour}" stroke-width="3"/>'
        found.append(picture + told + frame)
    return found


def _legend(layout: MapLayout) -> list[str]:
    found = []
    for i, (colour, name, n) in enumerate(layout.legend):
        x, y = _legend_place(layout, i)
        found.append(f'<circle cx="{x + 6}" cy="{y}" r="6" fill="{colour}"/>')
        found.append(_text(x + 18, y, f"{short(name, 15)} ({n})"))
    x, y = _last_line(layout)
    if layout.mistakes:
        found.append(f'<circle class="map-key" cx="{x + 6}" cy="{y}" r="6"/>')
    found.append(_text(x + (18 if layout.mistakes else 0), y, _last_words(layout)))
    return found


def _legend_place(layout: MapLayout, i: int) -> tuple[int, int]:
    line, column = divmod(i, layout.columns)
    return EDGE + column * LEGEND_COLUMN, layout.plot_height + 16 + line * LEGEND_LINE


def _last_line(layout: MapLayout) -> tuple[int, int]:
    lines = -(-len(layout.legend) // layout.columns)
    return EDGE, layout.plot_height + 16 + lines * LEGEND_LINE


def _last_words(layout: MapLayout) -> str:
    told = [f"ringed: answered wrongly ({layout.mistakes})"] if layout.mistakes else []
    if layout.beyond:
        told.append(f"and {layout.beyond} classes more, named on the map where there is room")
    return "; ".join(told)


def map_png(layout: MapLayout, thumbs: Thumbs) -> bytes:
    """The map as a PNG, twice as many pixels as the layout has."""
    page = Image.new("RGB", (_SCALE * layout.width, _SCALE * layout.height), _PAPER)
    draw = ImageDraw.Draw(page)
    r = _SCALE * layout.radius
    for p in layout.points:
        x, y = _SCALE * p.x, _SCALE * p.y
        draw.ellipse((x - r, y - r, x + r, y + r), fill=p.colour, outline=_PAPER, width=2)
    for p in layout.points:
        if p.wrong:
            x, y, wide = _SCALE * p.x, _SCALE * p.y, r + 5
            draw.ellipse((x - wide, y - wide, x + wide, y + wide), outline=_BAD, width=4)
    _paste_thumbs(page, draw, layout, thumbs)
    for n in layout.names:
        line, font = fit(n.text, layout.name_size * _SCALE, 500)
        at = (_SCALE * n.x, _SCALE * n.y)
        draw.text(at, line, fill=_INK, font=font, anchor="mm", stroke_width=6, stroke_fill=_PAPER)
    _draw_legend(draw, layout)
    return encode_image(np.asarray(page), "PNG")


def _paste_thumbs(page: Image.Image, draw: ImageDraw.ImageDraw, layout: MapLayout, thumbs: Thumbs) -> None:
    side = _SCALE * THUMB
    for t in layout.thumbs:
        if t.row not in thumbs:
            continue
        left, top = round(_SCALE * t.x - side / 2), round(_SCALE * t.y - side / 2)
        tile = Image.fromarray(_square(thumbs[t.row])).resize((side, side), Image.Resampling.LANCZOS)
        page.paste(tile, (left, top))
        draw.rounded_rectangle((left, top, left + side, top + side), radius=6, outline=t.colour, width=6)


def _square(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    h, w = picture.shape[:2]
    side = min(h, w)
    top, left = (h - side) // 2, (w - side) // 2
    return picture[top : top + side, left : left + side]


def _draw_legend(draw: ImageDraw.ImageDraw, layout: MapLayout) -> None:
    for i, (colour, name, n) in enumerate(layout.legend):
        x, y = (_SCALE * v for v in _legend_place(layout, i))
        draw.ellipse((x, y - 12, x + 24, y + 12), fill=colour)
        line, font = fit(f"{short(name, 15)} ({n})", 14 * _SCALE, _SCALE * (LEGEND_COLUMN - 24))
        draw.text((x + 36, y), line, fill=_MUTED, font=font, anchor="lm")
    x, y = (_SCALE * v for v in _last_line(layout))
    if layout.mistakes:
        draw.ellipse((x, y - 12, x + 24, y + 12), outline=_BAD, width=4)
    line, font = fit(_last_words(layout), 14 * _SCALE, _SCALE * (layout.width - 2 * EDGE))
    draw.text((x + (36 if layout.mistakes else 0), y), line, fill=_MUTED, font=font, anchor="lm")
