"""Faster ways of answering: each passes a gate on held-out pictures, or is not used."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import assay
from assay.bundle import INT8, Card, load_bundle
from assay.configs import ModelConfig, PreprocessConfig
from assay.data.read import read_dataset
from assay.errors import ConfigError, ExportError
from assay.export import gate as gates
from assay.export.export import export
from assay.export.gate import Gate, Score, judge_of, require_gate
from assay.export.quantize import LAYERS, layers_by_damage, quantize
from assay.labels import ClassNames
from assay.metrics.interval import Estimate
from assay.models.build import build_model
from assay.runtime.engines.onnxruntime import OnnxRuntimeEngine

COLOURS = {"blue": (30, 40, 200), "green": (40, 190, 60), "red": (210, 40, 40)}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A run on 390 JPEG photos of one colour each, larger than the network's input, with a network that tells them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = tmp_path_factory.mktemp("ways")
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (place / "photos" / name).mkdir(parents=True)
        for i in range(130):
            pixels = np.clip(np.array(colour) + rng.normal(0, 25, (120, 160, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(place / "photos" / name / f"{i}.jpg", quality=90)
    folder = place / "colours"
    folder.mkdir()
    config = ModelConfig(model="cnn", width=8, depth=2)
    torch.manual_seed(0)
    model = build_model(config, 3)
    _teach(model)
    save_file({n: v.contiguous() for n, v in model.state_dict().items()}, folder / "model.safetensors")
    card = Card(
        ClassNames(COLOURS), PreprocessConfig(size=32), {**config.to_dict(), "channels": 3}, name="colours"
    )
    card.save(folder / "card.json")
    data = read_dataset(place / "photos")
    parts = [("train", "validation")[i % 2] for i in range(len(data))]
    pq.write_table(data.table.append_column("part", pa.array(parts)), folder / "split.parquet")
    record = {"data": str(place / "photos"), "classes": list(COLOURS), "status": "finished", "command": []}
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def _teach(model):
    """A few steps on plain colours: enough to tell them."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    colours = torch.tensor(list(COLOURS.values()), dtype=torch.float32) / 255
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    for step in range(60):
        noise = torch.randn(30, 3, 32, 32, generator=torch.Generator().manual_seed(step)) * 0.1
        labels = torch.arange(30) % 3
        x = (colours[labels][:, :, None, None] + noise - mean[:, None, None]) / std[:, None, None]
        loss = torch.nn.functional.cross_entropy(model(x), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


@pytest.fixture(scope="module")
def report(home):
    return export(
        home, home.parent / "colours.bundle", precisions=("int8", "bf16") if has_bf16() else ("int8",)
    )


def has_bf16():
    from assay.runtime.engines.processor import abilities

    return "avx512_bf16" in abilities()


def test_what_passed_is_in_the_bundle_and_on_the_card(report):
    bundle = load_bundle(report.path)
    assert bundle.card.preprocess.decode == "scaled"
    assert INT8 in bundle.members
    assert {gate.way for gate in report.gates} >= {"decoding JPEG files smaller", "8-bit integers"}
    told = bundle.card.parity["int8"]
    assert (told["passed"], told["pictures"], told["layers_in_float"]) == (True, 195, [])
    assert told["calibration_pictures"] == 195
    assert told["scores"][0]["name"] == "accuracy"
    assert bundle.card.parity["decode"]["passed"] is True
    assert "accuracy +0.0 points [-1.9, +1.9] on 195 pictures" in report.gates[0].sentence
    assert (bundle.card.parity["decode"]["fault"], bundle.card.parity["decode"]["warning"]) == (None, None)


def test_it_answers_in_every_precision_nearly_alike(report, home):
    photos = sorted((home.parent / "photos").rglob("*.jpg"))[::10]
    exact = [p.probs for p in assay.load(report.path).predict(photos)]
    ways = [("onnxruntime", "int8"), ("openvino", "fp32"), ("openvino", "int8")]
    for engine, precision in ways + [("openvino", "bf16")] * has_bf16():
        found = [p.probs for p in assay.load(report.path, engine=engine, precision=precision).predict(photos)]
        assert [p.argmax() for p in found] == [p.argmax() for p in exact]
        np.testing.assert_allclose(found, exact, atol=1e-4 if precision == "fp32" else 0.1)


def test_the_integer_graph_is_plain_onnx_and_always_the_same(report):
    bundle = load_bundle(report.path)
    data = bundle.member(INT8)
    model = onnx.load_model_from_string(data)
    assert [one.domain for one in model.opset_import] == [""]
    assert len(data) < len(bundle.member("network.onnx"))
    whole = {n.op_type for n in model.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= whole
    x = np.random.default_rng(0).normal(size=(8, 3, 32, 32)).astype(np.float32)
    graph = bundle.member("network.onnx")
    assert quantize(graph, lambda: iter([x])) == quantize(graph, lambda: iter([x]))


def test_layers_are_ranked_and_can_stay_in_float(report):
    graph = load_bundle(report.path).member("network.onnx")
    x = np.random.default_rng(0).normal(size=(8, 3, 32, 32)).astype(np.float32)
    integer = quantize(graph, lambda: iter([x]))
    layers = layers_by_damage(graph, integer, x)
    nodes = onnx.load_model_from_string(graph).graph.node
    assert set(layers) < {node.name for node in nodes if node.op_type in LAYERS}
    fewer = onnx.load_model_from_string(quantize(graph, lambda: iter([x]), exclude=layers[:1]))
    count = {"QuantizeLinear": 0}
    for node in fewer.graph.node:
        count[node.op_type] = count.get(node.op_type, 0) + 1
    before = sum(n.op_type == "QuantizeLinear" for n in onnx.load_model_from_string(integer).graph.node)
    assert count["QuantizeLinear"] < before
    with pytest.raises(ExportError, match="the network has no such layer"):
        quantize(graph, lambda: iter([x]), exclude=["conv-of-somebody-else"])


def test_weights_that_layers_share_get_a_copy_each():
    shared = onnx.numpy_helper.from_array(
        np.random.default_rng(0).normal(size=(4, 4, 3, 3)).astype(np.float32), "w"
    )
    nodes = [
        onnx.helper.make_node("Conv", ["pixels4", "w"], ["a"], name="one", pads=[1] * 4),
        onnx.helper.make_node("Conv", ["a", "w"], ["b"], name="two", pads=[1] * 4),
        onnx.helper.make_node("Conv", ["b", "w"], ["c"], name="three", pads=[1] * 4),
        onnx.helper.make_node("GlobalAveragePool", ["c"], ["d"]),
        onnx.helper.make_node("Flatten", ["d"], ["embedding"]),
        onnx.helper.make_node("Relu", ["embedding"], ["logits"]),
    ]
    pad = onnx.numpy_helper.from_array(np.zeros((1, 1, 8, 8), np.float32), "pad")
    nodes.insert(0, onnx.helper.make_node("Concat", ["pixels", "first"], ["pixels4"], axis=1))
    first = onnx.helper.make_node("ReduceMean", ["pixels"], ["first"], axes=[1], keepdims=1)
    nodes.insert(0, first)
    ends = [onnx.helper.make_tensor_value_info(n, 1, ["b", 4]) for n in ("logits", "embedding")]
    pixels = onnx.helper.make_tensor_value_info("pixels", 1, ["b", 3, 8, 8])
    graph = onnx.helper.make_graph(nodes, "shared", [pixels], ends, [shared, pad])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    x = np.random.default_rng(1).normal(size=(4, 3, 8, 8)).astype(np.float32)
    data = quantize(model.SerializeToString(), lambda: iter([x]))
    names = [w.name for w in onnx.load_model_from_string(data).graph.initializer if "quantized" in w.name]
    assert len([name for name in names if name.startswith("w")]) >= 3
    OnnxRuntimeEngine(data, threads=1, precision="int8")(x)


def test_what_costs_too_much_is_refused_and_nothing_is_written(home, tmp_path, monkeypatch):
    fine = gates.paired_scores

    def worse(before, after):
        (score,) = fine(before, after)
        return (replace(score, after=0.2, difference=Estimate(-0.4, -0.5, -0.3)),)

    monkeypatch.setattr(gates, "paired_scores", worse)
    with pytest.raises(
        ExportError, match="8-bit integers costs too much accuracy, so nothing was written"
    ) as told:
        export(home, tmp_path / "x.bundle", precisions=("int8",))
    assert "accuracy falls from" in told.value.got
    assert "1 points are allowed" in told.value.got
    assert "--most-loss" in told.value.fix
    assert not (tmp_path / "x.bundle").exists()
    quiet = export(home, tmp_path / "x.bundle")  # what nobody asked for is left out in place of a refusal
    assert quiet.card.preprocess.decode == "exact"
    assert quiet.card.parity["decode"]["passed"] is False
    assert quiet.card.parity["decode"]["fault"] == "accuracy falls by more than 0.5 points"
    with pytest.raises(ExportError, match="decoding JPEG files smaller costs too much"):
        export(home, tmp_path / "y.bundle", decode="scaled")


def test_what_nobody_asked_for_is_not_taken_on_too_little_evidence(home, tmp_path, monkeypatch):
    """No label differs, but 75 pictures cannot tell that from a loss of four points."""
    monkeypatch.setattr(gates, "MOST_PICTURES", 75)
    report = export(home, tmp_path / "x.bundle")
    assert report.card.preprocess.decode == "exact"
    told = load_bundle(report.path).card.parity["decode"]
    assert (told["passed"], told["most_doubt_points"], told["warning"]) == (False, 2.0, None)
    assert told["fault"] == "75 pictures do not rule out that accuracy falls by more than 2 points"
    assert told["scores"][0]["difference"]["value"] == 0
    assert told["scores"][0]["difference"]["low"] == pytest.approx(-0.0487, abs=1e-4)


def test_what_was_asked_for_is_taken_with_a_warning(home, tmp_path, monkeypatch):
    monkeypatch.setattr(gates, "MOST_PICTURES", 75)
    report = export(home, tmp_path / "x.bundle", decode="scaled", precisions=("int8",))
    assert report.card.preprocess.decode == "scaled"
    words = "75 pictures show little; accuracy may change by anything from -4.9 to +4.9 points"
    parity = load_bundle(report.path).card.parity
    for name, way in (("decode", "decoding JPEG files smaller"), ("int8", "8-bit integers")):
        assert (parity[name]["passed"], parity[name]["fault"]) == (True, None)
        assert parity[name]["warning"] == f"{way}: {words}"
        assert f"{way}: {words}" in report.notes
        assert f"{way}: {words}" in report.to_dict()["notes"]


@pytest.mark.parametrize(
    ("n", "low", "let_in"),
    [(20, -0.161, False), (100, -0.037, False), (188, -0.02002, False), (189, -0.0199, True), (2000, -0.0019, True)],
)  # fmt: skip
def test_equal_answers_to_a_few_pictures_show_little(n, low, let_in):
    """20 pictures that all agree say as much of a way that loses five points with a chance of 36 %."""
    found = gates._widened(Estimate(0.0, 0.0, 0.0), n)
    assert (found.value, found.low, found.high) == (0, pytest.approx(low, abs=6e-4), -found.low)
    gate = Gate("x", n, "validation part", (Score("accuracy", 0.9, 0.9, found),), 0.5, most_doubt=2.0)
    assert gate.passed is let_in
    asked = replace(gate, most_doubt=None)
    assert asked.passed
    assert (asked.warning is None) == (n >= 100)


def test_an_interval_that_is_wide_already_stays():
    wide = Estimate(-0.004, -0.03, 0.02)
    assert gates._widened(wide, 500) == wide
    score = Score("accuracy", 0.9, 0.896, wide)
    gate = Gate("x", 500, "validation part", (score,), 0.5, most_doubt=2.0)
    assert gate.fault == "500 pictures do not rule out that accuracy falls by more than 2 points"
    assert replace(gate, most_doubt=3.0).passed
    unknown = replace(score, difference=Estimate(0.0, float("nan"), float("nan")))
    assert not replace(gate, scores=(unknown,)).passed


def test_pictures_of_one_group_count_once():
    """200 photos of 10 sellers that are all answered alike are worth ten pictures."""
    from assay.metrics.evaluation import Evaluation

    targets = np.arange(200) % 2
    alike = Evaluation(
        {},
        ClassNames(["a", "b"]),
        targets,
        np.eye(2, dtype=np.float32)[targets],
        targets,
        [f"{i}.jpg" for i in range(200)],
        "validation",
        groups=[f"seller {i % 10}" for i in range(200)],
    )
    (grouped,) = gates.paired_scores(alike, alike)
    (single,) = gates.paired_scores(replace(alike, groups=None), replace(alike, groups=None))
    assert grouped.difference.low == pytest.approx(-0.2775, abs=1e-3)
    assert single.difference.low == pytest.approx(-0.0188, abs=1e-3)


def test_more_layers_stay_in_float_until_the_gate_is_passed(home, tmp_path, monkeypatch):
    tried = []

    def passed(self):
        tried.append(self.facts.get("layers_in_float"))
        return self.way != "8-bit integers" or len(self.facts["layers_in_float"]) > 0

    monkeypatch.setattr(Gate, "passed", property(passed))
    found = export(home, tmp_path / "x.bundle", precisions=("int8",))
    assert found.card.parity["int8"]["layers_in_float"]


def test_without_the_pictures_nothing_can_be_shown(home, tmp_path, monkeypatch):
    monkeypatch.setattr(gates, "LEAST_PICTURES", 1000)
    with pytest.raises(ExportError, match="what a faster way costs cannot be measured"):
        export(home, tmp_path / "x.bundle", precisions=("int8",))
    assert export(home, tmp_path / "x.bundle").card.preprocess.decode == "exact"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"precisions": ("fp16",)}, "unknown precision 'fp16'"),
        ({"decode": "fast"}, "decode is 'fast'"),
        ({"most_loss": -1.0}, "most_loss is -1"),
    ],
)
def test_wrong_requests(home, tmp_path, options, told):
    with pytest.raises(ConfigError, match=told):
        export(home, tmp_path / "x.bundle", **options)


