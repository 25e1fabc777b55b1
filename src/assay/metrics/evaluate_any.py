"""``assay.evaluate``: classifiers and networks of several heads alike."""

from __future__ import annotations

from typing import Any

from assay.errors import ConfigError
from assay.metrics.evaluate import Evaluation, Progress
from assay.metrics.evaluate import evaluate as evaluate_classes
from assay.metrics.scene_evaluate import evaluate_scenes
from assay.metrics.scene_evaluation import SceneEvaluation
from assay.types import Dataset


def evaluate(
    predictor: Any,
    dataset: Dataset,
    part: str | None = "test",
    *,
    on_progress: Progress | None = None,
    draws: int = 1000,
    seed: int = 0,
    model: str | None = None,
    abstain: bool = False,
) -> Evaluation | SceneEvaluation:
    """Answer the labelled pictures of a part and measure the answers, each number with its interval.

    Parameters
    ----------
    predictor : what ``assay.load`` gives, or anything with ``classes`` and ``predict(sources)``. Of a network that
        tells more than a class every part is measured where the data says what is true, in a SceneEvaluation.
    part : train, validation, test, or None for every picture.
    on_progress : called with (pictures done, of how many).
    draws, seed : of the bootstrap intervals.
    model : the name to record; the card's when not given.
    abstain : of classifiers: also measure which answers are held back.

    Raises
    ------
    ConfigError : the data set has no such part; ``abstain`` where the predictor has no thresholds or is no classifier.
    DatasetError : a label is unknown to the network, nothing that it tells is labelled, or no picture can be read.
    ModelError : the predictor does not give one answer a picture.
    """
    options: dict[str, Any] = {"on_progress": on_progress, "draws": draws, "seed": seed, "model": model}
    card = getattr(predictor, "card", None)
    if getattr(card, "task", "classify") != "scene":
        return evaluate_classes(predictor, dataset, part, abstain=abstain, **options)
    if abstain:
        raise ConfigError(
            "abstaining is measured of classifiers",
            got=f"a network that tells {', '.join(predictor.card.heads)}",
        )
    return evaluate_scenes(predictor, dataset, part, **options)
