"""Which options of a network other people's detectors and segmenters do not have, so that none is lost in silence."""

from __future__ import annotations

from assay.configs import ModelConfig
from assay.errors import ConfigError


def refuse_options(config: ModelConfig, whose: str) -> None:
    """Their sizes and layers are fixed by their names, and their published weights are not fetched.

    Raises
    ------
    ConfigError : such an option is set.
    """
    if config.pretrained:
        raise ConfigError(
            f"weights of {whose} are not fetched", fix="leave pretrained off, or give a local file as weights"
        )
    for option in ("width", "depth", "dropout", "drop_path", "model_options"):
        if value := getattr(config, option):
            got = ",".join(value) if isinstance(value, tuple) else f"{value:g}"
            raise ConfigError(f"{whose} have no option {option}", got=got, fix="leave it out")
