"""What an evaluation of a network of several heads means, in sentences that a person who trains no networks can use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from assay.metrics.scene_evaluation import SceneEvaluation
from assay.report.findings import FEW, percent

_WIDE = 0.15
"""An interval wider than this says little."""
MISTAKES = {
    "missed": ("missed", "a thing on which nothing was told"),
    "background": ("background", "something is told where nothing is"),
    "place": ("wrong place", "on a thing of its class, but it fits too badly"),
    "class": ("wrong class", "on a thing of another class"),
    "both": ("both wrong", "too far off, and of another class"),
    "duplicate": ("told twice", "on a thing that a better one has found"),
}
"""Kind of mistake (``metrics.mistakes``) -> its name, and what it says; the graver first."""


def headline(e: SceneEvaluation) -> str:
    """The verdict in one sentence; tags are in it where nothing else was measured."""
    part = "" if e.part == "all" else f"{e.part} "
    said = []
    if e.classify is not None:
        said.append(f"is right about the class in {percent(e.metrics['accuracy'].value)}")
    if e.whole is not None:
        said.append(f"finds and rightly names {percent(e.metrics['whole.right_class'].value)} of the things")
    if e.pixels is not None:
        said.append(f"meets the pixels with a mean IoU of {number(e.metrics['pixels.miou'].value)}")
    if e.tags is not None and not said:
        said.append(f"ranks tags with a mean average precision of {number(e.metrics['tags.map'].value)}")
    of = f"{e.n:,} {part}{'pictures' if e.n != 1 else 'picture'}"
    return f"On {of} it {_joined(said)}." if said else f"Nothing could be measured on {of}."


def second_line(e: SceneEvaluation) -> str:
    """How many pictures are right as a whole, and how far all of this may be off."""
    if e.whole is not None:
        share = e.metrics["whole.all_right"]
        return (
            f"In {percent(share.value)} of the pictures all is right: "
            f"{'its class, ' if e.classify is not None else ''}every thing, and nothing else told "
            f"({percent(share.low)} to {percent(share.high)} is plausible, 95\u202f% interval)."
        )
    if e.pixels is not None:
        right, most = e.metrics["pixels.pixel_accuracy"], e.metrics["pixels.majority"]
        return (
            f"{percent(right.value)} of all pixels are right; always naming the commonest class would give "
            f"{percent(most.value)}."
        )
    return "Below each number stands what it may well be on other pictures of the same kind."


def points(e: SceneEvaluation, card: Mapping[str, Any]) -> list[str]:
    """What else one should know, the most important first."""
    found = [_told(e, card), _fit(e), _commonest_mistake(e), _weakest_thing(e), _unsound_scores(e)]
    found += [_pixel_share(e), _weakest_pixels(e), *cautions(e)]
    return [sentence for sentence in found if sentence]


def _told(e: SceneEvaluation, card: Mapping[str, Any]) -> str:
    if e.boxes is None:
        return ""
    picked = (card.get("thresholds") or {}).get("boxes") or {}
    why = ""
    if picked.get("target") and math.isclose(float(picked.get("score", -1)), e.told_from, abs_tol=1e-6):
        why = f", which validation picked for {_target(picked)}"
    precision, recall = e.boxes.estimates["precision"], e.boxes.estimates["recall"]
    return (
        f"Things are told from a score of {e.told_from:.2f} on{why}: {percent(precision.value, 0)} of what is told is "
        f"there (precision), and {percent(recall.value, 0)} of what is there is told (recall)."
    )


def _target(picked: Mapping[str, Any]) -> str:
    target, value = str(picked["target"]), picked.get("value")
    if target == "cost":
        return f"the least cost, a missed thing counting as {float(value or 1):g} false"
    if target == "f1":
        return "the greatest F1"
    return f"a {target} of {percent(float(value or 0), 0)}"


def _fit(e: SceneEvaluation) -> str:
    if e.whole is None or not e.whole.things:
        return ""
    found, named, fitted = (
        e.whole.estimates[name].value for name in ("found", "right_class", "right_outline")
    )
    outline = "outline" if e.whole.outline == "masks" else "close box"
    return (
        f"Of {e.whole.things:,} things {percent(found, 0)} are found, {percent(named, 0)} with the right class, "
        f"{percent(fitted, 0)} with the right {outline} too."
    )


def _commonest_mistake(e: SceneEvaluation) -> str:
    if e.boxes is None:
        return ""
    counts = {kind: e.boxes.mistakes[kind] for kind in MISTAKES}
    total, worst = sum(counts.values()), max(counts, key=lambda kind: counts[kind])
    if not total:
        return (
            "It makes no mistake with things. Make sure that no near copy of these pictures was trained on."
        )
    name, told = MISTAKES[worst]
    return f"Its commonest mistake with things is “{name}” ({counts[worst]:,} of {total:,}): {told}."


def _weakest_thing(e: SceneEvaluation) -> str:
    rows = [] if e.boxes is None else [row for row in e.boxes.per_class if row["objects"] >= FEW]
    if len(rows) < 2:
        return ""
    worst = min(rows, key=lambda row: float(row["ap50"]["value"] or 0))
    return (
        f"Its weakest class of things is “{worst['class']}”: AP50 {number(worst['ap50']['value'])} "
        f"with {worst['objects']:,} of them."
    )


def _unsound_scores(e: SceneEvaluation) -> str:
    if e.boxes is None or not e.boxes.calibration["n"]:
        return ""
    ece, floor = e.boxes.estimates["ece"].value, e.boxes.calibration["floor"]["high"]
    if not math.isfinite(ece) or floor is None or ece <= floor:
        return ""
    return (
        f"The scores of things are no probabilities: they are off by {ece:.2f} on average "
        f"(chance alone: up to {floor:.2f}). Take them as an order."
    )


def _pixel_share(e: SceneEvaluation) -> str:
    if e.pixels is None or e.whole is None:
        return ""  # without things the second line says it
    right, most = e.metrics["pixels.pixel_accuracy"], e.metrics["pixels.majority"]
    return (
        f"{percent(right.value, 0)} of all pixels are right; always naming the commonest class would give "
        f"{percent(most.value, 0)}."
    )


def _weakest_pixels(e: SceneEvaluation) -> str:
    rows = [] if e.pixels is None else [row for row in e.pixels.per_class if row["pixels"]]
    if len(rows) < 2:
        return ""
    worst = min(rows, key=lambda row: float(row["iou"]["value"] or 0))
    return (
        f"Its weakest class of pixels is “{worst['class']}”: IoU {number(worst['iou']['value'])}, "
        f"{percent(worst['share'])} of the pixels."
    )


def cautions(e: SceneEvaluation) -> list[str]:
    """Reasons to trust the numbers less."""
    found = []
    if e.boxes is not None:
        ap = e.boxes.estimates["ap50_95"]
        if ap.high - ap.low > _WIDE:
            found.append(
                f"AP50-95 may be anything from {ap.low:.2f} to {ap.high:.2f}: more labelled pictures would narrow it."
            )
        few = [row["class"] for row in e.boxes.per_class if 0 < row["objects"] < FEW]
        if few:
            named = ", ".join(f"“{name}”" for name in few[:4]) + (" and others" if len(few) > 4 else "")
            found.append(f"Fewer than {FEW} things of {named}: too few to say anything about them.")
    if e.part == "validation":
        found.append("These pictures also chose the weights, so expect a little less on new ones.")
    if e.part == "train":
        found.append(
            "These are the pictures that it learned from: nothing here says how it does on new ones."
        )
    if groups := e.interval.get("groups"):
        found.append(f"Pictures come in {groups} groups of related ones; intervals take that into account.")
    if e.unreadable:
        found.append(f"Left out: {_pictures(len(e.unreadable))} that cannot be read.")
    if e.faulty:
        found.append(
            f"Left out of a part: {_pictures(len(e.faulty))} whose truth cannot be used, such as "
            f"{e.faulty[0]['path']}."
        )
    if e.unlabelled:
        found.append(f"Left out: {_pictures(e.unlabelled)} without any label for it.")
    return found


def _pictures(n: int) -> str:
    return "one picture" if n == 1 else f"{n:,} pictures"


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def number(value: float | None) -> str:
    """Three digits, a dash where it is undefined."""
    return f"{value:.3f}" if value is not None and math.isfinite(value) else "–"
