"""The tables of a comparison of networks as text."""

from __future__ import annotations

from assay.metrics.scene_evaluation import MAIN
from assay.report.figure import compact
from assay.report.scene_names import named, value_text
from assay.report.trials_words import against_best, failed
from assay.trials.summary import PairTest, PartScore
from assay.trials.trials import Network, Trials


def table_rows(trials: Trials) -> list[tuple[str, ...]]:
    """The table as text: a header, and a row a network, the best first; failed ones last."""
    part = trials.part
    scores = ("network", "validation", part, "seeds from - to", "95 % pictures")
    rows: list[tuple[str, ...]] = [(*scores, "parameters", "MACs", "minutes", "ms", "against the best")]
    tests = {test.a: test for test in against_best(trials)}
    for network in trials.ranked:
        score = network.scores.get(part)
        verdict = (
            "best on validation" if network.name == trials.best else _verdict(tests.get(network.name), trials)
        )
        rows.append((network.name, *_score_cells(trials, network, score), *_cost_cells(network), verdict))
    for network in failed(trials):
        rows.append((network.name, *("–",) * 4, *_cost_cells(network), f"failed: {network.failed}"))
    return rows


def _score_cells(trials: Trials, network: Network, score: PartScore | None) -> tuple[str, ...]:
    held = network.score("validation")
    told = "–" if held is None else _cell(trials, held)
    if score is None or score.score is None:
        return told, "–", "–", "–"
    a, i = score.score, score.interval
    least, most, low, high = (_cell(trials, v).removesuffix(" %") for v in (a.least, a.most, i.low, i.high))
    return told, _cell(trials, a.mean), f"{least} - {most}", f"[{low}, {high}]"


def _cell(trials: Trials, number: float) -> str:
    return f"{number:.3f}" if trials.heads else f"{100 * number:.1f} %"


def head_rows(trials: Trials) -> list[tuple[str, ...]]:
    """The main score of each head as text: a header, and a row a network; empty for classifiers."""
    if not trials.heads:
        return []
    rows = [(trials.part, *(named(MAIN[head]).title for head in trials.heads))]
    return rows + [(n.name, *(head_cell(trials, n, head) for head in trials.heads)) for n in trials.ranked]


def head_cell(trials: Trials, network: Network, head: str) -> str:
    """Mean over the seeds of a head's main score, with its spread where there are several."""
    score = network.scores.get(trials.part)
    found = None if score is None else score.metrics.get(MAIN[head])
    if found is None:
        return "–"
    mean, least, most = (value_text(MAIN[head], v) for v in (found.mean, found.least, found.most))
    return mean if found.sd is None else f"{mean} ({least} - {most})"


def _cost_cells(network: Network) -> tuple[str, ...]:
    median = (network.latency or {}).get("median_ms")
    return (
        "–" if network.parameters is None else compact(network.parameters),
        "–" if network.macs is None else compact(network.macs),
        "–" if network.minutes is None else f"{network.minutes:.2f}",
        "–" if median is None else f"{median:.2f}",
    )


def _verdict(test: PairTest | None, trials: Trials) -> str:
    if test is None:
        return "–"
    state = {trials.best: "worse", test.a: "better", None: "not shown to differ"}[test.better]
    return f"{state} ({100 * test.wide.value:+.1f} points, p {test.p_holm:.2g})"
