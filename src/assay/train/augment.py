"""Random changes of training pictures, in numpy and Pillow, each drawn from a given generator.

A picture's augmentation depends on that generator alone, so on (seed, epoch, picture) as the loop seeds it: not
on threads, workers or what came before. In order: random resized crop (Szegedy et al. 2015), flips,
TrivialAugment Wide (see ``trivial``), colour jitter, blur, noise, random erasing (Zhong et al. 2020).
Mixup and cutmix change a whole batch: ``mix_batch``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np
from PIL import Image, ImageFilter

from assay.configs import AugmentConfig
from assay.errors import ConfigError, ImageError
from assay.image import to_pillow
from assay.train.trivial import trivial_augment

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    Images = NDArray[np.uint8] | NDArray[np.float32]

BLUR_SIGMA = (0.1, 2.0)
"""px, at the network's size."""
NOISE_SIGMA = (2.0, 25.0)
"""Grey levels of 0..255."""
ERASE_AREA = (0.02, 1 / 3)
ERASE_RATIO = (0.3, 1 / 0.3)
_ATTEMPTS = 10

_RGB_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_YIQ_TO_RGB = np.linalg.inv(_RGB_TO_YIQ)


class Augment:
    """Executes an AugmentConfig for one size. Holds no state: safe to share between threads.

    Parameters
    ----------
    config : what is done and how often.
    size : side of the result in px.
    channels : 3 for colour, 1 for grey.

    Raises
    ------
    ConfigError : crop_scale or crop_ratio is not a least and a greatest value.
    """

    def __init__(self, config: AugmentConfig, size: int, channels: int = 3) -> None:
        self.config, self.size, self.channels = config, size, channels
        self._scale = _range("crop_scale", config.crop_scale)
        low, high = _range("crop_ratio", config.crop_ratio)
        self._log_ratio = (math.log(low), math.log(high))

    def __call__(self, image: NDArray[np.uint8], rng: Generator) -> NDArray[np.uint8]:
        """(H, W, 3), (H, W, 1) or (H, W) uint8 -> (size, size, channels) uint8.

        Raises
        ------
        ImageError : not an array of a picture.
        """
        picture = self._flipped(self._cropped(image, rng), rng)
        if self.config.trivial:
            picture = trivial_augment(picture, rng)
        if self.config.colour_jitter:
            picture = jitter_colours(picture, self.config.colour_jitter, rng)
        if _happens(self.config.blur, rng):
            picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(*BLUR_SIGMA)))
        pixels = np.array(picture).reshape(self.size, self.size, self.channels)
        if _happens(self.config.noise, rng):
            pixels = _noisy(pixels, rng)
        if _happens(self.config.erase, rng):
            _erase(pixels, rng)
        return pixels

    def _cropped(self, image: NDArray[np.uint8], rng: Generator) -> Image.Image:
        """Only the part that is wanted is handed to Pillow; its resize is antialiased."""
        height, width = image.shape[:2]
        if not height or not width:
            raise ImageError("a picture holds no pixels", got=str(image.shape))
        left, top, right, bottom = self._crop_box(width, height, rng)
        picture = to_pillow(np.ascontiguousarray(image[top:bottom, left:right]))
        mode = "L" if self.channels == 1 else "RGB"
        picture = picture if picture.mode == mode else picture.convert(mode)
        return picture.resize((self.size, self.size), Image.Resampling.BILINEAR)

    def _crop_box(self, width: int, height: int, rng: Generator) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) in px: a share of the area and a ratio that fit, in ten attempts."""
        for _ in range(_ATTEMPTS):
            area = width * height * rng.uniform(*self._scale)
            ratio = math.exp(rng.uniform(*self._log_ratio))
            w, h = max(1, round(math.sqrt(area * ratio))), max(1, round(math.sqrt(area / ratio)))
            if w <= width and h <= height:
                left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
                return left, top, left + w, top + h
        return self._centre_box(width, height)

    def _centre_box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """The largest centred box of an allowed ratio: for pictures too long for any crop."""
        low, high = (math.exp(bound) for bound in self._log_ratio)
        w, h = min(width, round(height * high)), min(height, round(width / low))
        w, h = max(1, w), max(1, h)
        left, top = (width - w) // 2, (height - h) // 2
        return left, top, left + w, top + h

    def _flipped(self, picture: Image.Image, rng: Generator) -> Image.Image:
        if _happens(self.config.flip, rng):
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if _happens(self.config.flip_vertical, rng):
            picture = picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        return picture


def mix_batch(
    images: Images,
    onehot: NDArray[np.float32],
    rng: Generator,
    *,
    mixup_alpha: float = 0.0,
    cutmix_alpha: float = 0.0,
) -> tuple[Images, NDArray[np.float32]]:
    """Mixup (Zhang et al. 2018) or cutmix (Yun et al. 2019) of each picture with another of the batch.

    Parameters
    ----------
    images : (B, H, W, C) uint8 or float; left as they are.
    onehot : (B, K) float targets.
    rng : partners, shares and places are drawn from it.
    mixup_alpha, cutmix_alpha : of the Beta distribution; 0 is off. With both on, each batch draws one of the two.

    Returns
    -------
    New images of the same type, and targets (B, K) float32 mixed by the share of pixels that was really taken.
    """
    if mixup_alpha <= 0 and cutmix_alpha <= 0:
        return images, onehot
    cut = mixup_alpha <= 0 or (cutmix_alpha > 0 and rng.random() < 0.5)
    partner = rng.permutation(len(images))
    alpha = cutmix_alpha if cut else mixup_alpha
    share = float(rng.beta(alpha, alpha))
    mixed, share = _cutmix(images, partner, share, rng) if cut else _mixup(images, partner, share)
    targets = share * onehot + (1 - share) * onehot[partner]
    return mixed, np.asarray(targets, dtype=np.float32)


def _mixup(images: Images, partner: NDArray[np.int64], share: float) -> tuple[Images, float]:
    """``share`` of each picture and the rest of its partner's, pixel by pixel."""
    if images.dtype != np.uint8:
        mixed = share * images + (1 - share) * images[partner]
        return cast("Images", mixed.astype(images.dtype)), share
    weight = round(256 * share)  # in 256ths, so that 16-bit integers suffice and targets agree exactly
    total = images * np.uint16(weight) + images[partner] * np.uint16(256 - weight)
    return ((total + np.uint16(128)) >> 8).astype(np.uint8), weight / 256