def test_exact_decoding_by_wish(home, tmp_path, report):
    assert export(home, tmp_path / "x.bundle", decode="exact").card.preprocess.decode == "exact"
    assert assay.load(report.path, exact_decode=True).card.preprocess.decode == "exact"


def test_the_judge_takes_pictures_from_all_over_the_part(home, monkeypatch):
    from assay.data.own_pictures import own_pictures
    from assay.train.predictor import load_run

    monkeypatch.setattr(gates, "MOST_PICTURES", 30)
    run = load_run(home)

    class Engine:
        name, precision = "torch", "fp32"

        def __call__(self, x):
            with torch.inference_mode():
                return run.model(torch.from_numpy(x)).numpy()

        def alone(self, _callers):
            return self

    judge = judge_of(own_pictures(home), run.card, Engine())
    assert judge.before.n == 30
    assert set(judge.before.targets.tolist()) == {0, 1, 2}


def test_answers_are_held_back_in_fp32_alone(report):
    from assay.decide.abstention import Abstention

    with pytest.raises(ConfigError, match="holds no thresholds"):
        assay.load(report.path).predict([], abstain=True)
    held = replace(assay.load(report.path, precision="int8"), abstention=object.__new__(Abstention))
    with pytest.raises(ConfigError, match="what is held back was promised for answers in fp32"):
        held.predict([], abstain=True)


