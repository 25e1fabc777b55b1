"""PART.json and PART.npz of a SceneEvaluation: numbers for people and scripts, and what is kept of every picture, with
no pickle, so that a report and a comparison in pairs need no network.

Things of all pictures lie in flat arrays, with how many each picture has. Run lengths of masks are text: one array of
bytes, and the length of each mask's part (-1 where a thing has none).
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.boxes import as_boxes
from assay.detections import Detections
from assay.errors import ConfigError, DatasetError
from assay.files import write_file
from assay.labels import ClassNames
from assay.masks import Mask
from assay.metrics.evaluation import Evaluation
from assay.metrics.interval import Estimate
from assay.metrics.panoptic import PanopticCounts
from assay.metrics.scene_evaluation import ABOUT, SceneEvaluation
from assay.metrics.scene_material import SceneMaterial
from assay.metrics.scene_panoptic import panoptic_classes
from assay.metrics.scene_pixels import PixelSection
from assay.metrics.scene_section import Section
from assay.metrics.scene_tags import TagSection
from assay.metrics.scene_things import ThingSection
from assay.metrics.scene_whole import WholeSection
from assay.metrics.segment import PixelCounts
from assay.objects import Objects

Arrays = Mapping[str, NDArray[Any]]
_SECTIONS: dict[str, type[Section]] = {
    "tags": TagSection,
    "boxes": ThingSection,
    "masks": ThingSection,
    "pixels": PixelSection,
    "panoptic": Section,
    "whole": WholeSection,
}
_PIXELS = ("hits", "truth", "predicted", "confusion", "boundary", "rows")


def save_scene(evaluation: SceneEvaluation, folder: Path) -> Path:
    """As ``SceneEvaluation.save``."""
    packed = io.BytesIO()
    np.savez_compressed(packed, **_arrays(evaluation.material))
    write_file(folder / f"{evaluation.part}.npz", packed.getvalue())
    text = json.dumps(evaluation.to_dict(), ensure_ascii=False, allow_nan=False)
    write_file(folder / f"{evaluation.part}.json", text.encode())
    return folder / f"{evaluation.part}.json"


def load_scene(path: Path) -> SceneEvaluation:
    """As ``SceneEvaluation.load``."""
    for file in (path, path.with_suffix(".npz")):
        if not file.is_file():
            raise ConfigError(f"{file} does not exist", fix="run `assay evaluate` first")
    try:
        about = json.loads(path.read_text("utf-8"))
        with path.with_suffix(".npz").open("rb") as packed, np.load(packed, allow_pickle=False) as arrays:
            return _from_files(about, {name: arrays[name] for name in arrays.files})
    except (
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        DatasetError,
        zipfile.BadZipFile,
        EOFError,
    ) as error:
        raise DatasetError(
            f"{path} is not an evaluation of a network of several heads",
            got=f"{type(error).__name__}: {error}",
            fix="run `assay evaluate` again",
        ) from error


def _from_files(about: dict[str, Any], arrays: Arrays) -> SceneEvaluation:
    if about["task"] != "scene":
        raise ValueError(f"task {about['task']}")
    material = _material(about, arrays)
    if material.n != about["n"]:
        raise ValueError(f"{material.n} pictures in the arrays, {about['n']} beside them")
    sections = {
        name: kind.from_dict(about[name]) for name, kind in _SECTIONS.items() if about[name] is not None
    }
    classify = None if about["class"] is None else _classify(about["class"], material)
    return SceneEvaluation(
        material,
        about["told_from"],
        classify=classify,
        **sections,  # type: ignore[arg-type]  # each is of its field's type, see _SECTIONS
        **{name: about[name] for name in ABOUT},
    )


def _classify(about: dict[str, Any], of: SceneMaterial) -> Evaluation:
    rows = np.flatnonzero(of.targets >= 0)
    kept = ("part", "model", "dataset", "root", "split_hash", "unlabelled", "interval", "seconds")
    return Evaluation(
        metrics={name: Estimate.from_dict(value) for name, value in about["metrics"].items()},
        classes=of.classes,
        targets=of.targets[rows],
        probs=of.probs[rows],
        predicted=of.probs[rows].argmax(1).astype(np.int64),
        paths=[of.paths[int(i)] for i in rows],
        groups=None if of.groups is None else [of.groups[int(i)] for i in rows],
        **{name: about[name] for name in kept},
    )


def _arrays(of: SceneMaterial) -> dict[str, Any]:
    truth = [Objects(as_boxes([]), np.zeros(0, np.int64)) if one is None else one for one in of.truth]
    arrays: dict[str, Any] = {
        "paths": np.array(of.paths, np.str_),
        "sizes_hw": of.sizes_hw,
        "targets": of.targets,
        "probs": of.probs,
        "tags": of.tags,
        "tag_scores": of.tag_scores,
        "looked": np.array([one is not None for one in of.truth], bool),
        "true_crowd": np.concatenate([np.zeros(0, bool), *(o.crowd for o in truth if o.crowd is not None)]),
        "found_scores": np.concatenate([np.zeros(0, np.float32), *(one.scores for one in of.found)]),
        **_things("true", truth),
        **_things("found", of.found),
        "plane_rows": np.array(list(of.planes), np.int64),
        **_texts("plane_truth", [truth for truth, _ in of.planes.values()]),
        **_texts("plane_answer", [answer for _, answer in of.planes.values()]),
    }
    if of.groups is not None:
        arrays["groups"] = np.array([name or "" for name in of.groups], np.str_)
    if of.pixels is not None:
        arrays |= {f"pixels_{name}": getattr(of.pixels, name) for name in _PIXELS}
    if of.panoptic is not None:
        arrays |= {"panoptic_sums": of.panoptic.sums, "panoptic_rows": of.panoptic.rows}
    return arrays


def _things(name: str, pictures: Sequence[Objects | Detections]) -> dict[str, Any]:
    texts = [None if m is None else m.counts.encode("ascii") for one in pictures for m in one.masks]
    return {
        f"{name}_counts": np.array([len(one) for one in pictures], np.int64),
        f"{name}_boxes": np.concatenate([np.zeros((0, 4)), *(one.boxes_xyxy for one in pictures)]),
        f"{name}_labels": np.concatenate([np.zeros(0, np.int64), *(one.labels for one in pictures)]),
        **_texts(f"{name}_mask", texts),
    }


def _texts(name: str, texts: Sequence[bytes | None]) -> dict[str, Any]:
    return {
        f"{name}_lengths": np.array([-1 if text is None else len(text) for text in texts], np.int64),
        f"{name}_bytes": np.frombuffer(b"".join(text for text in texts if text is not None), np.uint8),
    }


def _read_texts(arrays: Arrays, name: str) -> list[bytes | None]:
    whole, lengths = arrays[f"{name}_bytes"].tobytes(), arrays[f"{name}_lengths"]
    ends = np.cumsum(np.maximum(lengths, 0))
    if len(ends) and ends[-1] != len(whole):
        raise ValueError(f"{name}: {len(whole)} bytes, {ends[-1]} expected")
    return [
        None if length < 0 else whole[end - length : end]
        for length, end in zip(lengths.tolist(), ends.tolist(), strict=True)
    ]


def _material(about: dict[str, Any], arrays: Arrays) -> SceneMaterial:
    classes, object_classes, pixel_classes = (
        ClassNames(about[name]) for name in ("classes", "object_classes", "pixel_classes")
    )
    sizes, looked = arrays["sizes_hw"], arrays["looked"]
    true = [
        Objects(boxes, labels, masks, arrays["true_crowd"][part])
        for part, boxes, labels, masks in _read_things(arrays, "true", sizes)
    ]
    found = [
        Detections(boxes, labels, arrays["found_scores"][part], masks)
        for part, boxes, labels, masks in _read_things(arrays, "found", sizes)
    ]
    planes = [_read_texts(arrays, name) for name in ("plane_truth", "plane_answer")]
    rows = arrays["plane_rows"].tolist()
    pixels = panoptic = None
    if "pixels_rows" in arrays:
        pixels = PixelCounts(**{name: arrays[f"pixels_{name}"] for name in _PIXELS}, classes=pixel_classes)
    if "panoptic_rows" in arrays:
        own = panoptic_classes(object_classes, pixel_classes)
        panoptic = PanopticCounts(arrays["panoptic_sums"], arrays["panoptic_rows"], own)
    return SceneMaterial(
        paths=[str(path) for path in arrays["paths"]],
        groups=[str(g) or None for g in arrays["groups"]] if "groups" in arrays else None,
        sizes_hw=sizes,
        heads=tuple(about["heads"]),
        classes=classes,
        object_classes=object_classes,
        pixel_classes=pixel_classes,
        **{name: arrays[name] for name in ("targets", "probs", "tags", "tag_scores")},
        truth=tuple(one if seen else None for one, seen in zip(true, looked, strict=True)),
        found=tuple(found),
        pixels=pixels,
        panoptic=panoptic,
        planes={
            int(row): (truth or b"", answer or b"") for row, truth, answer in zip(rows, *planes, strict=True)
        },
    )


def _read_things(arrays: Arrays, name: str, sizes_hw: NDArray[np.int64]) -> list[Any]:
    """(where in the flat arrays, boxes, labels, masks) of each picture."""
    ends = np.cumsum(arrays[f"{name}_counts"]).tolist()
    texts = _read_texts(arrays, f"{name}_mask")
    pictures = []
    for start, end, size in zip([0, *ends], ends, sizes_hw.tolist(), strict=False):
        part = slice(start, end)
        masks = tuple(
            None if text is None else Mask((size[0], size[1]), text.decode("ascii")) for text in texts[part]
        )
        pictures.append((part, arrays[f"{name}_boxes"][part], arrays[f"{name}_labels"][part], masks))
    return pictures
