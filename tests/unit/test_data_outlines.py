"""Masks to polygons and back, bit for bit; the rasteriser of pycocotools is asked as well."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco

from assay.data.outlines import joined, outlines
from assay.masks import from_polygons


def drawn(polygons, size_hw):
    return from_polygons(polygons, size_hw).to_array()


def drawn_by_coco(polygons, size_hw):
    return coco.decode(
        coco.merge(coco.frPyObjects([list(map(float, p)) for p in polygons], *size_hw))
    ).astype(bool)


def picture(text):
    """``picture("##. / .#.")``: rows between slashes, # for a pixel of the mask."""
    return np.array([[letter == "#" for letter in row.strip()] for row in text.split("/")])


def test_a_rectangle_is_its_four_corners():
    assert outlines(picture("..... / .###. / .###. / .....")) == [[1, 1, 4, 1, 4, 3, 1, 3]]


def test_the_first_pixel_and_the_whole_picture():
    assert outlines(picture("#. / ..")) == [[0, 0, 1, 0, 1, 1, 0, 1]]
    assert outlines(np.ones((3, 5))) == [[0, 0, 5, 0, 5, 3, 0, 3]]


def test_nothing_gives_no_polygon():
    assert outlines(np.zeros((4, 6), bool)) == []
    assert joined([]) == []


def test_values_other_than_zero_belong_to_it():
    assert outlines(np.array([[0, 255], [0, 7]], np.uint8)) == [[1, 0, 2, 0, 2, 2, 1, 2]]


@pytest.mark.parametrize("text", [".# / #.", "#. / .#"])
def test_pixels_that_touch_at_a_corner_are_two_parts(text):
    found = outlines(picture(text))
    assert len(found) == 2
    assert all(len(polygon) == 8 for polygon in found)
    assert (drawn(found, (2, 2)) == picture(text)).all()


def test_a_hole_is_bridged_to_the_outline_on_its_left():
    ring = picture("#### / #..# / ####")
    (polygon,) = outlines(ring)
    assert (0, 1) in set(zip(polygon[::2], polygon[1::2], strict=True)), "where the bridge begins"
    assert (drawn([polygon], (3, 4)) == ring).all()


def test_holes_side_by_side_and_a_part_in_a_hole():
    mask = picture("######### / #.#.#...# / #...#.#.# / #.#.#...# / #########")
    found = outlines(mask)
    assert len(found) == 2, "the ring with its holes, and the pixel inside of one"
    assert (drawn(found, mask.shape) == mask).all()
    assert (drawn([joined(found)], mask.shape) == mask).all()


def test_parts_are_joined_where_they_are_nearest():
    one = joined([[0, 0, 2, 0, 2, 2, 0, 2], [5, 1, 6, 1, 6, 3, 5, 3]])
    points = list(zip(one[::2], one[1::2], strict=True))
    assert points == [(0, 0), (2, 0), (5, 1), (6, 1), (6, 3), (5, 3), (5, 1), (2, 0), (2, 2), (0, 2)]


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # pycocotools
def test_random_masks_come_back_bit_for_bit():
    rng, parts = np.random.default_rng(0), 0
    for _ in range(600):
        size_hw = tuple(int(n) for n in rng.integers(1, 24, 2))
        mask = rng.random(size_hw) < rng.random()
        found = outlines(mask)
        one = [joined(found)] if found else []
        assert (drawn(found, size_hw) == mask).all()
        assert (drawn(one, size_hw) == mask).all()
        if found:
            assert (drawn_by_coco(found, size_hw) == mask).all()
            assert (drawn_by_coco(one, size_hw) == mask).all()
        parts += len(found) > 1
    assert parts > 300


def test_blobs_with_holes_in_a_photo_come_back_bit_for_bit():
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:120, :160]
    for _ in range(30):
        mask = np.zeros((120, 160), bool)
        for value in (1, 1, 1, 0, 0):
            cy, cx, r = rng.uniform(0, 120), rng.uniform(0, 160), rng.uniform(4, 40)
            mask[(y - cy) ** 2 + (x - cx) ** 2 < r**2] = value
        found = outlines(mask)
        assert (drawn(found, mask.shape) == mask).all()
        assert (drawn([joined(found)] if found else [], mask.shape) == mask).all()


def test_no_part_draws_outside_of_itself():
    mask = np.random.default_rng(2).random((20, 20)) < 0.5
    total = sum(drawn([polygon], mask.shape).astype(int) for polygon in outlines(mask))
    assert (total == mask).all()


def test_noise_of_a_whole_photo_is_no_trouble():
    mask = np.random.default_rng(3).random((240, 320)) < 0.5
    assert (drawn([joined(outlines(mask))], mask.shape) == mask).all()
