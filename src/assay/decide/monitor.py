"""The brake: a kind of automatic verdict is withdrawn when audited answers show that more than accepted are wrong.

A random share of the automatic verdicts, chosen by the photos' digests (``decision.is_audited``), is seen by people who
do not know what the machine said. Each kind has a ``Watch``: right or wrong, one after another, against the accepted
risk. The test may be looked at after every answer (``bets``): as long as each audited verdict is wrong with at most
the accepted probability, whatever came before it, the kind is ever withdrawn with probability 1 - confidence at most,
in the whole life of its thresholds. This holds for each kind on its own, as do the promises.

Only blind audits count: answers of other people's queues, appeals and complaints are no random sample. The order is
that of the audits and must not depend on what the answers are. Verdicts on one sender's photos depend on each other: a
sender who sends many bad photos in a row can trip the brake early.

Nothing here reads a clock or a database: the caller keeps ``to_dict()`` and gives answers one by one. New thresholds
are a new ``Monitor``; a kind stays withdrawn until then.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from assay.decide.bets import NO_STAKES, Stakes, anytime_bounds, clopper_pearson, evidence, lay
from assay.decide.budgets import Budgets
from assay.decide.decision import Thresholds
from assay.errors import PolicyError

FORMAT = 1
KEPT, WATCHED, WITHDRAWN = "kept", "watched", "withdrawn"
"""States of a kind: nothing speaks against it; half of the evidence that withdraws it is there; withdrawn."""

_START_ANEW = "start the monitor anew for these thresholds: watch_all(budgets)"


@dataclass(frozen=True)
class Burn:
    """How much of the accepted errors is used up: 1 is all of them; NaN before the first answer.

    ``low`` and ``high`` are those of the exact 95 % interval of the share wrong (Clopper and Pearson), for one look.
    ``allowed`` is how many of the audited answers might have been wrong.
    """

    used: float
    low: float
    high: float
    allowed: float


@dataclass(frozen=True)
class Watch:
    """One kind of automatic verdict and its audited answers so far: ``wrong`` of ``observed``.

    ``accepted`` and ``confidence`` are the promise. ``stakes`` is the state of the bets; ``withdrawn_at`` the number of
    the answer that withdrew the kind.
    """

    verdict: str
    name: str
    accepted: float
    confidence: float
    observed: int = 0
    wrong: int = 0
    stakes: Stakes = NO_STAKES
    withdrawn_at: int | None = None

    def answered(self, right: bool) -> Watch:
        """The watch after one more audited answer. A withdrawn kind stays withdrawn; its answers are still counted."""
        seen, wrong = self.observed + 1, self.wrong + (not right)
        if self.withdrawn_at is not None:
            return replace(self, observed=seen, wrong=wrong)
        stakes = lay(self.stakes, self.observed, not right, self.accepted)
        trips = evidence(stakes, wrong, seen, self.accepted) >= self.needed
        at = seen if trips else None
        return replace(self, observed=seen, wrong=wrong, stakes=stakes, withdrawn_at=at)

    def followed(self, answers: Iterable[bool]) -> Watch:
        """The watch after more answers, in order."""
        found = self
        for right in answers:
            found = found.answered(right)
        return found

    @property
    def needed(self) -> float:
        """The evidence that withdraws the kind: 20 at a confidence of 95 %."""
        return 1 / (1 - self.confidence)

    @property
    def evidence(self) -> float:
        """How strongly the answers speak against the promise: 1 at the start; at least ``needed`` once withdrawn."""
        found = evidence(self.stakes, self.wrong, self.observed, self.accepted)
        return found if self.withdrawn_at is None else max(self.needed, found)

    @property
    def state(self) -> str:
        """One of "kept", "watched" and "withdrawn"."""
        if self.withdrawn_at is not None:
            return WITHDRAWN
        return WATCHED if self.evidence >= math.sqrt(self.needed) else KEPT

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest risk that all answers together allow: at every look at once, with ``confidence``.

        They hold while the risk is one number. A lower bound above ``accepted`` always means withdrawn; after a change
        for the worse a kind can be withdrawn earlier.
        """
        return anytime_bounds(self.wrong, self.observed, self.confidence)

    @property
    def is_shown(self) -> bool:
        """Whether the audit alone shows the promise: the upper bound is not above the accepted share."""
        return self.withdrawn_at is None and self.bounds[1] <= self.accepted

    @property
    def burn(self) -> Burn:
        """The error budget of the audited answers."""
        share = clopper_pearson(self.wrong, self.observed)
        used, low, high = (value / self.accepted for value in (share.value, share.low, share.high))
        return Burn(used, low, high, self.accepted * self.observed)

    def words(self, language: str = "en") -> str:
        """State and reason in a sentence or two: "en" or "zh"."""
        return _words_zh(self) if language == "zh" else _words_en(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; everything that is needed to go on."""
        return {**asdict(self), "stakes": list(self.stakes)}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Watch:
        """The inverse of ``to_dict``.

        Raises
        ------
        PolicyError : a field is missing, unknown or wrong.
        """
        try:
            found = cls(**{**told, "stakes": tuple(float(stake) for stake in told["stakes"])})
            _require_whole(found)
        except (KeyError, TypeError, ValueError) as error:
            told_of = f"{type(error).__name__}: {error}"[:200]
            raise PolicyError("a watch cannot be read", got=told_of, fix=_START_ANEW) from error
        return found


@dataclass(frozen=True)
class Monitor:
    """The watches of all kinds that have a threshold; ``thresholds`` is the digest of their ``Budgets``."""

    thresholds: str
    watches: tuple[Watch, ...]

    def watch(self, verdict: str, name: str) -> Watch:
        """The watch of a kind.

        Raises
        ------
        PolicyError : these thresholds never let this kind through.
        """
        for one in self.watches:
            if (one.verdict, one.name) == (verdict, name):
                return one
        raise PolicyError(
            f"no audit of {verdict} {name} can be counted",
            got=f"watched: {', '.join(f'{one.verdict} {one.name}' for one in self.watches) or 'nothing'}",
            fix="give each answer to the monitor of the thresholds by which its photo was decided",
        )

    def answered(self, verdict: str, name: str, right: bool) -> Monitor:
        """The monitor after one more audited answer. Raises PolicyError as ``watch``."""
        changed = self.watch(verdict, name)
        watches = tuple(one.answered(right) if one is changed else one for one in self.watches)
        return replace(self, watches=watches)

    @property
    def withdrawn(self) -> frozenset[tuple[str, str]]:
        """(verdict, class) of the kinds that go to people now."""
        return frozenset((one.verdict, one.name) for one in self.watches if one.state == WITHDRAWN)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "format": FORMAT,
            "thresholds": self.thresholds,
            "watches": [one.to_dict() for one in self.watches],
        }

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Monitor:
        """The inverse of ``to_dict``.

        Raises
        ------
        PolicyError : it is of another format, or a field is missing or wrong.
        """
        try:
            if told["format"] != FORMAT:
                raise ValueError(f"format {told['format']!r}; this program reads {FORMAT}")
            return cls(str(told["thresholds"]), tuple(Watch.from_dict(one) for one in told["watches"]))
        except (KeyError, TypeError, ValueError) as error:
            told_of = f"{type(error).__name__}: {error}"[:200]
            raise PolicyError("a monitor cannot be read", got=told_of, fix=_START_ANEW) from error


@dataclass(frozen=True)
class Watched:
    """Thresholds less the withdrawn kinds, as ``decision.Thresholds``: ``decide(policy, Watched(budgets, out), seen)``.

    With nothing withdrawn the digest is that of the thresholds; each other set of kinds has its own, so that a record
    tells what was in force. A replay needs the same set.
    """

    thresholds: Thresholds
    withdrawn: frozenset[tuple[str, str]] = frozenset()

    @property
    def digest(self) -> str:
        """SHA-256 of the thresholds' digest and of what is withdrawn, in hex."""
        if not self.withdrawn:
            return self.thresholds.digest
        text = json.dumps([self.thresholds.digest, sorted(self.withdrawn)], ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def threshold(self, verdict: str, kind: str) -> float | None:
        """As ``Thresholds``: None for a withdrawn kind."""
        if (verdict, kind) in self.withdrawn:
            return None
        return self.thresholds.threshold(verdict, kind)

    def clause(self, verdict: str, kind: str) -> str:
        """As ``Thresholds``."""
        return WITHDRAWN if (verdict, kind) in self.withdrawn else self.thresholds.clause(verdict, kind)


def watch_all(budgets: Budgets) -> Monitor:
    """A new monitor: one watch for each kind that has a threshold."""
    watches = [
        Watch(one.verdict, one.name, one.risk, one.confidence)
        for one in budgets.kinds
        if one.threshold is not None
    ]
    return Monitor(budgets.digest, tuple(watches))


def _require_whole(watch: Watch) -> None:
    """Raises ValueError or TypeError where a field has a value that no watch can have."""
    counts = [watch.observed, watch.wrong]
    if not all(type(n) is int for n in counts) or not 0 <= watch.wrong <= watch.observed:
        raise ValueError(f"{watch.wrong!r} of {watch.observed!r} wrong")
    if not (0 < watch.accepted < 1 and 0 < watch.confidence < 1):
        raise ValueError(f"accepted {watch.accepted!r} with confidence {watch.confidence!r}")
    if len(watch.stakes) != len(NO_STAKES) or not all(0 <= stake < math.inf for stake in watch.stakes):
        raise ValueError(f"{len(watch.stakes)} stakes, of which each is a number from 0 on")
    at = watch.withdrawn_at
    if at is not None and not (type(at) is int and 0 < at <= watch.observed):
        raise ValueError(f"withdrawn at {at!r} of {watch.observed}")


def _words_en(watch: Watch) -> str:
    accepted, sure = _percent(watch.accepted), _percent(watch.confidence)
    if not watch.observed:
        return "No verdict of this kind was audited yet; the promise rests on its calibration."
    low, high = watch.bounds
    seen = (
        f"{watch.wrong:,} of {watch.observed:,} audited verdicts were wrong, so {_percent(low)} to {_percent(high)} of "
        f"all are, with {sure} confidence at every look; {accepted} are accepted."
    )
    if watch.state == WITHDRAWN:
        error = _percent(1 - watch.confidence)
        return (
            f"Withdrawn with audited verdict {watch.withdrawn_at:,}: more than the accepted {accepted} are wrong, "
            f"shown at an error of {error}. People decide until new thresholds are found. {seen}"
        )
    if watch.state == WATCHED:
        told = f"the evidence is {watch.evidence:.1f}, and {watch.needed:.4g} withdraws this kind"
        return f"The audits begin to speak against the promise: {told}. {seen}"
    return f"{'The audits alone show' if watch.is_shown else 'Nothing speaks against'} the promise. {seen}"


def _words_zh(watch: Watch) -> str:
    accepted, sure = _percent(watch.accepted), _percent(watch.confidence)
    if not watch.observed:
        return "此类判定尚无抽查结果；目前的承诺依据校准数据。"
    low, high = watch.bounds
    seen = (
        f"已抽查 {watch.observed:,} 个判定，其中 {watch.wrong:,} 个有误；任何时候查看，都有 {sure} 的把握认为"
        f"总体错误率在 {_percent(low)} 至 {_percent(high)} 之间；允许的错误率为 {accepted}。"
    )
    if watch.state == WITHDRAWN:
        error = _percent(1 - watch.confidence)
        return (
            f"第 {watch.withdrawn_at:,} 个抽查结果之后已停用：错误率超过所允许的 {accepted}（误判概率不超过 {error}）。"
            f"在重新得出阈值之前由人工判定。{seen}"
        )
    if watch.state == WATCHED:
        told = f"证据值为 {watch.evidence:.1f}，达到 {watch.needed:.4g} 时停用"
        return f"抽查结果开始对承诺不利：{told}。{seen}"
    return f"{'仅凭抽查即可证明承诺成立' if watch.is_shown else '没有对承诺不利的证据'}。{seen}"


def _percent(share: float) -> str:
    """Two digits that tell something: 0.43 %, 1.2 %, 12 %, 95 %."""
    value = 100 * share
    return f"{value:.2g} %" if value < 10 else f"{value:.3g} %"
