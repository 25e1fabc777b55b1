"""What a comparison of networks shows, and what it does not, in sentences; and its table as text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from assay.metrics.scene_evaluation import MAIN
from assay.report.figure import compact
from assay.report.findings import percent
from assay.trials.summary import PairTest
from assay.trials.trials import Network, Trials

FEW_SEEDS = 3


def named(names: Sequence[str], most: int = 6) -> str:
    """``a, b and c``."""
    shown = list(names[:most]) + ([f"{len(names) - most} more"] if len(names) > most else [])
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def value(trials: Trials, number: float | None) -> str:
    """A score as people read it: in percent for classifiers, a plain number for several heads, a dash for none."""
    if number is None or not math.isfinite(number):
        return "–"
    return f"{number:.3f}" if trials.heads else percent(number)


def headline(trials: Trials) -> str:
    """The verdict in one sentence."""
    if trials.best is None:
        return (
            "Nothing has been measured yet."
            if not failed(trials)
            else "None of the networks could be trained."
        )
    best, part = trials.network(trials.best), trials.part
    if len(trials.ranked) == 1:
        told = value(trials, best.score(part))
        return (
            f"Only {best.name} could be measured: {'a mean score of' if trials.heads else 'right in'} {told}."
        )
    beaten = [t.a for t in trials.tests.get("best", ()) if t.better == best.name]
    others = [n.name for n in trials.ranked if n.name != best.name]
    if len(beaten) == len(others):
        return f"{best.name} is the best of these networks on this data."
    ahead = [t.a for t in trials.tests.get("best", ()) if t.better == t.a]
    if ahead:
        return f"Validation chose {best.name}, but the {part} pictures show {named(ahead)} to be better."
    if beaten:
        return f"{best.name} is ahead, but not shown to be better than {named([n for n in others if n not in beaten])}."
    return f"{best.name} is ahead, but these pictures do not show that it is better than any other."


def second_line(trials: Trials) -> str:
    """The winner's score with its two kinds of chance."""
    if trials.best is None:
        return ""
    best, part = trials.network(trials.best), trials.part
    score = best.scores.get(part)
    if score is None:
        return ""
    main, interval = score.score, score.interval
    if main is None:
        return ""
    seeds = f"the mean of {len(best.seeds)} seeds" if len(best.seeds) > 1 else "one seed"
    mean, low, high, least, most = (
        value(trials, v) for v in (main.mean, interval.low, interval.high, main.least, main.most)
    )
    line = f"It is right in {mean} of {score.n:,} {part} pictures ({seeds}). "
    if trials.heads:
        line = f"Its score, the mean over {named(trials.heads)}, is {mean} on {score.n:,} {part} pictures ({seeds}). "
    line += f"Other pictures of this kind may give {low} to {high}"
    if main.sd is not None:
        line += f"; training anew moved it between {least} and {most}"
    return line + "."


def points(trials: Trials) -> list[str]:
    """What else one should know, the most important first."""
    found = [
        _heads(trials),
        _shown(trials),
        _not_shown(trials),
        _families(trials),
        _thrift(trials),
        _seeds(trials),
    ]
    found += [_equal(trials), *_sizes(trials), *_tuning(trials), *_failures(trials), _chosen(trials)]
    return [sentence for sentence in found if sentence]


def _heads(trials: Trials) -> str:
    """Which network is first in which head, where that is not the winner everywhere."""
    if len(trials.heads) < 2 or trials.best is None:
        return ""
    first: dict[str, list[str]] = {}
    for head in trials.heads:
        means = {n.name: n.mean(MAIN[head], trials.part) for n in trials.ranked}
        known = {name: mean for name, mean in means.items() if mean is not None}
        if known:
            first.setdefault(max(known, key=lambda name: known[name]), []).append(head)
    if set(first) <= {trials.best}:
        return f"{trials.best} has the highest score in every head." if len(trials.ranked) > 1 else ""
    told = [f"{name} in {named(heads)}" for name, heads in first.items()]
    return f"Highest by head: {'; '.join(told)}."


def against_best(trials: Trials) -> tuple[PairTest, ...]:
    """The tests against the best network, the strongest opponent first."""
    return trials.tests.get("best", ())


def _shown(trials: Trials) -> str:
    lost = [t for t in against_best(trials) if t.better == trials.best]
    if not lost:
        return ""
    told = [f"{t.a} (by {_points(t)})" for t in lost]
    return f"Shown by these pictures and seeds: {trials.best} is better than {named(told)}."


