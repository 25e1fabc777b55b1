"""A Prediction in short sentences, for a line of text and for the bar below a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.answer_fields import pixel_shares

if TYPE_CHECKING:
    from assay.types import Prediction

MOST_THINGS, MOST_PLANES = 8, 4
TAG = 0.5
"""Probability from which a tag is told, where the card names no other."""


def sentences(prediction: Prediction, top: int = 1, tag_score: float = TAG) -> list[str]:
    """One for each part that is told: class, tags, things, pixels.

    ``["mug 98 %", "tags: blue 91 %", "2 things: mug .97, shoe .91 (kind: low-top 88 %)", "pixels: wall 61 %"]``
    """
    told = []
    if len(prediction.probs):
        told.append(", ".join(f"{name} {_percent(p)}" for name, p in prediction.top(top)))
    if prediction.tags is not None:
        told.append(tag_words(prediction, tag_score))
    if prediction.boxes is not None:
        told.append(thing_words(prediction))
    if prediction.pixels is not None:
        shares = [f"{prediction.pixel_classes[i]} {_percent(share)}" for i, share in pixel_shares(prediction)]
        told.append("pixels: " + _shortened(shares, MOST_PLANES))
    return told


def tag_words(prediction: Prediction, least: float = TAG) -> str:
    """``tags: blue 91 %, worn 60 %``, the likeliest first; ``no tags``."""
    assert prediction.tags is not None
    order = [int(i) for i in (-prediction.tags).argsort(kind="stable") if prediction.tags[i] >= least]
    told = [f"{prediction.classes[i]} {_percent(float(prediction.tags[i]))}" for i in order]
    return "tags: " + ", ".join(told) if told else "no tags"


def thing_words(prediction: Prediction) -> str:
    """``2 things: mug .97, shoe .91``; ``no things``."""
    found = prediction.boxes
    if found is None or not len(found):
        return "no things"
    named = [
        f"{prediction.object_classes[int(label)]} {_score(float(score))}{_of_crop(prediction, i)}"
        for i, (label, score) in enumerate(zip(found.labels, found.scores, strict=True))
    ]
    return f"{len(found)} thing{'s' * (len(found) != 1)}: {_shortened(named, MOST_THINGS)}"


def crop_words(prediction: Prediction, i: int) -> list[str]:
    """What each further model says of thing ``i``: ``["kind: low-top 88 %"]``."""
    told = []
    for step, answers in prediction.crops.items():
        crop = answers[i]
        if crop is None:
            continue
        said = "; ".join(sentences(crop)) if crop.error is None else crop.error
        told.append(f"{step}: {said}")
    return told


def _of_crop(prediction: Prediction, i: int) -> str:
    told = "; ".join(crop_words(prediction, i))
    return f" ({told})" if told else ""


def _shortened(parts: list[str], most: int) -> str:
    return ", ".join(parts[:most]) + (", ..." if len(parts) > most else "")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _score(score: float) -> str:
    """.97; 1.00 for a certain one."""
    return f"{score:.2f}".removeprefix("0")
