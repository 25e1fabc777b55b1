from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import load as load_tensors
from safetensors.torch import save_file

import assay
from assay.bundle import Card, load_bundle
from assay.configs import ModelConfig, PreprocessConfig
from assay.errors import AssayError, ConfigError, ExportError
from assay.export.export import export
from assay.export.provenance import complete_card, licence_text
from assay.export.verify import render_patterns
from assay.image import read_image
from assay.labels import ClassNames
from assay.models.build import build_model
from assay.train.predictor import load_run

CLASSES = ("circle", "square", "größer 三角")


def write_run(folder, data):
    """A finished run as ``train`` leaves it, with weights that nobody trained."""
    folder.mkdir()
    config = ModelConfig(model="cnn", width=4, depth=2)
    torch.manual_seed(0)
    model = build_model(config, len(CLASSES))
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()}, folder / "model.safetensors"
    )
    card = Card(
        ClassNames(CLASSES),
        PreprocessConfig(size=32),
        {**config.to_dict(), "channels": 3},
        temperature=1.3,
        name="shop",
        provenance={"seed": 7},
    )
    card.save(folder / "card.json")
    record = {
        "command": ["assay", "train"],
        "data": str(data),
        "split_hash": "ab" * 8,
        "classes": list(CLASSES),
    }
    (folder / "run.json").write_text(json.dumps({**record, "recipe": {"train": {"seed": 3}}}))
    paths = sorted(path.relative_to(data).as_posix() for path in data.rglob("*.png"))
    parts = ["validation" if i % 2 else "train" for i in range(len(paths))]
    pq.write_table(
        pa.table({"path": paths, "label": ["circle"] * len(paths), "part": parts}), folder / "split.parquet"
    )
    (folder / "evaluation").mkdir()
    measured = {"metrics": {"accuracy": {"value": 0.5, "low": 0.4, "high": 0.6}}, "n": 12, "confusion": [[1]]}
    (folder / "evaluation" / "validation.json").write_text(json.dumps(measured))
    return folder


@pytest.fixture(scope="module")
def home(_drawn_photos, tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("home") / "shop", _drawn_photos)


@pytest.fixture(scope="module")
def report(home):
    return export(home, home.parent / "shop.bundle")


@pytest.fixture
def run(home, tmp_path):
    """A copy that a test may break."""
    return shutil.copytree(home, tmp_path / "shop")


def test_the_bundle_answers_as_the_checkpoint_does(home, report, photos):
    photo = photos / "circle" / "0.png"
    bundled, checkpoint = assay.load(report.path)(photo), load_run(home)(photo)
    np.testing.assert_allclose(bundled.probs, checkpoint.probs, atol=1e-5)
    assert bundled.label == checkpoint.label
    assert list(bundled.classes) == list(CLASSES)


def test_features_agree(home, report, photos):
    predictor, run = assay.load(report.path), load_run(home)
    photo = photos / "circle" / "0.png"
    x = predictor.preprocess(read_image(photo))[None]
    with torch.inference_mode():
        expected = run.model.embed(torch.from_numpy(x)).numpy()[0]
    np.testing.assert_allclose(predictor.embed(photo), expected, atol=1e-4)


def test_parity_was_measured_on_the_validation_part_and_is_stored(report):
    parity = load_bundle(report.path).card.parity["onnx"]
    assert parity == {**report.parity.to_dict(), "opset": 18}
    assert (parity["pictures"], parity["source"]) == (12, "validation part")
    assert parity["label_agreement"] == 1
    assert parity["logit_difference"] <= parity["tolerance"] * parity["logit_scale"]


def test_the_card_is_complete(report):
    card = load_bundle(report.path).card
    assert card.provenance["command"] == ["assay", "train"]
    assert card.provenance["seed"] == 7  # what the card says stays
    assert card.provenance["exported_with"] == assay.__version__
    assert card.metrics["validation"]["metrics"]["accuracy"]["value"] == 0.5
    assert "confusion" not in card.metrics["validation"]
    assert card.licence["weights"] == "Apache-2.0"
    assert card.temperature == 1.3


