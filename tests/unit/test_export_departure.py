"""A spoiled export is refused, and the refusal says which mistake it is and from which layer on it differs."""

from __future__ import annotations

import json
import shutil

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from safetensors.torch import load_file, save_file

from assay.bundle import Card
from assay.errors import ExportError
from assay.export import export as room
from assay.export.export import export
from assay.train.predictor import load_run


@pytest.fixture
def run(tiny_run):
    """With an untrained network whose answers vary from picture to picture, and a lopsided normalisation."""
    weights = load_file(tiny_run / "model.safetensors")
    torch.manual_seed(3)
    for name, value in weights.items():
        if value.ndim > 1:
            weights[name] = value + 0.5 * torch.randn_like(value) / value[0].numel() ** 0.5
    save_file(weights, tiny_run / "model.safetensors")
    values = json.loads((tiny_run / "card.json").read_text("utf-8"))
    values["preprocess"] |= {"mean": [0.6, 0.4, 0.3], "std": [0.2, 0.3, 0.25]}
    Card.from_dict(values).save(tiny_run / "card.json")
    return tiny_run


def before_the_network(make):
    """The graph with nodes between its input and what reads it."""

    def spoil(graph: bytes) -> bytes:
        model = onnx.load_model_from_string(graph)
        for node in model.graph.node:
            for i, name in enumerate(node.input):
                if name == "pixels":
                    node.input[i] = "spoilt"
        nodes, weights = make()
        for node in reversed(nodes):
            model.graph.node.insert(0, node)
        model.graph.initializer.extend(weights)
        return model.SerializeToString()

    return spoil


def scaled(factor, shift):
    def make():
        arrays = {"factor": factor, "shift": shift}
        weights = [
            numpy_helper.from_array(np.array(v, np.float32).reshape(1, 3, 1, 1), name)
            for name, v in arrays.items()
        ]
        nodes = [
            helper.make_node("Mul", ["pixels", "factor"], ["multiplied"]),
            helper.make_node("Add", ["multiplied", "shift"], ["spoilt"]),
        ]
        return nodes, weights

    return before_the_network(make)


def swapped_channels(graph):
    """Red and blue change places before they are normalised: each gets the other's numbers."""
    mean, std = np.array([0.6, 0.4, 0.3]), np.array([0.2, 0.3, 0.25])

    def make():
        order = numpy_helper.from_array(np.array([2, 1, 0], np.int64), "order")
        arrays = {"factor": std[::-1] / std, "shift": (mean[::-1] - mean) / std}
        weights = [
            numpy_helper.from_array(v.astype(np.float32).reshape(1, 3, 1, 1), name)
            for name, v in arrays.items()
        ]
        nodes = [
            helper.make_node("Gather", ["pixels", "order"], ["gathered"], axis=1),
            helper.make_node("Mul", ["gathered", "factor"], ["multiplied"]),
            helper.make_node("Add", ["multiplied", "shift"], ["spoilt"]),
        ]
        return nodes, [order, *weights]

    return before_the_network(make)(graph)


def shuffled_classes(graph):
    model = onnx.load_model_from_string(graph)
    last = next(node for node in model.graph.node if "logits" in node.output)
    for weight in model.graph.initializer:
        if weight.name in last.input:
            values = numpy_helper.to_array(weight)
            axis = 0 if values.ndim == 1 or values.shape[0] == 3 else 1
            weight.CopyFrom(numpy_helper.from_array(np.take(values, [1, 2, 0], axis), weight.name))
    return model.SerializeToString()


def one_layer_off(graph):
    model = onnx.load_model_from_string(graph)
    weights = [w for w in model.graph.initializer if len(w.dims) == 4]
    values = numpy_helper.to_array(weights[-1])
    weights[-1].CopyFrom(numpy_helper.from_array(values * np.float32(1.5), weights[-1].name))
    return model.SerializeToString()


SPOILT = {
    "not normalised": (
        scaled([0.2, 0.3, 0.25], [0.6, 0.4, 0.3]),
        "it answers as the checkpoint does to pictures that are not normalised (0 to 1)",
    ),
    "0 to 255": (
        scaled([51, 76.5, 63.75], [153, 102, 76.5]),
        "it answers as the checkpoint does to pictures that are not normalised (0 to 255)",
    ),
    "twice": (
        scaled([5, 1 / 0.3, 4], [-3, -0.4 / 0.3, -1.2]),
        "it answers as the checkpoint does to pictures that are normalised twice",
    ),
    "channels": (swapped_channels, "it answers as the checkpoint does to pictures with red and blue swapped"),
    "classes": (
        shuffled_classes,
        "its classes are in another order: 'größer 三角' stands where 'circle' belongs",
    ),
    "layer": (one_layer_off, "the first layer that differs is "),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_which_mistake_it_is(run, tmp_path, monkeypatch, kind):
    spoil, told = SPOILT[kind]
    made = room.to_onnx
    monkeypatch.setattr(room, "to_onnx", lambda model, **options: spoil(made(model, **options)))
    with pytest.raises(
        ExportError, match="does not answer as the checkpoint does, so nothing was written"
    ) as found:
        export(run, tmp_path / "x.bundle")
    assert told in found.value.got
    assert "the first layer that differs is" in found.value.got
    assert not (tmp_path / "x.bundle").exists()


def test_the_first_layer_is_named_with_what_comes_before_it(run, tmp_path, monkeypatch):
    made = room.to_onnx
    monkeypatch.setattr(room, "to_onnx", lambda model, **options: one_layer_off(made(model, **options)))
    with pytest.raises(ExportError) as found:
        export(run, tmp_path / "x.bundle")
    convolutions = [
        name for name, part in load_run(run).model.named_modules() if isinstance(part, torch.nn.Conv2d)
    ]
    named = found.value.got.split("the first layer that differs is ")[1]
    block = convolutions[-1].rpartition(".")[0]
    assert named.startswith((convolutions[-1], block))
    assert "; up to " in named


def test_a_sound_export_is_written(run, tmp_path):
    assert export(run, tmp_path / "x.bundle").parity.holds
    shutil.rmtree(run)
