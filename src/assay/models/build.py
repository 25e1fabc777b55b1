"""From a ModelConfig to a network: our own ones by the MODELS table, every other name through timm."""

from __future__ import annotations

from assay.configs import ModelConfig
from assay.errors import ConfigError
from assay.models.classifier import Classifier
from assay.tables import MODELS

__all__ = ["Classifier", "build_model", "refuse_timm_options"]


def build_model(config: ModelConfig, classes: int, channels: int = 3) -> Classifier:
    """A classifier with ``classes`` logits for pictures of ``channels`` channels, freshly initialised.

    ``config.weights`` is not read here; ``assay.models.weights.load_weights`` does that and says what fitted.

    Raises
    ------
    ConfigError : no network has this name, or it does not know one of the options.
    ModelError : published weights were asked for and cannot be had.
    """
    if classes < 1:
        raise ConfigError("a classifier needs at least one class", got=str(classes))
    if config.model in MODELS:
        built = MODELS.load(config.model)(config, classes, channels)
    else:
        from assay.models.timm_models import build_timm  # noqa: PLC0415 - timm takes seconds to import

        built = build_timm(config, classes, channels)
    if not isinstance(built, Classifier):
        raise ConfigError(
            f"the entry {config.model!r} of the model table builds a {type(built).__name__}",
            fix="let it return an assay.models.build.Classifier",
        )
    return built


def refuse_timm_options(config: ModelConfig) -> None:
    """Our own networks have no published weights and none of timm's options.

    Raises
    ------
    ConfigError : such an option is set.
    """
    if config.pretrained:
        raise ConfigError(
            f"{config.model} has no published weights",
            fix="leave pretrained off, give a local file as weights, or choose a timm model",
        )
    if config.model_options:
        raise ConfigError(
            f"model_options are for timm models; {config.model} has width, depth, dropout and drop_path",
            got=",".join(config.model_options),
        )
