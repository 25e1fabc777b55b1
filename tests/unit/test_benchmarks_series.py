"""The series of trainings on few pictures and on preprocessing: what is drawn, what is asked, what the tables say."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from benchmarks import few_pictures, preprocessing, series
from benchmarks.data.tree import read_rows, write_rows
from benchmarks.jobs import wanted

from assay.cli.command import build_parser, parse
from assay.tables import COMMANDS

ROWS = [
    {"path": f"{part}/{label}/{i:03}.jpg", "label": label, "part": part, "group": f"{part}{i % 7}"}
    for part, count in (("train", 100), ("validation", 40), ("test", 30))
    for label in ("coat", "hat")
    for i in range(count if label == "coat" else count // 2)
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_rows(tmp_path / series.CLOTHING, ROWS)
    return tmp_path


def counts(rows: list[dict[str, str]], part: str) -> dict[str, int]:
    return dict(Counter(row["label"] for row in rows if row["part"] == part))


def paths(rows: list[dict[str, str]]) -> set[str]:
    return {row["path"] for row in rows}


def test_draws_are_of_a_size_nested_and_leave_the_test_part_whole():
    five, eighty = (few_pictures.draw(ROWS, count, seed=1) for count in (5, 80))
    assert counts(five, "train") == {"coat": 5, "hat": 5}
    assert counts(five, "validation") == {"coat": 2, "hat": 2}
    assert counts(eighty, "train") == {"coat": 80, "hat": 50}  # a class gives all it has
    assert counts(eighty, "validation") == {"coat": 20, "hat": 20}
    assert counts(five, "test") == counts(ROWS, "test")
    assert paths(five) < paths(eighty)
    assert few_pictures.draw(ROWS, None, seed=1) == ROWS
    assert five == few_pictures.draw(ROWS, 5, seed=1)
    assert paths(five) != paths(few_pictures.draw(ROWS, 5, seed=2))


@pytest.mark.parametrize(
    ("steps", "pictures", "epochs"), [(100, 50, 100), (60, 200, 10), (300, 2396, 4), (1, 2396, 1)]
)
def test_steps_become_passes(steps, pictures, epochs):
    assert few_pictures.epochs_of(steps, pictures) == epochs


def test_trainings_are_unique_written_down_and_parse(data, tmp_path):
    found = [*few_pictures.trainings(data), *preprocessing.trainings(data)]
    assert len(found) == 36 + 36
    assert len({training.name for training in found}) == len(found)
    tables = {training.table for training in found}
    assert len(tables) == 12 + 1
    assert len(read_rows(data / "clothing" / "few" / "5-s0.csv")) == 10 + 4 + 45
    for training in found:
        words = series.command_of(training, tmp_path, tmp_path / "out")
        assert words[1:4] == ["-m", "assay", "train"]
        parse(build_parser(COMMANDS.load("train")), words[4:])
        assert str(tmp_path) not in training.options


def test_filters_and_resuming(data):
    found = list(few_pictures.trainings(data))
    some = wanted(found, ["scratch,s1", "80/frozen"])
    assert {training.name for training in some} == {
        *(f"{count}/scratch/s1" for count in ("5", "20", "80", "all")),
        *(f"80/frozen/s{seed}" for seed in (0, 1, 2)),
    }
    line = {"job": found[0].name, "options": found[0].options, "split": "x"}
    assert series.is_done(found[0], "x", [line])
    assert not series.is_done(found[0], "other", [line])
    assert not series.is_done(found[0], "x", [{**line, "options": ""}])


def line_of(job: str, seed: int, right: int, **facts) -> dict:
    bits = np.arange(40) < right
    return {
        "job": f"{job}/s{seed}",
        "seed": seed,
        "n": 40,
        "k": right,
        "right": np.packbits(bits).tobytes().hex(),
        "groups": [i // 4 for i in range(40)],
        "pictures": "p",
        "wall_s": 10.0 + seed,
        **facts,
    }


def test_the_table_and_plot_of_few_pictures(tmp_path):
    lines = [
        line_of(f"{count}/{method}", seed, right + seed, method=method, count=count, train=train)
        for count, train, by_method in (("5", 50, (20, 22, 10)), ("all", 2400, (30, 36, 24)))
        for method, right in zip(few_pictures.METHODS, by_method, strict=True)
        for seed in (0, 2)
    ]
    told = few_pictures.table(lines)
    assert told[2].startswith("| 5 | 50 | 52.5 [")
    assert "| +30.0 [" in told[2]
    assert told[3].startswith("| all | 2,400 | 77.5 [")
    assert "seeds 0, 2" in told[-1]
    few_pictures.plot(lines, tmp_path / "a.svg")
    few_pictures.plot(lines, tmp_path / "b.svg")
    svg = (tmp_path / "a.svg").read_text("utf-8")
    assert svg == (tmp_path / "b.svg").read_text("utf-8")
    assert not re.search(r"<dc:date>", svg)
    assert few_pictures.table(lines[:1])[2].endswith("|  |  |  |")


def test_the_table_and_plot_of_preprocessing(tmp_path):
    lines = [
        line_of(setting, seed, right, setting=setting)
        for setting, right in (("gray", 20), ("base", 24), ("size-128", 24))
        for seed in (0, 1)
    ]
    told = preprocessing.table(lines)
    assert told[2].startswith("| crop, colour, not smoothed, 96 px | 60.0 [")
    assert told[2].endswith("|  | 10 |")
    assert "| -10.0 [" in told[3]
    assert "| +0.0 [+0.0, +0.0] |" in told[4]
    preprocessing.plot(lines, tmp_path / "a.svg")
    assert "<svg" in (tmp_path / "a.svg").read_text("utf-8")
    preprocessing.plot(lines[:2], tmp_path / "without-base.svg")


def test_lines_of_other_pictures_are_refused():
    lines = [line_of("base", 0, 20), {**line_of("base", 1, 20), "pictures": "q"}]
    with pytest.raises(ValueError, match="answered different pictures"):
        series.mean_accuracy(lines)


@pytest.mark.parametrize("module", [few_pictures, preprocessing])
def test_without_pictures_or_lines_one_line_says_so(module, tmp_path, monkeypatch, capsys):
    where = ["--shared", str(tmp_path), "--data", str(tmp_path), "--results", str(tmp_path / "none.jsonl")]
    monkeypatch.setattr(sys, "argv", ["x", *where])
    assert module.main() == 0
    assert capsys.readouterr().out.startswith("skipped: the pictures of clothing")
    monkeypatch.setattr(sys, "argv", ["x", "--summary", *where])
    assert module.main() == 1
    assert "no lines in" in capsys.readouterr().out


def test_a_training_that_fails_is_told_and_the_others_run(data, tmp_path, monkeypatch, capsys):
    (tmp_path / "clothing").mkdir(exist_ok=True)
    words = ["x", "--shared", str(tmp_path), "--data", str(data), "--runs", str(tmp_path / "runs")]
    results = tmp_path / "lines.jsonl"
    monkeypatch.setattr(sys, "argv", [*words, "--results", str(results), "--jobs", "base"])
    monkeypatch.setattr(series, "command_of", lambda *_: [sys.executable, "-c", "raise SystemExit(3)"])
    assert preprocessing.main() == 1
    assert capsys.readouterr().out.count("failed") == 3
    assert not results.exists()
