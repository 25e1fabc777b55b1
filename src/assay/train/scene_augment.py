"""Random changes of a picture together with its boxes, masks and pixels, each drawn from one given generator.

In order: mosaic of four, or scale jitter and crop of one (large-scale jitter, Ghiasi et al. 2021, "Simple
Copy-Paste", section 3); flips; colour jitter (see ``augment``). Geometry is ruled in ``scene``. As in ``augment``,
the result depends on the generator alone, so on (seed, epoch, picture) as the loop seeds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from assay.errors import ConfigError
from assay.image import to_pillow
from assay.train.augment import jitter_colours
from assay.train.mosaic import drawn_place, mosaic
from assay.train.scene import PAD_LEVEL, Least, Place, Scene, flipped, placed

if TYPE_CHECKING:
    from numpy.random import Generator

    from assay.configs import AugmentConfig


def wants_mosaic(config: AugmentConfig, rng: Generator) -> bool:
    """Whether the next picture is to be joined with three others; the caller draws them."""
    return _happens(config.mosaic, rng)


def augment_scene(
    scenes: Sequence[Scene],
    side: int,
    config: AugmentConfig,
    rng: Generator,
    *,
    towards_yx: tuple[float, float] | None = None,
    pad: int = PAD_LEVEL,
) -> Scene:
    """One scene of ``side`` x ``side`` px.

    Parameters
    ----------
    scenes : one, or four for a mosaic. They stay as they are.
    towards_yx : a point of a single scene that its crop is to show (a pixel of a rare class).
    pad : grey level around a picture.

    Raises
    ------
    ConfigError : neither one scene nor four.
    """
    if len(scenes) not in (1, 4):
        raise ConfigError(f"one scene is changed, or four are joined; these are {len(scenes)}")
    least = Least(config.least_left, config.least_side)
    if len(scenes) == 4:
        low, high = config.mosaic_scale
        scene = mosaic(scenes, side, rng, scale=(low, high), least=least, pad=pad)
    else:
        place = _crop(scenes[0], side, config, rng, towards_yx)
        scene = placed(scenes[0], place, least, pad)
    if _happens(config.flip, rng):
        scene = flipped(scene)
    if _happens(config.flip_vertical, rng):
        scene = flipped(scene, vertical=True)
    if config.colour_jitter:
        picture = jitter_colours(to_pillow(scene.image), config.colour_jitter, rng)
        scene = replace(scene, image=np.array(picture).reshape(scene.image.shape))
    return scene


def fit_scene(
    scene: Scene,
    side: int,
    least: Least = Least(0.0, 0.0),  # noqa: B008 - frozen
    pad: int = PAD_LEVEL,
) -> Scene:
    """The scene as evaluation sees it: letterboxed, nothing drawn at random."""
    rng = np.random.default_rng(0)  # not asked: there is no spread
    return placed(scene, drawn_place(scene.size_hw, (side, side), side, 1.0, 0.0, rng), least, pad)


def _crop(
    scene: Scene, side: int, config: AugmentConfig, rng: Generator, towards_yx: tuple[float, float] | None
) -> Place:
    low, high = config.zoom
    scale = low if low == high else float(np.exp(rng.uniform(np.log(low), np.log(high))))
    return drawn_place(scene.size_hw, (side, side), side, scale, config.shift, rng, towards_yx)


def _happens(chance: float, rng: Generator) -> bool:
    return chance > 0 and rng.random() < chance
