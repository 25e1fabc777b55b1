"""Where and why an export departs from its checkpoint: what is told when it is refused.

*Why*: usual mistakes are tried one by one. If the checkpoint, given pictures with this mistake, answers as the export
does, the mistake is named: channels in another order, pictures normalised twice or not at all, classes in another
order. *Where*: the layers' outputs are compared one after the other, and the first that differs is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from torch import nn

from assay.errors import AssayError
from assay.export.onnx import places_of
from assay.no_telemetry import forbid_telemetry
from assay.runtime.engines.engine import INPUT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.card import Card
    from assay.preprocess import Preprocess

    Named = Mapping[str, NDArray[Any]]
    Answer = Callable[[NDArray[np.float32]], Named]

_PICTURES = 4
_VALUES = 1000
"""Of each class that are compared with those of every other class."""
_CLOSER = 0.05
"""A mistake explains an export when it leaves less than this share of the difference."""


def why_it_departs(
    model: nn.Module,
    graph: bytes,
    x: NDArray[np.float32],
    card: Card,
    preprocess: Preprocess,
    *,
    answer: Answer,
    found: Answer,
    tolerance: float,
) -> str | None:
    """One sentence on an export that differs; None where nothing is found.

    Parameters
    ----------
    x : (B, C, S, S) pictures as the network takes them; the first few are used.
    answer, found : pictures -> named outputs of the checkpoint, and of the export.
    tolerance : greatest difference of a value that is none, as a share of the greatest of its output.
    """
    x = x[:_PICTURES]
    told = [_mistake(x, card, preprocess, answer, found), _first_layer(model, graph, x, card, tolerance)]
    sentences = [one for one in told if one is not None]
    return "; ".join(sentences) if sentences else None


def _mistake(
    x: NDArray[np.float32], card: Card, preprocess: Preprocess, answer: Answer, found: Answer
) -> str | None:
    said, right = found(x), answer(x)
    apart = _distance(said, right)
    for what, spoilt in _spoilt_inputs(x, preprocess):
        if _distance(said, answer(spoilt)) < _CLOSER * apart:
            return f"it answers as the checkpoint does to pictures {what}"
    return _moved_classes(said, right, card)


def _spoilt_inputs(x: NDArray[np.float32], preprocess: Preprocess) -> list[tuple[str, NDArray[np.float32]]]:
    """What is done wrong with pictures again and again, in words, and the pictures so."""
    shape = (1, -1, 1, 1)
    mean, std = (np.array(v, np.float32).reshape(shape) for v in (preprocess.mean, preprocess.std))
    unit = x * std + mean  # 0..1
    turned = [("turned by 90 degrees", np.ascontiguousarray(np.rot90(x, axes=(2, 3))))]
    swapped = np.ascontiguousarray(unit[:, ::-1])
    channels = [("with red and blue swapped", ((swapped - mean) / std).astype(np.float32))]
    return [
        *(channels if x.shape[1] == 3 else []),
        ("that are not normalised (0 to 1)", unit),
        ("that are not normalised (0 to 255)", unit * 255),
        ("that are normalised twice", (x - mean) / std),
        ("without the mean subtracted", unit / std),
        ("without the division by the deviation", unit - mean),
        ("normalised to -1 to 1", unit * 2 - 1),
        ("mirrored", np.ascontiguousarray(x[:, :, :, ::-1])),
        *turned,
    ]


def _moved_classes(said: Named, right: Named, card: Card) -> str | None:
    """Whether the answers of an output are the right ones in another order."""
    names = {"logits": card.classes, "class_logits": card.classes, "tag_logits": card.classes}
    names |= {"boxes_class_logits": card.object_classes, "pixel_logits": card.pixel_classes}
    for output, classes in names.items():
        if output not in said or said[output].shape != right[output].shape:
            continue
        axis = 2 if output == "boxes_class_logits" else 1
        whole = [np.moveaxis(named[output], axis, 0).reshape(len(classes), -1) for named in (said, right)]
        step = -(-whole[0].shape[1] // _VALUES)
        a, b = (values[:, ::step] for values in whole)
        gaps = np.abs(a[:, None] - b[None]).mean(axis=2)  # K K
        order = gaps.argmin(axis=1)
        same = np.arange(len(classes))
        if (
            (order != same).any()
            and len(set(order)) == len(order)
            and gaps[same, order].max() < _CLOSER * gaps.mean()
        ):
            moved = int(np.flatnonzero(order != same)[0])
            return (
                f"its classes are in another order: {classes[int(order[moved])]!r} stands where "
                f"{classes[moved]!r} belongs"
            )
    return None


def _distance(a: Named, b: Named) -> float:
    """Mean absolute difference of all outputs, each as a share of its scale."""
    shares = [
        float(np.abs(a[name] - b[name]).mean()) / max(1e-6, float(np.abs(b[name]).mean()))
        for name in b
        if name in a and a[name].shape == b[name].shape
    ]
    return float(np.mean(shares)) if shares else float("inf")


def _first_layer(
    model: nn.Module, graph: bytes, x: NDArray[np.float32], card: Card, tolerance: float
) -> str | None:
    """The first layer whose output in the graph is not the checkpoint's."""
    try:
        places = places_of(
            model, channels=card.channels, size=card.preprocess.size, scene=card.task == "scene"
        )
        made = _values(graph, list(places.values()), x)
    except AssayError:
        return None
    expected = _outputs(model, list(places), x)
    last = None
    for layer, value in places.items():
        right = expected.get(layer)
        if right is None or value not in made or made[value].shape != right.shape:
            continue
        share = relative_gap(made[value], right)
        if not share <= tolerance:
            kind = type(model.get_submodule(layer)).__name__
            after = f"; up to {last} all agree" if last else ", the first that can be compared"
            return f"the first layer that differs is {layer} ({kind}), by {share:.2g} of its scale{after}"
        last = layer
    return None


def relative_gap(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """The greatest difference, as a share of the greatest value (at least 1)."""
    return float(np.abs(found - expected).max(initial=0)) / max(1.0, float(np.abs(expected).max(initial=0)))


def _values(graph: bytes, names: Sequence[str], x: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Values inside of a graph, by name, as far as it has them."""
    forbid_telemetry()
    import onnxruntime  # noqa: PLC0415 - after the switch

    model = onnx.load_model_from_string(graph)
    there = {name for node in model.graph.node for name in node.output}
    ends = {end.name for end in model.graph.output}
    wanted = [name for name in dict.fromkeys(names) if name in there]
    for name in wanted:
        if name not in ends:
            model.graph.output.add().name = name
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return dict(zip(wanted, session.run(wanted, {INPUT: x}), strict=True))


def _outputs(model: nn.Module, layers: Sequence[str], x: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Outputs of layers that give one tensor and are called once."""
    seen: dict[str, NDArray[Any]] = {}
    twice: set[str] = set()
    hooks = []
    modules = dict(model.named_modules())
    for layer in layers:
        if layer not in modules:
            continue

        def keep(_module: Any, _inputs: Any, output: Any, layer: str = layer) -> None:
            if layer in seen:
                twice.add(layer)
            elif isinstance(output, torch.Tensor):
                seen[layer] = output.detach().float().numpy()

        hooks.append(modules[layer].register_forward_hook(keep))
    try:
        with torch.inference_mode():
            model(torch.from_numpy(x))
    finally:
        for hook in hooks:
            hook.remove()
    return {layer: value for layer, value in seen.items() if layer not in twice}
