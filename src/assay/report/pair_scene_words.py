"""Two networks of several heads beside each other, in sentences and as a table."""

from __future__ import annotations

import math

from assay.metrics.interval import Estimate
from assay.metrics.scene_pictures import ScenePicture
from assay.report.findings import percent
from assay.report.scene_names import named, value_text
from assay.trials.scene_pair import SceneComparison


def headline(c: SceneComparison) -> str:
    """The verdict in one sentence."""
    return f"{c.verdict}."


def second_line(c: SceneComparison) -> str:
    """On what they are compared, and how to read the differences."""
    pictures = "picture" if c.n == 1 else "pictures"
    return (
        f"On the same {c.n:,} {c.part} {pictures}, every head on those whose truth is known. Differences are {c.a} "
        f"minus {c.b} in points, which are hundredths of a score, with 95\u202f% intervals over pictures."
    )


def points(c: SceneComparison) -> list[str]:
    """What else one should know."""
    found = []
    if len(c.heads) > 1:
        found.append(
            f"{len(c.heads)} heads were looked at, so a difference must be clearer to count as shown: its p, corrected "
            "by Holm, below 0.05 and its interval off zero."
        )
    if c.partings:
        better = sum(one.difference < 0 for one in c.partings)
        found.append(
            f"They part on {len(c.partings):,} of {c.n:,} pictures: {c.a} does better on {better:,}, {c.b} on "
            f"{len(c.partings) - better:,}."
        )
    else:
        found.append("Not one picture comes out better with either of them.")
    return [*found, *c.notes]


def interval_text(difference: Estimate) -> str:
    """``-1.0 to +3.2``, in points; a dash where it is undefined."""
    if not math.isfinite(difference.high - difference.low):
        return "–"
    return f"{100 * difference.low:+.1f} to {100 * difference.high:+.1f}"


def table_rows(c: SceneComparison) -> list[tuple[str, ...]]:
    """A header, and a row a head."""
    rows: list[tuple[str, ...]] = [("", c.a, c.b, "points", "95 % interval", "p, Holm", "pictures", "")]
    return rows + [(*cells(c, head), c.better_in(head) or "not shown") for head in c.heads]


def cells(c: SceneComparison, head: str) -> tuple[str, ...]:
    """What the score is called, both values, the difference with its interval and p, and on how many pictures."""
    one, p = c.heads[head], c.p[head]
    return (
        named(one.metric).title,
        value_text(one.metric, one.a),
        value_text(one.metric, one.b),
        f"{100 * one.difference.value:+.1f}" if math.isfinite(one.difference.value) else "–",
        interval_text(one.difference),
        f"{p:.3f}" if p >= 0.001 else "< 0.001",
        f"{one.n:,}",
    )


def outcome(one: ScenePicture) -> str:
    """What came out of a picture, in a few words."""
    told = []
    if one.label is not None:
        told.append("class right" if one.answer == one.label else f"class {one.answer}, is {one.label}")
    if one.things is not None:
        told.append(f"{one.true} of {one.things} things" + (f", {one.false} false" if one.false else ""))
    if one.pixel_iou is not None:
        told.append(f"pixels IoU {one.pixel_iou:.2f}")
    if one.tags_wrong is not None:
        wrong = f"{one.tags_wrong} tag{'s' if one.tags_wrong > 1 else ''} wrong"
        told.append(wrong if one.tags_wrong else "tags right")
    return ", ".join(told) + f" ({percent(one.badness, 0)} wrong)"
