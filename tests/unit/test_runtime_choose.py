"""Which engine: measured once, remembered, and never one that answers otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest

import assay
from assay.bundle import load_bundle, save_bundle
from assay.errors import BundleError, ConfigError
from assay.runtime import choose as room
from assay.runtime.choose import Rate, chosen, known_choice, measure
from assay.runtime.precisions import golden_limit, precisions_of
from assay.tables import ENGINES

HERE = [name for name in ENGINES if ENGINES.load(name).missing() is None]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(room, "_ROUND_S", 0.01)


@pytest.fixture
def bundle(tiny_bundle):
    return load_bundle(tiny_bundle)


def test_every_engine_is_measured_and_the_choice_is_kept(bundle):
    found = room.choose(bundle, lanes=2)
    assert {rate.engine for rate in found.rates} == set(HERE)
    assert all(rate.pictures_per_s > 0 for rate in found.rates)
    assert known_choice(bundle, "auto", "fp32", lanes=2) == found
    assert known_choice(bundle, "auto", "fp32", lanes=1) is None
    predictor = assay.load(bundle.path, engine="auto", threads=2)
    assert (predictor.engine.name, predictor.engine.precision) == (found.engine, found.precision)


def test_as_many_lanes_are_measured_as_walk(bundle, photos, monkeypatch):
    """Whatever the number of cores: eight was once the most."""
    monkeypatch.setattr("assay.pipeline.usable_cores", lambda: 12)
    found = room.choose(bundle)
    assert known_choice(bundle, "auto", "fp32", lanes=12) == found
    predictor = assay.load(bundle.path, threads=1)
    paths = sorted(photos.rglob("*.png"))
    assert len(list(predictor.predict(paths))) == 24
    assert list(predictor.engine._lanes) == [12]


def test_a_damaged_memory_is_measured_again(bundle, tmp_path):
    room.choose(bundle, lanes=1)
    (file,) = (tmp_path / "cache" / "engines").iterdir()
    file.write_text("{")
    assert known_choice(bundle, "auto", "fp32", lanes=1) is None
    room.choose(bundle, lanes=1)
    assert known_choice(bundle, "auto", "fp32", lanes=1) is not None


def test_without_measuring_the_usual_one_is_taken(bundle):
    room.choose(bundle, lanes=1)
    assert chosen(bundle, "auto", "fp32", measure=False) == ("onnxruntime", "fp32")
    assert chosen(bundle, "auto", "any", measure=False) == ("onnxruntime", "fp32")
    assert chosen(bundle, "openvino", "any", measure=False) == ("openvino", "fp32")


def test_what_is_not_clearly_faster_is_not_taken(bundle, monkeypatch):
    for factor, taken in ((1.04, "onnxruntime"), (1.5, "openvino")):
        rates = [Rate("onnxruntime", "fp32", 100.0), Rate("openvino", "fp32", 100.0 * factor)]
        monkeypatch.setattr(room, "measure", lambda *_args, found=rates, **_kw: found)
        assert room.choose(bundle, lanes=int(100 * factor)).engine == taken


def test_an_engine_that_answers_otherwise_is_left_out(bundle, monkeypatch):
    def wrong(_golden, engine, _card):
        if engine.name == "openvino":
            raise BundleError("the network does not answer here as it did", got="scores differ")
        return 0.0

    monkeypatch.setattr(room, "check_golden", wrong)
    rates = {rate.engine: rate for rate in measure(bundle, [(n, "fp32") for n in HERE], lanes=1, batch=2)}
    assert rates["openvino"].pictures_per_s == 0
    assert "scores differ" in rates["openvino"].fault
    assert room.choose(bundle, lanes=1).engine == "onnxruntime"
    monkeypatch.setattr(ENGINES, "_own", {"openvino": ENGINES["openvino"]})
    with pytest.raises(BundleError, match="no engine can answer this Bundle here"):
        room.choose(bundle, lanes=2)


def test_a_precision_that_was_not_passed_is_refused(tiny_bundle, bundle, cli):
    assert precisions_of(bundle) == ("fp32",)
    for precision, got in (("int8", "it has fp32"), ("bf16", "it has fp32")):
        with pytest.raises(ConfigError, match=f"may not answer in {precision}") as told:
            assay.load(tiny_bundle, precision=precision)
        assert told.value.got == got
    with pytest.raises(ConfigError, match="unknown precision 'fp16'"):
        assay.load(tiny_bundle, precision="fp16")
    done = cli("predict", tiny_bundle, "photos", "--precision", "int8")
    assert done.code == 2
    lost = replace(bundle.card, parity={"bf16": {"passed": False}})
    save_bundle(tiny_bundle, lost, {n: bundle.member(n) for n in bundle.members if n != "card.json"})
    with pytest.raises(ConfigError) as told:
        assay.load(tiny_bundle, precision="bf16")
    assert told.value.got == "it lost too much when it was measured"


@pytest.mark.parametrize(
    ("parity", "precision", "limit"),
    [
        ({}, "fp32", 1e-3),
        ({"onnx": {"tolerance": 0.01}}, "fp32", 0.01),
        ({"int8": {"golden_limit": 0.2}}, "int8", 0.2),
        ({"int8": {"golden_limit": "much"}}, "int8", 1e-3),
    ],
)
def test_how_far_golden_answers_may_be_off(bundle, parity, precision, limit):
    assert golden_limit(replace(bundle.card, parity=parity), precision) == limit


def test_an_engine_that_is_not_installed_names_the_extra(tiny_bundle, monkeypatch):
    import sys

    for name in [n for n in sys.modules if n == "openvino" or n.startswith("openvino.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ConfigError, match="the engine openvino is not installed") as told:
        assay.load(tiny_bundle, engine="openvino")
    assert "assay-vision[openvino]" in told.value.fix
    assert assay.load(tiny_bundle, engine="auto").engine.name == "onnxruntime"
