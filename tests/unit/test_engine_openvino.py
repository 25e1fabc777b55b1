"""OpenVINO's own habits: few compiled sizes, a cache that may be lost, threads that share one network."""

from __future__ import annotations

import os
import shutil
import time

import numpy as np
import pytest

from assay.bundle import load_bundle
from assay.errors import ConfigError
from assay.folders import cache_folder
from assay.runtime.engines.openvino import OpenVinoEngine


@pytest.fixture
def graph(tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    return load_bundle(tiny_bundle).member("network.onnx")


def pictures(n):
    return np.random.default_rng(n).normal(size=(n, 3, 32, 32)).astype(np.float32)


def test_few_sizes_are_compiled(graph):
    engine = OpenVinoEngine(graph, threads=1)
    whole = engine(pictures(40))
    assert sorted(engine._compiled) == [8, 32]  # 32 pictures, and 8 more
    np.testing.assert_allclose(engine(pictures(40)[:5]), whole[:5], atol=1e-5)
    assert sorted(engine._compiled) == [8, 32]
    alone = OpenVinoEngine(graph, threads=1)
    np.testing.assert_allclose(alone(pictures(40)[:5]), whole[:5], atol=1e-5)
    assert sorted(alone._compiled) == [1]


def test_what_was_compiled_is_kept_and_may_be_lost(graph):
    first = OpenVinoEngine(graph, threads=1)(pictures(1))
    home = cache_folder() / "openvino"
    (place,) = home.iterdir()
    old = home / "of-another-graph"
    old.mkdir()
    os.utime(old, (0, time.time() - 40 * 86_400))
    np.testing.assert_array_equal(OpenVinoEngine(graph, threads=1)(pictures(1)), first)
    assert [one.name for one in home.iterdir()] == [place.name]
    for blob in place.rglob("*"):
        if blob.is_file():
            blob.write_bytes(b"damaged")
    np.testing.assert_array_equal(OpenVinoEngine(graph, threads=1)(pictures(1)), first)
    shutil.rmtree(home)
    home.write_text("a file where the folder was")
    np.testing.assert_array_equal(OpenVinoEngine(graph, threads=1)(pictures(1)), first)


def test_other_settings_have_another_place(graph):
    for options in ({}, {"callers": 2}, {"threads": 2}):
        OpenVinoEngine(graph, **{"threads": 1, **options})(pictures(1))
    assert len(list((cache_folder() / "openvino").iterdir())) == 3


def test_bf16_is_refused_where_the_processor_has_none(graph, monkeypatch):
    from assay.runtime.engines import openvino as room

    library = room.import_openvino()

    class Core(library.Core):
        def get_property(self, *words):
            return ["FP32"] if "OPTIMIZATION_CAPABILITIES" in words else super().get_property(*words)

    monkeypatch.setattr(library, "Core", Core)
    with pytest.raises(ConfigError, match="openvino does not compute in bf16 here") as told:
        OpenVinoEngine(graph, precision="bf16")
    assert told.value.got == "this processor has no bf16"
