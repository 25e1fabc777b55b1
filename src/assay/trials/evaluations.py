"""Evaluations of either kind of network, from the files of a run."""

from __future__ import annotations

import json
from pathlib import Path

from assay.metrics.evaluation import Evaluation
from assay.metrics.scene_evaluation import SceneEvaluation

AnyEvaluation = Evaluation | SceneEvaluation
"""Of a classifier, or of a network of several heads."""


def read_evaluation(path: Path) -> AnyEvaluation:
    """The evaluation in a PART.json, of either kind.

    Raises
    ------
    ConfigError : a file is missing. DatasetError : the files are damaged or do not fit each other.
    """
    try:
        task = json.loads(path.read_text("utf-8")).get("task")
    except (OSError, ValueError, AttributeError):
        task = None  # said in the loader's words
    return SceneEvaluation.load(path) if task == "scene" else Evaluation.load(path)


def paths_of(evaluation: AnyEvaluation) -> list[str]:
    """The pictures that were measured."""
    return evaluation.material.paths if isinstance(evaluation, SceneEvaluation) else evaluation.paths
