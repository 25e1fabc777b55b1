"""``assay models``: what is listed, and for machines."""

from __future__ import annotations

import json

import pytest

from assay.cli.command import build_parser, parse
from assay.cli.commands.models import COMMAND
from assay.errors import ConfigError
from assay.tables import MODELS


def run(*argv: str) -> int:
    return COMMAND.run(parse(build_parser(COMMAND), list(argv)))


def test_the_own_networks_come_with_their_sizes(capsys):
    assert run() == 0
    out = capsys.readouterr().out
    assert all(name in out for name in MODELS)
    assert "networks of timm" in out
    assert "548,422" in out


def test_a_filter_lists_timm_names(capsys):
    run("mobilenetv2*")
    lines = capsys.readouterr().out.splitlines()
    assert "mobilenetv2_100" in lines
    assert "csp-nano" not in " ".join(lines)


def test_json_is_one_object(capsys):
    run("csp-nano", "--json")
    told = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in told["models"]] == ["csp-nano"]
    assert told["models"][0]["parameters"] == 548_422
    assert told["timm"] == []


def test_a_filter_without_a_match_is_told():
    with pytest.raises(
        ConfigError, match=r"no network's name matches 'resnet188'\n  fix: did you mean resnet18"
    ):
        run("resnet188")
