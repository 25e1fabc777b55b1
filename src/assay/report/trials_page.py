"""The page about a comparison of networks: what it shows, the table, costs, tests, learning, and how it was made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assay.files import write_file
from assay.report import trials_charts as charts
from assay.report import trials_words as words
from assay.report.figure import compact
from assay.report.findings import percent
from assay.report.sections import plain_text, span
from assay.report.template import fill, markup
from assay.report.trials_table import head_rows
from assay.trials.row import Row
from assay.trials.scene_summary import DRAWS
from assay.trials.summary import PairTest, PartScore, Spread
from assay.trials.trials import Network, Trials

FILE = "trials.html"


def write_trials(trials: Trials | str | Path, out: str | Path | None = None) -> Path:
    """Write the page of a comparison; returns where it is: ``trials.html`` in its folder when ``out`` is not given.

    Raises
    ------
    ConfigError : no comparison there. AssayError : the place cannot be written.
    """
    found = trials if isinstance(trials, Trials) else Trials.load(trials)
    place = Path(out) if out is not None else found.folder / FILE
    write_file(place, render_trials(found).encode("utf-8"))
    return place


def render_trials(trials: Trials) -> str:
    """The page as text."""
    tint = charts.colours(trials)
    return fill(
        "trials.html",
        name=trials.name,
        data=trials.data,
        status=trials.status,
        part=trials.part,
        headline=words.headline(trials),
        second_line=words.second_line(trials),
        points=words.points(trials),
        warnings=trials.warnings,
        networks=[_network(trials, network, tint[network.name]) for network in trials.ranked],
        failed=[n for n in trials.networks if not n.scores],
        majority=_majority(trials),
        heads=head_rows(trials),
        draws=DRAWS,
        scored="Score" if trials.heads else "Accuracy",
        costs=[{"told": cost.told, "svg": markup(svg)} for cost, svg in charts.cost_charts(trials)],
        tests=[_family(trials, key, tests) for key, tests in trials.tests.items() if tests],
        curves=markup(charts.curve_chart(trials)),
        tuning=markup(charts.tuning_chart(trials)),
        studies=[_study(network, tint[network.name]) for network in trials.networks if network.tuned],
        runs=[_run(trials, row) for row in trials.rows],
        facts=_facts(trials),
    )


def _network(trials: Trials, network: Network, colour: str) -> dict[str, Any]:
    score, held = network.scores.get(trials.part), network.score("validation")
    test = next((t for t in trials.tests.get("best", ()) if t.a == network.name), None)
    latency = network.latency or {}
    return {
        "name": network.name,
        "family": network.family,
        "colour": colour,
        "is_best": network.name == trials.best,
        "validation": words.value(trials, held),
        "seeds": len(network.seeds),
        "score": None if score is None or score.score is None else _score(trials, score, score.score),
        "parameters": "–" if network.parameters is None else compact(network.parameters),
        "macs": "–" if network.macs is None else compact(network.macs),
        "minutes": "–" if network.minutes is None else f"{network.minutes:.2f}",
        "pictures": "–" if network.pictures is None else compact(network.pictures),
        "latency": f"{latency['median_ms']:.2f}" if "median_ms" in latency else "–",
        "latency_spread": f"{latency['low_ms']:.2f} to {latency['high_ms']:.2f}"
        if "low_ms" in latency
        else "",
        "verdict": _verdict(test, network.name == trials.best),
        "options": plain_text(dict(network.options)) if network.options else "",
        "note": network.note,
    }


def _score(trials: Trials, score: PartScore, main: Spread) -> dict[str, Any]:
    others = score.metrics

    def told(number: float) -> str:
        return f"{number:.3f}" if trials.heads else f"{100 * number:.1f}"

    return {
        "mean": words.value(trials, main.mean),
        "scale": span(score.interval),
        "interval": f"{told(score.interval.low)} to {told(score.interval.high)}",
        "seeds": f"{told(main.least)} to {told(main.most)}",
        "sd": "–" if main.sd is None else told(main.sd),
        **{name: f"{others[name].mean:.3f}" if name in others else "–" for name in ("nll", "ece")},
        "f1": percent(others["macro_f1"].mean) if "macro_f1" in others else "–",
    }


def _verdict(test: PairTest | None, is_best: bool) -> dict[str, str]:
    if is_best:
        return {"kind": "best", "text": "best on validation"}
    if test is None:
        return {"kind": "", "text": "–"}
    if test.better is None:
        return {"kind": "open", "text": "not shown to differ"}
    return (
        {"kind": "worse", "text": "worse"} if test.better == test.b else {"kind": "better", "text": "better"}
    )


def _family(trials: Trials, key: str, tests: tuple[PairTest, ...]) -> dict[str, Any]:
    return {
        "against": tests[0].b,
        "is_best": key == "best",
        "chart": markup(charts.difference_chart(trials, tests)),
        "rows": [
            {
                "name": test.a,
                "difference": f"{100 * test.wide.value:+.1f}",
                "pictures": f"{100 * test.pictures.low:+.1f} to {100 * test.pictures.high:+.1f}",
                "wide": f"{100 * test.wide.low:+.1f} to {100 * test.wide.high:+.1f}",
                "seeds": ", ".join(f"{100 * value:+.1f}" for value in test.by_seed),
                "p": _p(test.p),
                "p_mcnemar": _p(test.p_mcnemar),
                "p_holm": _p(test.p_holm),
                "verdict": _verdict(test, is_best=False),
            }
            for test in tests
        ],
    }


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _study(network: Network, colour: str) -> dict[str, Any]:
    study = network.tuned or {}
    rows = [
        {
            "number": trial["number"],
            "is_best": trial["number"] == study["best"],
            "options": plain_text(trial["options"]) if trial["options"] else "the recipe itself",
            "accuracy": percent(trial["score"]["accuracy"]) if trial["score"] else "–",
            "loss": f"{trial['score']['loss']:.3f}" if trial["score"] else "–",
            "seconds": f"{trial['seconds']:.0f}",
            "reason": trial["reason"],
        }
        for trial in study["trials"]
    ]
    return {"name": network.name, "colour": colour, "rows": rows, "note": study["note"]}


def _run(trials: Trials, row: Row) -> dict[str, Any]:
    scores = {part: row.scores.get(part, {}).get(trials.metric) for part in ("validation", "test")}
    return {
        "network": row.network,
        "seed": row.seed,
        "status": row.status,
        "reason": row.reason,
        "folder": row.run,
        "minutes": "–" if row.minutes is None else f"{row.minutes:.2f}",
        "steps": "–" if row.steps is None else f"{row.steps:,}",
        "epochs": "–" if row.epochs is None else f"{row.epochs:.1f}",
        **{part: words.value(trials, value) for part, value in scores.items()},
    }


def _majority(trials: Trials) -> str:
    share = trials.data.get("majority", {}).get(trials.part)
    return "" if share is None else percent(share)


def _facts(trials: Trials) -> list[tuple[str, str]]:
    request, data = trials.request, trials.data
    options = {name: value for name, value in request["options"].items() if value is not None}
    rows: list[tuple[str, Any]] = [
        ("data", request["data"]),
        ("pictures", data.get("parts")),
        ("heads", ", ".join(trials.heads)),
        ("classes", len(data.get("classes", []))),
        ("classes of things", len(data.get("object_classes", [])) or None),
        ("classes of pixels", len(data.get("pixel_classes", [])) or None),
        ("split hash", f"{data.get('split_hash')} (the same in every run)"),
        (
            "made equal",
            {"params": "parameters", "flops": "multiply-adds", "minutes": "minutes"}.get(request["equal"]),
        ),
        ("seeds", request["seeds"]),
        ("tuning", f"{request['tune_minutes']:g} minutes a network" if request["tune"] else None),
        ("options of all", options or None),
        ("hours in all", f"{trials.seconds / 3600:.2f}"),
        ("machine", data.get("machine")),
    ]
    return [(name, plain_text(value)) for name, value in rows if value not in (None, "", {}, [])]
