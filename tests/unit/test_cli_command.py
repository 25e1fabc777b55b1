"""The words of a command line: both spellings, any order, and mistakes that suggest."""

from __future__ import annotations

import argparse

import pytest

from assay.cli.command import Command, build_parser, parse
from assay.errors import ConfigError


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle")
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--ema", action=argparse.BooleanOptionalAction)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--mean")
    parser.add_argument("--draw", nargs="?", const="here")
    parser.add_argument("-k", "--top", type=int)
    parser.add_argument("--part", choices=("train", "test"))


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    return build_parser(Command("predict", "Say what is in pictures.", _add, lambda _: 0))


@pytest.mark.parametrize(
    "words",
    [
        "x.bundle a.jpg b.jpg --json --learning-rate 0.5",
        "x.bundle a.jpg --json b.jpg --learning-rate=0.5",
        "--json x.bundle --learning_rate 0.5 a.jpg b.jpg",
        "x.bundle json=true a.jpg learning_rate=0.5 b.jpg",
        "learning-rate=0.5 --json -- x.bundle a.jpg b.jpg",
    ],
)
def test_spellings_and_orders_mean_the_same(parser, words):
    args = parse(parser, words.split())
    assert (args.bundle, args.sources) == ("x.bundle", ["a.jpg", "b.jpg"])
    assert args.json is True
    assert args.learning_rate == 0.5


@pytest.mark.parametrize(("word", "value"), [("ema=yes", True), ("ema=false", False), ("--no-ema", False)])
def test_switches(parser, word, value):
    assert parse(parser, ["b", "s", word]).ema is value


def test_a_plain_switch_that_is_off_is_absent(parser):
    assert parse(parser, ["b", "s", "json=no"]).json is False


def test_values_may_begin_with_a_dash(parser):
    assert parse(parser, ["b", "s", "--mean", "-0.5,1"]).mean == "-0.5,1"
    assert parse(parser, ["b", "s", "-k", "-3"]).top == -3
    assert parse(parser, ["b", "s", "-k3"]).top == 3


def test_values_may_hold_an_equals_sign(parser):
    assert parse(parser, ["b", "s", "--mean", "pad=same"]).mean == "pad=same"
    assert parse(parser, ["b", "s", "mean=pad=same"]).mean == "pad=same"


def test_optional_values(parser):
    assert parse(parser, ["b", "s", "--draw"]).draw == "here"
    assert parse(parser, ["b", "s", "--draw", "there"]).draw == "there"


def test_a_file_may_be_called_like_an_option(parser, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "top=1").touch()
    assert parse(parser, ["b", "top=1"]).sources == ["top=1"]
    assert parse(parser, ["--", "b", "-x.jpg"]).sources == ["-x.jpg"]
    assert parse(parser, ["b", "-"]).sources == ["-"]


def test_the_only_place_may_be_named():
    command = Command("train", "", lambda p: p.add_argument("data") and None, lambda _: 0)
    assert parse(build_parser(command), ["data=photos"]).data == "photos"


@pytest.mark.parametrize(
    ("words", "what", "fix"),
    [
        ("b s --jsn", "unknown option --jsn", "did you mean --json?"),
        ("b s learning_rat=1", "unknown option learning_rat", "did you mean learning-rate?"),
        ("b s --zzz", "unknown option --zzz", "see `assay predict --help`"),
        ("b s --mean", "--mean needs a value", "see `assay predict --help`"),
        ("b s --top x", "--top needs a whole number", "see `assay predict --help`"),
        ("b s --part tset", "--part cannot be 'tset'", "did you mean test?"),
        ("b", "sources is missing", "see `assay predict --help`"),
        ("b s ema=perhaps", "--ema is a switch", "ema=true or ema=false"),
    ],
)
def test_mistakes(parser, words, what, fix):
    with pytest.raises(ConfigError) as caught:
        parse(parser, words.split())
    assert (caught.value.what, caught.value.fix) == (what, fix)


def test_an_argument_too_many():
    command = Command("train", "", lambda p: p.add_argument("data") and None, lambda _: 0)
    with pytest.raises(ConfigError, match="unexpected argument 'more'"):
        parse(build_parser(command), ["photos", "more"])


def test_usage_names_the_places(parser):
    assert "usage: assay predict BUNDLE SOURCES ... [options]" in parser.format_help()
