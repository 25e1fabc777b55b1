"""A map of the pictures of a features file, as an SVG or PNG file."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from assay.errors import AssayError, ConfigError
from assay.explain.feature_files import FeatureSet
from assay.explain.projection import MOST, project
from assay.files import write_file
from assay.image import read_image
from assay.report.map_chart import map_png, map_svg
from assay.report.map_layout import MapLayout, lay_out

_SIDE = 108


def write_map(
    found: FeatureSet, out: str | Path, *, most: int = MOST, seed: int = 0, thumbs: int = 24
) -> dict[str, Any]:
    """Write the map; returns its scores (``Projection.scores``).

    Raises
    ------
    ConfigError : ``out`` ends in neither .svg nor .png. AssayError : the disk is full.
    """
    place = Path(out)
    check_map_name(place)
    labels = found.column("label")
    projection = project(found.vectors(), labels if any(labels) else None, most=most, seed=seed)
    rows = [int(row) for row in projection.rows]
    shown = labels if any(labels) else found.column("prediction")
    layout = lay_out(
        projection.xy,
        [shown[row] for row in rows],
        _taken(found.column("prediction"), rows),
        _taken(found.column("path"), rows),
        thumbs=thumbs,
        title=f"Map of {len(rows)} pictures, by what the network sees in them",
    )
    small = small_pictures(layout, [found.place(row) for row in rows])
    data = (
        map_svg(layout, small, alone=True).encode()
        if place.suffix.lower() == ".svg"
        else map_png(layout, small)
    )
    write_file(place, data)
    return projection.scores()


def check_map_name(place: Path) -> None:
    """Raises ConfigError where a map cannot be written under this name."""
    if place.suffix.lower() not in (".svg", ".png"):
        raise ConfigError("a map is an .svg or a .png", got=str(place), fix="end its name in one of these")


def _taken(values: list[Any], rows: list[int]) -> list[Any]:
    return [values[row] for row in rows]


def small_pictures(layout: MapLayout, files: list[Path]) -> dict[int, NDArray[np.uint8]]:
    """Row -> small picture, for the pictures that the layout shows and that can be read."""
    wanted = [thumb.row for thumb in layout.thumbs]
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda row: _small(files[row]), wanted)
        return {row: picture for row, picture in zip(wanted, found, strict=True) if picture is not None}


def _small(path: Path) -> NDArray[np.uint8] | None:
    try:
        picture = Image.fromarray(read_image(path))
    except (AssayError, OSError):
        return None
    picture.thumbnail((_SIDE * 2, _SIDE * 2), Image.Resampling.LANCZOS, reducing_gap=2.0)
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS))
