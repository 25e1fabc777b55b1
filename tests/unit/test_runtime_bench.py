"""`assay bench`: every way is measured beside the limit; what cannot be measured is told."""

from __future__ import annotations

import json

import pytest

from assay.cli.commands import bench as command
from assay.runtime.bench import bench
from assay.tables import ENGINES

HERE = [name for name in ENGINES if ENGINES.load(name).missing() is None]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("assay.runtime.bench._ALONE", 4)
    monkeypatch.setattr(command, "_DRAWN", 3)
    monkeypatch.setattr(command, "_DRAWN_WIDTH", 80)
    monkeypatch.setattr(command, "_DRAWN_HEIGHT", 60)


def test_every_engine_beside_the_limit(tiny_bundle, photos):
    steps = []
    found = bench(
        tiny_bundle,
        [str(path) for path in sorted(photos.rglob("*.png"))],
        rounds=1,
        round_s=0.05,
        on_progress=lambda what, done, total: steps.append((what, done, total)),
    )
    assert {(way.engine, way.precision) for way in found.ways} == {(name, "fp32") for name in HERE}
    assert (found.pictures, found.batch, found.decode) == (24, 8, "exact")
    assert found.decode_per_s > 0
    for way in found.ways:
        assert way.fault is None
        assert way.engine_per_s > 0
        limit = 1 / (1 / found.decode_per_s + 1 / way.engine_per_s)
        assert way.share == pytest.approx(way.per_s / limit, rel=0.01)
        assert 0 < way.p50_ms <= way.p99_ms
        assert 0.05 < way.start_s < 60
        assert way.memory_mb > 20
    assert steps[-1] == ("latency, start and memory", len(HERE), len(HERE))
    json.dumps(found.to_dict())


def test_a_way_that_does_not_work_is_told_and_the_others_are_measured(cli, tiny_bundle, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "openvino", None)
    done = cli("bench", tiny_bundle, "--rounds", "1", "--seconds", "0.02")
    assert done.code == 0
    assert "openvino: not installed: pip install 'assay-vision[openvino]'" in done.err
    lines = done.out.splitlines()
    assert lines[0].startswith(f"{tiny_bundle}: ")
    assert "3 pictures" in lines[0]
    assert lines[1].split()[:3] == ["engine", "precision", "network"]
    assert lines[2].startswith("onnxruntime  fp32")
    assert lines[2].endswith("the checkpoint's")


def test_things_as_json_and_a_picture(cli, scene_bundle, photos, tmp_path):
    chart = tmp_path / "bench.png"
    done = cli(
        "bench", scene_bundle, photos, "--rounds", "1", "--seconds", "0.02", "--engine", "onnxruntime", "--json",
        "--plot", chart,
    )  # fmt: skip
    assert done.code == 0
    told = json.loads(done.out)
    assert [way["engine"] for way in told["ways"]] == ["onnxruntime"]
    assert told["pictures"] == 24
    assert chart.read_bytes().startswith(b"\x89PNG")


def test_wrong_uses(cli, tiny_bundle, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    for words, told in (
        (("--rounds", "0"), "--rounds needs at least 1"),
        (("--seconds", "0"), "--seconds needs a number above 0"),
        (("--engine", "tensorrt"), "unknown engine 'tensorrt'"),
        (("--precision", "fp16"), "unknown precision 'fp16'"),
        ((broken,), "broken.jpg is not a picture that can be read"),
        (("--rounds", "1", "--seconds", "0.02", "--plot", tmp_path / "x.gif"), "is no PNG or SVG"),
    ):
        done = cli("bench", tiny_bundle, *words)
        assert done.code in (1, 2)
        assert told in done.err
