"""Networks of several heads become Bundles that answer as the checkpoint does; what departs is refused by name."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.numpy import load as load_tensors
from safetensors.torch import save_file

import assay
from assay.bundle import Card, load_bundle
from assay.configs import HEADS, ModelConfig, PreprocessConfig
from assay.errors import ConfigError, ExportError
from assay.export import scene_export as module
from assay.export import suppressed
from assay.export.export import export
from assay.export.onnx import scene_to_onnx
from assay.export.plain import export_plain
from assay.export.scene_export import scene_export
from assay.export.scene_verify import SceneParity, measure_scene_parity
from assay.export.suppressed import with_suppression
from assay.export.verify import render_patterns
from assay.labels import ClassNames
from assay.models.multitask import Heads, build_multitask
from assay.models.outputs import FoundOutputs, Outputs
from assay.train.predictor import load_run

SIDE = 64
CONFIG = ModelConfig(model="csp-nano", width=0.34, heads=HEADS)
CARD = Card(
    ClassNames(["indoors", "outdoors"]),
    PreprocessConfig(size=SIDE),
    {**CONFIG.to_dict(), "channels": 3},
    temperature=1.3,
    name="things",
    task="scene",
    object_classes=ClassNames(["mug", "shoe", "größer 三角"]),
    pixel_classes=ClassNames(["background", "wall", "floor"]),
    thresholds={"boxes": {"score": 0.55, "target": "f1"}, "tags": {"score": 0.4}},
)


def lively_network():
    """Nobody trained it, but its answers vary: norms with the statistics of noise, and boxes that are likely."""
    torch.manual_seed(0)
    model = build_multitask(CONFIG, Heads(classes=2, tags=2, boxes=3, masks=True, pixels=3)).train()
    norms = [part for part in model.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model(torch.randn(8, 3, SIDE, SIDE))
    model.eval()
    for answers in (model.box_head.one_to_many, model.box_head.one_to_one):
        torch.nn.init.normal_(answers.classes.weight, std=0.3)
        torch.nn.init.constant_(answers.classes.bias, -1.0)
        torch.nn.init.normal_(answers.coefficients.weight, std=0.3)
    return model


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A finished run as ``train`` leaves it."""
    folder = tmp_path_factory.mktemp("scene-run") / "things"
    folder.mkdir()
    save_file(
        {n: v.contiguous() for n, v in lively_network().state_dict().items()}, folder / "model.safetensors"
    )
    CARD.save(folder / "card.json")
    rng = np.random.default_rng(0)
    for i in range(12):
        size = (70 + 5 * i, 90)
        image = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(size)
        image.save(folder.parent / f"{i}.png")
    names = [f"{i}.png" for i in range(12)]
    parts = ["validation" if i % 2 else "train" for i in range(12)]
    pq.write_table(pa.table({"path": names, "part": parts}), folder / "split.parquet")
    record = {"command": ["assay", "train"], "data": str(folder.parent), "recipe": {"train": {"seed": 3}}}
    (folder / "run.json").write_text(json.dumps(record))
    names = ("accuracy", "tags.map", "boxes.ap50", "masks.ap50", "pixels.miou", "whole.found", "panoptic.pq")
    told = {"metrics": {name: {"value": 0.5, "low": 0.4, "high": 0.6} for name in names}, "n": 6}
    (folder / "evaluation").mkdir()
    (folder / "evaluation" / "test.json").write_text(json.dumps(told))
    return folder


@pytest.fixture(scope="module")
def report(home):
    return export(home, home.parent / "things.bundle")


@pytest.fixture(scope="module")
def free(home):
    return export(home, home.parent / "free.bundle", heads=["boxes", "class"], nms_free=True)


def compare(bundled, checkpoint, photo, **options):
    a, b = bundled(photo, **options), next(checkpoint.predict([photo], **options))
    np.testing.assert_allclose(a.probs, b.probs, atol=1e-5)
    np.testing.assert_allclose(a.boxes.boxes_xyxy, b.boxes.boxes_xyxy, atol=0.02)
    np.testing.assert_allclose(a.boxes.scores, b.boxes.scores, atol=1e-4)
    assert a.boxes.labels.tolist() == b.boxes.labels.tolist()
    return a, b


