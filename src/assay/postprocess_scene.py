"""From what a network of several heads gives for one picture to what a Prediction holds. Numpy alone.

The names of the arrays are those of ``models.outputs.Outputs.named``; a head that is not there has no array. Of boxes
the answers that need suppression are taken, where the network has them, else those of the one-to-one head. A network
that brings finished boxes of its own (torchvision's detectors) gives ``found_boxes``, ``found_scores``,
``found_labels`` and perhaps ``found_masks`` in place of points (``postprocess_found``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from assay.detections import Detections
from assay.postprocess import probabilities
from assay.postprocess_boxes import LEAST_SCORE, FoundBoxes, Frame, find_boxes
from assay.postprocess_found import read_found
from assay.postprocess_masks import CELL, cut_masks, label_pixels, to_masks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.masks import Mask

Named = Mapping[str, "NDArray[Any]"]


class SceneAnswer(NamedTuple):
    """``probs`` (K,), ``tags`` (T,), ``boxes``, ``pixels`` (H, W); None where the network does not tell it."""

    probs: NDArray[np.float32] | None
    tags: NDArray[np.float32] | None
    boxes: Detections | None
    pixels: NDArray[np.uint8] | None


def read_scene(
    outputs: Named,
    frame: Frame,
    side: int,
    *,
    temperature: float = 1.0,
    least_score: float = LEAST_SCORE,
    masks: bool = True,
    pixels: bool = True,
) -> SceneAnswer:
    """Everything that is told of one picture.

    Parameters
    ----------
    outputs : arrays of one picture, without the axis of the batch.
    frame : where the picture lies in the network's input.
    side : of that input, in px.
    temperature : divides the logits of the class.
    least_score : below which no thing is told.
    masks, pixels : False leaves out what is costly and not wanted.
    """
    probs = tags = classes = None
    if "class_logits" in outputs:
        probs = probabilities(outputs["class_logits"][None], temperature)[0]
    if "tag_logits" in outputs:
        tags = (1 / (1 + np.exp(-outputs["tag_logits"].astype(np.float64)))).astype(np.float32)
    if pixels and "pixel_logits" in outputs:
        classes = label_pixels(outputs["pixel_logits"], frame, cell=_cell(outputs["pixel_logits"], side))
    return SceneAnswer(probs, tags, _boxes(outputs, frame, side, least_score, masks=masks), classes)


def _cell(logits: NDArray[np.float32], side: int) -> float:
    """Pixels of the input behind one logit: 4 of Assay's own networks, whose last cells may reach beyond the input."""
    rows = logits.shape[2]
    return CELL if rows == -(-side // CELL) else side / rows


def _boxes(outputs: Named, frame: Frame, side: int, least_score: float, *, masks: bool) -> Detections | None:
    if "found_boxes" in outputs:
        return read_found(outputs, frame, least_score, masks=masks)
    for kind, threshold in (("boxes", {}), ("one_to_one", {"iou_threshold": None})):
        if f"{kind}_class_logits" in outputs:
            found = find_boxes(
                outputs[f"{kind}_class_logits"],
                outputs[f"{kind}_distances"],
                (side, side),
                frame,
                least_score=least_score,
                **threshold,  # type: ignore[arg-type]
            )
            drawn = _masks(outputs, kind, found, frame) if masks else ()
            return Detections(found.boxes_xyxy, found.labels, found.scores, drawn)
    return None


def _masks(outputs: Named, kind: str, found: FoundBoxes, frame: Frame) -> tuple[Mask | None, ...]:
    name = f"{kind}_coefficients"
    if name not in outputs or "prototypes" not in outputs or not len(found.points):
        return ()
    crops = cut_masks(found.boxes_xyxy, outputs[name][found.points], outputs["prototypes"], frame)
    return tuple(to_masks(crops, frame.size_hw))
