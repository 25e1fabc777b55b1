"""Two networks of several heads on the same pictures: head by head, and the pictures on which they part most."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import NormalDist
from typing import Any

from assay.metrics.compare import DOUBT
from assay.metrics.interval import LEVEL
from assay.metrics.paired import holm
from assay.metrics.scene_compare import HeadDifference, compare_scenes
from assay.metrics.scene_evaluation import SceneEvaluation
from assay.metrics.scene_pictures import ScenePicture, picture_rows
from assay.metrics.scene_tags import TAG_SCORE

_LEAST = 1e-9


@dataclass(frozen=True)
class Parting:
    """One picture with what came out of it in both; ``badness`` is told of the heads that both have."""

    a: ScenePicture
    b: ScenePicture

    @property
    def difference(self) -> float:
        """Badness of A minus that of B, from -1 to 1; above 0 where B is better."""
        return self.a.badness - self.b.badness

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "path": self.a.path,
            "difference": self.difference,
            "a": self.a.to_dict(),
            "b": self.b.to_dict(),
        }


@dataclass(frozen=True)
class SceneComparison:
    """Network A beside network B on ``n`` pictures.

    ``heads`` are the differences of the main scores, A minus B, of every head that both were measured on. ``partings``
    are the pictures on which one does better, the greatest difference first. ``notes`` are what a reader must know.
    """

    a: str
    b: str
    part: str
    n: int
    heads: dict[str, HeadDifference]
    partings: tuple[Parting, ...] = ()
    notes: tuple[str, ...] = ()

    def better_in(self, head: str) -> str | None:
        """The name of the network whose score of this head these pictures show to be better; None where they do not."""
        difference = self.heads[head].difference
        if self.p[head] >= DOUBT or difference.low <= 0 <= difference.high:
            return None
        return self.a if difference.value > 0 else self.b

    @cached_property
    def p(self) -> dict[str, float]:
        """Head -> p that neither is better, corrected by Holm for the number of heads."""
        corrected = holm([_chance(one) for one in self.heads.values()])
        return dict(zip(self.heads, corrected, strict=True))

    @property
    def verdict(self) -> str:
        """One plain sentence."""
        found = {name: [h for h in self.heads if self.better_in(h) == name] for name in (self.a, self.b)}
        ahead = [name for name, heads in found.items() if heads]
        if not ahead:
            pictures = "One picture does" if self.n == 1 else f"{self.n:,} pictures do"
            return f"{pictures} not show which of {self.a} and {self.b} is better"
        if len(ahead) == 2:
            return f"{self.a} is better in {_joined(found[self.a])}, {self.b} in {_joined(found[self.b])}"
        worse = self.b if ahead[0] == self.a else self.a
        where = "" if len(self.heads) == 1 else f" in {_joined(found[ahead[0]])}"
        return f"{ahead[0]} is better than {worse}{where}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "task": "scene",
            **{name: getattr(self, name) for name in ("a", "b", "part", "n")},
            "heads": {
                head: {**_plain(one), "p_holm": self.p[head], "better": self.better_in(head)}
                for head, one in self.heads.items()
            },
            "partings": [one.to_dict() for one in self.partings],
            "notes": list(self.notes),
            "verdict": self.verdict,
        }


def _chance(one: HeadDifference) -> float:
    """Two-sided p of Student's t, with the standard error that the interval stands for.

    A bootstrap of a few pictures is too sure, so p is at least that of all of them pointing one way.
    """
    from scipy.stats import t as student  # noqa: PLC0415 - half a second

    d = one.difference
    if one.n < 2 or not d.value or math.isnan(d.high - d.low):
        return 1.0
    error = (d.high - d.low) / 2 / NormalDist().inv_cdf((1 + LEVEL) / 2)
    p = 2 * float(student.sf(abs(d.value) / error, one.n - 1)) if error else 0.0
    return max(p, 0.5 ** (one.n - 1))


def _plain(one: HeadDifference) -> dict[str, Any]:
    """Plain values for JSON; undefined ones are None."""
    values = one.to_dict()
    return {**values, **{name: values[name] if math.isfinite(values[name]) else None for name in ("a", "b")}}


def _joined(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def compare_pair(
    a: SceneEvaluation, b: SceneEvaluation, names: tuple[str, str], *, draws: int = 2000, seed: int = 0
) -> SceneComparison:
    """Compare two evaluations of the same pictures. ``draws`` and ``seed`` are those of the intervals.

    Raises
    ------
    DatasetError : the parts, pictures, classes or labels differ, or no head is common.
    """
    heads = compare_scenes(a, b, draws=draws, seed=seed)
    mine, theirs = (_pictures(e, tuple(heads)) for e in (a, b))
    pairs = [Parting(one, theirs[place]) for place, one in _common(a, b, mine)]
    apart = [one for one in pairs if abs(one.difference) > _LEAST]
    apart.sort(key=lambda one: -abs(one.difference))
    return SceneComparison(
        *names, a.part, len(pairs), heads, tuple(apart), _notes(a, b, names, tuple(heads), len(pairs))
    )


def _pictures(e: SceneEvaluation, heads: tuple[str, ...]) -> list[ScenePicture]:
    """What came out of every picture, judged by these heads alone."""
    pixels = e.material.pixels if "pixels" in heads else None
    tag_score = TAG_SCORE if e.tags is None else e.tags.score
    return picture_rows(replace(e.material, heads=heads, pixels=pixels), e.told_from, tag_score=tag_score)


def _common(
    a: SceneEvaluation, b: SceneEvaluation, mine: list[ScenePicture]
) -> list[tuple[int, ScenePicture]]:
    """(row of B, picture of A) of the pictures that both have, in A's order."""
    for whole in (False, True):  # the same files may be named from other folders
        names_a, names_b = (_names(e, whole=whole) for e in (a, b))
        places = {name: i for i, name in enumerate(names_b)}
        found = [(places[name], one) for name, one in zip(names_a, mine, strict=True) if name in places]
        if found:
            return found
    return []


def _names(e: SceneEvaluation, *, whole: bool) -> list[str]:
    return [(Path(e.root) / path).as_posix() if whole else path for path in e.material.paths]


def _notes(
    a: SceneEvaluation, b: SceneEvaluation, names: tuple[str, str], heads: tuple[str, ...], n: int
) -> tuple[str, ...]:
    notes = []
    for name, e in zip(names, (a, b), strict=True):
        if more := [head for head in e.main_scores() if head not in heads]:
            notes.append(f"{name} also tells {_joined(more)}, which is not compared.")
        if e.n > n:
            notes.append(f"Left out: {e.n - n:,} pictures that only {name} was measured on.")
    if a.told_from != b.told_from and {"boxes", "masks"} & set(heads):
        notes.append(
            f"{names[0]} tells things from a score of {a.told_from:.3g} on, {names[1]} from {b.told_from:.3g}; "
            "average precision looks at all scores, the pictures show what is told."
        )
    if a.part == "validation":
        notes.append("These pictures also chose the weights of both, so the test part has the last word.")
    if a.part == "train":
        notes.append("These are pictures that the networks learned from: they show nothing about new ones.")
    if a.split_hash and b.split_hash and a.split_hash != b.split_hash:
        notes.append(
            "The two come from different splits of the data, so they learned from different pictures."
        )
    return tuple(notes)
