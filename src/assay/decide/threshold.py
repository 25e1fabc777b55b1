"""From which confidence on answers are given, so that at most a wished share of them is wrong: a promise with a proof.

Learn then Test (Angelopoulos, Bates, Candès, Jordan and Lei 2021, arXiv:2110.01052). The thresholds of ``GRID`` are
fixed before any picture is seen. For each one the hypothesis is "among the answers given from here on, more than
``risk`` are wrong"; it is rejected at a p-value, and the lowest rejected threshold is taken. Hypotheses are tested from
the highest threshold down by the fallback procedure (Wiens 2003): the allowed error 1 - confidence is dealt to a few
``STARTS``, and what a rejection has earned is carried on to the next threshold. It keeps P(any true hypothesis is
rejected) <= 1 - confidence whatever the p-values' dependence, and, unlike a single fixed sequence, does not end at the
first threshold that too few pictures reach.

p-values, where *pictures* are exchangeable: of n accepted pictures k are wrong, and p = P(Binomial(n, risk) <= k),
exact given n. Where whole *groups* (senders, patients) are exchangeable and pictures of one group are not: with a the
share of a group's pictures that is accepted and e the share that is accepted and wrong, the hypothesis is
E[e - risk * a] > 0 over groups. Each group counts once, whatever its size. p is one over the wealth of bets against
it (Waudby-Smith and Ramdas 2023, section 4: the predictable plug-in bet, here averaged over fixed shuffles).

Assumed: calibration and new units are exchangeable, and the network was not trained on them. Risk need not fall as the
threshold rises. Geifman and El-Yaniv 2017 is the forerunner, with a bisection in the place of the tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import ConfigError

Floats = NDArray[np.float64]

GRID: tuple[float, ...] = (
    *(round(1 / (1 + math.exp(-u / 10)), 6) for u in range(92, -23, -1)),
    0.0,
)
"""Thresholds in the order of testing: even in log-odds from 0.9999 down to 0.1, then every picture."""

STARTS, GROUP_STARTS = (0.99, 0.95, 0.9, 0.8, 0.6, 0.0), (0.95, 0.8, 0.0)
"""Each brings an equal share of the allowed error to the nearest threshold of the grid; groups are few."""

ORDERS, TUNED_FOR = 50, 0.03
"""Shuffles of the groups that bets are averaged over, and the p-value that bets are sized to reach."""

RISKS = (
    *(0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1),
    *(0.12, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
)
"""Round figures among which the least risk that can be promised is sought."""


@dataclass(frozen=True)
class RiskThreshold:
    """From which confidence on an answer is given, and what is promised of such answers.

    ``threshold`` is None where ``risk`` cannot be promised: then nothing is accepted. ``least_risk`` is the least of
    ``RISKS`` that the same pictures allow to promise (None: not one). It may be taken up after having been told: at
    the starts the p-values fall as the risk rises, so one event of probability ``confidence`` covers every risk.
    ``coverage`` and ``found`` are the share of the calibration pictures that was accepted and the share wrong among
    those; over groups both are means in which every group counts alike.
    """

    threshold: float | None
    risk: float
    confidence: float
    coverage: float
    found: float
    least_risk: float | None

    def accepts(self, confidence: Any) -> NDArray[np.bool_]:
        """(N,) whether answers of these confidences are given."""
        values = np.asarray(confidence, dtype=np.float64)
        return np.zeros(values.shape, bool) if self.threshold is None else values >= self.threshold


@dataclass(frozen=True)
class RiskCurve:
    """Risk against coverage, the surest answers first: ``threshold``, ``coverage`` and ``risk`` are (T,)."""

    threshold: Floats
    coverage: Floats
    risk: Floats
    aurc: float


def risk_curve(confidence: Any, right: Any) -> RiskCurve:
    """The risk-coverage curve of (N,) answers; ``aurc`` is its mean over the N coverages (Geifman et al. 2019).

    Equal confidences are one point, so the order of pictures changes nothing. Of no pictures it is empty, NaN.
    """
    sure, hit = _answers(confidence, right)
    if not len(sure):
        empty = np.empty(0)
        return RiskCurve(empty, empty, empty, math.nan)
    order = np.argsort(-sure, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(sure[order])), len(sure) - 1)
    counts = np.diff(np.append(-1, ends))
    wrong = np.cumsum(~hit[order])[ends]
    risk = wrong / (ends + 1)
    return RiskCurve(
        sure[order][ends], (ends + 1) / len(sure), risk, float((risk * counts).sum() / len(sure))
    )


def fit_threshold(
    confidence: Any,
    right: Any,
    *,
    risk: float,
    level: float,
    groups: NDArray[np.int64] | None = None,
    known: Any = None,
) -> RiskThreshold:
    """The lowest threshold for which P(share wrong among accepted answers <= ``risk``) >= ``level``.

    Parameters
    ----------
    confidence, right : (N,) probability of the answer, and whether it is right.
    risk, level : what is promised, and with which probability over the calibration pictures.
    groups : (N,) number of each picture's group where groups are exchangeable; None where pictures are.
    known : (N,) pictures that are not turned away for another reason; all when not given.

    Raises
    ------
    ConfigError : shapes do not fit, or risk or level is not between 0 and 1.
    """
    sure, hit = _answers(confidence, right)
    if not (0 < risk < 1 and 0 < level < 1):
        raise ConfigError("risk and confidence lie between 0 and 1", got=f"{risk} and {level}")
    open_ = np.ones(len(sure), bool) if known is None else np.asarray(known, bool)
    shares = _Shares(sure, hit, open_, groups)
    chosen = _lowest(shares, risk, 1 - level)
    least = next((r for r in RISKS if _can_promise(shares, r, 1 - level)), None)
    if chosen is None:
        return RiskThreshold(None, risk, level, 0.0, math.nan, least)
    accepted, wrong = shares.means(chosen)
    found = wrong / accepted if accepted else math.nan
    return RiskThreshold(GRID[chosen], risk, level, accepted, found, least)


def labels_missing(confidence: Any, right: Any, *, risk: float, level: float) -> int | None:
    """How many more pictures are needed for a promise if no further one is wrong; 0 where it can be given.

    New pictures are taken to reach the starts as often as these do. None where no picture reaches one, or where more
    than a hundred million would be needed.
    """
    sure, hit = _answers(confidence, right)
    shares = _Shares(sure, hit, np.ones(len(sure), bool), None)
    wanted = []
    for row, part in _starts(STARTS).items():
        n, wrong = int(shares.accepted[row, 0]), int(shares.wrong[row, 0])
        needed = least_labels(wrong, risk, part * (1 - level))
        if n and needed is not None:
            wanted.append(math.ceil(max(0, needed - n) * len(sure) / n))
    if not len(sure):
        return least_labels(0, risk, (1 - level) / len(STARTS))
    return min(wanted, default=None)


def least_labels(wrong: int, risk: float, error: float) -> int | None:
    """The least n with P(Binomial(n, risk) <= wrong) <= error: 299 for none wrong, 1 % and 5 %."""
    low, high = wrong, 64
    while binomial_tail(wrong, high, risk) > error:
        low, high = high, 2 * high
        if high > 10**8:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if binomial_tail(wrong, middle, risk) > error else (low, middle)
    return high


def binomial_tail(k: int, n: int, p: float) -> float:
    """P(Binomial(n, p) <= k) for 0 < p < 1."""
    if k >= n:
        return 1.0
    if k < 0:
        return 0.0
    i = np.arange(1, k + 1, dtype=np.float64)
    choose = np.concatenate([[0.0], np.cumsum(np.log((n - i + 1) / i))])
    j = np.arange(k + 1)
    terms = choose + j * math.log(p) + (n - j) * math.log1p(-p)
    top = float(terms.max())
    return min(1.0, math.exp(top) * float(np.exp(terms - top).sum()))


def betting_p(accepted: Any, wrong: Any, risk: float) -> float:
    """A p-value of the hypothesis E[wrong - risk * accepted] > 0 from (G,) shares in [0, 1], one pair a group.

    The bet on a group depends on the groups before it alone and is at most 1, so each factor
    1 + bet * (risk * accepted - wrong) is above 0 and has a mean of at most 1 under the hypothesis. The wealth at the
    end, averaged over shuffles that know nothing of the values, then has a mean of at most 1, and one over it is a
    p-value by Markov's inequality. As bets do not depend on ``risk``, p falls as ``risk`` rises.
    """
    given, missed = np.asarray(accepted, np.float64), np.asarray(wrong, np.float64)
    if not len(given):
        return 1.0
    orders = np.argsort(np.random.default_rng(0).random((ORDERS, len(given))), axis=1)
    given, missed = given[orders], missed[orders]  # ORDERS G
    wealth = np.log1p(_bets(missed) * (risk * given - missed)).sum(axis=1)
    top = float(wealth.max())
    return min(1.0, math.exp(-top) / float(np.exp(wealth - top).mean()))


def _bets(missed: Floats) -> Floats:
    """(O, G) the bet before each group: large where the spread of the groups so far is small."""
    seen = np.arange(1, missed.shape[1] + 1)
    deviation = (missed - np.cumsum(missed, axis=1) / seen) ** 2
    spread = (0.25 + np.cumsum(deviation, axis=1)) / (seen + 1)
    before = np.concatenate([np.full((len(missed), 1), 0.25), spread[:, :-1]], axis=1)
    return np.asarray(np.minimum(1.0, np.sqrt(2 * math.log(1 / TUNED_FOR) / (missed.shape[1] * before))))


class _Shares:
    """Accepted and wrong pictures at every threshold of the grid: counts, or shares of each group."""

    def __init__(
        self, sure: Floats, hit: NDArray[np.bool_], known: NDArray[np.bool_], groups: NDArray[np.int64] | None
    ) -> None:
        self.n, self.grouped = len(sure), groups is not None
        numbers = np.zeros(self.n, np.int64) if groups is None else np.asarray(groups)
        if numbers.shape != sure.shape or known.shape != sure.shape:
            raise ConfigError(
                "one group and one mark a picture are needed", got=f"{numbers.shape}, {known.shape}"
            )
        sizes = np.bincount(numbers) if self.n else np.ones(1)
        weight = 1 / sizes[numbers] if self.grouped else np.ones(self.n)
        self.accepted = np.zeros((len(GRID), len(sizes)))
        self.wrong = np.zeros_like(self.accepted)
        for row, threshold in enumerate(GRID):
            kept = known & (sure >= threshold)
            self.accepted[row] = np.bincount(numbers[kept], weight[kept], minlength=len(sizes))
            missed = kept & ~hit
            self.wrong[row] = np.bincount(numbers[missed], weight[missed], minlength=len(sizes))

    def p(self, row: int, risk: float) -> float:
        """p-value of "more than ``risk`` of the answers from this threshold on are wrong"."""
        if self.grouped:
            return betting_p(self.accepted[row], self.wrong[row], risk)
        return binomial_tail(int(self.wrong[row, 0]), int(self.accepted[row, 0]), risk)

    def means(self, row: int) -> tuple[float, float]:
        """(share accepted, share accepted and wrong) of the calibration pictures, or mean over groups."""
        units = self.accepted.shape[1] if self.grouped else max(1, self.n)
        return float(self.accepted[row].sum() / units), float(self.wrong[row].sum() / units)


def _lowest(shares: _Shares, risk: float, error: float) -> int | None:
    """Row of the lowest threshold that the fallback procedure rejects at ``error``; None where it rejects none."""
    brought = _starts(GROUP_STARTS if shares.grouped else STARTS)
    carried, found = 0.0, None
    for row in range(len(GRID)):
        level = brought.get(row, 0.0) * error + carried
        carried = 0.0
        if level > 0 and shares.p(row, risk) <= level:
            carried, found = level, row
    return found


def _can_promise(shares: _Shares, risk: float, error: float) -> bool:
    """Whether any threshold is rejected; the first one always is a start, at the error that it brings itself."""
    places = _starts(GROUP_STARTS if shares.grouped else STARTS)
    return any(shares.p(row, risk) <= share * error for row, share in places.items())


def _starts(places: tuple[float, ...]) -> dict[int, float]:
    """Row -> share of the allowed error that it brings."""
    grid = np.array(GRID)
    rows = [int(np.abs(grid - start).argmin()) for start in places]
    return {row: 1 / len(rows) for row in rows}


def _answers(confidence: Any, right: Any) -> tuple[Floats, NDArray[np.bool_]]:
    sure, hit = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=bool)
    if sure.ndim != 1 or sure.shape != hit.shape:
        raise ConfigError(
            "one confidence and one right or wrong a picture", got=f"{sure.shape} and {hit.shape}"
        )
    if not np.isfinite(sure).all():
        raise ConfigError("confidences are not finite", fix="leave out pictures that could not be answered")
    return sure, hit
