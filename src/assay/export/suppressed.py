"""A detector's graph with decoding and suppression inside, for programs that know nothing of Assay.

In place of what the network says of points come four outputs of N things, of all pictures of the batch together:
``found_pictures`` (N,) the picture's place in the batch, ``found_boxes`` (N, 4) x1, y1, x2, y2 in pixels of the
network's input, ``found_labels`` (N,) and ``found_scores`` (N,). Where there are masks, ``found_points`` (N,) are the
rows of the coefficients. ONNX's own NonMaxSuppression works class by class, as Assay's does outside of the graph, but
keeps up to 100 things of each class, where Assay keeps the best 100 of a picture.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from assay.errors import ConfigError, ExportError
from assay.postprocess_boxes import IOU_THRESHOLD, MOST_BOXES, Frame, box_points, find_boxes

FOUND = ("found_pictures", "found_boxes", "found_labels", "found_scores", "found_points")


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

    Raises
    ------
    ExportError : other things are found.
    """
    kind = "boxes" if "boxes_class_logits" in raw else "one_to_one"
    for i in range(len(raw[f"{kind}_class_logits"])):
        wanted = find_boxes(
            raw[f"{kind}_class_logits"][i],
            raw[f"{kind}_distances"][i],
            (size, size),
            Frame((size, size)),
            least_score=least_score,
            iou_threshold=IOU_THRESHOLD if kind == "boxes" else None,
        )
        mine = found["found_pictures"] == i
        scores, boxes = found["found_scores"][mine], found["found_boxes"][mine]
        scores = scores[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)]  # boxes without an area are no things
        best = np.sort(scores)[::-1][: len(wanted.scores)]
        if len(best) < len(wanted.scores) or not np.allclose(best, wanted.scores, atol=max(allowed, 1e-3)):
            raise ExportError(
                "suppression inside of the graph finds other things, so nothing was written",
                got=f"{len(scores)} in place of {len(wanted.scores)} in one of the pictures",
                fix="report this with the name of the network, or export without --nms",
            )


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