def test_the_bundle_answers_as_the_checkpoint_does(home, report):
    bundled, checkpoint = assay.load(report.path), load_run(home)
    photo = home.parent / "3.png"
    a, b = compare(bundled, checkpoint, photo, least_score=0.3)
    assert len(a.boxes) > 3
    np.testing.assert_allclose(a.tags, b.tags, atol=1e-5)
    assert (a.pixels == b.pixels).mean() > 0.999
    assert all(one.size_hw == (90, 85) for one in a.masks)
    same = [(x.to_array() == y.to_array()).mean() for x, y in zip(a.masks, b.masks, strict=True)]
    assert min(same) > 0.999
    assert bundled.card.thresholds == CARD.thresholds
    assert len(bundled.card.metrics["test"]["metrics"]) == 7
    assert (
        len(bundled(photo).boxes) == (a.boxes.scores >= 0.55).sum() < len(a.boxes)
    )  # the score that travels


def test_parity_of_each_output_and_of_what_is_read_from_it(report):
    parity = load_bundle(report.path).card.parity["onnx"]
    assert parity == {**report.parity.to_dict(), "opset": 18}
    assert (parity["pictures"], parity["source"], parity["tolerance"]) == (6, "validation part", 0.001)
    assert set(parity["outputs"]) == {
        *("class_logits", "tag_logits", "embedding", "pixel_logits", "prototypes"),
        *("boxes_class_logits", "boxes_distances", "boxes_coefficients"),
    }
    assert set(parity["agreement"]) == {"class", "boxes", "masks", "pixels"}
    assert min(parity["agreement"].values()) > 0.999
    assert parity["boxes"] > 100
    assert (
        "compared on 6 pictures (validation part): 100.0% of class, 100.0% of boxes" in report.parity.sentence
    )


def test_the_twin_and_the_graph_without_suppression(home, report, free):
    """By default the twin stays behind; ``nms_free`` keeps it alone. No graph suppresses by itself."""
    graphs = [onnx.load_from_string(load_bundle(r.path).member("network.onnx")) for r in (report, free)]
    for graph in graphs:
        assert not {node.op_type for node in graph.graph.node} & {"NonMaxSuppression", "TopK"}
        assert graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    names = [{end.name for end in graph.graph.output} for graph in graphs]
    assert not any(name.startswith("one_to_one") for name in names[0])
    assert names[1] == {"class_logits", "embedding", "one_to_one_class_logits", "one_to_one_distances"}
    weights = load_tensors(load_bundle(report.path).member("network.safetensors"))
    assert not [name for name in weights if "one_to_one" in name]
    assert len(free.notes) == 1
    assert "assay evaluate" in free.notes[0]


def test_the_answers_without_suppression_have_a_score_of_their_own():
    own = {"score": 0.21, "target": "f1"}
    card = replace(CARD, thresholds={**CARD.thresholds, "nms_free": own})
    free, plain = (scene_export(lively_network(), card, nms_free=nms_free) for nms_free in (True, False))
    assert free.card.thresholds == {"boxes": own, "tags": {"score": 0.4}}
    assert plain.card.thresholds == CARD.thresholds
    assert (len(free.notes), len(plain.notes)) == (1, 0)


def test_heads_that_are_dropped_leave_the_card_too(home, free):
    card = load_bundle(free.path).card
    assert card.heads == ("class", "boxes")
    assert (len(card.classes), len(card.object_classes), len(card.pixel_classes)) == (2, 3, 0)
    assert card.thresholds == {
        "boxes": {"score": 0.55, "target": "f1", "picked_on": "boxes with suppression"}
    }
    assert list(card.metrics["test"]["metrics"]) == ["accuracy", "boxes.ap50"]
    assert free.to_dict()["heads"] == ["class", "boxes"]
    found = assay.load(free.path)(home.parent / "0.png", least_score=0.3)
    assert (found.tags, found.pixels) == (None, None)
    assert set(found.masks) == {None}
    assert len(found.boxes)


def test_the_twin_answers_as_in_the_checkpoint(home, free):
    checkpoint = load_run(home)
    twin = replace(checkpoint, model=checkpoint.model.without("one-to-many", "masks", "pixels", "tags"))
    compare(assay.load(free.path), twin, home.parent / "3.png", least_score=0.3)