def test_the_members(home, report):
    bundle = load_bundle(report.path)
    assert set(bundle.members) == {
        "card.json",
        "network.safetensors",
        "network.onnx",
        "golden.safetensors",
        "LICENSE",
    }
    weights = load_tensors(bundle.member("network.safetensors"))
    own = load_tensors((home / "model.safetensors").read_bytes())
    assert weights.keys() == own.keys()
    assert all(np.array_equal(weights[name], own[name]) for name in own)
    assert b"Apache License" in bundle.member("LICENSE")


def test_nothing_of_this_machine_is_in_the_graph(report):
    graph = load_bundle(report.path).member("network.onnx")
    for trace in (b".py", b"site-packages", str(Path.home()).encode(), b"stack_trace", b"assay"):
        assert trace not in graph


def test_no_photo_is_in_the_bundle(report):
    """Golden pictures are rendered: a Bundle may be handed to anybody."""
    golden = load_tensors(load_bundle(report.path).member("golden.safetensors"))
    assert golden["pixels"].shape == (4, 32, 32, 3)
    assert golden["logits"].shape == (4, 3)
    assert np.array_equal(golden["pixels"], render_patterns(load_bundle(report.path).card, 4))


def test_the_same_run_gives_the_same_bytes(home, report, tmp_path):
    again = export(home, tmp_path / "again.bundle")
    assert again.digest == report.digest
    assert again.path.read_bytes() == report.path.read_bytes()


def test_what_train_returned_can_be_exported(run, tmp_path):
    class Run:
        folder = run

    assert export(Run(), tmp_path / "x.bundle").path.is_file()


def test_named_pictures(run, photos, tmp_path):
    report = export(run, tmp_path / "x.bundle", pictures=photos / "circle")
    assert (report.parity.pictures, report.parity.source) == (8, "named pictures")
    with pytest.raises(ConfigError, match="there is no picture or folder"):
        export(run, tmp_path / "y.bundle", pictures="nowhere")
    (photos / "bad.png").write_bytes(b"bad")
    with pytest.raises(ConfigError, match="none of the pictures can be read"):
        export(run, tmp_path / "y.bundle", pictures=photos / "bad.png")
    assert not (tmp_path / "y.bundle").exists()


@pytest.mark.parametrize("lost", ["pictures", "split.parquet", "run.json"])
def test_a_run_whose_pictures_are_gone(run, tmp_path, lost):
    if lost == "pictures":
        record = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps({**record, "data": "/nowhere"}))
    else:
        (run / lost).unlink()
    report = export(run, tmp_path / "x.bundle")
    assert report.parity.pictures == 64
    assert "rendered patterns" in report.parity.source


def test_an_export_that_differs_is_refused(run, tmp_path, monkeypatch):
    """A network whose export was tampered with: other weights in the last layer."""
    import onnx

    from assay.export import export as module

    whole = module.to_onnx

    def wrong(model, **kw):
        proto = onnx.load_from_string(whole(model, **kw))
        heads = [tensor for tensor in proto.graph.initializer if len(tensor.dims) == 2 and 3 in tensor.dims]
        for tensor in heads:
            values = onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values + np.float32(0.1), tensor.name))
        assert len(heads) == 1
        return proto.SerializeToString()

    monkeypatch.setattr(module, "to_onnx", wrong)
    with pytest.raises(
        ExportError, match="does not answer as the checkpoint does, so nothing was written"
    ) as told:
        export(run, tmp_path / "x.bundle")
    assert "on 12 pictures (validation part) logits differ by up to " in told.value.got
    assert not (tmp_path / "x.bundle").exists()


def test_what_torch_cannot_translate(run, tmp_path, monkeypatch):
    from assay.models.cnn import Cnn

    def by_value(self, x):
        return x.mean((2, 3)) if float(x.sum()) > 0 else x.amax((2, 3))

    monkeypatch.setattr(Cnn, "embed", by_value)
    with pytest.raises(ExportError, match="cannot be exported to ONNX") as told:
        export(run, tmp_path / "x.bundle", pictures=None)
    assert len(told.value.got.splitlines()) == 1
    assert not (tmp_path / "x.bundle").exists()


