"""The doctor's page and text: verdict first, nothing from elsewhere, any name and any text."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest

from assay.audit.finding import Finding, Item
from assay.audit.outcome import Audit, sorted_findings
from assay.report.audit_figures import bars_note, bars_of, plain_figures
from assay.report.audit_page import coded, headline, render_audit, write_audit_page
from assay.report.audit_text import print_audit, verdict

PAIR = Item(("circle/0.png", "circle/1.png"), (0, 1), "two of a kind", 0.9)
SUSPECT = Item(("square/0.png",), (16,), "sure", 0.8, {"given": "square", "suggested": "circle"})
ERROR = Finding(
    "error", "leak", "Leak between parts", "The same picture.", "Run `assay split`.", 30, (PAIR,) * 20
)
WARNING = Finding("warning", "label-issues", "Wrong labels", "Two look odd.", "Look.", 1, (SUSPECT,))
NOTE = Finding(
    "note",
    "power",
    "Too few to tell",
    "An interval.",
    figures={
        "at 80 %": {"value": 0.8, "low": 0.7, "high": 0.9},
        "n": 12,
        "deep": {"er": [1, 2.5, None, True]},
    },
)
GOOD = Finding("good", "fine", "Files can be read", "All of them.")
FAILED = Finding("note", "checkup-failed", "Not examined: labels", "Why.", figures={"checkup": "labels"})


@pytest.fixture
def make(photos, tmp_path):
    """An audit of the photos with these findings."""

    def audit(*findings, **changed):
        facts = {
            "data": str(photos),
            "n": 24,
            "classes": {"circle": 8, "größer 三角": 8, "square": 8},
            "parts": {"train": 20, "test": 4},
            "counts": {"train": {"circle": 4, "größer 三角": 8, "square": 8}, "test": {"circle": 4}},
            "overview": {
                "broken": 0,
                "bytes": 123456,
                "formats": {"PNG": 24},
                "shorter_side": {"least": 64, "low": 64, "middle": 64, "high": 64, "greatest": 64},
            },
            "checkups": ("files", "labels"),
            "root": str(photos),
            "folder": str(tmp_path / "audit"),
            **changed,
        }
        return Audit(findings=sorted_findings(list(findings)), **facts)

    return audit


def told(audit, page=None):
    stream = io.StringIO()
    print_audit(audit, stream, page)
    return stream.getvalue()


def test_the_verdict_names_the_worst(make):
    assert "is not fit to measure with yet: leak between parts." in verdict(make(ERROR, WARNING, GOOD))
    assert "Look also at: wrong labels." in verdict(make(ERROR, WARNING))
    assert "once you have looked at this: wrong labels." in verdict(make(WARNING, NOTE))
    assert verdict(make(GOOD, NOTE)).endswith("nothing serious was found. In order: files can be read.")
    assert (
        verdict(make(FAILED)) == "Nothing serious was found in what could be examined. Not examined: labels."
    )
    assert (
        headline(make(ERROR, replace(ERROR, code="other")))
        == "Not fit to measure with yet: 2 things are wrong."
    )
    assert headline(make(WARNING)) == "Fit to measure with, once you have looked at one thing."
    assert headline(make()) == "Fit to measure with: nothing serious was found."
    assert headline(make(FAILED)) == "Nothing serious was found in what could be examined."


def test_text(make, tmp_path):
    text = told(make(NOTE, ERROR, GOOD, WARNING), tmp_path / "audit.html")
    places = [
        text.index(word) for word in ("wrong: Leak", "look at: Wrong", "note: Too few", "in order: Files")
    ]
    assert places == sorted(places)
    assert "    circle/0.png, circle/1.png: two of a kind" in text
    assert "... and 27 more" in text
    assert "fix: Run `assay split`." in text
    assert f"lists: {tmp_path / 'audit' / 'findings'}" in text
    assert max(len(line) for line in told(make(ERROR)).splitlines()[2:9]) <= 100


def test_commands_name_this_very_data(make, photos):
    found = Finding("error", "x", "X", "x", "Run `assay split DATA --force`.")
    assert f"Run `assay split {photos} --force`." in " ".join(told(make(found)).split())
    assert f"assay split {photos} --force</code>" in render_audit(make(found))


def test_text_of_one_of_each_and_any_sign(make):
    text = told(make(Finding("error", "x", "[bold]X[/]", "[red] %s {0}"), n=1, classes={"a": 1}, parts={}))
    assert "1 picture, 1 class\n" in text
    assert "wrong: [bold]X[/]" in text
    assert "[red] %s {0}" in text


def test_the_page_is_whole_and_asks_nobody(make, tmp_path):
    place = write_audit_page(make(ERROR, WARNING, NOTE, GOOD))
    page = place.read_text("utf-8")
    assert place == tmp_path / "audit" / "audit.html"
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert "default-src 'none'" in page
    assert page.count("data:image/webp") == 12 * 2 + 1
    assert "<s>square</s> → <b>circle</b>?" in page
    assert '<code class="short">assay split</code>' in page
    assert "18 more; the list is <code>findings/leak.csv</code>" in page
    assert "größer 三角" in page
    assert "70 to 90" in page
    ids = re.findall(r'id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)


def test_names_cannot_break_the_page(make, photos):
    evil = "<script>alert(1)</script>"
    bad = Finding("error", "x", evil, evil, f"`{evil}`", 1, (Item((f"{evil}.png",), (), evil),), {evil: evil})
    page = render_audit(make(bad, data=evil, classes={evil: 3}, counts={}))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_pictures_that_cannot_be_shown_are_a_list(make):
    gone = tuple(Item((f"gone/{i}.png",), (i,), "it ends early") for i in range(3))
    page = render_audit(make(Finding("error", "truncated", "Cut off", "Three.", count=3, items=gone)))
    assert page.count("it ends early") == 3
    assert '<table class="plain blind">' in page


def test_empty_audits(make):
    page = render_audit(make(n=0, classes={}, parts={}, counts={}, overview={}))
    assert "These pictures have no labels" in page
    assert "not divided yet" in page


def test_bars_and_figures():
    assert bars_of(NOTE) == [
        {
            "name": "at 80 %",
            "value": 80.0,
            "low": 70.0,
            "width": 20.0,
            "told": "80\u202f%",
            "interval": "70 to 90\u202f%",
        }
    ]
    assert plain_figures(NOTE.figures) == [
        ("at 80 %", "0.8 [0.7, 0.9]"),
        ("n", "12"),
        ("deep, er", "1, 2.5, –, yes"),
    ]
    assert (
        bars_of(Finding("note", "x", "x", "x", figures={"loss": {"value": 3.0, "low": 2.0, "high": 4.0}}))
        == []
    )


def test_chance_is_drawn_beside_scores():
    score = {"value": 0.6, "low": 0.5, "high": 0.7}
    found = Finding("note", "x", "x", "x", figures={"random": score, "difference": score, "chance": 0.5})
    bars = bars_of(found)
    assert [bar["name"] for bar in bars] == ["pictures dealt at random", "always the commonest class"]
    assert bars[1]["interval"] == ""
    assert bars_of(Finding("note", "x", "x", "x", figures={"chance": 0.5})) == []


def test_intervals_of_power_and_traits_of_shortcuts_are_drawn():
    power = Finding("note", "x", "x", "x", figures={"half_width": {"0.8": 0.1, "0.95": 0.08}})
    assert [(bar["name"], bar["interval"]) for bar in bars_of(power)] == [
        ("if 80\u202f% are right", "70 to 90\u202f%"),
        ("if 95\u202f% are right", "87 to 100\u202f%"),
    ]
    told = {"class": "mug", "family": "size", "balanced_accuracy": 0.97}
    shortcut = Finding("error", "shortcut", "x", "x", items=(Item((), (), "x", figures=told),))
    assert [(bar["name"], bar["told"]) for bar in bars_of(shortcut)] == [("mug, by size", "97\u202f%")]
    assert "50 % is guessing" in bars_note(shortcut)


def test_code_in_text():
    assert coded("run `a < b` now") == 'run <code class="short">a &lt; b</code> now'
    assert coded("a ` alone <") == "a ` alone &lt;"
