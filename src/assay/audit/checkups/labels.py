"""Labels that look wrong: confident learning over out-of-fold probabilities, through cleanlab.

Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels", section 3: which
pictures are in doubt is cleanlab's ``filter_by="both"``, how much of the labels may be wrong is its estimate of the
joint of given and true labels; the order is that of self-confidence, the probability of the given label. Judged by
looking alone: no table beside the pictures is used.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.audit.examination import Examination
from assay.audit.finding import Finding, Item, finding
from assay.audit.label_chance import Contradictions, contradictions
from assay.audit.neighbours import find_outliers, nearest_of_class
from assay.audit.rows import group_codes, paths_of
from assay.audit.vectors import Vectors, why_not_learn
from assay.data.check_objects import describes_things
from assay.data.names import some

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

LEAST = 5
"""A class with fewer pictures cannot be learnt, so its labels are not judged."""
_DOUBT, _TIMES_NOISE = 0.1, 1.5
_STRONG = 0.05
_FALSIFIED = 100
_CONFUSED, _MOST_PAIRS = 0.25, 20


@dataclass(frozen=True)
class Judged:
    """``places`` (R,) of the vectors' rows, those of classes that are large enough (``classes`` (C,), numbers in the
    data set); ``given`` (R,) numbers within ``classes``, ``probs`` (R, C) over them.
    """

    places: Ints
    classes: Ints
    given: Ints
    probs: Floats

    @property
    def own(self) -> Floats:
        """(R,) the probability of the given label."""
        found: Floats = self.probs[np.arange(len(self.given)), self.given]
        return found


def check_labels(examination: Examination) -> Iterator[Finding]:
    """Likely wrong labels, classes that are hard to tell apart, pictures like none of the classes."""
    if not len(examination.dataset.classes) and describes_things(examination.dataset):
        return
    reason = why_not_learn(examination)
    if reason is not None:
        yield _cannot_tell(f"The labels were not judged: {reason}.")
        return
    vectors = examination.vectors
    judged = judge(vectors)
    if judged is None:
        yield _cannot_tell(f"The labels were not judged: fewer than two classes have {LEAST} pictures.")
        return
    if vectors.accuracy.low <= vectors.chance:
        yield _cannot_tell(
            f"The labels cannot be judged by looking: from {vectors.how}, {vectors.accuracy.value:.0%} of the "
            f"pictures are told right [{vectors.accuracy.low:.0%}, {vectors.accuracy.high:.0%}], and always naming the "
            f"commonest class gives {vectors.chance:.0%}. A list of doubtful labels would be noise.",
            _judge_figures(vectors),
        )
        return
    examination.progress("judging labels", 0, 3)
    yield _doubtful(examination, vectors, judged)
    examination.progress("judging labels", 1, 3)
    yield from _confusable(examination, judged)
    examination.progress("judging labels", 2, 3)
    yield from _outliers(examination, vectors)
    examination.progress("judging labels", 3, 3)


def judge(vectors: Vectors) -> Judged | None:
    """The pictures of classes with LEAST pictures, with probabilities over these classes."""
    counts = np.bincount(vectors.targets, minlength=vectors.probs.shape[1])
    classes = np.flatnonzero(counts >= LEAST)
    if len(classes) < 2:
        return None
    number = np.full(len(counts), -1)
    number[classes] = np.arange(len(classes))
    places = np.flatnonzero(number[vectors.targets] >= 0)
    probs = vectors.probs[np.ix_(places, classes)].astype(np.float64)
    probs /= probs.sum(axis=1, keepdims=True)
    return Judged(places, classes, number[vectors.targets[places]], probs)


def doubtful(judged: Judged) -> tuple[Ints, float]:
    """((D,) numbers of judged pictures whose label is in doubt, the worst first; estimated share of wrong labels)."""
    from cleanlab.count import estimate_joint  # noqa: PLC0415 - a second
    from cleanlab.filter import find_label_issues  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cleanlab warns of what is told in words here
        joint = estimate_joint(judged.given, judged.probs)
        marked = find_label_issues(judged.given, judged.probs, filter_by="both", n_jobs=1)
    share = float(1 - np.trace(joint))
    own = judged.own
    marked = marked & (own < max(_DOUBT, _TIMES_NOISE * share))
    found = np.flatnonzero(marked)
    return found[np.argsort(own[found], kind="stable")], share


def _doubtful(examination: Examination, vectors: Vectors, judged: Judged) -> Finding:
    found, share = doubtful(judged)
    own = judged.own
    figures: dict[str, Any] = {**_judge_figures(vectors), "estimated_share": round(share, 4)}
    told = (
        f"The judge ({vectors.how}) is right for {vectors.accuracy.value:.0%} of the pictures, none of which it was "
        "trained on"
    )
    if not len(found):
        what = f"No label stands out as wrong among {len(judged.given):,}. {told}."
        return Finding("good", "labels-look-right", "No label stands out as wrong", what, figures=figures)
    strong = int((own[found] < _STRONG).sum())
    power = _found_on_purpose(judged, examination.config.seed)
    groups = _groups_of(examination, vectors.rows[judged.places])
    chance = contradictions(judged.probs, judged.given, groups)
    fault = _whose_fault(chance, by_group=groups is not None)
    figures |= {"strong": strong, "found_of_falsified": round(power, 3), "judged": len(judged.given)}
    figures["chance"] = chance.to_dict()
    listed = found[: examination.config.most]
    return finding(
        "warning" if chance.shown else "note",
        "label-issues",
        "Labels that look wrong" if chance.shown else "Labels worth a second look",
        (
            f"For one picture another class fits better than its label. {told}. {fault}",
            f"For {{n}} pictures ({len(found) / len(own):.1%}) another class fits better than their label, for "
            f"{strong:,} of them clearly. {told}; where it errs, right labels come onto this list. {fault} "
            f"By its estimate about {share:.1%} of all labels are wrong. Of labels falsified on purpose the list finds "
            f"{power:.0%}.",
        ),
        "Look at the pictures from the top of the list, beside those that carry the suggested label, and mend what is "
        "wrong. Do not change labels unseen.",
        list(_items(examination, vectors, judged, listed)),
        count=len(found),
        most=examination.config.most,
        figures=figures,
    )


def _groups_of(examination: Examination, rows: Ints) -> Ints | None:
    """(R,) group numbers, a number of its own for a picture without one; None where there are no groups."""
    codes, names = group_codes(examination.dataset)
    if len(names) < 2:
        return None
    found = codes[rows].astype(np.int64)
    return np.where(found >= 0, found, len(names) + np.arange(len(found)))


def _whose_fault(chance: Contradictions, *, by_group: bool) -> str:
    """Whether wrong labels are shown, or the list is what such a judge makes of right ones."""
    what = "groups with a label that contradicts it" if by_group else "labels that contradict it"
    counted = f"among the {chance.pictures:,} pictures that it is surest of there are {chance.found:,} {what}"
    expected = f"about {chance.expected:,.0f}" if chance.expected >= 1.5 else "one or two"
    if chance.stand_out:
        return f"Some labels are wrong: {counted}, where {expected} would be if all were right."
    if chance.as_sure:
        return "Some labels are probably wrong: it contradicts them as surely as it agrees with the others."
    return (
        f"No more labels contradict it than chance brings: {counted}, and {expected} would be if all were right. "
        "Expect hard pictures here first; wrong labels that are spread evenly cannot be told from them."
    )


def _found_on_purpose(judged: Judged, seed: int) -> float:
    """The share of labels falsified at random, one in twenty at a time, that come onto the list."""
    rng = np.random.default_rng(seed)
    total, count = len(judged.given), len(judged.classes)
    at_once = max(1, min(_FALSIFIED, total // 20))
    shares = []
    for _ in range(-(-_FALSIFIED // at_once) if total < 2000 else 1):
        chosen = rng.choice(total, at_once, replace=False)
        given = judged.given.copy()
        given[chosen] = (given[chosen] + rng.integers(1, count, at_once)) % count
        shares.append(np.isin(chosen, doubtful(replace(judged, given=given))[0]).mean())
    return float(np.mean(shares))


def _items(examination: Examination, vectors: Vectors, judged: Judged, listed: Ints) -> Iterator[Item]:
    names = examination.dataset.classes
    suggested = judged.classes[judged.probs[listed].argmax(axis=1)]
    near = nearest_of_class(vectors, judged.places[listed], suggested)
    rows = vectors.rows[judged.places[listed]]
    paths = paths_of(examination.dataset, rows)
    for i, number in enumerate(listed):
        given, other = names[int(vectors.targets[judged.places[number]])], names[int(suggested[i])]
        own, best = float(judged.own[number]), float(judged.probs[number].max())
        similar = paths_of(examination.dataset, vectors.rows[near[i]]) if len(near[i]) else ()
        yield Item(
            (paths[i],),
            (int(rows[i]),),
            f"labelled {given}, looks like {other} ({best:.0%})",
            round(1 - own, 6),
            {
                "given": given,
                "suggested": other,
                "probability_given": round(own, 4),
                "probability_suggested": round(best, 4),
                "similar": list(similar),
            },
        )


def _confusable(examination: Examination, judged: Judged) -> Iterator[Finding]:
    """Pairs of classes of which the judge takes a large share for each other, though it tells others apart."""
    names, count = examination.dataset.classes, len(judged.classes)
    counts = np.bincount(judged.given, minlength=count)
    taken = np.zeros((count, count))
    np.add.at(taken, (judged.given, judged.probs.argmax(axis=1)), 1)
    share = (taken + taken.T) / (counts[:, None] + counts[None, :])
    left, right = np.triu_indices(count, 1)
    worst = np.argsort(-share[left, right], kind="stable")
    pairs = [(int(left[w]), int(right[w])) for w in worst if share[left[w], right[w]] >= _CONFUSED]
    if not pairs or (count == 2):
        return
    items = []
    for a, b in pairs[:_MOST_PAIRS]:
        one, other = (names[int(judged.classes[k])] for k in (a, b))
        text = f"{one} / {other}: {share[a, b]:.0%} of their pictures are taken for the other"
        items.append(
            Item((), (), text, float(share[a, b]), {"classes": [one, other], "share": round(share[a, b], 4)})
        )
    first = items[0].text
    yield finding(
        "note",
        "confusable-classes",
        "Classes that are hard to tell apart",
        (
            f"Two classes are hard to tell apart: {first}.",
            f"{{n}} pairs of classes are hard to tell apart, such as {first}.",
        ),
        "Write down what makes the difference, and check that everybody who labels goes by it; or merge the classes.",
        items,
        count=len(pairs),
    )


def _outliers(examination: Examination, vectors: Vectors) -> Iterator[Finding]:
    found, scores = find_outliers(vectors, knows=examination.config.embedding is not None)
    if not len(found):
        return
    rows = vectors.rows[found]
    names = examination.dataset.classes
    items = [
        Item(
            (path,),
            (int(row),),
            f"labelled {names[int(vectors.targets[place])]}; its nearest are {score:.1f} times as far as usual",
            round(float(score), 4),
            {"given": names[int(vectors.targets[place])]},
        )
        for path, row, place, score in zip(
            paths_of(examination.dataset, rows), rows, found, scores, strict=True
        )
    ]
    listed = some(item.paths[0] for item in items[:2])
    yield finding(
        "note",
        "outliers",
        "Pictures that look like none of the classes",
        (
            f"One picture is unlike all others: {listed}.",
            f"{{n}} pictures are unlike the others and fit no class well, such as {listed}. They may be out of place, "
            "or merely rare.",
        ),
        "Look at them, and take out what does not belong.",
        items,
        most=examination.config.most,
    )


def _judge_figures(vectors: Vectors) -> dict[str, Any]:
    return {
        "judge": vectors.how,
        "judge_accuracy": vectors.accuracy.to_dict(),
        "chance": round(vectors.chance, 4),
        "pictures": len(vectors),
    }


def _cannot_tell(what: str, figures: dict[str, Any] | None = None) -> Finding:
    return Finding(
        "note",
        "labels-not-judged",
        "Labels could not be judged",
        what,
        "More pictures help, or a network that knows such pictures: --embedding.",
        figures=figures or {},
    )
