"""What the numbers of a network of several heads are called, and what each says in a few words."""

from __future__ import annotations

from typing import NamedTuple

from assay.metrics.evaluate import load_metrics
from assay.metrics.interval import Estimate
from assay.report.text import SHARES, format_interval, format_value


class Named(NamedTuple):
    """A number's ``title``, whether people read it in percent, and what it says."""

    title: str
    is_share: bool
    explained: str


_THINGS = {
    "ap50_95": Named(
        "AP50-95",
        False,
        "average precision, mean over classes and over overlaps from 0.50 to 0.95: finding, naming and fitting in one",
    ),
    "ap50": Named("AP50", False, "average precision where an overlap of half is enough"),
    "ap75": Named("AP75", False, "average precision where boxes or outlines must fit well"),
    "precision": Named("precision", True, "share of what is told that is there"),
    "recall": Named("recall", True, "share of what is there that is told"),
    "f1": Named("F1", True, "precision and recall in one"),
    "ece": Named("ECE", False, "how far scores are from the share that is right; lower is better"),
}
_PARTS = {
    "tags": {
        "map": Named("tags, mAP", False, "how well tagged pictures are ranked above others, mean over tags"),
        "f1": Named("tags, F1", True, "precision and recall in one, every tag counting alike"),
        "f1_all": Named("tags, F1 of all", True, "precision and recall in one, every answer counting alike"),
    },
    "pixels": {
        "miou": Named("mean IoU", False, "overlap of each class of pixels with the truth, mean over classes"),
        "miou_foreground": Named("mean IoU, foreground", False, "the same without the background's help"),
        "dice": Named("Dice", False, "as IoU, counting the overlap twice: the F1 of pixels"),
        "pixel_accuracy": Named("pixels right", True, "share of pixels with the right class"),
        "majority": Named("commonest class", True, "share that one gets right by always naming it"),
        "fw_iou": Named("IoU by frequency", False, "mean IoU, common classes counting more"),
        "boundary_f1": Named("boundary F1", False, "how well outlines of classes are met, within 0.75 %"),
    },
    "panoptic": {
        "pq": Named("panoptic quality", False, "every pixel in one segment: found, named and fitted in one"),
        "sq": Named("segmentation quality", False, "mean overlap of segments that were found"),
        "rq": Named("recognition quality", False, "F1 of finding segments"),
        "pq_things": Named("panoptic quality, things", False, "of single things"),
        "pq_stuff": Named("panoptic quality, rest", False, "of pixel classes that are no single things"),
    },
    "whole": {
        "found": Named("found", True, "share of things under a box of any class"),
        "right_class": Named("found with the right class", True, "share of things"),
        "right_outline": Named("found with class and outline", True, "share of things"),
        "all_right": Named(
            "all right",
            True,
            "share of pictures with the right class, every thing found and nothing else told",
        ),
    },
}


def named(name: str) -> Named:
    """What a metric of ``SceneEvaluation.metrics`` is called; its flat name where it has no other."""
    part, _, own = name.partition(".")
    if part in ("boxes", "masks") and own in _THINGS:
        known = _THINGS[own]
        return known._replace(title=f"{part}, {known.title}")
    if own:
        return _PARTS.get(part, {}).get(own, Named(name, False, ""))
    metrics = load_metrics()
    return Named(metrics[name].title if name in metrics else name, name in SHARES, "")


def value_text(name: str, number: float | None) -> str:
    """The number as people read it."""
    return format_value(_kind(name), number)


def interval_text(name: str, estimate: Estimate) -> str:
    """``[low, high]``, or nothing where it is undefined."""
    return format_interval(_kind(name), estimate)


def _kind(name: str) -> str:
    return "accuracy" if named(name).is_share else "other"