def test_words_of_a_gate():
    score = Score("accuracy", 0.9, 0.88, Estimate(-0.02, -0.05, 0.01))
    gate = Gate("bf16", 100, "validation part", (score,), 1.0)
    assert gate.sentence == "bf16: accuracy -2.0 points [-5.0, +1.0] on 100 pictures (validation part)"
    assert not gate.passed
    with pytest.raises(ExportError, match="bf16 costs too much accuracy") as told:
        require_gate(gate)
    assert told.value.got.startswith("accuracy falls from 0.900 to 0.880 on 100 pictures (validation part)")
    assert replace(gate, most_loss=2.0).passed


def test_the_command(cli, home, tmp_path, monkeypatch):
    out = tmp_path / "c.bundle"
    done = cli("export", home, "--out", out, "--precision", "int8", "--json")
    assert done.code == 0
    told = json.loads(done.out)
    assert told["decode"] == "scaled"
    assert told["gates"]["8-bit integers"]["passed"] is True
    spoken = cli("export", home, "--out", out, "--precision", "int8")
    assert "8-bit integers: accuracy +0.0 points" in spoken.out
    monkeypatch.setattr(gates, "MOST_PICTURES", 75)
    few = cli("export", home, "--out", home.parent / "few.bundle", "--precision", "int8")
    assert "not used: 75 pictures do not rule out that accuracy falls by more than 2 points" in few.out
    assert "--decode scaled asks for it all the same" in few.err
    assert "warning: 8-bit integers: 75 pictures show little" in few.err
    answered = cli("predict", out, home.parent / "photos" / "red" / "0.jpg", "--precision", "int8")
    assert answered.code == 0
    assert "red  " in answered.out
    assert cli("export", home, "--precision", "int4").code == 2
