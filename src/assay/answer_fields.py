"""A Prediction as plain values for JSON: one field for each thing that its network tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from assay.detections import Detections
    from assay.labels import ClassNames
    from assay.types import Prediction


def fields_of(prediction: Prediction, k: int = 5) -> dict[str, Any]:
    """path, size_hw and, where it is told: label, confidence and the ``k`` best classes; tags; boxes; pixels; doubt.

    Where the picture could not be read: path and error. Masks are COCO's run lengths at the picture's full size.
    """
    if prediction.error is not None:
        return {"path": prediction.path, "error": prediction.error}
    told: dict[str, Any] = {"path": prediction.path}
    if len(prediction.probs):
        told |= {"label": prediction.label, "confidence": round(prediction.confidence, 6)}
        told["top"] = [{"label": name, "probability": round(p, 6)} for name, p in prediction.top(k)]
    if prediction.tags is not None:
        told["tags"] = {
            name: round(float(p), 6) for name, p in zip(prediction.classes, prediction.tags, strict=True)
        }
    if prediction.boxes is not None:
        told["boxes"] = _things(prediction.boxes, prediction.object_classes)
    if prediction.pixels is not None:
        told["pixels"] = _planes(prediction)
    told["size_hw"] = list(prediction.size_hw)
    if prediction.doubt is not None:
        told["doubt"] = prediction.doubt.to_dict()
    return told


def _things(found: Detections, classes: ClassNames) -> list[dict[str, Any]]:
    rows = zip(found.labels, found.scores, found.boxes_xyxy, found.masks, strict=True)
    return [
        {
            "label": classes[int(label)],
            "score": round(float(score), 6),
            "box_xyxy": [round(float(v), 3) for v in box],
            **({} if mask is None else {"mask": mask.to_coco()}),
        }
        for label, score, box, mask in rows
    ]


def _planes(prediction: Prediction) -> list[dict[str, Any]]:
    """The classes that occur, the largest first, each with its share of the picture and its run lengths."""
    from assay.masks import encode  # noqa: PLC0415 - loaded by those who have pixels

    pixels = prediction.pixels
    assert pixels is not None
    counts = np.bincount(pixels.reshape(-1), minlength=len(prediction.pixel_classes))
    order = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]]
    return [
        {
            "label": prediction.pixel_classes[i],
            "share": round(counts[i] / pixels.size, 6),
            "mask": encode(pixels == i).to_coco(),
        }
        for i in order
    ]
