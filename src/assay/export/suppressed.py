"""A detector's graph with decoding and suppression inside, for programs that know nothing of Assay.

In place of what the network says of points come four outputs of N things, of all pictures of the batch together:
``found_pictures`` (N,) the picture's place in the batch, ``found_boxes`` (N, 4) x1, y1, x2, y2 in pixels of the
network's input, ``found_labels`` (N,) and ``found_scores`` (N,). Where there are masks, ``found_points`` (N,) are the
rows of the coefficients. ONNX's own NonMaxSuppression works class by class, as Assay's does outside of the graph, but
keeps up to 100 things of each class, where Assay keeps the best 100 of a picture.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from assay.boxes import iou
from assay.errors import ConfigError, ExportError
from assay.postprocess_boxes import IOU_THRESHOLD, MOST_BEFORE, MOST_BOXES, Frame, box_points, find_boxes

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOUND = ("found_pictures", "found_boxes", "found_labels", "found_scores", "found_points")
_LEAST_ROOM = 1e-3
"""What scores may differ by, and boxes as a share of the input's side, whatever is asked for: roundings."""
_HAIR = 1e-3
"""An IoU so close to the threshold may fall on either side of it by rounding."""


def with_suppression(graph: bytes, size: int, least_score: float) -> bytes:
    """The graph with the outputs above in place of logits and distances.

    Parameters
    ----------
    size : side of the network's input in px.
    least_score : probability below which nothing is told, above 0.

    Raises
    ------
    ConfigError : the network finds no things.
    """
    model = onnx.load_model_from_string(graph)
    ends = {end.name: end for end in model.graph.output}
    kind = next((kind for kind in ("boxes", "one_to_one") if f"{kind}_class_logits" in ends), None)
    if kind is None:
        raise ConfigError("--nms is for networks that find things", got=", ".join(ends), fix="leave it out")
    nodes, weights = _suppression(kind, size, least_score, suppress=kind == "boxes")
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(weights)
    gone = {f"{kind}_class_logits", f"{kind}_distances"}
    kept = [end for end in model.graph.output if end.name not in gone]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    masks = f"{kind}_coefficients" in ends
    model.graph.output.extend(_ends(masks=masks))
    return bytes(model.SerializeToString(deterministic=True))


def require_same_things(
    found: dict[str, Any], raw: dict[str, Any], size: int, least_score: float, allowed: float
) -> None:
    """Compare what a graph with suppression finds with what Assay finds in the outputs of the same graph without.

    Every thing of either must have a partner of the same class in the other, with the same score and box but for
    roundings; so things of equal scores may stand in any order.

    Parameters
    ----------
    found, raw : named outputs of both graphs for the same pictures. size : side of the network's input in px.
    least_score : as ``with_suppression``. allowed : greatest difference of a score, and of a box's side as a share of
        ``size``; at least 0.001.

    Raises
    ------
    ExportError : other things are found.
    """
    kind = "boxes" if "boxes_class_logits" in raw else "one_to_one"
    limit = IOU_THRESHOLD if kind == "boxes" else None
    room = max(allowed, _LEAST_ROOM)
    for i, logits in enumerate(raw[f"{kind}_class_logits"]):
        outside = find_boxes(
            logits,
            raw[f"{kind}_distances"][i],
            (size, size),
            Frame((size, size)),
            least_score=least_score,
            iou_threshold=limit,
        )
        wanted, mine = _Things(outside.boxes_xyxy, outside.labels, outside.scores), _things_of(found, i)
        free, lone = _partnerless(wanted, mine, size, room)
        edge = _edge(wanted.scores, logits, least_score, limit)
        odd = [
            *_inexcusable(wanted.take(lone), wanted, mine, least_score + room, limit),
            *_inexcusable(mine.take(free), wanted, mine, edge + room, limit),
        ]
        if odd:
            raise ExportError(
                "suppression inside of the graph finds other things, so nothing was written",
                got=f"{len(mine.scores)} in place of {len(wanted.scores)} in one of the pictures; "
                f"not in both: {odd[0]}",
                fix="report this with the name of the network, or export without --nms",
            )


class _Things(NamedTuple):
    """N things of one picture, the likeliest first: boxes (N, 4) in px of the network's input, labels, scores (N,)."""

    boxes_xyxy: NDArray[Any]
    labels: NDArray[Any]
    scores: NDArray[Any]

    def take(self, rows: NDArray[Any] | list[int]) -> _Things:
        """Some of them."""
        at = np.asarray(rows, np.int64)
        return _Things(self.boxes_xyxy[at], self.labels[at], self.scores[at])


def _things_of(found: dict[str, Any], picture: int) -> _Things:
    """What the graph found in one picture; boxes without an area are no things."""
    rows = np.flatnonzero(found["found_pictures"] == picture)
    boxes = found["found_boxes"][rows]
    rows = rows[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)]
    rows = rows[np.argsort(-found["found_scores"][rows], kind="stable")]
    boxes = found["found_boxes"][rows].astype(np.float64)
    return _Things(boxes, found["found_labels"][rows], found["found_scores"][rows])


