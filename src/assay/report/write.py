"""The report: one self-contained HTML page about a run, or about one evaluation of a Bundle.

No script, no request to anywhere (a content security policy forbids both): style, charts and pictures are in the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay.errors import ConfigError
from assay.files import write_file
from assay.metrics.evaluation import Evaluation
from assay.metrics.reliability import reliability_bins
from assay.metrics.scene_evaluation import SceneEvaluation
from assay.report import charts, findings, sections
from assay.report.completion import OnProgress, complete
from assay.report.contents import BY_ANCHOR, contents
from assay.report.further import further
from assay.report.material import Material, read_material
from assay.report.scene_page import render_scene
from assay.report.template import fill, markup
from assay.trials.evaluations import read_evaluation


def write_report(
    source: str | Path | Evaluation | SceneEvaluation,
    out: str | Path | None = None,
    *,
    full: bool = False,
    on_progress: OnProgress | None = None,
) -> Path:
    """Write the page; returns where it is.

    Parameters
    ----------
    source : a run folder (the page is its ``report.html`` when ``out`` is not given), the JSON file of an
        evaluation, or an Evaluation or SceneEvaluation (``out`` is needed then).
    out : the file to write.
    full : of a run folder, first make what is missing of map, look-alikes and explanations, and keep it there. This
        needs torch and some minutes. Otherwise the page shows what was made before. Of a network of several heads
        there are none of these.
    on_progress : called with (what is made, steps done, steps in all or None).

    Raises
    ------
    ConfigError : no such run, or no place to write to.
    AssayError : the disk is full, or the place cannot be written.
    """
    material = _material(source)
    if out is None and isinstance(source, Evaluation | SceneEvaluation):
        raise ConfigError("a report of an evaluation needs a place", fix="give out, the file to write")
    place = Path(out) if out is not None else _beside(Path(str(source)))
    page = render_scene(material) if material.is_scene else _classifier_page(material, full, on_progress)
    write_file(place, page.encode("utf-8"))
    return place


def _classifier_page(material: Material, full: bool, on_progress: OnProgress | None) -> str:
    failed = complete(material.folder, on_progress) if full and material.folder is not None else []
    return render(material, failed)


def _beside(source: Path) -> Path:
    return source / "report.html" if source.is_dir() else source.with_suffix(".html")


def _material(source: str | Path | Evaluation | SceneEvaluation) -> Material:
    if isinstance(source, str | Path):
        path = Path(source)
        if not path.is_file():
            return read_material(path)
        source = read_evaluation(path)
    if isinstance(source, SceneEvaluation):
        return Material(source.model, scenes={source.part: source})
    return Material(source.model, evaluations={source.part: source})


def render(material: Material, failed: Sequence[str] = ()) -> str:
    """The page about a classifier as text. ``failed`` says what could not be made for it, and why."""
    values = {**_common(material), **_measured(material), **further(material, failed)}
    return fill(
        "report.html",
        contents=contents(_present(values)),
        how={anchor: section.how for anchor, section in BY_ANCHOR.items()},
        **values,
    )


def _present(values: dict[str, Any]) -> set[str]:
    """Anchors of the sections that the page has."""
    always = {"summary", "learning", "making"}
    measured = {"mistakes", "classes", "probabilities"} if values["e"] is not None else set()
    found = {"samples": "samples", "alike": "alike", "map": "map"}
    found |= {"abstain": "abstain", "explanations": "explain"}
    return always | measured | {anchor for anchor, name in found.items() if values[name]}


def _common(material: Material) -> dict[str, Any]:
    run = material.run
    return {
        "name": material.name,
        "dataset": run.get("dataset") or (material.evaluation.dataset if material.evaluation else ""),
        "status": run.get("status", ""),
        "command": sections.command_line(run.get("command")),
        "facts": sections.facts(material),
        "settings": sections.settings(run),
        "samples": sections.class_samples(material),
        "loss_chart": markup(charts.loss_chart(material.steps, material.epochs)),
        "accuracy_chart": markup(charts.accuracy_chart(material.epochs, _majority(material))),
        "lr_chart": markup(charts.lr_chart(material.steps)),
    }


def _measured(material: Material) -> dict[str, Any]:
    e = material.evaluation
    if e is None:
        return {"e": None}
    baselines = material.run.get("baselines")
    ladder = findings.rivals(e, baselines if isinstance(baselines, dict) else {})
    return {
        "e": e,
        "headline": findings.headline(e),
        "second_line": findings.second_line(e),
        "points": findings.points(e, ladder),
        "cards": sections.metric_cards(e),
        "metrics": sections.all_metrics(e),
        "ladder": [
            {
                "name": r.name,
                "is_model": r.is_model,
                "value": findings.percent(r.accuracy.value),
                "scale": sections.span(r.accuracy),
            }
            for r in ladder
        ],
        "galleries": sections.galleries(e, material.root),
        "risk": [_risk_row(findings.risk_at(e, t)) for t in findings.THRESHOLDS],
        "risk_chart": markup(charts.risk_chart(*findings.risk_curve(e))),
        "reliability_chart": markup(
            charts.reliability_chart(reliability_bins(e.probs, e.targets), e.confidence)
        ),
        "classes": sections.class_table(e),
        "confusion": sections.confusion_table(e),
        "confused": e.confused(20),
        "wrong": int((~e.right).sum()),
        "others": _other_parts(material, e),
    }


def _risk_row(row: dict[str, Any]) -> dict[str, Any]:
    wrong = row["wrong"]
    return {
        "threshold": findings.percent(row["threshold"], 0),
        "share": findings.percent(row["share"], 1),
        "n": row["n"],
        "mistakes": row["mistakes"],
        "wrong": findings.percent(wrong.value),
        "interval": f"{100 * wrong.low:.1f} to {100 * wrong.high:.1f}" if row["n"] else "",
    }


def _other_parts(material: Material, shown: Evaluation) -> list[dict[str, Any]]:
    others = [e for e in material.evaluations.values() if e is not shown]
    return [
        {"part": e.part, "n": e.n, "accuracy": sections.all_metrics(e)[0]}
        for e in others
        if "accuracy" in e.metrics
    ]


def _majority(material: Material) -> float | None:
    baselines = material.run.get("baselines")
    found = baselines.get("majority") if isinstance(baselines, dict) else None
    part = found.get("validation", found) if isinstance(found, dict) else None
    accuracy = part.get("accuracy") if isinstance(part, dict) else None
    value = accuracy.get("value") if isinstance(accuracy, dict) else None
    return float(value) if isinstance(value, int | float) else None
