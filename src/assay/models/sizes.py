"""Width and depth of networks that count them in whole numbers: channels, hidden units, stages, layers."""

from __future__ import annotations

from assay.configs import ModelConfig
from assay.errors import ConfigError


def whole_width(config: ModelConfig, default: int, most: int) -> int:
    """``config.width`` as a whole number from 1 to ``most``; ``default`` where it is not given.

    Raises
    ------
    ConfigError : it is a fraction, or out of range.
    """
    return _whole("width", config.width, config.model, default, most)


def whole_depth(config: ModelConfig, default: int, most: int, least: int = 1) -> int:
    """``config.depth`` as a whole number from ``least`` to ``most``; ``default`` where it is not given.

    Raises
    ------
    ConfigError : it is a fraction, or out of range.
    """
    return _whole("depth", config.depth, config.model, default, most, least)


def _whole(name: str, value: float | None, model: str, default: int, most: int, least: int = 1) -> int:
    if value is None:
        return default
    if value != int(value) or not least <= value <= most:
        raise ConfigError(
            f"{name} of {model} is a whole number from {least} to {most}",
            got=f"{value:g}",
            fix=f"leave it out for {default}, or give e.g. --{name} {min(2 * default, most)}",
        )
    return int(value)
