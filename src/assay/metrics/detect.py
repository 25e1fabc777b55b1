"""COCO's scores of a detector, for boxes or masks: average precision and recall
(https://cocodataset.org/#detection-eval).

hotcoco computes them from arrays; tests hold it to pycocotools. What differs from a file of COCO results: the size of
a true thing is the number of pixels of its mask, for boxes and masks alike, and the area of its box where it has no
mask (a COCO file says its own ``area``, that of the drawn outline), and where there is nothing to measure stands NaN,
not -1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assay.detections import Detections
from assay.labels import ClassNames
from assay.metrics.pool import Pool, Pooled, pool
from assay.objects import Objects

if TYPE_CHECKING:
    from hotcoco import COCO

SIZES = ("all", "small", "medium", "large")
"""Small things have an area below 32 x 32 pixels, large ones above 96 x 96."""
_AP50, _AP75 = 0, 5  # positions among COCO's ten thresholds


@dataclass(frozen=True)
class ClassScores:
    """One class: things of it (no crowds), AP over overlaps from 0.50 to 0.95, at 0.50, at 0.75; AR at 100."""

    name: str
    objects: int
    ap50_95: float
    ap50: float
    ap75: float
    ar100: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; undefined numbers are None."""
        return {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class DetectionScores:
    """COCO's twelve numbers, NaN where undefined, and those of each class.

    ``ap50_95`` is the mean over classes and ten overlaps from 0.50 to 0.95; ``ap50`` and ``ap75`` are at one overlap.
    ``ar1``, ``ar10`` and ``ar100`` are mean recalls with so many detections of a class in a picture. ``pictures``
    were measured, ``unlabelled`` ones left out, because nobody looked.
    """

    kind: str
    pictures: int
    unlabelled: int
    objects: int
    ap50_95: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar1: float
    ar10: float
    ar100: float
    ar_small: float
    ar_medium: float
    ar_large: float
    per_class: tuple[ClassScores, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; undefined numbers are None."""
        values = {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}
        return {**values, "per_class": [row.to_dict() for row in self.per_class]}


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def score_detections(
    truth: Sequence[Objects | None], found: Sequence[Detections], classes: ClassNames, *, kind: str = "boxes"
) -> DetectionScores:
    """COCO's scores of detections; pictures whose truth is None are left out.

    Raises
    ------
    ConfigError, DatasetError : as ``pool``.
    """
    return score(pool(truth, found, classes, kind=kind))


def score(of: Pool) -> DetectionScores:
    """COCO's scores of a pool."""
    precision, recall = _evaluate(of)
    sizes = {f"ap_{size}": _mean(precision[..., a, 2]) for a, size in enumerate(SIZES) if a}
    sizes |= {f"ar_{size}": _mean(recall[..., a, 2]) for a, size in enumerate(SIZES) if a}
    objects = np.bincount(of.truth.label[~of.crowd], minlength=len(of.classes))
    return DetectionScores(
        kind=of.kind,
        pictures=of.n,
        unlabelled=of.given - of.n,
        objects=int(objects.sum()),
        ap50_95=_mean(precision[..., 0, 2]),
        ap50=_mean(precision[_AP50, ..., 0, 2]),
        ap75=_mean(precision[_AP75, ..., 0, 2]),
        ar1=_mean(recall[..., 0, 0]),
        ar10=_mean(recall[..., 0, 1]),
        ar100=_mean(recall[..., 0, 2]),
        per_class=tuple(
            _of_class(name, int(objects[k]), precision[:, :, k, 0, 2], recall[:, k, 0, 2])
            for k, name in enumerate(of.classes)
        ),
        **sizes,
    )


def _of_class(
    name: str, objects: int, precision: NDArray[np.float64], recall: NDArray[np.float64]
) -> ClassScores:
    """From precision (T, R) and recall (T,) of one class."""
    return ClassScores(
        name,
        objects,
        _mean(precision),
        _mean(precision[_AP50]),
        _mean(precision[_AP75]),
        _mean(recall),
    )


def _mean(values: NDArray[np.float64]) -> float:
    """The mean of what is there: COCO writes -1 where there is nothing to find."""
    there = values[values > -1]
    return float(there.mean()) if len(there) else math.nan


def _evaluate(of: Pool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision (T 10, R 101, K, A 4 sizes, M 3 limits) and greatest recall (T, K, A, M), -1 where undefined."""
    from hotcoco import COCOeval  # noqa: PLC0415 - loaded by those who measure detectors

    classes = len(of.classes)
    if not of.n or not classes or not len(of.truth):
        return np.full((10, 101, classes, 4, 3), -1.0), np.full((10, classes, 4, 3), -1.0)
    truth, found = _as_coco(of)
    run = COCOeval(truth, found, "bbox" if of.kind == "boxes" else "segm")
    run.evaluate()
    run.accumulate()
    result = run.eval or {}
    return np.asarray(result["precision"], np.float64), np.asarray(result["recall"], np.float64)


def _as_coco(of: Pool) -> tuple[COCO, COCO]:
    """The pool as hotcoco has it: pictures and classes count from 1."""
    from hotcoco import COCO  # noqa: PLC0415

    truth = COCO.from_arrays(
        [{"id": i + 1} for i in range(of.n)],
        [{"id": k + 1, "name": name} for k, name in enumerate(of.classes)],
        of.truth.picture + 1,
        of.truth.label + 1,
        of.truth.boxes_xywh,
        area=of.truth.areas,
        iscrowd=of.crowd.astype(np.int64),
        segmentation=_runs(of.truth),
    )
    columns = (of.found.picture + 1, of.found.boxes_xywh, of.scores, of.found.label + 1)
    found = truth.load_res(np.column_stack(columns).astype(np.float64), segmentation=_runs(of.found))
    if of.found.masks:  # the library takes the boxes' areas, as pycocotools does where boxes are given
        found.update_anns(ids=np.arange(len(of.found)) + 1, area=of.found.areas)
    return truth, found


def _runs(things: Pooled) -> list[dict[str, Any] | list[list[float]]] | None:
    return [mask.to_coco() for mask in things.masks] if things.masks else None
