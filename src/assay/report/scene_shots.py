"""Pictures for the page of a network of several heads: what it told, drawn true, false and missed; and its pixels
beside the truth. The worst come first.

Drawing is ``assay.drawing``'s. Its colours follow positions, so three positions are taken whose colours people read as
right, false and missed. A picture that is gone costs its own place alone.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from assay.detections import Detections
from assay.drawing import background_of, class_colour, draw_objects, draw_pixels, pixel_colour
from assay.errors import AssayError
from assay.image import encode_image, read_image
from assay.labels import ClassNames
from assay.metrics.scene_evaluation import SceneEvaluation
from assay.metrics.scene_pictures import ScenePicture
from assay.objects import Objects
from assay.pixel_masks import IGNORE
from assay.report.thumbnails import QUALITY

GALLERY, PLANES = 12, 6
SIDE = 420
_RIGHT, _FALSE, _MISSED = 7, 0, 5
"""Positions whose class colours are green, red and orange."""
_PLACES = ClassNames([f"colour {i}" for i in range(8)])


def outcome_colours() -> dict[str, str]:
    """The colour of each outcome, for the page's legend."""
    return {
        name: _css(class_colour(place))
        for name, place in (("right", _RIGHT), ("false", _FALSE), ("missed", _MISSED))
    }


def thing_shots(e: SceneEvaluation, root: Path | None) -> list[dict[str, Any]]:
    """The pictures with the greatest share of mistakes, things drawn by their outcome."""
    if e.boxes is None:
        return []
    chosen = [one for one in e.worst if one.things is not None and (one.false or one.missed or one.badness)]
    base = root or Path()
    return _all(chosen[:GALLERY], lambda one: _thing_shot(e, one, base))


def _thing_shot(e: SceneEvaluation, one: ScenePicture, base: Path) -> dict[str, Any]:
    shot = {**one.to_dict(), "picture": None, "iou": one.pixel_iou}
    image = _read(base / one.path, e, one.row)
    if image is not None:
        shot["picture"] = _encoded(drawn_outcomes(e, one.row, image))
    return shot


def drawn_outcomes(e: SceneEvaluation, row: int, image: NDArray[np.uint8]) -> Image.Image:
    """The upright picture (H, W, 3) of this row with true and false detections, and missed things dashed."""
    told, right, missed = outcomes(e, row)
    classes = e.material.object_classes
    texts = [f"{classes[int(i)]} {100 * s:.0f} %" for i, s in zip(told.labels, told.scores, strict=True)]
    is_missed = np.arange(len(told) + len(missed)) >= len(told)
    # in one go, so that names keep clear of each other; a missed thing's mask would hide what lies on it
    marked = Objects(
        np.concatenate([told.boxes_xyxy, missed.boxes_xyxy]),
        np.where(is_missed, _MISSED, np.append(np.where(right, _RIGHT, _FALSE), np.zeros(len(missed), int))),
        (*told.masks, *(None for _ in missed.masks)),
        is_missed,  # crowds are dashed
    )
    texts += [classes[int(i)] for i in missed.labels]
    return draw_objects(image, marked, _PLACES, texts=texts, mask_strength=0.3)


def outcomes(e: SceneEvaluation, row: int) -> tuple[Detections, NDArray[np.bool_], Objects]:
    """What was told in a picture, which of it is right, and the things that were missed. What lies on crowds is left
    out: it is neither.
    """
    matches = e.material.boxes
    of, t = matches.pool, matches.column(0.5)
    number = int(np.searchsorted(of.rows, row))
    mine = np.flatnonzero(
        (matches.picture == number) & (matches.scores >= e.told_from) & ~matches.on_crowd[:, t]
    )
    places, truth = of.found.place[matches.order[mine]], matches.partner[mine, t]
    order = np.argsort(places)
    found, objects = e.material.found[row], e.material.truth[row]
    assert objects is not None, "only pictures where somebody looked are drawn"
    told = Detections(
        found.boxes_xyxy[places[order]],
        found.labels[places[order]],
        found.scores[places[order]],
        tuple(found.masks[i] for i in places[order]),
    )
    seen = of.truth.place[truth[truth >= 0]]
    crowd = np.zeros(len(objects), bool) if objects.crowd is None else objects.crowd
    left = np.flatnonzero(~np.isin(np.arange(len(objects)), seen) & ~crowd)
    missed = Objects(
        objects.boxes_xyxy[left], objects.labels[left], tuple(objects.masks[i] for i in left), crowd[left]
    )
    return told, truth[order] >= 0, missed


def plane_shots(e: SceneEvaluation, root: Path | None) -> list[dict[str, Any]]:
    """The pictures whose pixels overlap the truth least: truth and answer side by side."""
    if e.pixels is None:
        return []
    pictures, base = e.pictures, root or Path()
    return _all([pictures[row] for row in e.material.planes][:PLANES], lambda one: _plane_shot(e, one, base))


def _plane_shot(e: SceneEvaluation, one: ScenePicture, base: Path) -> dict[str, Any]:
    shot: dict[str, Any] = {
        "path": one.path,
        "iou": one.pixel_iou,
        "truth": None,
        "answer": None,
        "classes": [],
    }
    image = _read(base / one.path, e, one.row)
    classes = e.material.pixel_classes
    background = background_of(classes)
    planes = [_plane(png) for png in e.material.planes[one.row]]
    used = {int(i) for plane in planes if plane is not None for i in np.unique(plane)} - {background, IGNORE}
    shot["classes"] = [
        {"name": classes[i], "colour": _css(pixel_colour(i, background))}
        for i in sorted(used)
        if i < len(classes)
    ]
    for name, plane in zip(("truth", "answer"), planes, strict=True):
        if image is not None and plane is not None and plane.shape == image.shape[:2]:
            shot[name] = _encoded(draw_pixels(image, plane, background=background))
    return shot


def _plane(png: bytes) -> NDArray[np.uint8] | None:
    try:
        return np.asarray(Image.open(io.BytesIO(png)), np.uint8)
    except (OSError, ValueError, SyntaxError):  # Pillow's words for a damaged PNG
        return None


def _read(path: Path, e: SceneEvaluation, row: int) -> NDArray[np.uint8] | None:
    """The picture, if it is still there and still the one that was measured."""
    try:
        image = read_image(path)
    except (AssayError, OSError):
        return None
    return image if image.shape[:2] == tuple(e.material.sizes_hw[row].tolist()) else None


def _all(chosen: list[ScenePicture], make: Callable[[ScenePicture], dict[str, Any]]) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(4) as threads:
        return list(threads.map(make, chosen))


def _encoded(picture: Image.Image) -> str:
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    data = encode_image(np.asarray(picture), "WEBP", QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(data).decode('ascii')}"


def _css(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
