"""From a ModelConfig and heads to a network that finds things or tells pixels: ours, or other people's by name.

Every one has ``heads``, ``blocks()``, ``embed(x)`` and ``head``. Ours and those of segmentation_models.pytorch give
``Outputs`` and learn by ``losses.multitask``; torchvision's detectors give ``FoundOutputs`` and bring ``losses``.
A network with ``exportable = False`` says in ``why_not_exportable`` why no Bundle holds it.
"""

from __future__ import annotations

from pathlib import Path

from assay.configs import ModelConfig
from assay.errors import ModelError
from assay.models.multitask import Heads, MultiTask, build_multitask
from assay.models.smp_models import NETWORKS, PREFIX, SmpNetwork, build_smp
from assay.models.torchvision_detectors import DETECTORS, TorchvisionDetector, build_torchvision_detector
from assay.models.weights import WeightsReport, load_weights

__all__ = ["DETECTORS", "LISTED", "SceneModel", "build_scene_model", "heads_of", "is_others", "load_others"]

SceneModel = MultiTask | SmpNetwork | TorchvisionDetector

LISTED = {**DETECTORS, **NETWORKS}
"""Names of other people's networks -> what they are."""


def is_others(name: str) -> bool:
    """Whether the name is one of torchvision's detectors or of segmentation_models.pytorch's networks."""
    return name in DETECTORS or name.startswith(PREFIX)


def heads_of(name: str, classes: int) -> Heads:
    """The heads that such a network has, with ``classes`` classes."""
    if name.startswith(PREFIX):
        return Heads(pixels=classes)
    return Heads(boxes=classes, masks=name.startswith("maskrcnn"))


def build_scene_model(config: ModelConfig, heads: Heads, channels: int = 3) -> SceneModel:
    """The network that the config names, with these heads, on random weights.

    ``config.weights`` is not read here; ``assay.models.weights.load_weights`` does that.

    Raises
    ------
    ConfigError : no network has this name, the heads are not what it can have, or it does not know an option.
    ModelError : its library is not installed, or a timm network does not give its inner maps.
    """
    if config.model in DETECTORS:
        return build_torchvision_detector(config, heads, channels)
    if config.model.startswith(PREFIX):
        return build_smp(config, heads, channels)
    return build_multitask(config, heads, channels)


def load_others(model: SmpNetwork | TorchvisionDetector, path: str | Path) -> WeightsReport:
    """A weights file into other people's network: one of the whole network, or of a classifier into its trunk.

    Raises
    ------
    ConfigError, ModelError : as ``load_weights``; the model is unchanged.
    """
    try:
        return load_weights(model, path, name=model.name)
    except ModelError as whole:
        try:
            return load_weights(model.trunk, path, name=f"the trunk of {model.name}")
        except ModelError:
            raise whole from None
