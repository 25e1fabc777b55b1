"""Random changes of training pictures, in numpy and Pillow, each drawn from a given generator.

A picture's augmentation depends on that generator alone, so on (seed, epoch, picture) as the loop seeds it: not
on threads, workers or what came before. In order: random resized crop (Szegedy et al. 2015), flips,
TrivialAugment Wide (see ``trivial``), colour jitter, blur, noise, random erasing (Zhong et al. 2020).
Mixup and cutmix change a whole batch: ``mix_batch``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from assay.configs import AugmentConfig
from assay.errors import ConfigError, ImageError
from assay.image import to_pillow
from assay.train.trivial import trivial_augment

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

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
            picture = _jittered(picture, self.config.colour_jitter, rng)
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
    images: NDArray[np.uint8] | NDArray[np.float32],
    onehot: NDArray[np.float32],
    rng: Generator,
    *,
    mixup_alpha: float = 0.0,
    cutmix_alpha: float = 0.0,
) -> tuple[NDArray[np.uint8] | NDArray[np.float32], NDArray[np.float32]]:
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
    share = float(rng.beta(*(2 * (cutmix_alpha if cut else mixup_alpha,))))
    mixed, share = (_cutmix if cut else _mixup)(images, partner, share, rng)
    targets = share * onehot + (1 - share) * onehot[partner]
    return mixed, np.asarray(targets, dtype=np.float32)
