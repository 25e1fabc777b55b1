"""Networks for other programs: every format answers as the checkpoint does, with its card beside it."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import torch

from assay.card import Card
from assay.configs import HEADS, ModelConfig, PreprocessConfig
from assay.errors import ConfigError, ExportError
from assay.export import plain as room
from assay.export.onnx import scene_to_onnx
from assay.export.plain import export_plain, fix_batch, run_onnx
from assay.export.suppressed import require_same_things, with_suppression
from assay.labels import ClassNames
from assay.models.multitask import Heads, build_multitask
from assay.postprocess_boxes import Frame, find_boxes
from assay.tables import EXPORTERS

ENDINGS = {"onnx": "onnx", "openvino": "xml", "torch-export": "pt2"}


def test_every_exporter_is_tried_here():
    assert set(EXPORTERS) == set(ENDINGS)


@pytest.mark.parametrize("kind", ENDINGS)
@pytest.mark.parametrize("batch", [None, 3])
def test_a_classifier(tiny_run, tmp_path, kind, batch):
    out = tmp_path / f"shapes.{ENDINGS[kind]}"
    report = export_plain(tiny_run, out, format=kind, batch=batch)
    assert report.outputs == ("logits", "embedding")
    assert report.difference < 1e-4
    assert all(path.stat().st_size > 100 for path in report.files)
    card = Card.load(out.with_name(f"{out.name}.json"))
    assert card.parity[kind]["pictures"] == 6
    assert list(card.classes) == sorted(card.classes)
    if kind == "onnx":
        model = onnx.load(out)
        onnx.checker.check_model(model, full_check=True)
        assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == (batch or 0)
        assert (
            run_onnx(out.read_bytes(), np.zeros((batch or 5, 3, 32, 32), np.float32))["logits"].shape[1] == 3
        )
    if kind == "openvino":
        from assay.runtime.engines.openvino import import_openvino

        model = import_openvino().Core().read_model(out)
        labels = model.get_rt_info(["model_info", "labels"]).astype(str).split()
        assert labels == [name.replace(" ", "_") for name in card.classes]


def test_half_weights_are_half_as_large(tiny_run, tmp_path):
    whole = export_plain(tiny_run, tmp_path / "a.xml", format="openvino")
    half = export_plain(tiny_run, tmp_path / "b.xml", format="openvino", half=True)
    sizes = [report.files[1].stat().st_size for report in (whole, half)]
    assert sizes[1] < 0.7 * sizes[0]
    assert half.difference < 0.02


@pytest.fixture(scope="module")
def scene():
    """(network, graph) of all heads with lively boxes."""
    torch.manual_seed(0)
    config = ModelConfig(model="csp-nano", width=0.34, heads=HEADS)
    model = build_multitask(config, Heads(classes=2, tags=2, boxes=3, masks=True, pixels=3)).train()
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = 1.0
    with torch.no_grad():
        model(torch.randn(8, 3, 64, 64))
    model.eval()
    for answers in (model.box_head.one_to_many, model.box_head.one_to_one):
        torch.nn.init.normal_(answers.classes.weight, std=0.6)
        torch.nn.init.constant_(answers.classes.bias, -1.0)
    return model


@pytest.mark.parametrize("twin", [False, True])
@pytest.mark.parametrize("batch", [None, 2])
def test_suppression_inside_finds_what_suppression_outside_does(scene, twin, batch):
    kind = "one_to_one" if twin else "boxes"
    graph = scene_to_onnx(scene.without("one-to-many" if twin else "one-to-one"), channels=3, size=64)
    x = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    outside = run_onnx(graph, x)
    within = with_suppression(graph, 64, 0.3)
    onnx.checker.check_model(onnx.load_model_from_string(within))
    inside = run_onnx(within if batch is None else fix_batch(within, batch), x)
    assert "prototypes" in inside
    assert f"{kind}_class_logits" not in inside
    total = 0
    for i in range(2):
        found = find_boxes(
            outside[f"{kind}_class_logits"][i],
            outside[f"{kind}_distances"][i],
            (64, 64),
            Frame((64, 64)),
            least_score=0.3,
            most=10_000,
            **({"iou_threshold": None} if twin else {}),
        )
        rows = np.flatnonzero(inside["found_pictures"] == i)
        order = rows[np.argsort(-inside["found_scores"][rows], kind="stable")]
        inner = inside["found_boxes"][order]
        seen = (inner[:, 2:] > inner[:, :2]).all(axis=1)  # boxes without an area are left out outside
        total += len(found.scores)
        np.testing.assert_allclose(inside["found_scores"][order][seen], found.scores, atol=1e-5)
        np.testing.assert_array_equal(np.sort(inside["found_labels"][order][seen]), np.sort(found.labels))
        np.testing.assert_allclose(inner[seen].sum(), found.boxes_xyxy.sum(), rtol=1e-4)
    assert total > 10


@pytest.fixture(scope="module")
def seen(scene):
    """(what the graph with suppression finds in 2 pictures of noise, the outputs of the graph without)."""
    graph = scene_to_onnx(scene.without("one-to-one"), channels=3, size=64)
    x = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    return run_onnx(with_suppression(graph, 64, 0.3), x), run_onnx(graph, x)


def swap_boxes(found):
    """Those of two things in one picture, of any class."""
    boxes = found["found_boxes"].copy()
    a, b = np.flatnonzero(found["found_pictures"] == 0)[:2]
    boxes[[a, b]] = boxes[[b, a]]
    return {"found_boxes": boxes}


def add_doubles(found):
    """Everything twice, the second time a little weaker: as without suppression."""
    names = ("found_pictures", "found_boxes", "found_labels")
    weaker = np.concatenate([found["found_scores"], found["found_scores"] - 0.05])
    return {name: np.concatenate([found[name]] * 2) for name in names} | {"found_scores": weaker}


WRONG = {
    "labels": lambda found: {"found_labels": (found["found_labels"] + 1) % 3},
    "moved boxes": lambda found: {"found_boxes": found["found_boxes"] + np.float32(0.5)},
    "x for y": lambda found: {"found_boxes": found["found_boxes"][:, [1, 0, 3, 2]]},
    "swapped boxes": swap_boxes,
    "scores": lambda found: {"found_scores": found["found_scores"] * np.float32(0.99)},
    "other picture": lambda found: {"found_pictures": 1 - found["found_pictures"]},
    "twice": add_doubles,
}


@pytest.mark.parametrize("how", WRONG)
def test_other_things_are_noticed(seen, how):
    """Right scores alone are not enough: labels and boxes are compared too."""
    found, raw = seen
    require_same_things(found, raw, 64, 0.3, 1e-3)
    with pytest.raises(ExportError, match="suppression inside of the graph finds other things") as told:
        require_same_things({**found, **WRONG[how](found)}, raw, 64, 0.3, 1e-3)
    assert "in one of the pictures; not in both: class " in told.value.got


def test_the_order_of_things_and_roundings_do_not_matter(seen):
    found, raw = seen
    names = [name for name in found if name.startswith("found_")]
    order = np.random.default_rng(0).permutation(len(found["found_scores"]))
    other = {name: found[name][order] for name in names}
    other["found_boxes"] = other["found_boxes"] + np.float32(0.01)  # 0.064 px are allowed
    require_same_things(other, raw, 64, 0.3, 1e-3)


def one_by_one(*things, size=64):
    """Outputs of a network with one class that says exactly these: (point, logit, distances in strides)."""
    from assay.postprocess_boxes import box_points

    points = len(box_points((size, size))[0])
    logits, distances = np.full((1, points, 1), -9, np.float32), np.full((1, points, 4), 1, np.float32)
    for point, logit, away in things:
        logits[0, point], distances[0, point] = logit, away
    return {"boxes_class_logits": logits, "boxes_distances": distances}


def as_found(boxes, scores):
    n = len(scores)
    zeros = np.zeros(n, np.int64)
    return {
        "found_pictures": zeros,
        "found_labels": zeros,
        "found_boxes": np.array(boxes, np.float32).reshape(n, 4),
        "found_scores": np.array(scores, np.float32),
    }


def test_equal_scores_are_told_apart_by_their_boxes():
    """Two things of one score: either order is right, and one box in both places is not."""
    raw = one_by_one((0, 2.0, (0.5, 0.5, 0.5, 0.5)), (9, 2.0, (0.5, 0.5, 0.5, 0.5)))
    a, b, score = [0, 0, 8, 8], [8, 8, 16, 16], 1 / (1 + np.exp(-2.0))
    require_same_things(as_found([a, b], [score] * 2), raw, 64, 0.3, 1e-3)
    require_same_things(as_found([b, a], [score] * 2), raw, 64, 0.3, 1e-3)
    with pytest.raises(ExportError, match="finds other things") as told:
        require_same_things(as_found([a, a], [score] * 2), raw, 64, 0.3, 1e-3)
    assert told.value.got.endswith("not in both: class 0 at 8.0, 8.0, 16.0, 16.0 px, score 0.881")


def test_what_hangs_by_a_hair_is_no_difference():
    """An IoU of 0.6 but for rounding, and a score at the edge of what is told; beyond that it is one."""
    raw = one_by_one((0, 2.0, (0.5, 0.5, 0.5, 0.5)), (1, 1.0, (1.5, 0.5, -0.9, 0.5)))
    score, weaker = (1 / (1 + np.exp(-value)) for value in (2.0, 1.0))
    near = [0, 0, 4.8, 8]  # IoU 0.6 with the other box
    require_same_things(as_found([[0, 0, 8, 8], near], [score, weaker]), raw, 64, 0.3, 1e-3)
    require_same_things(as_found([[0, 0, 8, 8]], [score]), raw, 64, 0.3, 1e-3)
    edge = as_found([[0, 0, 8, 8], near, [30, 30, 40, 40]], [score, weaker, 0.3005])
    require_same_things(edge, raw, 64, 0.3, 1e-3)
    edge["found_scores"][2] = 0.31
    with pytest.raises(ExportError, match="finds other things"):
        require_same_things(edge, raw, 64, 0.3, 1e-3)


def test_beyond_the_best_hundred_a_graph_may_find_more():
    raw = one_by_one(*((i, 3 - 0.01 * i, (0.2, 0.2, 0.2, 0.2)) for i in range(80)))
    logits = np.concatenate([raw["boxes_class_logits"]] * 2, axis=2)  # each thing is of both classes
    raw = {**raw, "boxes_class_logits": logits}
    all_of_them = find_boxes(
        logits[0], raw["boxes_distances"][0], (64, 64), Frame((64, 64)), least_score=0.3, most=1000
    )
    found = as_found(all_of_them.boxes_xyxy, all_of_them.scores) | {"found_labels": all_of_them.labels}
    assert len(found["found_scores"]) == 160
    require_same_things(found, raw, 64, 0.3, 1e-3)
    with pytest.raises(ExportError, match="finds other things"):
        require_same_things({name: value[10:] for name, value in found.items()}, raw, 64, 0.3, 1e-3)


def test_suppression_needs_boxes(tiny_run, tmp_path):
    with pytest.raises(ConfigError, match="--nms is for networks that find things"):
        export_plain(tiny_run, tmp_path / "x.onnx", format="onnx", nms=True)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"format": "tflite"}, "unknown exporter 'tflite'"),
        ({"format": "onnx", "half": True}, "weights of 16 bits are written for OpenVINO alone"),
        ({"format": "onnx", "batch": 0}, "batch is 0"),
        ({"format": "openvino"}, "does not end with .xml"),
        ({"format": "torch-export", "nms": True}, "does not end with .pt2"),
    ],
)
def test_wrong_requests(tiny_run, tmp_path, options, told):
    with pytest.raises(ConfigError, match=told):
        export_plain(tiny_run, tmp_path / "x.onnx", **options)


def test_what_departs_is_not_written(tiny_run, tmp_path, monkeypatch):
    def spoilt(graph, x):
        return {name: value + 1 for name, value in run_onnx(graph, x).items()}

    monkeypatch.setattr(room, "run_onnx", spoilt)
    with pytest.raises(
        ExportError, match="does not answer as the checkpoint does, so nothing was written"
    ) as told:
        export_plain(tiny_run, tmp_path / "x.onnx", format="onnx")
    assert "differs by" in told.value.got
    assert not list(tmp_path.glob("x.*"))


def test_the_command(cli, tiny_run, tmp_path):
    out = tmp_path / "shapes.onnx"
    done = cli("export", tiny_run, "--format", "onnx", "--out", out)
    assert done.code == 0
    assert done.out.startswith(f"{out}, {out}.json: outputs logits, embedding\n")
    assert "differs by at most" in done.out
    told = json.loads(
        cli("export", tiny_run, "--format", "openvino", "--out", tmp_path / "s.xml", "--json").out
    )
    assert told["files"] == [str(tmp_path / name) for name in ("s.xml", "s.bin", "s.xml.json")]
    for words, told in (
        (("--format", "onnx", "--precision", "int8"), "--precision is not for --format onnx"),
        (("--nms",), "--nms is not for --format bundle"),
    ):
        wrong = cli("export", tiny_run, *words)
        assert wrong.code == 2
        assert told in wrong.err


def test_the_card_says_how_pictures_are_prepared(tiny_run, tmp_path):
    export_plain(tiny_run, tmp_path / "x.onnx", format="onnx")
    card = Card.load(tmp_path / "x.onnx.json")
    assert card.preprocess == PreprocessConfig(size=32)
    assert isinstance(card.classes, ClassNames)
