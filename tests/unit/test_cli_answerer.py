"""What answers on the command line: options that a run folder cannot follow are refused alike."""

from __future__ import annotations

import pytest

from assay.cli.answerer import load_answerer
from assay.errors import ConfigError


@pytest.mark.parametrize(
    ("options", "got"),
    [
        ({"engine": "openvino"}, "--engine openvino --precision fp32"),
        ({"precision": "int8"}, "--engine onnxruntime --precision int8"),
        ({"exact_decode": True}, "--exact-decode"),
    ],
)
def test_a_run_folder_answers_in_its_own_way(tmp_path, options, got):
    with pytest.raises(ConfigError, match="a run folder") as told:
        load_answerer(tmp_path, **options)
    assert told.value.got == got
    assert "pack it first: `assay export`" in told.value.fix


def test_a_bundle_follows_them(tiny_bundle):
    assert load_answerer(tiny_bundle, exact_decode=True).card.preprocess.decode == "exact"


def test_the_command(cli, tiny_run, photos):
    done = cli("predict", tiny_run, photos, "--exact-decode")
    assert (done.code, done.out) == (2, "")
    assert "a run folder decodes pictures as it learned from them" in done.err
    assert "leave it out" in done.err
