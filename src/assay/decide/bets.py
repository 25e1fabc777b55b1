"""Bets against "at most this share is wrong", on answers that come one by one: evidence that may be looked at any time.

Each answer x is 1 (wrong) or 0 (right). Under the hypothesis that each is wrong with probability at most m, given those
before it, the factor 1 + b (x - m) with 0 <= b < 1 / m has a mean of at most 1, so the product of such factors, the
*wealth*, is at most 1 on average, and by Ville's inequality it ever reaches 1 / error with probability at most
``error``: however often one looks, and whenever one stops. Waudby-Smith and Ramdas 2024, "Estimating means of bounded
random variables by betting" (JRSS B 86(1), arXiv:2010.09686). Here the bets are fixed: one for each of ``GAINS``, that
which grows fastest if the odds of a wrong answer are e^g times m's; its factor is e^(g x) / (1 + m (e^g - 1)). The
wealth is the mean over the bets.

*Whole*: all bets begin with the first answer. Inverted, it bounds the risk for as long as the risk is one number
(``anytime_bounds``).
*Late*: a share of the wealth is kept aside and laid on the bets bit by bit, so that a change after a long good time is
seen soon: the good time has only cost what was laid. A sum over starting times with weights that add up to 1, so the
same inequality holds; Shin, Ramdas and Rinaldo 2024, "E-detectors" (arXiv:2203.03532) have all weights 1 and bound the
mean time to a false alarm in its place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

from assay.decide.threshold import binomial_tail
from assay.errors import ConfigError
from assay.metrics.interval import Estimate

GAINS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
"""By how much the odds of a wrong answer may have risen, as logarithms: 1.3 to 55 times."""

Stakes = tuple[float, ...]
"""What each of ``GAINS`` has made of the wealth that was laid on it."""

NO_STAKES: Stakes = (0.0,) * len(GAINS)
_STEPS = 60  # of bisection: further than a float can tell


def log_wealth(wrong: int, observed: int, risk: float, *, over: bool = True) -> float:
    """Logarithm of the wealth after ``wrong`` of ``observed`` answers, all bets laid before the first.

    ``over`` bets against "at most ``risk``", otherwise against "at least ``risk``". It falls as ``risk`` rises, or
    rises with it.
    """
    sign = 1 if over else -1
    costs = _costs(risk, sign)
    terms = [sign * g * wrong - observed * cost for g, cost in zip(GAINS, costs, strict=True)]
    top = max(terms)
    return top + math.log(math.fsum(math.exp(term - top) for term in terms) / len(terms))


def anytime_bounds(wrong: int, observed: int, confidence: float) -> tuple[float, float]:
    """Bounds of the risk that hold after every answer at once with this confidence, if the risk is one number."""
    limit = math.log(2 / (1 - confidence))
    low = high = None
    if wrong:
        low = _crossing(lambda m: log_wealth(wrong, observed, m) >= limit)
    if wrong < observed:
        high = _crossing(lambda m: log_wealth(wrong, observed, m, over=False) < limit)
    return low or 0.0, 1.0 if high is None else high


def kept_aside(observed: int) -> float:
    """The share of the late wealth that is not laid yet after so many answers: it falls ever more slowly."""
    return 1 / math.log2(observed + 2)


def lay(stakes: Stakes, observed: int, wrong: bool, risk: float) -> Stakes:
    """The stakes after the answer number ``observed`` + 1; what is newly laid for it is shared alike."""
    new = (kept_aside(observed) - kept_aside(observed + 1)) / len(GAINS)
    return tuple((stake + new) * factor for stake, factor in zip(stakes, _factors(risk, wrong), strict=True))


def evidence(stakes: Stakes, wrong: int, observed: int, risk: float) -> float:
    """Wealth against "at most ``risk``": half of it whole, half late; 1 before the first answer."""
    whole = math.exp(min(700.0, log_wealth(wrong, observed, risk)))
    return 0.5 * whole + 0.5 * (math.fsum(stakes) + kept_aside(observed))


def clopper_pearson(wrong: int, observed: int, level: float = 0.95) -> Estimate:
    """The share of wrong answers with its exact interval (Clopper and Pearson 1934), for one look at a fixed time.

    Raises
    ------
    ConfigError : ``wrong`` is not between 0 and ``observed``, or the level not between 0 and 1.
    """
    if not (0 <= wrong <= observed and 0 < level < 1):
        raise ConfigError(
            "an exact interval needs 0 <= wrong <= observed and a level between 0 and 1",
            got=f"{wrong} of {observed} at {level}",
        )
    if not observed:
        return Estimate(math.nan, 0.0, 1.0)
    tail = (1 - level) / 2
    low = _crossing(lambda p: 1 - binomial_tail(wrong - 1, observed, p) < tail) if wrong else 0.0
    high = _crossing(lambda p: binomial_tail(wrong, observed, p) > tail) if wrong < observed else 1.0
    return Estimate(wrong / observed, low, high)


@lru_cache(maxsize=256)
def _factors(risk: float, wrong: bool) -> Stakes:
    """What one answer makes of each stake."""
    return tuple((math.exp(g) if wrong else 1.0) / (1 + risk * math.expm1(g)) for g in GAINS)


@lru_cache(maxsize=256)
def _costs(risk: float, sign: int) -> Stakes:
    """What each answer takes from the logarithm of the wealth of each bet."""
    return tuple(math.log1p(risk * math.expm1(sign * g)) for g in GAINS)


def _crossing(holds: Callable[[float], bool]) -> float:
    """Where ``holds``, true at low values, ends between 0 and 1."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