def test_a_full_disk(run, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(AssayError, match="could not be written") as told:
        export(run, tmp_path / "x.bundle")
    assert told.value.got == "the disk is full"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


def test_wrong_requests(run, tmp_path):
    with pytest.raises(ConfigError, match="is a folder"):
        export(run, tmp_path)
    with pytest.raises(ConfigError, match="tolerance is 0"):
        export(run, tmp_path / "x.bundle", tolerance=0)
    with pytest.raises(ConfigError, match="not a finished run"):
        export(tmp_path / "nothing", tmp_path / "x.bundle")


def test_damaged_records(run, tmp_path):
    (run / "evaluation" / "validation.json").write_text("{")
    with pytest.raises(ExportError, match=r"validation\.json cannot be read"):
        export(run, tmp_path / "x.bundle")


@pytest.mark.parametrize(
    ("model", "weights", "origin"),
    [
        ({}, "Apache-2.0", "trained from scratch with Assay"),
        ({"weights": "my/weights/mobilenet.pth"}, "as the start weights", "trained from mobilenet.pth,"),
        ({"pretrained": True}, "as the start weights", "weights that timm publishes for resnet18"),
    ],
)
def test_licence(tmp_path, model, weights, origin):
    values = {**ModelConfig(model="resnet18").to_dict(), "channels": 3, **model}
    card = complete_card(Card(ClassNames(["a"]), PreprocessConfig(), values), tmp_path, {})
    assert card.licence["weights"] == weights
    assert origin in card.licence["origin"]
    assert "my/weights" not in card.licence["origin"]
    assert ("Apache License" in licence_text(card)) == (weights == "Apache-2.0")


def test_command(cli, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = cli("export", run)
    assert done.code == 0
    assert done.out.startswith("shop.bundle  0.")
    assert "compared on 12 pictures (validation part): 100.0% of labels agree" in done.out
    assert assay.load("shop.bundle").name == "shop"
    done = cli("export", run, "out=deep/x.bundle", "--json")
    told = json.loads(done.out)
    assert told["path"] == "deep/x.bundle"
    assert told["parity"]["label_agreement"] == 1
    assert len(told["sha256"]) == 64
    done = cli("export", tmp_path / "nothing")
    assert done.code == 2
    assert "is not a finished run" in done.err


def shifted(run, monkeypatch, by):
    """The exported graph with ``by`` added to every logit: a known gap, and no other label."""
    import onnx

    from assay.export import export as module

    whole = module.to_onnx

    def moved(model, **kw):
        proto = onnx.load_from_string(whole(model, **kw))
        name = proto.graph.output[0].name
        (last,) = [node for node in proto.graph.node if name in node.output]
        last.output[list(last.output).index(name)] = "before"
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(by), "by"))
        proto.graph.node.append(onnx.helper.make_node("Add", ["before", "by"], [name]))
        return proto.SerializeToString()

    monkeypatch.setattr(module, "to_onnx", moved)


def test_a_tolerance_that_was_asked_for_holds_when_the_bundle_is_loaded(run, tmp_path, monkeypatch):
    shifted(run, monkeypatch, 0.005)
    with pytest.raises(ExportError, match=r"logits differ by up to 0\.005"):
        export(run, tmp_path / "x.bundle")
    report = export(run, tmp_path / "x.bundle", tolerance=0.01)
    assert report.parity.logit_difference == pytest.approx(0.005, rel=0.01)
    assert assay.load(tmp_path / "x.bundle").card.parity["onnx"]["tolerance"] == 0.01


def test_golden_pictures_that_differ_are_refused_as_an_export(run, tmp_path, monkeypatch):
    """The pictures agree, and the patterns do not: seen here by a limit that nothing keeps."""
    monkeypatch.setattr("assay.runtime.golden.golden_limit", lambda *_: -1.0)
    with pytest.raises(
        ExportError, match=r"does not answer the golden pictures .* nothing was written"
    ) as told:
        export(run, tmp_path / "x.bundle")
    assert "--tolerance" in told.value.fix
    assert not (tmp_path / "x.bundle").exists()