def test_golden_pictures_hold_every_output_and_stay_small(report):
    bundle = load_bundle(report.path)
    golden = load_tensors(bundle.member("golden.safetensors"))
    assert golden["pixels"].shape == (4, SIDE, SIDE, 3)
    assert set(golden) == {"pixels", *report.parity.outputs}
    assert all(len(value) == 4 for value in golden.values())
    assert golden["prototypes"].shape[1] <= 4096
    assert assay.load(report.path).check(bundle.member("golden.safetensors")) < 1e-4


def test_nothing_of_this_machine_is_in_the_graph(report):
    graph = load_bundle(report.path).member("network.onnx")
    for trace in (b".py", b"site-packages", b"stack_trace", b"assay"):
        assert trace not in graph


def test_pixels_alone(home, tmp_path):
    told = export(home, tmp_path / "p.bundle", heads=("pixels",))
    found = assay.load(told.path)(home.parent / "0.png")
    assert found.boxes is None
    assert found.label is None
    assert found.pixels.shape == found.size_hw
    assert (told.card.thresholds, told.card.temperature) == ({}, 1.0)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"heads": ["clas"]}, "has no head 'clas'"),
        ({"heads": []}, "no heads are named"),
        ({"heads": ["masks", "class"]}, "masks belong to boxes"),
        ({"heads": ["class"], "nms_free": True}, "--nms-free is about boxes"),
    ],
)
def test_wrong_heads(home, tmp_path, options, told):
    with pytest.raises(ConfigError, match=told):
        export(home, tmp_path / "x.bundle", **options)
    assert not list(tmp_path.iterdir())


def tampered(change):
    """``scene_to_onnx`` with a fault in its graph."""

    def wrong(model, **options):
        proto = onnx.load_from_string(scene_to_onnx(model, **options))
        change(proto)
        return proto.SerializeToString()

    return wrong


def add_to(name, by):
    def change(proto):
        (last,) = [node for node in proto.graph.node if name in node.output]
        last.output[list(last.output).index(name)] = "before"
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(by), "by"))
        proto.graph.node.append(onnx.helper.make_node("Add", ["before", "by"], [name]))

    return change


@pytest.mark.parametrize("name", ["pixel_logits", "boxes_distances"])
def test_an_output_that_departs_is_named(home, report, tmp_path, monkeypatch, name):
    by = 0.01 * report.parity.outputs[name]["scale"]
    monkeypatch.setattr(module, "scene_to_onnx", tampered(add_to(name, by)))
    with pytest.raises(
        ExportError, match="does not answer as the checkpoint does, so nothing was written"
    ) as told:
        export(home, tmp_path / "x.bundle", heads=("boxes", "masks", "pixels"))
    assert f"on 6 pictures (validation part) {name} differs by up to " in told.value.got
    assert "(0.01 of its scale, allowed 0.001)" in told.value.got
    assert not list(tmp_path.iterdir())


def test_answers_are_compared_beside_the_numbers():
    """Outputs within a generous tolerance whose classes of pixels are others: the answers tell it."""
    card = replace(CARD, model={**CARD.model, "heads": ["pixels"]})

    class Three(torch.nn.Module):
        def __init__(self, shift):
            super().__init__()
            self.shift = shift

        def forward(self, x):
            logits = torch.stack([x.mean(1), x.mean(1) + 0.01, x.amax(1) - 9], 1)[:, :, ::4, ::4]
            logits[:, 0] += self.shift
            return Outputs(pixel_logits=logits)

    class Engine:
        def scene(self, x):
            return {name: v.numpy() for name, v in Three(0.02)(torch.from_numpy(x)).named().items()}

    pixels = render_patterns(card, 3)
    parity = measure_scene_parity(Three(0.0), Engine(), pixels, card, source="patterns", tolerance=0.01)
    assert parity.outputs["pixel_logits"]["difference"] == pytest.approx(0.02, abs=1e-4)
    assert "of pixels agree" in parity.departs


