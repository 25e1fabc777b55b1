"""A Prediction in the forms of others: plain values for JSON, COCO's results, ``supervision``'s detections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.types import Prediction


def fields_of(prediction: Prediction, k: int = 5) -> dict[str, Any]:
    """path, size_hw and, where it is told: label, confidence and the ``k`` best classes; tags; boxes; pixels; doubt.

    Where the picture could not be read: path and error. Masks are COCO's run lengths at the picture's full size. What
    further models say of a thing stands at its box, under ``crops``.
    """
    if prediction.error is not None:
        return {"path": prediction.path, **prediction.facts, "error": prediction.error}
    told: dict[str, Any] = {"path": prediction.path, **prediction.facts}
    if len(prediction.probs):
        told |= {"label": prediction.label, "confidence": round(prediction.confidence, 6)}
        told["top"] = [{"label": name, "probability": round(p, 6)} for name, p in prediction.top(k)]
    if prediction.tags is not None:
        told["tags"] = {
            name: round(float(p), 6) for name, p in zip(prediction.classes, prediction.tags, strict=True)
        }
    if prediction.boxes is not None:
        told["boxes"] = _things(prediction, k)
    if prediction.pixels is not None:
        told["pixels"] = _planes(prediction)
    told["size_hw"] = list(prediction.size_hw)
    if prediction.doubt is not None:
        told["doubt"] = prediction.doubt.to_dict()
    return told


def coco_results(
    prediction: Prediction, image_id: int, category_ids: Sequence[int] | None = None
) -> list[dict[str, Any]]:
    """As ``Prediction.to_coco``."""
    if prediction.boxes is None:
        return []
    classes = prediction.object_classes
    ids = range(1, len(classes) + 1) if category_ids is None else category_ids
    if len(ids) != len(classes):
        raise ConfigError(
            "COCO needs one category number for each class of things",
            got=f"{len(ids)} numbers for {len(classes)} classes",
            fix=f"give them in this order: {', '.join(classes[:8])}",
        )
    return prediction.boxes.to_coco(image_id, ids)


def supervision_detections(prediction: Prediction) -> Any:
    """As ``Prediction.to_supervision``."""
    found = prediction.boxes
    if found is None:
        raise ConfigError(
            f"{prediction.path} has no boxes that supervision could hold",
            got=prediction.error or "a network without boxes",
            fix="use a network that finds things (`heads=boxes`)",
        )
    try:
        import supervision  # type: ignore[import-not-found]  # noqa: PLC0415 - never a dependency
    except ImportError as error:
        raise ConfigError(
            "to_supervision needs the package supervision", got=str(error), fix="pip install supervision"
        ) from error
    masks = [mask.to_array() for mask in found.masks if mask is not None]
    return supervision.Detections(
        xyxy=found.boxes_xyxy.astype(np.float32),
        mask=np.stack(masks) if masks and len(masks) == len(found) else None,
        confidence=found.scores,
        class_id=found.labels.astype(int),
        tracker_id=None if found.tracks is None else found.tracks.astype(int),
        data={"class_name": np.array([prediction.object_classes[int(i)] for i in found.labels], dtype=str)},
    )


def pixel_shares(prediction: Prediction) -> list[tuple[int, float]]:
    """(class, share of the picture) of every class of pixels that occurs, the largest first."""
    pixels = prediction.pixels
    if pixels is None or not pixels.size:
        return []
    counts = np.bincount(pixels.reshape(-1), minlength=len(prediction.pixel_classes))
    order = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]]
    return [(i, float(counts[i] / pixels.size)) for i in order]


def _things(prediction: Prediction, k: int) -> list[dict[str, Any]]:
    found = prediction.boxes
    assert found is not None
    rows = zip(found.labels, found.scores, found.boxes_xyxy, found.masks, strict=True)
    return [
        {
            "label": prediction.object_classes[int(label)],
            "score": round(float(score), 6),
            "box_xyxy": [round(float(v), 3) for v in box],
            **({} if found.tracks is None else {"track": int(found.tracks[i])}),
            **({} if mask is None else {"mask": mask.to_coco()}),
            **_crops(prediction, i, k),
        }
        for i, (label, score, box, mask) in enumerate(rows)
    ]


def _crops(prediction: Prediction, i: int, k: int) -> dict[str, Any]:
    """What further models say of thing ``i``: nothing, or ``{"crops": {step: fields, with the crop's origin}}``."""
    told = {}
    for step, answers in prediction.crops.items():
        if (crop := answers[i]) is not None:
            fields = fields_of(crop, k)
            del fields["path"]
            told[step] = {**fields, "origin_xy": list(crop.origin_xy)}
    return {"crops": told} if told else {}


def _planes(prediction: Prediction) -> list[dict[str, Any]]:
    """The classes that occur, the largest first, each with its share of the picture and its run lengths."""
    from assay.masks import encode  # noqa: PLC0415 - loaded by those who have pixels

    return [
        {
            "label": prediction.pixel_classes[i],
            "share": round(share, 6),
            "mask": encode(np.asarray(prediction.pixels == i)).to_coco(),
        }
        for i, share in pixel_shares(prediction)
    ]