def _partnerless(wanted: _Things, found: _Things, size: int, room: float) -> tuple[list[int], list[int]]:
    """Rows of ``found`` and of ``wanted`` that have no partner; each thing is the partner of one at most."""
    free, lone = np.ones(len(found.scores), bool), []
    for row, (box, label, score) in enumerate(zip(*wanted, strict=True)):
        apart = np.abs(found.boxes_xyxy - box).max(axis=1, initial=0.0)
        like = (
            free & (found.labels == label) & (np.abs(found.scores - score) <= room) & (apart <= room * size)
        )
        if like.any():
            free[np.where(like, apart, np.inf).argmin()] = False
        else:
            lone.append(row)
    return np.flatnonzero(free).tolist(), lone


def _edge(
    scores: NDArray[Any], logits: NDArray[Any], least_score: float, iou_threshold: float | None
) -> float:
    """The score below which the graph may find more: Assay looks at the best candidates alone, and tells the best."""
    candidates = int((logits >= math.log(least_score / (1 - least_score))).sum())
    looks_at_all = candidates <= (MOST_BOXES if iou_threshold is None else MOST_BEFORE)
    if looks_at_all and len(scores) < MOST_BOXES:
        return least_score
    return float(scores[-1]) if len(scores) else 1.0


def _inexcusable(
    lone: _Things, wanted: _Things, found: _Things, edge: float, iou_threshold: float | None
) -> list[str]:
    """Things without a partner, in words: but for those at the edge of what is told, and those that another one
    suppresses, or does not, by a hair.
    """
    told = []
    for box, label, score in zip(*lone, strict=True):
        if score < edge:
            continue
        others = np.concatenate([one.boxes_xyxy[one.labels == label] for one in (wanted, found)])
        near = np.abs(iou(box[None], others)[0] - iou_threshold) if iou_threshold is not None else np.ones(1)
        if near.min(initial=1.0) > _HAIR:
            at = ", ".join(f"{value:.1f}" for value in box)
            told.append(f"class {int(label)} at {at} px, score {score:.3f}")
    return told


def _suppression(kind: str, size: int, least_score: float, *, suppress: bool) -> tuple[list[Any], list[Any]]:
    """(nodes, constants). The boxes of a one-to-one head overlap only where they should."""
    points, strides = box_points((size, size))
    constants = {
        "nms_points": np.concatenate([points, points], axis=1)[None],  # 1 P 4
        "nms_steps": (strides[:, None] * np.array([[-1, -1, 1, 1]], np.float32))[None],  # 1 P 4
        "nms_most": np.array(MOST_BOXES, np.int64),
        "nms_iou": np.array(IOU_THRESHOLD if suppress else 1.0, np.float32),
        "nms_least": np.array(math.log(least_score / (1 - least_score)), np.float32),
        "nms_low": np.array(0, np.float32),
        "nms_high": np.array(size, np.float32),
        "nms_yx": np.array([1, 0, 3, 2], np.int64),
        "nms_0": np.array(0, np.int64),
        "nms_1": np.array(1, np.int64),
        "nms_2": np.array(2, np.int64),
        "nms_picture_point": np.array([0, 2], np.int64),
    }
    node = helper.make_node
    nodes = [
        node("Mul", [f"{kind}_distances", "nms_steps"], ["nms_away"]),
        node("Add", ["nms_points", "nms_away"], ["nms_whole"]),  # B P 4
        node("Clip", ["nms_whole", "nms_low", "nms_high"], ["nms_xyxy"]),  # as outside of the graph
        node("Gather", ["nms_xyxy", "nms_yx"], ["nms_yxyx"], axis=2),
        # logits in place of scores: where those are all but 1, their order would be lost
        node("Transpose", [f"{kind}_class_logits"], ["nms_logits"], perm=[0, 2, 1]),  # B K P
        node(
            "NonMaxSuppression",
            ["nms_yxyx", "nms_logits", "nms_most", "nms_iou", "nms_least"],
            ["nms_kept"],  # N 3: picture, class, point
        ),
        node("Gather", ["nms_kept", "nms_0"], ["found_pictures"], axis=1),
        node("Gather", ["nms_kept", "nms_1"], ["found_labels"], axis=1),
        node("Gather", ["nms_kept", "nms_2"], ["found_points"], axis=1),
        node("GatherND", ["nms_logits", "nms_kept"], ["nms_strengths"]),
        node("Sigmoid", ["nms_strengths"], ["found_scores"]),
        node("Gather", ["nms_kept", "nms_picture_point"], ["nms_where"], axis=1),
        node("GatherND", ["nms_xyxy", "nms_where"], ["found_boxes"]),
    ]
    return nodes, [numpy_helper.from_array(value, name) for name, value in constants.items()]


def _ends(*, masks: bool) -> list[Any]:
    whole = {"found_pictures": TensorProto.INT64, "found_labels": TensorProto.INT64}
    whole |= {"found_scores": TensorProto.FLOAT} | ({"found_points": TensorProto.INT64} if masks else {})
    ends = [helper.make_tensor_value_info(name, kind, ["things"]) for name, kind in whole.items()]
    return [*ends, helper.make_tensor_value_info("found_boxes", TensorProto.FLOAT, ["things", 4])]
