"""Random changes of a picture together with its boxes, masks and pixels, each drawn from one given generator.

In order: mosaic of four, or scale jitter and crop of one (large-scale jitter, Ghiasi et al. 2021, "Simple
Copy-Paste", section 3); flips; colour jitter (see ``augment``). Geometry is ruled in ``scene``. As in ``augment``,
the result depends on the generator alone, so on (seed, epoch, picture) as the loop seeds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from assay.config import Config, option
from assay.errors import ConfigError
from assay.image import to_pillow
from assay.train.augment import jitter_colours
from assay.train.mosaic import drawn_place, mosaic
from assay.train.scene import Least, Scene, flipped, placed

if TYPE_CHECKING:
    from numpy.random import Generator


@dataclass(frozen=True)
class SceneConfig(Config):
    """Random changes of training pictures that have boxes, masks or pixel classes. Evaluation never uses them."""

    mosaic: float = option(
        0.5, "chance that a picture is joined with three others", low=0.0, high=1.0, group="augment"
    )
    mosaic_scale: tuple[float, ...] = option(
        (0.4, 1.0),
        "mosaic: size of each picture; 1 fits the whole square",
        low=0.05,
        high=4.0,
        group="augment",
    )
    scale: tuple[float, ...] = option(
        (0.5, 1.5), "size of a picture alone; 1 fits the square", low=0.05, high=8.0, group="augment"
    )
    shift: float = option(
        1.0,
        "how far from the middle the crop may lie: 0 not at all, 1 anywhere",
        low=0.0,
        high=1.0,
        group="augment",
    )
    flip: float = option(0.5, "chance of left and right exchanged", low=0.0, high=1.0, group="augment")
    flip_vertical: float = option(
        0.0, "chance of upside down; for pictures without an up", low=0.0, high=1.0, group="augment"
    )
    colour_jitter: float = option(
        0.3,
        "strength of brightness, contrast, saturation and hue changes",
        low=0.0,
        high=1.0,
        group="augment",
    )
    least_left: float = option(
        0.2,
        "share of a thing that a crop must leave for it to stay an example",
        low=0.0,
        high=1.0,
        group="augment",
    )
    least_side: float = option(
        1.0, "a thing narrower than this is no example", low=0.0, high=64.0, unit="px", group="augment"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("scale", "mosaic_scale"):
            values = getattr(self, name)
            if len(values) != 2 or values[0] > values[1]:
                raise ConfigError(
                    f"{name} is a least and a greatest value", got=str(values), fix=f"e.g. {name}=0.5,1"
                )


def wants_mosaic(config: SceneConfig, rng: Generator) -> bool:
    """Whether the next picture is to be joined with three others; the caller draws them."""
    return _happens(config.mosaic, rng)


def augment_scene(
    scenes: Sequence[Scene],
    side: int,
    config: SceneConfig,
    rng: Generator,
    *,
    towards_yx: tuple[float, float] | None = None,
) -> Scene:
    """One scene of ``side`` x ``side`` px.

    Parameters
    ----------
    scenes : one, or four for a mosaic. They stay as they are.
    towards_yx : a point of a single scene that its crop is to show (a pixel of a rare class).

    Raises
    ------
    ConfigError : neither one scene nor four.
    """
    if len(scenes) not in (1, 4):
        raise ConfigError(f"one scene is changed, or four are joined; these are {len(scenes)}")
    least = Least(config.least_left, config.least_side)
    if len(scenes) == 4:
        low, high = config.mosaic_scale
        scene = mosaic(scenes, side, rng, scale=(low, high), least=least)
    else:
        scene = _cropped(scenes[0], side, config, rng, least, towards_yx)
    if _happens(config.flip, rng):
        scene = flipped(scene)
    if _happens(config.flip_vertical, rng):
        scene = flipped(scene, vertical=True)
    if config.colour_jitter:
        picture = jitter_colours(to_pillow(scene.image), config.colour_jitter, rng)
        scene = replace(scene, image=np.array(picture).reshape(scene.image.shape))
    return scene


def fit_scene(scene: Scene, side: int, least: Least = Least(0.0, 0.0)) -> Scene:  # noqa: B008 - frozen
    """The scene as evaluation sees it: letterboxed, nothing drawn at random."""
    rng = np.random.default_rng(0)  # not asked: there is no spread
    return placed(scene, drawn_place(scene.size_hw, (side, side), side, 1.0, 0.0, rng), least)


def _cropped(
    scene: Scene,
    side: int,
    config: SceneConfig,
    rng: Generator,
    least: Least,
    towards_yx: tuple[float, float] | None,
) -> Scene:
    low, high = config.scale
    scale = low if low == high else float(np.exp(rng.uniform(np.log(low), np.log(high))))
    place = drawn_place(scene.size_hw, (side, side), side, scale, config.shift, rng, towards_yx)
    return placed(scene, place, least)


def _happens(chance: float, rng: Generator) -> bool:
    return chance > 0 and rng.random() < chance
