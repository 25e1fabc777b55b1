"""JPEG files decoded smaller: the same picture to a grey level or two, whichever way it is turned, in its own frame."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from assay.configs import PreprocessConfig
from assay.image import open_upright, read_image
from assay.preprocess import Preprocess


def soft_picture(width, height, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (20, 26, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def jpeg(picture, orientation=1):
    exif = Image.Exif()
    exif[0x0112] = orientation
    held = io.BytesIO()
    picture.save(held, "JPEG", quality=92, exif=exif)
    return held.getvalue()


def pair(**options):
    config = {"size": 96, "crop_share": 0.9, **options}
    return Preprocess(PreprocessConfig(**config)), Preprocess(PreprocessConfig(**config, decode="scaled"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("resize", ["stretch", "crop", "letterbox"])
def test_nearly_the_same_pixels_in_every_orientation(orientation, resize):
    data = jpeg(soft_picture(801, 603), orientation)
    exact, scaled = pair(resize=resize)
    whole, size_hw = exact.read(data)
    small, same_hw = scaled.read(data)
    assert size_hw == same_hw == read_image(data).shape[:2]
    apart = np.abs(whole.astype(int) - small)
    assert 0 < apart.mean() < 1.0
    assert apart.max() <= 12


def test_exact_reading_is_pixels_of_read_image():
    data = jpeg(soft_picture(301, 203), 6)
    for config in (PreprocessConfig(size=64), PreprocessConfig(size=64, colour="gray", smoothing="gaussian")):
        preprocess = Preprocess(config)
        np.testing.assert_array_equal(preprocess.read(data)[0], preprocess.pixels(read_image(data)))


def test_the_last_fraction_of_a_pixel_is_kept():
    found = open_upright(jpeg(soft_picture(801, 603), 3), need=lambda _size: (200, 150))
    assert found.picture.size == (201, 151)
    assert found.size_hw == (603, 801)
    # 801 / 4 is 200.25: turned by 180 degrees, what is no part of the photo lies left and above
    assert found.part == pytest.approx((0.75, 0.25, 201, 151))


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"smoothing": "gaussian"}, (800, 600)),  # stated in pixels of the photo
        ({"interpolation": "nearest"}, (800, 600)),
        ({}, (150, 120)),  # half of it would be smaller than the network's input
    ],
)
def test_where_it_may_not_shrink_nothing_changes(options, size):
    data = jpeg(soft_picture(*size))
    exact, scaled = pair(**options)
    np.testing.assert_array_equal(exact.read(data)[0], scaled.read(data)[0])


def test_other_formats_are_decoded_whole():
    held = io.BytesIO()
    soft_picture(800, 600).save(held, "PNG")
    exact, scaled = pair()
    np.testing.assert_array_equal(exact.read(held.getvalue())[0], scaled.read(held.getvalue())[0])


def test_training_pictures_are_reduced_alike():
    data = jpeg(soft_picture(801, 603), 6)
    exact, scaled = pair()
    reduced = [
        way.reduced(data, lambda size_hw: (size_hw[0] // 5, size_hw[1] // 5)) for way in (exact, scaled)
    ]
    assert reduced[0].shape == reduced[1].shape == (160, 120, 3)
    assert np.abs(reduced[0].astype(int) - reduced[1]).mean() < 1.5
