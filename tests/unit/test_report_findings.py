from __future__ import annotations

import io

import numpy as np
import pytest

from assay.labels import ClassNames
from assay.metrics.evaluate import build_evaluation
from assay.metrics.interval import Estimate
from assay.report.findings import (
    confident_mistakes,
    doubtful_hits,
    points,
    risk_at,
    risk_curve,
    rivals,
    worst_misses,
)
from assay.report.text import format_interval, format_value, print_evaluation


def made(n=200, wrong=20, sure=0.95, classes=("ant", "cat"), spread=0.01, **about):
    targets = np.arange(n) % len(classes)
    given = np.where(np.arange(n) < wrong, (targets + 1) % len(classes), targets)
    probs = np.full((n, len(classes)), (1 - sure) / (len(classes) - 1), np.float32)
    probs[np.arange(n), given] = sure + np.linspace(0, spread, n, dtype=np.float32)
    return build_evaluation(
        probs,
        targets,
        ClassNames(classes),
        paths=[f"{i}.png" for i in range(n)],
        part="test",
        draws=50,
        **about,
    )


def said(e, baselines=None):
    return " ".join(points(e, rivals(e, baselines or {})))


def test_overconfidence_is_told():
    assert "surer than it is right" in said(made(wrong=80))
    assert "can be taken at their word" in said(made(wrong=10, spread=0))
    assert "less sure than it could be" in said(made(wrong=2, sure=0.6))


def test_baselines_are_compared():
    better = {"majority": {"test": {"accuracy": {"value": 0.95, "low": 0.92, "high": 0.97}}}}
    assert "not clearly better" in said(made(), better)
    assert "clearly better than simpler ways: always “ant” gives 50.0" in said(made())
    assert [r.name for r in rivals(made(), better)] == ["always the commonest class", "this model"]


def test_small_and_damaged_sets_are_told():
    assert "too few pictures to tell whether its probabilities" in said(made(n=12, wrong=1, sure=0.7))
    told = said(made(n=12, wrong=3, unreadable=[{"path": "x", "error": "cut off"}], unlabelled=4))
    assert "points wide" in told
    assert "Fewer than 10 pictures of “ant”, “cat”: too few to say anything about them." in told
    assert "Left out: one picture that cannot be read." in told
    assert "Left out: 4 pictures without a label." in told


def test_weakest_class_needs_pictures_enough():
    e = made(classes=("ant", "bee", "cat"), wrong=1)
    assert "weakest class is “ant”: it finds 99" in said(e)


def test_risk_falls_with_the_threshold():
    e = made()
    everything, nothing = risk_at(e, 0.5), risk_at(e, 0.999)
    assert (everything["n"], everything["mistakes"], everything["wrong"].value) == (200, 20, 0.1)
    assert nothing["n"] == 0
    assert np.isnan(nothing["wrong"].value)
    coverage, risk = risk_curve(e)
    assert coverage[-1] == 1
    assert risk[-1] == pytest.approx(0.1)


def test_galleries_show_each_picture_once():
    e = made()
    sure = confident_mistakes(e, 12)
    assert sure[0] == 19  # the surest of the first twenty, which are wrong
    assert not set(sure) & set(worst_misses(e, 6, frozenset(sure)))
    assert all(e.right[i] for i in doubtful_hits(e))


def test_numbers_as_people_read_them():
    assert format_value("accuracy", 0.8349) == "83.5 %"
    assert format_value("nll", 0.5) == "0.500"
    assert format_value("auroc", None) == "–"
    assert format_interval("accuracy", Estimate(0.8, 0.75, 0.85)) == "[75.0, 85.0]"
    assert format_interval("auroc", Estimate(float("nan"), 0.0, 1.0)) == ""


def test_text_shows_names_with_brackets_as_they_are():
    out = io.StringIO()
    print_evaluation(made(classes=("[red] ant", "cat"), model="m"), out)
    assert "[red] ant" in out.getvalue()
    assert "95 % interval" in out.getvalue()
    assert "commonest mistakes: [red] ant taken for cat (10)" in out.getvalue()
