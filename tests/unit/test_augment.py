"""Augmentation: from the generator alone, within its bounds, and mixed targets that tell the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from assay.configs import AugmentConfig
from assay.errors import ConfigError, ImageError
from assay.train.augment import Augment, mix_batch
from assay.train.trivial import OPERATIONS, trivial_augment

EVERYTHING = AugmentConfig(
    flip=0.5, flip_vertical=0.5, colour_jitter=0.4, trivial=True, erase=1.0, blur=1.0, noise=1.0
)
PLAIN = AugmentConfig(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=0.0, trivial=False)


def picture(height: int = 64, width: int = 64, channels: int = 3) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    colours = np.stack([x * 255 // width, y * 255 // height, 255 - x * 255 // width], axis=2)
    return colours[:, :, :channels].astype(np.uint8)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([1, 3]), st.integers(0, 999))
def test_shape_and_type_for_any_picture(height, width, channels, seed):
    for config in (AugmentConfig(), EVERYTHING):
        pixels = Augment(config, 24, channels)(picture(height, width), rng(seed))
        assert pixels.shape == (24, 24, channels)
        assert pixels.dtype == np.uint8


def test_it_depends_on_the_generator_alone():
    augment, image = Augment(EVERYTHING, 32), picture()
    first = [augment(image, rng(seed)) for seed in range(20)]
    again = [Augment(EVERYTHING, 32)(image.copy(), rng(seed)) for seed in reversed(range(20))][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert len({a.tobytes() for a in first}) == 20


def test_the_source_stays():
    image = picture()
    before = image.copy()
    for seed in range(10):
        Augment(EVERYTHING, 64)(image, rng(seed))
    assert np.array_equal(image, before)


def test_nothing_asked_nothing_changed():
    assert np.array_equal(Augment(PLAIN, 64)(picture(), rng()), picture())


def test_flips():
    image = picture()
    across = AugmentConfig(**{**PLAIN.to_dict(), "flip": 1.0})
    down = AugmentConfig(**{**PLAIN.to_dict(), "flip_vertical": 1.0})
    assert np.array_equal(Augment(across, 64)(image, rng()), image[:, ::-1])
    assert np.array_equal(Augment(down, 64)(image, rng()), image[::-1])


@settings(max_examples=100, deadline=None)
@given(st.integers(20, 500), st.integers(20, 500), st.integers(0, 9999))
def test_crops_keep_to_area_and_ratio(width, height, seed):
    augment = Augment(AugmentConfig(), 32)
    left, top, right, bottom = augment._crop_box(width, height, rng(seed))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    w, h = right - left, bottom - top
    if 0.75 <= width / height <= 1.33:
        assert 0.35 * 0.85 <= w * h / (width * height) <= 1
    assert 0.75 * 0.85 <= w / h <= 1.3333 * 1.15


def test_crops_cover_the_picture():
    boxes = np.array([Augment(AugmentConfig(), 32)._crop_box(100, 100, rng(s)) for s in range(300)])
    assert boxes[:, :2].min() == 0
    assert boxes[:, 2:].max() == 100
    assert boxes[:, 0].max() > 30


def test_colour_goes_to_grey_where_one_channel_is_wanted():
    pixels = Augment(PLAIN, 64, channels=1)(picture(), rng())
    assert np.array_equal(pixels[:, :, 0], np.asarray(Image.fromarray(picture()).convert("L")))


@pytest.mark.parametrize("name", list(OPERATIONS))
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_operations_keep_mode_and_size_and_are_still_at_strength_nought(name, mode):
    image = Image.fromarray(picture(48, 64)).convert(mode)
    for strength in (0.0, 0.5, 1.0):
        for sign in (-1.0, 1.0):
            changed = OPERATIONS[name](image, strength, sign)
            assert (changed.mode, changed.size) == (image.mode, image.size)
    still = OPERATIONS[name](image, 0.0, 1.0)
    if name not in ("autocontrast", "equalize"):
        assert np.abs(np.asarray(still, int) - np.asarray(image, int)).max() <= 1


def test_operations_do_what_their_names_say():
    image = Image.fromarray(picture())
    pixels = np.asarray(image, int)
    assert np.asarray(OPERATIONS["brightness"](image, 1.0, -1.0)).max() <= 3
    grey = np.asarray(OPERATIONS["colour"](image, 1.0, -1.0), int)
    assert np.abs(grey.max(axis=2) - grey.min(axis=2)).max() <= 4
    assert np.ptp(np.asarray(OPERATIONS["contrast"](image, 1.0, -1.0))) <= 4
    assert np.array_equal(np.asarray(OPERATIONS["solarize"](image, 1.0, 1.0)), 255 - pixels)
    assert len(np.unique(np.asarray(OPERATIONS["posterize"](image, 1.0, 1.0)))) <= 4
    shifted = np.asarray(OPERATIONS["shift-x"](image, 1.0, 1.0), int)
    by = 64 * 32 / 224
    assert np.abs(shifted[:, 10:50, 0] - pixels[:, 10:50, 0] - by * 255 / 64).max() < 4
    turned = np.asarray(OPERATIONS["rotate"](image, 90 / 135, 1.0), int)
    assert np.abs(turned[2:-2, 2:-2] - np.rot90(pixels, -1)[2:-2, 2:-2]).max() <= 6 or (
        np.abs(turned[2:-2, 2:-2] - np.rot90(pixels)[2:-2, 2:-2]).max() <= 6
    )


def test_trivial_augment_uses_every_operation(monkeypatch):
    used = set()
    for name in OPERATIONS:
        monkeypatch.setitem(
            OPERATIONS, name, lambda image, strength, sign, name=name: used.add(name) or image
        )
    for seed in range(300):
        trivial_augment(Image.new("RGB", (4, 4)), rng(seed))
    assert used == set(OPERATIONS)


def test_jitter_keeps_greys_grey_and_means_in_bounds():
    config = AugmentConfig(**{**PLAIN.to_dict(), "colour_jitter": 0.4})
    flat = np.full((32, 32, 3), 100, np.uint8)
    levels = np.array([Augment(config, 32)(flat, rng(seed))[0, 0] for seed in range(60)], int)
    assert np.ptp(levels, axis=1).max() <= 2
    assert 58 <= levels.min() < 70
    assert 130 < levels.max() <= 142
    coloured = np.array([Augment(config, 32)(picture(), rng(seed)) for seed in range(9)])
    assert len({c.tobytes() for c in coloured}) == 9


def test_erasing_noise_and_blur():
    flat = np.full((64, 64, 3), 100, np.uint8)

    def with_(name):
        return Augment(AugmentConfig(**{**PLAIN.to_dict(), name: 1.0}), 64)

    for seed in range(20):
        changed = (with_("erase")(flat, rng(seed)) != 100).any(axis=2).mean()
        assert 0.01 <= changed <= 0.36
        noisy = with_("noise")(flat, rng(seed)).astype(int)
        assert 1 < noisy.std() < 27
        assert abs(noisy.mean() - 100) < 2
    noise = rng().integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert with_("blur")(noise, rng(3)).std() < noise.std()


def test_words_for_wrong_input():
    with pytest.raises(ConfigError, match="crop_scale is a least and a greatest value"):
        Augment(AugmentConfig(crop_scale=(0.5,)), 32)
    with pytest.raises(ConfigError, match="crop_ratio"):
        Augment(AugmentConfig(crop_ratio=(2.0, 1.0)), 32)
    with pytest.raises(ImageError, match="no pixels"):
        Augment(AugmentConfig(), 32)(np.zeros((0, 3, 3), np.uint8), rng())


@pytest.fixture
def batch() -> tuple[np.ndarray, np.ndarray]:
    """Eight flat pictures of different levels, a class each."""
    levels = np.arange(8, dtype=np.uint8) * 30
    return np.broadcast_to(levels[:, None, None, None], (8, 32, 24, 3)).copy(), np.eye(8, dtype=np.float32)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_targets_are_the_shares_of_pixels(batch, kind, dtype):
    images, onehot = batch
    images = images.astype(dtype)
    changed = 0
    for seed in range(40):
        mixed, soft = mix_batch(images, onehot, rng(seed), **{f"{kind}_alpha": 1.0})
        assert mixed.dtype == dtype
        assert mixed.shape == images.shape
        assert soft.dtype == np.float32
        np.testing.assert_allclose(soft.sum(axis=1), 1, atol=1e-6)
        # a flat picture's mean tells the mixture: targets times levels
        expected = soft @ (np.arange(8) * 30.0)
        np.testing.assert_allclose(mixed.reshape(8, -1).mean(axis=1), expected, atol=0.51)
        changed += not np.array_equal(mixed, images)
    assert changed > 30
    assert images[3, 0, 0, 0] == 90  # the source stays


def test_mixing_is_off_at_nought_and_either_with_both(batch):
    images, onehot = batch
    same, targets = mix_batch(images, onehot, rng())
    assert np.array_equal(same, images)
    assert np.array_equal(targets, onehot)
    flat = [
        all(np.ptp(m) == 0 for m in mix_batch(images, onehot, rng(s), mixup_alpha=1.0, cutmix_alpha=1.0)[0])
        for s in range(40)
    ]
    assert 5 < sum(flat) < 35  # mixup leaves flat pictures flat, cutmix does not


def test_mixing_depends_on_the_generator_alone(batch):
    a = mix_batch(*batch, rng(5), mixup_alpha=0.2, cutmix_alpha=1.0)
    b = mix_batch(*batch, rng(5), mixup_alpha=0.2, cutmix_alpha=1.0)
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_batch_of_one_mixes_with_itself(batch):
    mixed, soft = mix_batch(batch[0][:1], batch[1][:1], rng(), mixup_alpha=1.0)
    assert np.array_equal(mixed, batch[0][:1])
    np.testing.assert_allclose(soft, batch[1][:1])
