"""Every network of timm (Wightman 2019, Apache-2.0) behind the face of ``Classifier``.

timm is imported here and nowhere else. Options are handed on one by one, checked; a misspelt one is an error.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from functools import cache
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.configs import ModelConfig
from assay.errors import ConfigError, ModelError
from assay.models.classifier import Classifier
from assay.models.torchvision_ops import declare_missing_ops
from assay.no_telemetry import forbid_telemetry
from assay.tables import MODELS, suggest

STRIDES = (4, 8, 16, 32)
OURS = {
    "num_classes": "it is the number of classes in the data",
    "in_chans": "it follows from colour",
    "drop_rate": "use dropout",
    "drop_path_rate": "use drop_path",
    "pretrained": "use pretrained",
    "checkpoint_path": "use weights",
    "features_only": "a classifier is needed here",
}
"""Options of timm that Assay sets itself -> what to use."""
PUBLISHED = (
    "architecture",
    "tag",
    "hf_hub_id",
    "url",
    "license",
    "input_size",
    "mean",
    "std",
    "interpolation",
)
INTERPOLATIONS = ("nearest", "box", "bilinear", "bicubic", "lanczos")
"""Those of timm's names that PreprocessConfig knows."""
CHOICES = {"pad_type": ("", "same", "symmetric", "valid")}
"""Options whose unknown values timm would take for the default without a word."""


