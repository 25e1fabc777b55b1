"""Drawing: the right pixels get the right colours, at every size, and the picture itself stays."""

from __future__ import annotations

import numpy as np
import pytest

from assay.boxes import as_boxes
from assay.detections import Detections
from assay.errors import ConfigError
from assay.labels import ClassNames
from assay.masks import encode
from assay.objects import Objects
from assay.report.boxes_on_pictures import class_colour, draw_objects, draw_pixels, letter_size, line_width

NAMES = ClassNames(["cat", "größer 三角", "a very long name of a class that fits nowhere"])


def grey(height=200, width=300):
    return np.full((height, width, 3), 128, np.uint8)


def objects(boxes, labels, masks=(), crowd=None):
    return Objects(as_boxes(boxes), np.array(labels, np.int64), masks, crowd)


def test_the_outline_lies_on_the_box():
    out = np.asarray(draw_objects(grey(), objects([[50, 60, 150, 120]], [0]), NAMES, names=False))
    colour = class_colour(0)
    assert (out[60, 60:140] == colour).all()
    assert (out[119, 60:140] == colour).all()
    assert (out[70:110, 50] == colour).all()
    assert (out[70:110, 149] == colour).all()
    assert (out[80:100, 70:130] == 128).all(), "the middle stays"
    assert (out[:50] == 128).all()


def test_masks_are_tinted_with_a_full_edge():
    mask = np.zeros((200, 300), bool)
    mask[60:120, 50:150] = True
    out = np.asarray(
        draw_objects(
            grey(), objects([[50, 60, 150, 120]], [1], (encode(mask),)), NAMES, names=False, mask_strength=0.5
        )
    )
    expected = np.rint(0.5 * 128 + 0.5 * np.array(class_colour(1)))
    assert np.abs(out[90, 100] - expected).max() <= 1
    assert (out[30, 30] == 128).all()


def test_names_are_written_inside_the_picture_wherever_the_box_is():
    for box in (
        [0, 0, 40, 40],
        [260, 0, 300, 30],
        [0, 180, 60, 200],
        [290, 190, 300, 200],
        [-20, -20, 400, 300],
    ):
        plain = np.asarray(draw_objects(grey(), objects([box], [2]), NAMES, names=False))
        named = np.asarray(draw_objects(grey(), objects([box], [2]), NAMES))
        assert not np.array_equal(plain, named)
        assert named.shape == plain.shape


def test_scores_and_any_script():
    def drawn(score):
        one = Detections(as_boxes([[10, 50, 90, 90]]), np.array([1]), np.array([score]))
        return np.asarray(draw_objects(grey(), one, NAMES))

    assert not np.array_equal(drawn(0.87), drawn(0.12))
    plain = np.asarray(draw_objects(grey(), objects([[10, 50, 90, 90]], [1]), NAMES))
    assert not np.array_equal(drawn(0.87), plain)


def test_small_things_stay_visible_on_large_ones():
    boxes = [[100, 80, 120, 100], [10, 10, 290, 190]]
    masks = tuple(encode(np.pad(np.ones((int(b[3] - b[1]), int(b[2] - b[0])), bool),
                                ((b[1], 200 - b[3]), (b[0], 300 - b[2])))) for b in boxes)  # fmt: skip
    out = np.asarray(draw_objects(grey(), objects(boxes, [0, 1], masks), NAMES, names=False))
    assert (out[80, 105:115] == class_colour(0)).all()


def test_in_a_crowd_plates_do_not_cover_each_other():
    rng = np.random.default_rng(0)
    corners = rng.uniform(60, 110, (60, 2))
    boxes = np.column_stack([corners, corners + 12])
    labels = np.arange(60) % 2
    plain = np.asarray(draw_objects(grey(), objects(boxes, labels), NAMES, names=False)).astype(int)
    named = np.asarray(draw_objects(grey(), objects(boxes, labels), NAMES)).astype(int)
    changed = (plain != named).any(axis=2)
    assert 0.02 < changed.mean() < 0.4, "not a wall of plates"


def test_crowds_are_dashed():
    crowd = np.array([True])
    out = np.asarray(
        draw_objects(grey(), objects([[50, 60, 250, 180]], [0], crowd=crowd), NAMES, names=False)
    )
    top = (out[60, 50:250] == class_colour(0)).all(axis=1)
    assert 0.3 < top.mean() < 0.8


def test_the_picture_stays_and_nothing_is_drawn_where_there_is_nothing():
    image = grey()
    before = image.copy()
    out = np.asarray(draw_objects(image, objects(np.zeros((0, 4)), []), NAMES))
    assert np.array_equal(out, before)
    draw_objects(image, objects([[0, 0, 300, 200]], [0], (encode(np.ones((200, 300), bool)),)), NAMES)
    assert np.array_equal(image, before)


@pytest.mark.parametrize("size", [(1, 1), (20, 30), (64, 64), (100, 2000), (3000, 40)])
def test_every_size_is_drawn(size):
    out = draw_objects(grey(*size), objects([[0, 0, size[1], size[0]], [0, 0, 1, 1]], [0, 1]), NAMES)
    assert out.size == (size[1], size[0])
    assert draw_pixels(grey(*size), np.zeros(size, np.uint8)).size == (size[1], size[0])


def test_broken_and_far_boxes_stop_nothing():
    boxes = [[np.nan, 0, 10, 10], [-1e12, -1e12, 1e12, 1e12], [50, 60, 40, 30], [500, 500, 600, 600]]
    out = draw_objects(
        grey(), objects(boxes, [0, 1, 0, 1], crowd=np.array([False, True, False, False])), NAMES
    )
    assert out.size == (300, 200)


def test_lines_and_letters_grow_with_the_picture():
    assert [line_width((s, s)) for s in (64, 256, 1000, 4000)] == [1, 1, 4, 16]
    assert [letter_size((s, s)) for s in (40, 64, 256, 1000, 4000)] == [0, 0, 10, 25, 100]


def test_colours_are_apart_and_stay_when_classes_are_added():
    colours = np.array([class_colour(i) for i in range(20)], float)
    apart = np.linalg.norm(colours[:, None] - colours[None], axis=2) + 1000 * np.eye(20)
    assert apart.min() > 20
    assert class_colour(3) == class_colour(3)


def test_pixels_are_coloured_and_the_background_is_not():
    pixels = np.zeros((200, 300), np.uint8)
    pixels[50:150, 50:150] = 3
    pixels[50:150, 200:280] = 255
    out = np.asarray(draw_pixels(grey(), pixels, strength=0.5))
    assert (out[10, 10] == 128).all()
    colour = class_colour(2)  # as the third kind of things: the background is not counted
    assert np.abs(out[100, 100] - np.rint(0.5 * 128 + 0.5 * np.array(colour))).max() <= 1
    assert (out[50, 60:140] == colour).all(), "a full edge"
    everything = np.asarray(draw_pixels(grey(), pixels, background=None, strength=0.5))
    assert not (everything[10, 10] == 128).all()
    with pytest.raises(ConfigError, match="differ in size"):
        draw_pixels(grey(), pixels[:100])
