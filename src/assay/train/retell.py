"""From which score on a finished run tells the things it found: picked again, for another target.

Nothing is predicted anew: the run's evaluations keep what was found in each picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from assay.bundle import Card
from assay.errors import ConfigError
from assay.metrics.scene_evaluation import SceneEvaluation
from assay.metrics.scene_threshold import pick_box_threshold
from assay.train.folder import read_json, write_json
from assay.train.predictor import require_finished
from assay.verb_configs import TellConfig


@dataclass(frozen=True)
class Retold:
    """What was picked on validation, and what it gives on every part that was measured."""

    folder: Path
    threshold: dict[str, Any]
    evaluations: dict[str, SceneEvaluation]
    lost_panoptic: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        shares = ("boxes.precision", "boxes.recall", "boxes.f1")
        parts = {
            part: {name: found.metrics[name].to_dict() for name in shares if name in found.metrics}
            for part, found in self.evaluations.items()
        }
        return {"run": str(self.folder), "threshold": self.threshold, "parts": parts}


def is_scene(folder: Path) -> bool:
    """Whether a finished run tells more than a class."""
    require_finished(folder)
    return Card.load(folder / "card.json").task == "scene"


def retell(run: str | Path | Any, **options: Any) -> Retold:
    """Pick the score that things are told from, and write it into the run; ``export`` takes it along.

    The run's evaluations and ``run.json`` are told anew from that score. Panoptic quality needs pixels that are not
    kept, and goes. A page about the run is its writer's to renew: ``write_report``.

    Parameters
    ----------
    run : the folder of a finished run that finds things, or what ``train`` returned.
    options : fields of TellConfig: target, value.

    Raises
    ------
    ConfigError : no finished run, a damaged one, one that finds no things, no score that reaches the target.
    DatasetError : its evaluation is damaged.
    """
    config = TellConfig.from_dict(options)
    folder = Path(getattr(run, "folder", run))
    require_finished(folder)
    card = Card.load(folder / "card.json")
    if "boxes" not in card.heads:
        raise ConfigError(f"{folder} finds no things", got=f"it tells {', '.join(card.heads)}")
    places = {part: folder / "evaluation" / f"{part}.json" for part in ("validation", "test")}
    found = {part: SceneEvaluation.load(place) for part, place in places.items() if place.is_file()}
    if "validation" not in found:
        raise ConfigError(
            "a score is picked on the validation part, and this run has none",
            got=", ".join(found) or "no evaluation",
            fix="train on data with a validation part",
        )
    picked = pick_box_threshold(found["validation"], config.target, config.value)
    if not picked:
        raise ConfigError("nothing right was found in the validation part", fix="train it longer")
    record = read_json(folder / "run.json") if (folder / "run.json").is_file() else None
    told = {part: one.at(picked["score"]) for part, one in found.items()}
    for one in told.values():
        one.save(folder / "evaluation")
    # what was found without suppression is not kept, so its score cannot follow the new target
    kept = {name: value for name, value in card.thresholds.items() if name != "nms_free"}
    card = replace(card, thresholds={**kept, "boxes": picked})
    card.save(folder / "card.json")
    if record is not None:
        write_json(folder / "run.json", record | {"thresholds": card.thresholds})
    lost = any(found[part].panoptic is not None and one.panoptic is None for part, one in told.items())
    return Retold(folder, picked, told, lost)
