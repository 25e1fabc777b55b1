"""What a network computes on the way: its layers by name, and the output of one of them for a batch.

Three kinds of names. ``embedding`` and ``logits`` are what every classifier has; ``stage1``, ``stage2``, ... are the
maps of ``Classifier.features``, fine to coarse, comparable between networks; every other name is a module of the
network as ``named_modules`` spells it, read by a forward hook.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from assay.errors import ConfigError, ModelError
from assay.models.classifier import Classifier
from assay.tables import suggest

EMBEDDING, LOGITS, STAGE = "embedding", "logits", "stage"


@dataclass(frozen=True)
class LayerInfo:
    """A name to ask for. ``shape`` is that of one picture's output: (C, H, W), (T, F) or (F,)."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "name": self.name,
            "kind": self.kind,
            "shape": list(self.shape),
            "parameters": self.parameters,
        }


class Tap:
    """A network that also gives the output of one layer.

    Parameters
    ----------
    model : in eval mode; it is not changed.
    layer : ``embedding``, ``logits``, ``stageN``, or the name of a module.

    Raises
    ------
    ConfigError : the network has no such layer; the message suggests the nearest names.
    """

    def __init__(self, model: Classifier, layer: str = EMBEDDING) -> None:
        self.model, self.layer = model, layer
        self._modules = {name: module for name, module in model.named_modules() if name}
        if layer in (EMBEDDING, LOGITS) or _stage(layer) is not None or layer in self._modules:
            return
        known = [EMBEDDING, LOGITS, *(f"{STAGE}{i}" for i in range(1, 5)), *self._modules]
        fix = suggest(layer, known) if len(known) < 40 else _near(layer, known)
        raise ConfigError(f"the network has no layer {layer!r}", fix=fix)

    def __call__(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(B, C, S, S) float32 -> logits (B, K) and the layer's output (B, ...), both float32.

        Raises
        ------
        ConfigError : there are fewer stages than asked for.
        ModelError : the layer does not run in a forward pass, or does not give one output a picture.
        """
        device = next(self.model.parameters()).device
        with torch.inference_mode():
            x = torch.from_numpy(images).to(device).contiguous(memory_format=torch.channels_last)
            logits, output = self._both(x)
        return logits.float().cpu().numpy(), np.ascontiguousarray(output.float().cpu().numpy())

    def _both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.layer == EMBEDDING:
            embedding = self.model.embed(x)
            return self.model.head(embedding), embedding
        if self.layer == LOGITS:
            logits = self.model(x)
            return logits, logits
        number = _stage(self.layer) if self.layer not in self._modules else None
        if number is None:
            return self._hooked(x)
        maps = self.model.features(x)
        if number > len(maps):
            told = f"{STAGE}1 to {STAGE}{len(maps)}" if maps else f"{EMBEDDING}, or a name of `--list-layers`"
            raise ConfigError(f"the network has {len(maps)} stages", got=self.layer, fix=told)
        return self.model(x), maps[number - 1]

    def _hooked(self, x: Tensor) -> tuple[Tensor, Tensor]:
        caught: list[Any] = []
        hook = self._modules[self.layer].register_forward_hook(lambda _m, _i, output: caught.append(output))
        try:
            logits = self.model(x)
        finally:
            hook.remove()
        if not caught:
            raise ModelError(
                f"layer {self.layer} takes no part in a forward pass",
                fix="`--list-layers` names those that do",
            )
        return logits, _one_a_picture(self.layer, caught[-1], len(x))


def _stage(name: str) -> int | None:
    """N of ``stageN``, N from 1; None for other names."""
    number = name.removeprefix(STAGE)
    return int(number) if name.startswith(STAGE) and number.isdecimal() and int(number) > 0 else None


def _near(layer: str, known: list[str]) -> str:
    """The nearest names; of the modules inside ``layer`` or beside it where nothing looks alike."""
    told = suggest(layer, known)
    return told if told.startswith("did you mean") else "`assay features RUN --list-layers` names all of them"


def _one_a_picture(layer: str, output: Any, batch: int) -> Tensor:
    """The tensor of a layer's output whose first axis counts pictures."""
    found = output[0] if isinstance(output, tuple | list) and output else output
    if isinstance(found, Tensor) and found.ndim >= 2 and len(found) == batch and found.is_floating_point():
        return _channels_first(found)
    got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
    raise ModelError(
        f"layer {layer} does not give one output a picture",
        got=f"{got} for a batch of {batch}",
        fix="choose the layer around it",
    )


def _channels_first(output: Tensor) -> Tensor:
    """(B, H, W, C), as transformers and recurrent networks hold maps, -> (B, C, H, W); others as they are.

    Pictures are square here and so are maps: two equal sides before a different one are height and width.
    """
    if output.ndim != 4 or not output.shape[1] == output.shape[2] != output.shape[3]:
        return output
    return output.permute(0, 3, 1, 2)


def list_layers(model: Classifier, channels: int, size: int) -> list[LayerInfo]:
    """Every layer that ``Tap`` can read, in the order of a forward pass: found with one empty picture.

    Parameters
    ----------
    model : in eval mode.
    channels, size : of the pictures that it takes: (C, S, S).
    """
    device = next(model.parameters()).device
    # two pictures: a layer that works on pieces of pictures is then told from one that works on pictures
    x = torch.zeros(2, channels, size, size, device=device)
    met: dict[str, LayerInfo] = {}
    hooks = [
        module.register_forward_hook(_note(name, met, len(x)))
        for name, module in model.named_modules()
        if name
    ]
    try:
        with torch.inference_mode():
            logits = model(x)
    finally:
        for hook in hooks:
            hook.remove()
    with torch.inference_mode():
        maps, embedding = model.features(x), model.embed(x)
    named = [LayerInfo(f"{STAGE}{i}", "map", tuple(m.shape[1:])) for i, m in enumerate(maps, 1)]
    named += [
        LayerInfo(EMBEDDING, "features before the last layer", tuple(embedding.shape[1:])),
        LayerInfo(LOGITS, "scores of the classes", tuple(logits.shape[1:])),
    ]
    return [*named, *met.values()]


def _note(name: str, met: dict[str, LayerInfo], batch: int) -> Any:
    def hook(module: nn.Module, _: Any, output: Any) -> None:
        try:
            shape = tuple(_one_a_picture(name, output, batch).shape[1:])
        except ModelError:
            return
        count = sum(p.numel() for p in module.parameters())
        met.pop(name, None)  # a module that runs twice is listed where it ran last, as `Tap` reads it
        met[name] = LayerInfo(name, type(module).__name__, shape, count)

    return hook
