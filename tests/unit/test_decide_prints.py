"""Frames, prints and views: what survives edits, and what orientations are."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from assay.decide.frames import SIDE, Box, frames_of
from assay.decide.prints import (
    ORIENTATIONS,
    Prints,
    asked,
    frequencies,
    halved,
    has_structure,
    packed,
    prints_of,
    stored,
    turn,
)
from assay.decide.views import VIEWS, middle, seen


def drawn(height=150, width=200, seed=0):
    """(H, W) smooth grey noise of several scales, like nothing else."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width))
    for cells, weight in ((3, 60), (8, 40), (20, 25)):
        small = Image.fromarray(rng.normal(0, 1, (cells, cells)).astype(np.float32))
        total += weight * np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))
    return np.clip(128 + total, 0, 255).astype(np.uint8)


def bits_apart(a, b):
    return int(np.bitwise_count(a ^ b).sum())


def test_all_orientations_come_from_one_transform():
    frame = frames_of(drawn())[0]
    (bits, frames, orientations, shares), low = asked(Prints(frame)), halved(frame)
    assert bits.shape == (16, 4)
    assert frames.tolist() == [0] * 16
    assert orientations.tolist() == [*range(8)] * 2
    assert shares.tolist() == [1.0] * 8 + [0.8] * 8
    for number in range(8):
        turned = turn(low.astype(np.uint8), number).astype(np.float32)
        again = packed(frequencies(turned)[None])[0]
        assert bits_apart(again, bits[number]) <= 6  # uint8 rounds
    assert ORIENTATIONS[0] == (0, 0, 0)
    assert len({tuple(row) for row in bits.tolist()}) == 16


def test_a_print_survives_size_and_light_and_tells_pictures_apart():
    photo = drawn()
    first = stored(prints_of(photo))[0][0]
    small = np.asarray(Image.fromarray(photo).resize((90, 70), Image.Resampling.BICUBIC))
    for changed in (small, (photo * 0.5).astype(np.uint8), (photo // 2 + 100).astype(np.uint8)):
        assert bits_apart(first, stored(prints_of(changed))[0][0]) <= 12
    others = [stored(prints_of(drawn(seed=seed)))[0][0] for seed in range(1, 40)]
    assert min(bits_apart(first, other) for other in others) > 80


def test_views_are_parts_and_turns_of_the_whole():
    low = halved(frames_of(drawn())[0])
    pictures = seen(low)
    assert pictures.shape == (len(VIEWS), 64, 64)
    assert np.allclose(pictures[0], low, atol=0.05)
    centre = next(i for i, view in enumerate(VIEWS) if np.allclose(view, [[0.8, 0, 0], [0, 0.8, 0]]))
    assert np.allclose(middle(low), pictures[centre], atol=0.05)
    part = Image.fromarray(low).resize((64, 64), Image.Resampling.BILINEAR, box=(6.4, 6.4, 57.6, 57.6))
    assert np.abs(pictures[centre] - np.asarray(part))[2:-2, 2:-2].mean() < 0.5


@pytest.mark.parametrize("value", [0, 255, 128])
def test_what_has_no_structure_has_no_print(value):
    flat = np.full((100, 80), value, np.uint8)
    prints = prints_of(flat)
    assert prints.frames.shape == (1, SIDE, SIDE)
    assert not has_structure(halved(prints.frames[0]))
    assert len(asked(prints).bits) == len(stored(prints)[0]) == 0
    noise = np.clip(value + np.random.default_rng(0).normal(0, 6, (100, 80)), 0, 255).astype(np.uint8)
    assert len(asked(prints_of(noise)).bits) == 0


def framed(photo, high, wide, top, left, page=255):
    out = np.full((high, wide), page, np.uint8)
    out[top : top + photo.shape[0], left : left + photo.shape[1]] = photo
    return out


def found_in(picture):
    """The frames of a picture, as whole greys."""
    return frames_of(picture).astype(np.float32)


@pytest.mark.parametrize("page", [255, 0, 37])
def test_borders_and_pages_are_left_out(page):
    photo = drawn(120, 160)
    whole = frames_of(photo)[0].astype(np.float32)
    border = framed(photo, 150, 190, 15, 15, page)
    screen = framed(photo, 256, 160, 60, 0, page)
    screen[200:206, 10:120] = 130  # a line of text below
    for picture in (border, screen):
        frames = found_in(picture)
        assert len(frames) > 1
        assert min(np.abs(frame - whole).mean() for frame in frames) < 12


def test_a_photo_on_a_blurred_copy_of_itself_is_found():
    grain = np.random.default_rng(1).normal(0, 12, (90, 120))  # detail that a blur takes away
    sharp = np.clip(drawn(90, 120) + grain, 0, 255).astype(np.uint8)
    large = Image.fromarray(sharp).resize((8, 14), Image.Resampling.BOX)
    story = np.asarray(large.resize((120, 212), Image.Resampling.BICUBIC)).copy()
    story[61:151] = sharp
    whole = halved(halved(frames_of(sharp)[0]))
    assert min(np.abs(halved(halved(frame)) - whole).mean() for frame in frames_of(story)) < 14


@pytest.mark.parametrize("shape", [(1, 1), (1, 256), (256, 1), (17, 16), (15, 200), (3, 2), (128, 129)])
def test_pictures_of_any_shape_have_frames(shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    frames = frames_of(picture)
    assert frames.dtype == np.uint8
    assert frames.shape[1:] == (SIDE, SIDE)
    assert 1 <= len(frames) <= 4


def test_boxes():
    assert Box().area == 1
    assert Box(0, 0, 0.5, 1).overlap(Box(0.5, 0, 1, 1)) == 0
    assert Box(0, 0, 1, 1).overlap(Box(0, 0, 1, 0.5)) == pytest.approx(0.5)
    assert Box(0.5, 0.5, 0.2, 0.2).area == 0


def test_prints_go_through_another_process():
    prints = prints_of(framed(drawn(), 200, 250, 20, 20))
    again = Prints.from_bytes(prints.to_bytes())
    assert np.array_equal(again.frames, prints.frames)
    assert len(prints.to_bytes()) == prints.frames.size
    assert Prints(prints.frames[0]).frames.shape == (1, SIDE, SIDE)
    with pytest.raises(ValueError, match="cannot reshape"):
        Prints.from_bytes(b"123")
    with pytest.raises(ValueError, match="frames of a photo"):
        Prints(np.zeros((2, 3, 3), np.uint8))
    with pytest.raises(ValueError, match="frames of a photo"):
        Prints.from_bytes(b"")