def _cutmix(images: Images, partner: NDArray[np.int64], share: float, rng: Generator) -> tuple[Images, float]:
    """A box of the partner's pixels; the share is corrected to what the borders left of the box."""
    height, width = images.shape[1:3]
    side = math.sqrt(1 - share)
    y, x = int(rng.integers(height)), int(rng.integers(width))
    half_h, half_w = round(height * side) // 2, round(width * side) // 2
    top, bottom = max(0, y - half_h), min(height, y + half_h)
    left, right = max(0, x - half_w), min(width, x + half_w)
    mixed = images.copy()
    mixed[:, top:bottom, left:right] = images[partner, top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)


def jitter_colours(picture: Image.Image, strength: float, rng: Generator) -> Image.Image:
    """Brightness, contrast and saturation by 1 +- strength, hue by +- strength / 4 of the circle.

    All four are linear in the colours, so they are one 3 x 4 matrix and one pass. Hue turns the chroma plane of
    YIQ; contrast turns about the picture's mean luma.
    """
    bright, contrast, saturation = rng.uniform(max(0.0, 1 - strength), 1 + strength, 3)
    angle = rng.uniform(-1, 1) * strength / 4 * 2 * math.pi
    mean = _mean_luma(picture) * bright
    if picture.mode == "L":
        levels = np.arange(256) * bright * contrast + mean * (1 - contrast)
        return picture.point(np.clip(np.rint(levels), 0, 255).astype(int).tolist())
    turn = np.array(
        [[1, 0, 0], [0, math.cos(angle), -math.sin(angle)], [0, math.sin(angle), math.cos(angle)]]
    )
    chroma = np.diag([1.0, saturation, saturation])
    colours = bright * contrast * (_YIQ_TO_RGB @ turn @ chroma @ _RGB_TO_YIQ)
    matrix = np.column_stack([colours, np.full(3, mean * (1 - contrast))])
    return picture.convert("RGB", tuple(float(value) for value in matrix.ravel()))


def _mean_luma(picture: Image.Image) -> float:
    one = picture.resize((1, 1), Image.Resampling.BOX).convert("L")
    return float(np.asarray(one)[0, 0])


def _noisy(pixels: NDArray[np.uint8], rng: Generator) -> NDArray[np.uint8]:
    noise = rng.standard_normal(pixels.shape, dtype=np.float32)
    noise *= np.float32(rng.uniform(*NOISE_SIGMA))
    noise += pixels
    return np.clip(np.rint(noise, out=noise), 0, 255).astype(np.uint8)


def _erase(pixels: NDArray[np.uint8], rng: Generator) -> None:
    """Fill a random box with random values, in place."""
    height, width, channels = pixels.shape
    for _ in range(_ATTEMPTS):
        area = height * width * rng.uniform(*ERASE_AREA)
        ratio = math.exp(rng.uniform(math.log(ERASE_RATIO[0]), math.log(ERASE_RATIO[1])))
        h, w = max(1, round(math.sqrt(area * ratio))), max(1, round(math.sqrt(area / ratio)))
        if h < height and w < width:
            top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
            pixels[top : top + h, left : left + w] = rng.integers(0, 256, (h, w, channels), dtype=np.uint8)
            return


def _happens(chance: float, rng: Generator) -> bool:
    return chance > 0 and rng.random() < chance


def _range(name: str, values: tuple[float, ...]) -> tuple[float, float]:
    if len(values) != 2 or values[0] > values[1]:
        raise ConfigError(
            f"{name} is a least and a greatest value", got=str(values), fix=f"e.g. {name}=0.5,1"
        )
    return values[0], values[1]