def _not_shown(trials: Trials) -> str:
    open_ = [t for t in against_best(trials) if t.better is None]
    if not open_:
        return ""
    told = [f"{t.a} ({100 * t.wide.low:+.1f} to {100 * t.wide.high:+.1f} points)" for t in open_]
    differ = "differs" if len(open_) == 1 else "differ"
    return (
        f"Not shown: whether {named(told)} {differ} from {trials.best}. "
        "In brackets: what the difference may be, other pictures and other seeds considered."
    )


def _points(test: PairTest) -> str:
    return f"{100 * abs(test.wide.value):.1f} points"


def _families(trials: Trials) -> str:
    """The best of another family beside the winner."""
    ranked = trials.ranked
    if not ranked or trials.best is None:
        return ""
    family = ranked[0].family
    rival = next((n for n in ranked if n.family != family), None)
    test = next((t for t in against_best(trials) if rival is not None and t.a == rival.name), None)
    if rival is None or test is None:
        return ""
    state = "which is shown" if test.better else "which may be chance"
    way = "behind" if test.wide.value <= 0 else "ahead of"
    return f"The best {rival.family} is {rival.name}: {_points(test)} {way} the best {family}, {state}."


def _thrift(trials: Trials) -> str:
    """A smaller network that is not shown to be worse."""
    if trials.best is None:
        return ""
    best = trials.network(trials.best)
    equals = [trials.network(t.a) for t in against_best(trials) if t.better is None]
    smaller = [n for n in equals if n.macs and best.macs and n.macs < 0.6 * best.macs]
    if not smaller:
        return ""
    least = min(smaller, key=lambda n: n.macs or 0)
    return (
        f"{least.name} needs {compact(least.macs or 0)} multiply-adds a picture where {best.name} needs "
        f"{compact(best.macs or 0)}, and is not shown to be worse."
    )


def _seeds(trials: Trials) -> str:
    done = [n for n in trials.ranked if trials.part in n.scores]
    spreads = [n.scores[trials.part].score for n in done]
    known = [one.sd for one in spreads if one is not None and one.sd is not None]
    if not done:
        return ""
    if not known:
        return "One seed each: how much chance in training moves these scores is not known. Use --seeds 3 or more."
    sd = math.sqrt(sum(v * v for v in known) / len(known))
    few = "" if max(len(n.seeds) for n in done) >= FEW_SEEDS else " Two seeds tell little of it."
    moved = f"{100 * sd:.1f} points (one standard deviation)"
    return f"Training the same network with another seed moves its score by about {moved}.{few}"


def _equal(trials: Trials) -> str:
    equal, options = trials.request.get("equal"), trials.request.get("options", {})
    budget = ""
    if options.get("epochs"):
        times = "once" if options["epochs"] == 1 else f"{options['epochs']} times"
        budget = f"Each run sees the training pictures {times}."
    elif options.get("minutes"):
        budget = f"Each run has {options['minutes']:g} minutes by the clock."
    what = {
        "params": "All networks have about as many parameters: their widths were searched for that.",
        "flops": "All networks need about as many multiply-adds a picture: their widths were searched for that.",
        "minutes": "All runs had the same time on this machine; networks are as large as their makers left them.",
    }
    return " ".join(text for text in (what.get(str(equal), ""), budget) if text)


def _sizes(trials: Trials) -> list[str]:
    return [f"Not of the wished size: {network.note}." for network in trials.networks if network.note]


def _tuning(trials: Trials) -> list[str]:
    found = []
    for network in trials.networks:
        if network.tuned is None:
            continue
        trials_, best = network.tuned["trials"], network.tuned["best"]
        won = "the recipe as it is did best" if best <= 0 else f"trial {best} did best"
        note = f"; {network.tuned['note']}" if network.tuned["note"] else ""
        found.append(f"Tuning {network.name}: {len(trials_)} trials on validation, {won}{note}.")
    return found


def failed(trials: Trials) -> list[Network]:
    """The networks of which nothing could be trained."""
    return [n for n in trials.networks if n.failed and not n.scores]


def _failures(trials: Trials) -> list[str]:
    found = [f"{network.name} could not be trained: {network.failed}." for network in failed(trials)]
    for network in trials.networks:
        lost = [row for row in trials.rows if row.network == network.name and row.status == "failed"]
        if network.scores and lost:
            seeds = named([str(row.seed) for row in lost])
            found.append(
                f"{network.name} failed with seed {seeds} and is summed up without: {lost[0].reason}."
            )
    if waiting := sum(row.status == "waiting" for row in trials.rows):
        found.append(f"{waiting} of {len(trials.rows)} runs are still to come.")
    return found


def _chosen(trials: Trials) -> str:
    if trials.best is None:
        return ""
    if trials.part != "test":
        return "There is no test part, so the best is chosen and told on the same pictures: expect less on new ones."
    return "The best is chosen on validation and told on the test part, which nothing was chosen by."