def test_nan_never_holds():
    parity = SceneParity(3, "x", {"a": {"difference": float("nan"), "scale": 1.0}}, {}, 0, 0.5)
    assert not parity.holds
    assert "a differs by up to nan" in parity.departs


def test_networks_that_decode_themselves_are_told():
    class Detector(torch.nn.Module):
        def forward(self, x):
            boxes = x.new_zeros(len(x), 5, 4)
            return FoundOutputs(boxes, boxes[..., 0], boxes[..., 0].long())

    card = replace(CARD, model={**CARD.model, "model": "fcos_resnet50_fpn", "heads": ["boxes"]})
    job = scene_export(Detector(), card)
    with pytest.raises(ExportError, match="this kind of network cannot be exported") as told:
        job.to_graph()
    assert "found_boxes" in told.value.got
    assert "csp-nano" in told.value.fix
    with pytest.raises(ExportError, match="fcos_resnet50_fpn cannot be taken apart"):
        scene_export(Detector(), card, nms_free=True)
    Detector.exportable, Detector.why_not_exportable = False, "it is a baseline"
    with pytest.raises(ExportError, match="fcos_resnet50_fpn cannot be exported") as told:
        scene_export(Detector(), card)
    assert told.value.got == "it is a baseline"


def test_a_licence_that_must_be_known_travels():
    class Foreign(torch.nn.Module):
        licence_note = "its encoder is for non-commercial use alone"

    card = replace(CARD, licence={"weights": "Apache-2.0", "origin": "trained from scratch with Assay"})
    job = scene_export(Foreign(), card)
    assert job.notes == ("its encoder is for non-commercial use alone",)
    assert job.card.licence["origin"] == (
        "trained from scratch with Assay; its encoder is for non-commercial use alone"
    )


def test_a_classifier_has_no_heads_to_choose_from(tiny_run, tmp_path):
    for options in ({"nms_free": True}, {"heads": ["boxes"]}):
        with pytest.raises(ConfigError, match="no heads to choose from"):
            export(tiny_run, tmp_path / "x.bundle", **options)


def test_command(cli, home, tmp_path, monkeypatch):
    run = shutil.copytree(home, tmp_path / "things")
    monkeypatch.chdir(tmp_path)
    done = cli("export", run, "--heads", "class,boxes", "--nms-free", "--pictures", home.parent / "0.png")
    assert done.code == 0
    first, second = done.out.splitlines()
    assert first.startswith("things.bundle  ")
    assert first.endswith(" MB, class (2), boxes (3)")
    assert second.startswith(
        "compared on 1 pictures (named pictures): 100.0% of class, 100.0% of boxes agree"
    )
    assert "warning: the score from which things are told (0.55)" in done.err
    assert cli("export", run, "--heads", "boxs").code == 2


@pytest.mark.parametrize(("format", "name"), [("onnx", "x.onnx"), ("openvino", "x.xml")])
def test_files_with_suppression_inside(home, tmp_path, format, name):  # noqa: A002
    report = export_plain(home, tmp_path / name, format=format, nms=True)
    assert {"found_boxes", "found_labels", "found_scores"} <= set(report.outputs)
    assert all(path.is_file() for path in report.files)


def test_suppression_that_names_other_classes_is_not_written(home, tmp_path, monkeypatch):
    """Scores and boxes are right, and every thing is called by its neighbour's name."""

    def renamed(graph, size, least_score):
        model = onnx.load_model_from_string(with_suppression(graph, size, least_score))
        (gather,) = [node for node in model.graph.node if "found_labels" in node.output]
        gather.output[0] = "own_labels"
        values = {"one": np.array(1), "three": np.array(3)}
        model.graph.initializer.extend(onnx.numpy_helper.from_array(v, name) for name, v in values.items())
        model.graph.node.append(onnx.helper.make_node("Add", ["own_labels", "one"], ["next_labels"]))
        model.graph.node.append(onnx.helper.make_node("Mod", ["next_labels", "three"], ["found_labels"]))
        return model.SerializeToString()

    monkeypatch.setattr(suppressed, "with_suppression", renamed)
    with pytest.raises(ExportError, match="finds other things, so nothing was written"):
        export_plain(home, tmp_path / "x.onnx", format="onnx", nms=True)
    assert not list(tmp_path.iterdir())
