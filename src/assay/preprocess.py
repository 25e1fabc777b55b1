"""The one preprocessing contract: what happens to a decoded picture before a network sees it.

The most common fault of the field is that training, export and serving each resize in their own way. Here
one class does it everywhere, from a config that travels in the Bundle: colour, smoothing, resize, normalise.

- Grey is ITU-R BT.601 luma, 0.299 R + 0.587 G + 0.114 B (Pillow's mode L).
- Resizing is Pillow's, antialiased (the filter's support grows with the shrink factor; "nearest" alone has
  none). It works in integers, so one photo gives one tensor, bit for bit, on every machine. A crop and its
  resize are one step, through a box in fractions of a pixel; at its border the filter sees the pixels beside it.
- Normalising is (v / 255 - mean) / std from a table of 256 float32 values a channel.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from assay.configs import PreprocessConfig
from assay.errors import ConfigError, ImageError
from assay.image import DEFAULT_LIMITS, ImageLimits, Known, open_upright, to_pillow
from assay.smoothing import SMOOTHERS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from assay.shrunken import Part

REVISION = 1
"""Goes into every digest. Raise it when the same config gives other numbers than before."""

RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def scaled(config: PreprocessConfig, size: int) -> PreprocessConfig:
    """The same preprocessing for another side, as progressive resizing needs it."""
    return dataclasses.replace(config, size=size)


class Preprocess:
    """Executes a PreprocessConfig. Holds no state but tables: safe to share between threads.

    Raises
    ------
    ConfigError : mean or std do not fit the number of channels.
    """

    def __init__(self, config: PreprocessConfig) -> None:
        self.config = config
        self.channels = 1 if config.colour == "gray" else 3
        self.mean = _per_channel("mean", config.mean, self.channels)
        self.std = _per_channel("std", config.std, self.channels)

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(H, W, 3) uint8 -> (C, S, S) float32."""
        return self.normalise(self.pixels(image))

    def __repr__(self) -> str:
        return f"Preprocess({self.config})"

    def read(
        self,
        source: str | Path | bytes | NDArray[np.uint8],
        limits: ImageLimits = DEFAULT_LIMITS,
        *,
        name: str | None = None,
        known: Known | None = None,
    ) -> tuple[NDArray[np.uint8], tuple[int, int]]:
        """A photo -> (S, S, C) uint8, and its (height, width), upright.

        The same numbers as ``pixels(read_image(source))`` where all is decoded (``decode`` is exact, or the file is no
        JPEG), without a copy of the large picture.

        Parameters
        ----------
        source : a file, its bytes, or its pixels (H, W, 3).
        name : what a file is called in messages.
        known : as ``assay.image.open_upright``, where one photo is prepared in several ways.

        Raises
        ------
        ImageError : as ``assay.image.read_image``.
        """
        if isinstance(source, np.ndarray):
            return self.pixels(source), (source.shape[0], source.shape[1])
        found = open_upright(
            source, limits, self._least if self._may_shrink else None, name=name, known=known
        )
        height, width = found.size_hw
        small = self._resized(self.coloured(found.picture), (width, height), found.part)
        return self._array(small), found.size_hw

    def reduced(
        self, source: str | Path | bytes, wanted: Callable[[tuple[int, int]], tuple[int, int]]
    ) -> NDArray[np.uint8]:
        """A file -> (h, w, C) uint8, coloured, smoothed and resized: what training crops are cut from.

        Parameters
        ----------
        wanted : (height, width) of the upright photo -> (h, w).

        Raises
        ------
        ImageError : as ``assay.image.read_image``.
        """

        def need(size: tuple[int, int]) -> tuple[int, int]:
            height, width = wanted((size[1], size[0]))
            return width, height

        found = open_upright(source, DEFAULT_LIMITS, need if self._may_shrink else None)
        picture = self.coloured(found.picture)
        width, height = need((found.size_hw[1], found.size_hw[0]))
        if found.part or (width, height) != picture.size:
            picture = picture.resize((width, height), RESAMPLING[self.config.interpolation], box=found.part)
        return np.array(picture).reshape(height, width, self.channels)

    def pixels(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3), (H, W, 1) or (H, W) uint8 -> (S, S, C) uint8: coloured, smoothed, resized.

        Raises
        ------
        ImageError : not an array of a picture.
        """
        picture = self.smoothed(image)
        return self._array(self._resized(picture, picture.size))

    def smoothed(self, image: NDArray[np.uint8]) -> Image.Image:
        """The picture coloured and smoothed but in its own size: what training crops are cut from."""
        picture = to_pillow(image)
        if 0 in picture.size:
            raise ImageError("a picture holds no pixels", got=str(image.shape))
        return self.coloured(picture)

    def coloured(self, picture: Image.Image) -> Image.Image:
        """A Pillow image in the colours that the network sees, and smoothed."""
        mode = "L" if self.channels == 1 else "RGB"
        picture = picture if picture.mode == mode else picture.convert(mode)
        if self.config.smoothing != "none":
            picture = SMOOTHERS[self.config.smoothing](picture, self.config.smoothing_strength)
        return picture

    def normalise(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(..., S, S, C) uint8 -> (..., C, S, S) float32, contiguous: (v / 255 - mean) / std."""
        if pixels.dtype != np.uint8 or pixels.ndim < 3 or pixels.shape[-1] != self.channels:
            raise ImageError(
                f"pixels are (..., S, S, {self.channels}) uint8", got=f"{pixels.shape} of {pixels.dtype}"
            )
        normal = np.empty((*pixels.shape[:-3], self.channels, *pixels.shape[-3:-1]), np.float32)
        for channel, table in enumerate(self._tables):
            # uint8 is always inside of the table: with "clip" numpy does not look first, which takes half of the time
            np.take(table, pixels[..., channel], out=normal[..., channel, :, :], mode="clip")
        return normal

    @cached_property
    def digest(self) -> str:
        """16 hex digits over every field and REVISION: equal digests give equal tensors."""
        values = {f.name: _plain(getattr(self.config, f.name)) for f in dataclasses.fields(self.config)}
        text = json.dumps([REVISION, values], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    @cached_property
    def _tables(self) -> NDArray[np.float32]:
        """(C, 256) float32: what each grey level becomes. Worked out in float64, rounded once."""
        levels = np.arange(256, dtype=np.float64) / 255.0
        mean, std = np.array(self.mean)[:, None], np.array(self.std)[:, None]
        return np.asarray((levels - mean) / std, dtype=np.float32)

    def _array(self, picture: Image.Image) -> NDArray[np.uint8]:
        return np.array(picture).reshape(self.config.size, self.config.size, self.channels)

    def _resized(self, picture: Image.Image, size: tuple[int, int], part: Part | None = None) -> Image.Image:
        """``size`` is the photo's (width, height), ``part`` where it lies in a picture that was decoded smaller."""
        side, resample = self.config.size, RESAMPLING[self.config.interpolation]
        if self.config.resize == "letterbox":
            return self._letterboxed(picture, resample, size, part)
        box = part
        if self.config.resize == "crop":
            left, top, right, bottom = part or (0, 0, *picture.size)
            x1, y1, x2, y2 = crop_box((right - left, bottom - top), self.config.crop_share)
            box = (left + x1, top + y1, left + x2, top + y2)
        return picture.resize((side, side), resample, box=box)

    def _letterboxed(
        self, picture: Image.Image, resample: Image.Resampling, size: tuple[int, int], part: Part | None
    ) -> Image.Image:
        side = self.config.size
        left, top, width, height = letterbox(size, side)
        pad = (self.config.pad_value,) * self.channels
        canvas = Image.new(picture.mode, (side, side), pad[0] if self.channels == 1 else pad)
        canvas.paste(picture.resize((width, height), resample, box=part), (left, top))
        return canvas

    @property
    def _may_shrink(self) -> bool:
        """Smoothing is stated in pixels of the photo, and the nearest pixel is one of the photo's."""
        config = self.config
        return config.decode == "scaled" and config.smoothing == "none" and config.interpolation != "nearest"

    def _least(self, size: tuple[int, int]) -> tuple[float, float]:
        """(width, height) that must remain of a photo of ``size`` so that nothing is enlarged afterwards."""
        side = self.config.size
        if self.config.resize == "letterbox":
            _, _, width, height = letterbox(size, side)
            return (float(width), float(height))
        if self.config.resize == "crop":
            return (side / self.config.crop_share, side / self.config.crop_share)
        return (float(side), float(side))


def crop_box(size: tuple[int, int] | tuple[float, float], share: float) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of the centred square that covers ``share`` of the short side.

    ``size`` is (width, height) in pixels; the box may start at a fraction of a pixel.
    """
    width, height = size
    side = min(width, height) * share
    left, top = (width - side) / 2, (height - side) / 2
    return (left, top, left + side, top + side)


def letterbox(size: tuple[int, int], side: int) -> tuple[int, int, int, int]:
    """(left, top, width, height) of a picture of ``size`` (width, height) fitted into a square of ``side``.

    Sides are rounded to the nearest pixel, halves up; an odd border has its extra pixel right or below.
    """
    longest = max(size)
    width, height = (max(1, (2 * n * side + longest) // (2 * longest)) for n in size)
    return ((side - width) // 2, (side - height) // 2, width, height)


def _per_channel(name: str, values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """One value a channel: a single one is repeated, three become one grey by their average."""
    exact = tuple(float(value) for value in values)
    if len(exact) == channels:
        return exact
    if len(exact) == 1:
        return exact * channels
    if len(exact) == 3 and channels == 1:
        return (sum(exact) / 3,)
    raise ConfigError(
        f"{name} has {len(exact)} values for {channels} channels", fix=f"give 1 or {channels} values"
    )


def _plain(value: object) -> object:
    """Numbers as floats: a config read back from JSON with 1 for 1.0 is the same config."""
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
