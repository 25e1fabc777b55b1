"""Flags made from configs."""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass

import pytest

from assay.cli.command import Command, build_parser, parse
from assay.cli.flags import add_config_flags, given_options, options_of, read_config
from assay.config import Config, option
from assay.configs import PreprocessConfig, Recipe, TrainConfig, sections_of
from assay.errors import ConfigError


@dataclass(frozen=True)
class Oven(Config):
    """How to bake."""

    heat: float = option(180.0, "temperature", low=50, high=300, unit="degC", group="oven")
    minutes: int | None = option(None, "baking time", low=1, group="oven")
    fan: bool = option(True, "hot air, 100 %", group="oven")
    shelf: str = option("middle", "where", choices=("top", "middle", "bottom"), group="oven")
    steps: tuple[float, ...] = option((1.0, 2.0), "turning points", group="oven")


def parser_of(config, only=None) -> argparse.ArgumentParser:
    return build_parser(Command("bake", "", lambda p: add_config_flags(p, config, only), lambda _: 0))


def read(words: str, config=Oven):
    return read_config(parse(parser_of(config), words.split()), config)


def test_nothing_given_is_the_default():
    assert read("") == Oven()
    assert given_options(parse(parser_of(Oven), []), Oven) == {}


def test_values_of_every_type():
    assert read("--heat 200 minutes=5 --no-fan --shelf top steps=0.5,1,2") == Oven(
        heat=200.0, minutes=5, fan=False, shelf="top", steps=(0.5, 1.0, 2.0)
    )


def test_automatic_is_a_value():
    assert read("minutes=auto").minutes is None
    assert given_options(parse(parser_of(Oven), ["minutes=automatic"]), Oven) == {"minutes": None}


def test_help_says_default_range_unit_and_choices():
    text = " ".join(parser_of(Oven).format_help().split())
    assert "--heat DEGC temperature (default: 180.0 degC; 50 to 300)" in text
    assert "baking time (default: automatic; at least 1)" in text
    assert "--fan, --no-fan hot air, 100 % (default: yes)" in text
    assert "--shelf NAME where (default: middle; top | middle | bottom)" in text
    assert "turning points (default: 1.0,2.0)" in text
    assert "How to bake." in text


def test_only_some_fields():
    assert "--shelf" not in parser_of(Oven, only=["heat"]).format_help()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("minutes=many", "--minutes needs a whole number\n  got: 'many'"),
        ("minutes=1.5", "--minutes needs a whole number"),
        ("heat=hot", "--heat needs a number"),
        ("heat=inf", "--heat needs a finite number"),
        ("heat=nan", "--heat needs a finite number"),
        ("heat=20", "heat is 20.0; the least is 50"),
        ("heat=2000", "heat is 2000.0; the most is 300"),
        ("shelf=botom", "did you mean bottom?"),
        ("steps=1,x", "--steps needs a number\n  got: 'x'"),
    ],
)
def test_mistakes(words, told):
    with pytest.raises(ConfigError) as caught:
        read(words)
    assert told in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_recipe_has_one_group_a_section():
    text = parser_of(Recipe).format_help()
    for group in ("data:", "split:", "preprocess:", "augment:", "model:", "train:"):
        assert f"\n{group}\n" in text


def test_given_options_feed_the_recipe():
    args = parse(parser_of(Recipe), ["model=cnn", "--size", "96", "--no-ema", "lr=auto", "mean=0.5,0.5,0.5"])
    recipe = Recipe.from_options(given_options(args, Recipe))
    assert recipe == read_config(args, Recipe)
    assert (recipe.model.model, recipe.train.ema, recipe.train.lr) == ("cnn", False, None)
    assert recipe.preprocess == PreprocessConfig(size=96, mean=(0.5, 0.5, 0.5))


def test_every_field_of_the_recipe_has_a_flag_that_reads_its_default_back():
    parser = parser_of(Recipe)
    for section in sections_of(Recipe).values():
        for field in dataclasses.fields(section):
            flag = "--" + field.name.replace("_", "-")
            assert flag in parser._option_string_actions
            if isinstance(field.default, int | float | str) and not isinstance(field.default, bool):
                args = parse(parser, [f"{flag}={field.default}"])
                assert getattr(args, field.name) == field.default


def test_options_describe_themselves():
    options = {o.name: o for o in options_of(TrainConfig)}
    assert options["cache_gb"].flag == "--cache-gb"
    assert options["cache_gb"].kind == "number, GB"
    assert options["minutes"].default == "automatic"
