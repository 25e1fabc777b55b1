"""The report on a network of several heads, as text of a page: of a run folder, or of one evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from assay.metrics.reliability import reliability_bins
from assay.metrics.scene_evaluation import SceneEvaluation
from assay.report import charts, scene_charts, scene_shots, scene_tables, scene_words, sections
from assay.report.material import Material
from assay.report.scene_contents import BY_ANCHOR, scene_contents
from assay.report.template import fill, markup


def render_scene(material: Material, failed: Sequence[str] = ()) -> str:
    """The page as text. ``failed`` says what could not be made for it, and why."""
    e, run = material.scene, material.run
    values: dict[str, Any] = {
        "name": material.name,
        "dataset": run.get("dataset") or (e.dataset if e else ""),
        "status": run.get("status", ""),
        "command": sections.command_line(run.get("command")),
        "facts": sections.facts(material),
        "settings": sections.settings(run),
        "loss_chart": markup(charts.loss_chart(material.steps, [])),
        "losses_chart": markup(scene_charts.losses_chart(material.steps)),
        "scores_chart": markup(scene_charts.scores_chart(material.epochs)),
        "lr_chart": markup(charts.lr_chart(material.steps)),
        "notes": [*material.notes, *failed],
        "e": e,
        **(_measured(material, e) if e is not None else {}),
    }
    return fill(
        "scene.html",
        contents=scene_contents(_present(e)),
        how={anchor: section.how for anchor, section in BY_ANCHOR.items()},
        **values,
    )


def _present(e: SceneEvaluation | None) -> set[str]:
    """Anchors of the sections that the page has."""
    always = {"summary", "learning", "making"}
    if e is None:
        return always
    there = {
        "whole": e.whole,
        "pictures": e.boxes or e.pixels,
        "things": e.boxes,
        "pixels": e.pixels,
        "classes": e.classify,
        "tags": e.tags,
    }
    return always | {"probabilities"} | {anchor for anchor, part in there.items() if part is not None}


def _measured(material: Material, e: SceneEvaluation) -> dict[str, Any]:
    return {
        "headline": scene_words.headline(e),
        "second_line": scene_words.second_line(e),
        "points": scene_words.points(e, material.card),
        "cards": scene_tables.cards(e),
        "numbers": scene_tables.all_numbers(e),
        "funnel": scene_tables.funnel(e),
        "others": _other_parts(material, e),
        "interval_words": _interval(e),
        **_of_things(material, e),
        **_of_pixels(material, e),
        **_of_classes(material, e),
        "tags": scene_tables.tag_rows(e),
    }


def _of_things(material: Material, e: SceneEvaluation) -> dict[str, Any]:
    if e.boxes is None:
        return {"shots": [], "mistakes": [], "scores_of_things": None}
    matches = e.material.boxes
    scores = matches.scores[matches.scores >= e.boxes.calibration["least"]]
    return {
        "shots": scene_shots.thing_shots(e, material.root),
        "colours": scene_shots.outcome_colours(),
        "clean": sum(1 for one in e.pictures if one.things is not None and not (one.false or one.missed)),
        "mistakes": scene_tables.mistake_bar(e.boxes.mistakes),
        "things": scene_tables.thing_rows(e),
        "coco": scene_tables.coco_rows(e),
        "pr_chart": markup(scene_charts.precision_recall_chart(matches, e.told_from)),
        "scores_of_things": markup(scene_charts.thing_reliability_chart(e.boxes.calibration, scores)),
    }


def _of_pixels(material: Material, e: SceneEvaluation) -> dict[str, Any]:
    return {
        "planes": scene_shots.plane_shots(e, material.root),
        "pixel_rows": scene_tables.pixel_rows(e),
        "matrix_of_pixels": scene_tables.pixel_matrix(e),
    }


def _of_classes(material: Material, e: SceneEvaluation) -> dict[str, Any]:
    own = e.classify
    if own is None or not own.n:
        return {"classes": [], "galleries": None, "reliability_chart": None}
    return {
        "classes": sections.class_table(own),
        "confusion": sections.confusion_table(own),
        "confused": own.confused(20),
        "wrong": int((~own.right).sum()),
        "galleries": sections.galleries(own, material.root),
        "reliability_chart": markup(
            charts.reliability_chart(reliability_bins(own.probs, own.targets), own.confidence)
        ),
    }


def _other_parts(material: Material, shown: SceneEvaluation) -> list[dict[str, Any]]:
    return [
        {"part": e.part, "n": e.n, "cards": scene_tables.cards(e)}
        for e in material.scenes.values()
        if e is not shown
    ]


def _interval(e: SceneEvaluation) -> str:
    """What the intervals are, in words."""
    draws, groups = e.interval.get("draws", 0), e.interval.get("groups")
    of = f"{groups} groups of pictures" if groups else "pictures"
    if not draws:
        return "Shares have Wilson's intervals at 95\u202f%; the other numbers were measured without."
    return (
        f"Intervals are at 95\u202f%: Wilson for shares of pictures and of things told, with pictures of one group and "
        f"things of one picture counted as related; a bootstrap over {of} ({draws:,} draws) for the rest."
    )
