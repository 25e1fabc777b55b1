"""From which score things are told, picked on validation for each of a network's two answers for boxes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.metrics.scene_evaluate import evaluate_scenes
from assay.metrics.scene_threshold import pick_box_threshold
from assay.models.multitask import MultiTask
from assay.train.scene_predictor import ScenePredictor
from assay.types import NO_CLASSES

if TYPE_CHECKING:
    from torch import nn

    from assay.card import Card
    from assay.metrics.scene_evaluation import SceneEvaluation
    from assay.types import Dataset


def pick_told(
    model: nn.Module, card: Card, folder: Path, dataset: Dataset, found: SceneEvaluation
) -> dict[str, Any]:
    """What belongs into ``card.thresholds``: ``boxes``, from ``found`` on validation, and ``nms_free`` for the answers
    that need no suppression, where the network has them. Each is the score of the greatest F1; left out where nothing
    right was found.
    """
    if found.boxes is None:
        return {}
    picked = {"boxes": pick_box_threshold(found), "nms_free": _of_twin(model, card, folder, dataset)}
    return {name: told for name, told in picked.items() if told}


def _of_twin(model: nn.Module, card: Card, folder: Path, dataset: Dataset) -> dict[str, Any]:
    if not isinstance(model, MultiTask) or model.box_head is None or model.box_head.one_to_one is None:
        return {}
    others = [head for head in card.heads if head != "boxes"]
    alone = replace(
        card, model={**card.model, "heads": ["boxes"]}, classes=NO_CLASSES, pixel_classes=NO_CLASSES
    )
    twin = ScenePredictor(model.without("one-to-many", *others), alone, folder)
    found = evaluate_scenes(twin, dataset, "validation", draws=0)
    told = pick_box_threshold(found)
    return {**told, "ap50": found.metrics["boxes.ap50"].value} if told else {}
