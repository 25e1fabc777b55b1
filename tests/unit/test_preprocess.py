"""The preprocessing contract: geometry, agreement with plain Pillow, bit for bit the same everywhere."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from assay.configs import PreprocessConfig
from assay.errors import ConfigError, ImageError
from assay.preprocess import Preprocess, crop_box, letterbox, scaled
from assay.smoothing import bilateral_pixels

MODES = ["stretch", "letterbox", "crop"]
FILTERS = ["nearest", "box", "bilinear", "bicubic", "lanczos"]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("resize", MODES)
@pytest.mark.parametrize("interpolation", FILTERS)
def test_a_square_of_the_right_size_stays(resize, interpolation):
    image = noise(32, 32)
    config = PreprocessConfig(size=32, resize=resize, interpolation=interpolation)
    assert np.array_equal(Preprocess(config).pixels(image), image)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(MODES),
    st.sampled_from(FILTERS),
    st.sampled_from(["none", "gaussian", "median", "bilateral"]),
    st.tuples(st.integers(1, 50), st.integers(1, 50)),
    st.integers(0, 255),
)
def test_a_constant_picture_stays_constant(resize, interpolation, smoothing, size, level):
    config = PreprocessConfig(
        size=16, resize=resize, interpolation=interpolation, smoothing=smoothing, pad_value=level
    )
    pixels = Preprocess(config).pixels(np.full((*size, 3), level, np.uint8))
    assert pixels.shape == (16, 16, 3)
    assert (pixels == level).all()


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(8, 512))
def test_letterbox_geometry(width, height, side):
    left, top, w, h = letterbox((width, height), side)
    assert max(w, h) == side
    assert left >= 0
    assert top >= 0
    assert 0 <= side - w - 2 * left <= 1
    assert 0 <= side - h - 2 * top <= 1
    longest = max(width, height)
    assert abs(w - width * side / longest) <= 0.5 or w == 1
    assert abs(h - height * side / longest) <= 0.5 or h == 1


def test_letterbox_pads_with_the_pad_value():
    config = PreprocessConfig(size=32, resize="letterbox", pad_value=7)
    pixels = Preprocess(config).pixels(np.full((20, 40, 3), 200, np.uint8))
    assert (pixels[:8] == 7).all()
    assert (pixels[8:24] == 200).all()
    assert (pixels[24:] == 7).all()


def test_crop_is_the_centre():
    assert crop_box((60, 40), 1.0) == (10, 0, 50, 40)
    assert crop_box((40, 60), 0.5) == (10, 20, 30, 40)
    image = noise(40, 60)
    config = PreprocessConfig(size=40, resize="crop")
    assert np.array_equal(Preprocess(config).pixels(image), image[:, 10:50])


@pytest.mark.parametrize("interpolation", FILTERS)
def test_agrees_with_plain_pillow(interpolation):
    image = noise(90, 130)
    method = Image.Resampling[interpolation.upper()]
    pillow = Image.fromarray(image)
    stretched = Preprocess(PreprocessConfig(size=48, resize="stretch", interpolation=interpolation))
    assert np.array_equal(stretched.pixels(image), np.asarray(pillow.resize((48, 48), method)))
    cropped = Preprocess(PreprocessConfig(size=48, interpolation=interpolation))
    expected = np.asarray(pillow.crop((20, 0, 110, 90)).resize((48, 48), method))
    inside = np.s_[:, 4:-4]  # at its borders a crop in one step also sees the pixels beside it
    assert np.abs(cropped.pixels(image).astype(int) - expected)[inside].max() <= 1


def test_shrinking_is_antialiased():
    stripes = np.zeros((160, 160, 3), np.uint8)
    stripes[:, ::2] = 255
    pixels = Preprocess(PreprocessConfig(size=16)).pixels(stripes)
    assert np.abs(pixels[2:-2, 2:-2].astype(int) - 128).max() <= 2


def test_grey_is_601_luma_and_one_channel():
    preprocess = Preprocess(PreprocessConfig(size=8, colour="gray"))
    assert preprocess.channels == 1
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    for colour, luma in zip(colours, (76, 150, 29), strict=True):
        pixels = preprocess.pixels(np.broadcast_to(colour, (8, 8, 3)).copy())
        assert pixels.shape == (8, 8, 1)
        assert (pixels == luma).all()
    assert preprocess.mean == pytest.approx((0.449,), abs=1e-3)
    assert preprocess(noise(9, 9)).shape == (1, 8, 8)


def test_single_channel_input_is_taken():
    grey = noise(20, 20)[:, :, :1]
    assert np.array_equal(Preprocess(PreprocessConfig(size=20)).pixels(grey), np.repeat(grey, 3, axis=2))
    assert np.array_equal(Preprocess(PreprocessConfig(size=20, colour="gray")).pixels(grey[:, :, 0]), grey)


def test_normalise_is_the_formula_contiguous_for_any_leading_axes():
    preprocess = Preprocess(PreprocessConfig(size=8))
    pixels = np.stack([noise(8, 8, seed) for seed in range(6)]).reshape(2, 3, 8, 8, 3)
    exact = (pixels / 255.0 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    normal = preprocess.normalise(pixels)
    assert normal.shape == (2, 3, 3, 8, 8)
    assert normal.dtype == np.float32
    assert normal.flags.c_contiguous
    np.testing.assert_allclose(normal, np.moveaxis(exact, -1, -3), rtol=1e-6, atol=1e-6)
    assert np.array_equal(normal[1, 2], preprocess.normalise(pixels[1, 2]))


def test_call_is_normalise_of_pixels():
    preprocess, image = Preprocess(PreprocessConfig(size=24)), noise(50, 33)
    assert np.array_equal(preprocess(image), preprocess.normalise(preprocess.pixels(image)))


def test_smoothing_gaussian_and_median_are_pillows():
    image = noise(30, 30)
    pillow = Image.fromarray(image)
    gaussian = Preprocess(PreprocessConfig(size=30, smoothing="gaussian", smoothing_strength=1.5))
    assert np.array_equal(gaussian.pixels(image), np.asarray(pillow.filter(ImageFilter.GaussianBlur(1.5))))
    median = Preprocess(PreprocessConfig(size=30, smoothing="median", smoothing_strength=2))
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), axis=(0, 1))
    assert np.array_equal(median.pixels(image), np.median(windows, axis=(3, 4)).astype(np.uint8))


def test_bilateral_agrees_with_its_definition():
    image, radius = noise(12, 14) // 4, 2
    padded = np.pad(image.astype(float), ((radius, radius), (radius, radius), (0, 0)), mode="edge")
    expected = np.zeros(image.shape)
    for y in range(12):
        for x in range(14):
            window = padded[y : y + 5, x : x + 5]
            unlike = ((window - image[y, x]) ** 2).sum(axis=2)
            dy, dx = np.mgrid[-2:3, -2:3]
            weight = np.exp(-unlike / (2 * 25**2) - (dy**2 + dx**2) / (2 * 1.0**2))
            expected[y, x] = (weight[:, :, None] * window).sum(axis=(0, 1)) / weight.sum()
    assert np.abs(bilateral_pixels(image, radius) - expected).max() <= 0.75


def test_bilateral_keeps_edges_and_strips_do_not_show(monkeypatch):
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, 20:] = 200
    image += np.random.default_rng(0).integers(0, 8, image.shape, dtype=np.uint8)
    smooth = bilateral_pixels(image, 3)
    assert smooth[:, :20].max() < 10
    assert smooth[:, 20:].min() > 195
    assert smooth[:, :20].std() < image[:, :20].std()
    monkeypatch.setattr("assay.smoothing._STRIP_PIXELS", 40 * 7)
    assert np.array_equal(bilateral_pixels(image, 3), smooth)


def test_digest_tells_every_field_and_survives_json():
    base = PreprocessConfig()
    other = [
        PreprocessConfig(**change)
        for change in (
            {"size": 161},
            {"colour": "gray"},
            {"resize": "stretch"},
            {"crop_share": 0.9},
            {"interpolation": "bicubic"},
            {"smoothing": "median"},
            {"smoothing_strength": 2.0},
            {"pad_value": 0},
            {"decode": "scaled"},
            {"mean": (0.5, 0.5, 0.5)},
            {"std": (0.5, 0.5, 0.5)},
        )
    ]
    assert len(other) == len(base.to_dict())
    digests = {Preprocess(config).digest for config in [base, *other]}
    assert len(digests) == 12
    assert all(len(digest) == 16 and int(digest, 16) >= 0 for digest in digests)
    for config in [base, *other, PreprocessConfig(mean=(0, 0, 0), smoothing_strength=1)]:
        again = PreprocessConfig.from_dict(json.loads(json.dumps(config.to_dict())))
        assert Preprocess(again).digest == Preprocess(config).digest
    whole = PreprocessConfig(mean=(0, 0, 0), std=(1, 1, 1))
    exact = PreprocessConfig(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    assert Preprocess(whole).digest == Preprocess(exact).digest


def test_scaled_changes_the_size_alone():
    config = PreprocessConfig(size=160, resize="letterbox")
    assert scaled(config, 96) == PreprocessConfig(size=96, resize="letterbox")


def test_another_process_gives_the_same_bits(tmp_path):
    from assay.image import encode_image

    path = tmp_path / "photo.jpg"
    path.write_bytes(encode_image(noise(70, 90), "JPEG"))
    script = (
        "import sys, hashlib; from assay.image import read_image; from assay.preprocess import Preprocess;"
        "from assay.configs import PreprocessConfig;"
        "print(hashlib.sha256(Preprocess(PreprocessConfig())(read_image(sys.argv[1])).tobytes()).hexdigest())"
    )
    outputs = {
        subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, check=True).stdout
        for _ in range(2)
    }
    assert len(outputs) == 1


def test_words_for_wrong_input():
    with pytest.raises(ConfigError, match="mean has 2 values for 3 channels"):
        Preprocess(PreprocessConfig(mean=(0.5, 0.5)))
    assert Preprocess(PreprocessConfig(mean=(0.5,), std=(0.5,))).mean == (0.5, 0.5, 0.5)
    preprocess = Preprocess(PreprocessConfig(size=8))
    with pytest.raises(ImageError, match=r"\(4, 4, 4\) of uint8"):
        preprocess.pixels(np.zeros((4, 4, 4), np.uint8))
    with pytest.raises(ImageError, match="no pixels"):
        preprocess.pixels(np.zeros((0, 4, 3), np.uint8))
    with pytest.raises(ImageError, match=r"pixels are \(\.\.\., S, S, 3\) uint8"):
        preprocess.normalise(np.zeros((8, 8, 1), np.uint8))
