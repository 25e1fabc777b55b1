"""A network with several heads that starts from somebody's weights: those of a classifier, or of its own kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from assay.configs import ModelConfig
from assay.models.build import build_model
from assay.models.multitask import Heads, MultiTask, build_multitask
from assay.models.scene_models import SceneModel, build_scene_model, is_others, load_others
from assay.models.weights import WeightsReport, load_weights
from assay.models.weights_file import read_weights_file

OWN_PARTS = ("neck.", "image_head.", "box_head.", "pixel_branch.")
"""What a file of a classifier has no tensors of."""


def start_from(config: ModelConfig, heads: Heads, channels: int) -> tuple[SceneModel, WeightsReport]:
    """The network with what fits of ``config.weights``, and an account of it.

    A classifier's file fills the trunk: the classifier is built first, so all ways of naming that it knows work.

    Raises
    ------
    ConfigError, ModelError : as ``build_scene_model`` and ``load_weights``.
    """
    path, bare = Path(str(config.weights)), replace(config, weights=None)
    if is_others(config.model) or _is_whole(path):
        model = build_scene_model(bare, heads, channels)
        if isinstance(model, MultiTask):
            return model, load_weights(model, path, name=config.model)
        return model, load_others(model, path)
    classifier = build_model(bare, 1, channels)
    report = load_weights(classifier, path, name=config.model)
    return build_multitask(bare, heads, channels, classifier=classifier), report


def start_published(config: ModelConfig, heads: Heads, channels: int) -> tuple[SceneModel, Mapping[str, Any]]:
    """The network on a trunk with the weights that are published for it, and what their publisher says of them.

    Raises
    ------
    ConfigError, ModelError : as ``build_scene_model``.
    """
    if is_others(config.model):
        return build_scene_model(config, heads, channels), {}
    classifier = build_model(config, 1, channels)
    model = build_multitask(config, heads, channels, classifier=classifier)
    return model, getattr(classifier, "published", {})


def _is_whole(path: Path) -> bool:
    if not path.is_file():
        return False  # told by load_weights
    return any(name.startswith(OWN_PARTS) for name in read_weights_file(path)[0])