class TimmClassifier(Classifier):
    """A timm network. ``net`` is timm's own module, ``name`` its name."""

    def __init__(self, net: nn.Module, name: str) -> None:
        super().__init__()
        self.net = net
        self.name = name
        self.fixed_hw = fixed_size(net)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """(B, C, H, W) -> logits (B, K).

        Raises
        ------
        ModelError : the network takes pictures of one size only, and these have another.
        """
        check_size(x, self.name, self.fixed_hw)
        logits: Tensor = self.net(x)
        return logits

    def embed(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """(B, C, H, W) -> (B, F): what timm calls the pre-logits."""
        check_size(x, self.name, self.fixed_hw)
        pooled: Tensor = self.net.forward_head(self.net.forward_features(x), pre_logits=True)  # type: ignore[operator]
        return pooled

    def features(self, x: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """The last map (B, C_i, H_i, W_i) at each of the strides 4, 8, 16 and 32 that the network has."""
        check_size(x, self.name, self.fixed_hw)
        if not hasattr(self.net, "forward_intermediates"):
            raise ModelError(f"timm's {self.name} does not give its inner maps", fix="choose another network")
        at = {entry["reduction"]: i for i, entry in enumerate(self.net.feature_info)}  # type: ignore[arg-type]
        wanted = [at[stride] for stride in STRIDES if stride in at]
        maps: list[Tensor] = self.net.forward_intermediates(x, indices=wanted, intermediates_only=True)  # type: ignore[operator]
        return maps

    @property
    def head(self) -> nn.Module:
        """The classifier layer (a list of layers where there are several)."""
        layer = self.net.get_classifier()  # type: ignore[operator]
        return nn.ModuleList(layer) if isinstance(layer, tuple | list) else layer

    def blocks(self) -> list[list[nn.Parameter]]:
        """The layer groups that timm names, the head as a block of its own at the end."""
        in_head = {id(p) for p in self.head.parameters()}
        trunk = [[p for p in group if id(p) not in in_head] for group in layer_groups(self.net)]
        return [group for group in (*trunk, list(self.head.parameters())) if group]

    @property
    def published(self) -> dict[str, Any]:
        """What timm says of the published weights: origin, licence, size, mean, std, where known."""
        told = getattr(self.net, "pretrained_cfg", None) or {}
        return {name: told[name] for name in PUBLISHED if told.get(name)}


def build_timm(config: ModelConfig, classes: int, channels: int = 3) -> TimmClassifier:
    """A timm network by name ("resnet18", "convnext_atto.d2_in1k").

    Raises
    ------
    ConfigError : timm has no such network, or it does not know an option.
    ModelError : ``pretrained`` is set and the published weights cannot be fetched.
    """
    timm = _timm_with(config.model)
    for name in ("width", "depth"):
        if getattr(config, name) is not None:
            raise ConfigError(f"{name} is for Assay's own networks", fix="timm's sizes are in their names")
    options = read_options(config.model_options)
    if config.dropout:
        options["drop_rate"] = config.dropout
    if config.drop_path:
        options["drop_path_rate"] = config.drop_path
    return TimmClassifier(_create(timm, config, classes, channels, options), config.model)


def published_preprocess(name: str) -> dict[str, Any]:
    """What the published weights of a timm network were trained with, as fields of PreprocessConfig.

    {"mean": (0.485, ...), "std": (0.229, ...), "interpolation": "bicubic"}, as far as timm tells them. Reads timm's
    table: builds nothing, fetches nothing.

    Raises
    ------
    ConfigError : timm has no such network.
    """
    try:
        told = _timm_with(name).get_pretrained_cfg(name)
    except RuntimeError as error:  # a tag that the network does not have
        raise ConfigError(f"unknown model {name!r}", got=str(error), fix=suggest_model(name)) from None
    found: dict[str, Any] = {}
    for field in ("mean", "std"):
        values = getattr(told, field, None)
        if values and len(values) in (1, 3):
            found[field] = tuple(float(value) for value in values)
    if getattr(told, "interpolation", None) in INTERPOLATIONS:
        found["interpolation"] = told.interpolation
    return found


def _timm_with(name: str) -> ModuleType:
    """Timm, where it has this network; else ConfigError."""
    timm = load_timm()
    if not timm.is_model(name) or ":" in name:
        raise ConfigError(f"unknown model {name!r}", fix=suggest_model(name))
    return timm


def _create(
    timm: ModuleType, config: ModelConfig, classes: int, channels: int, options: Mapping[str, Any]
) -> nn.Module:
    name = config.model
    try:
        net: nn.Module = timm.create_model(
            name, pretrained=config.pretrained, num_classes=classes, in_chans=channels, **options
        )
    except TypeError as error:
        unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if unknown:
            option = {"drop_path_rate": "drop_path", "drop_rate": "dropout"}.get(unknown[1], unknown[1])
            raise ConfigError(f"timm's {name} has no option {option!r}", fix="leave it out") from None
        raise _refused(name, options, error) from error
    except OSError as error:  # urllib's, requests' and the hub's errors are all OSErrors
        raise ModelError(
            f"the published weights of {name} cannot be fetched",
            got=str(error).strip().partition("\n")[0],
            fix="connect to the network, or give a local file as weights",
        ) from error
    except (AssertionError, ValueError, RuntimeError, KeyError, AttributeError) as error:
        raise _refused(name, options, error) from error
    return net


def _refused(name: str, options: Mapping[str, Any], error: Exception) -> ConfigError:
    """Timm checks its options by running into them; the first line of what it says is the best there is."""
    given = ", ".join(f"{key}={value}" for key, value in options.items()) or "no options"
    said = str(error).strip().partition("\n")[0] or type(error).__name__
    return ConfigError(f"timm cannot build {name} with {given}", got=said, fix="check name, tag and options")


def read_options(pairs: tuple[str, ...]) -> dict[str, Any]:
    """("pad_type=same", "img_size=64") -> {"pad_type": "same", "img_size": 64}.

    Raises
    ------
    ConfigError : a pair has no ``=``, comes twice, or is one that Assay sets itself.
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.isidentifier():
            raise ConfigError("a model option is key=value", got=repr(pair), fix="e.g. pad_type=same")
        if key in OURS:
            raise ConfigError(f"model option {key!r} is not set this way", fix=OURS[key])
        if key in options:
            raise ConfigError(f"model option {key!r} is given twice")
        if key in CHOICES and text not in CHOICES[key]:
            raise ConfigError(f"model option {key} is {text!r}", fix=suggest(text, list(CHOICES[key])))
        options[key] = _value(text)
    return options


def _value(text: str) -> int | float | bool | str | None:
    words: dict[str, bool | None] = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


@cache
def load_timm() -> ModuleType:
    """Timm, imported after torchvision's missing operators are declared.

    Raises
    ------
    ModelError : timm is not installed.
    """
    declare_missing_ops()
    try:
        forbid_telemetry()
        import timm  # noqa: PLC0415 - takes seconds
    except ImportError as error:
        fix = "pip install 'assay-vision[train]'"
        raise ModelError("timm cannot be imported", got=str(error), fix=fix) from error
    return timm


def suggest_model(name: str) -> str:
    """A sentence of help for an unknown name: the nearest ones of Assay and timm, or where to look."""
    known = [*MODELS, *load_timm().list_models()]
    near = difflib.get_close_matches(name.partition(".")[0].lower(), known, n=3)
    return f"did you mean {' or '.join(near)}?" if near else "`assay models` lists the networks"


def layer_groups(net: nn.Module) -> list[list[nn.Parameter]]:
    """Parameters by timm's matcher, input first; by its children where it has none."""
    if not hasattr(net, "group_matcher"):
        loose = list(net.parameters(recurse=False))
        return [loose, *(list(child.parameters()) for child in net.children())]
    from timm.models import group_parameters  # noqa: PLC0415 - timm is there by now

    matcher = net.group_matcher(coarse=False)  # type: ignore[operator]
    groups: dict[int, list[nn.Parameter]] = group_parameters(net, matcher, return_values=True)
    return [groups[i] for i in sorted(groups)]


def check_size(x: Tensor, name: str, fixed_hw: tuple[int, int] | None) -> None:
    """Raise ModelError where the network takes pictures of ``fixed_hw`` alone, and these have another size."""
    if torch.onnx.is_in_onnx_export() or fixed_hw is None or tuple(x.shape[-2:]) == fixed_hw:
        return
    height, width = fixed_hw
    raise ModelError(
        f"{name} was built for pictures of {height} x {width} px and takes no others",
        got=f"{x.shape[-2]} x {x.shape[-1]} px",
        fix=f"use --size {width}, or build it for your size with --model-options img_size={x.shape[-1]}",
    )


def fixed_size(net: nn.Module) -> tuple[int, int] | None:
    """(height, width) of the only pictures that the network takes; None where it takes any."""
    patch = getattr(net, "patch_embed", None)
    size = getattr(patch, "img_size", None)
    if size is None or not getattr(patch, "strict_img_size", False):
        return None
    return int(size[0]), int(size[1])
