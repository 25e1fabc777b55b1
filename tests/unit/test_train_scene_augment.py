"""Boxes, masks and pixels move with their picture: exact geometry, and what is known stays what is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.boxes import as_boxes
from assay.configs import AugmentConfig
from assay.errors import ConfigError, DatasetError
from assay.masks import encode
from assay.objects import ANY_CLASS, Objects
from assay.pixel_masks import IGNORE
from assay.preprocess import letterbox
from assay.train.mosaic import MEETING, drawn_place, mosaic
from assay.train.scene import Least, Place, Scene, Things, flipped, placed
from assay.train.scene_augment import augment_scene, fit_scene, wants_mosaic
from assay.train.scene_target import scene_target

NOTHING = AugmentConfig(mosaic=0.0, zoom=(1.0, 1.0), shift=0.0, flip=0.0, colour_jitter=0.0)
GREY = 60
COLOURS = ((250, 40, 40), (40, 250, 40), (40, 40, 250))
ALL_KEPT = Least(0.0, 0.0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def drawn(size_hw, boxes, *, masks: bool = True) -> Scene:
    """Full rectangles, the k-th in the k-th colour and class, on grey; in the image, the masks and the pixels."""
    image = np.full((*size_hw, 3), GREY, np.uint8)
    pixels = np.zeros(size_hw, np.uint8)
    planes = []
    for k, (x1, y1, x2, y2) in enumerate(boxes):
        image[y1:y2, x1:x2] = COLOURS[k]
        pixels[y1:y2, x1:x2] = k + 1
        planes.append(np.zeros(size_hw, bool))
        planes[-1][y1:y2, x1:x2] = True
    held = tuple(planes) if masks else (None,) * len(boxes)
    return Scene(image, Things(as_boxes(boxes), np.arange(len(boxes)), held), pixels)


def hull(inside) -> np.ndarray:
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)


def painted(scene: Scene, label: int) -> np.ndarray:
    """Where the colour of a class is more than half of a pixel: the place of its thing in the transformed image."""
    ground, colour = np.full(3, GREY, float), np.array(COLOURS[label], float)
    along = (colour - ground) / ((colour - ground) ** 2).sum()
    return (scene.image - ground) @ along > 0.5


def assert_boxes_match_pixels(scene: Scene) -> None:
    for box, label, mask in zip(
        scene.things.boxes_xyxy, scene.things.labels, scene.things.masks, strict=True
    ):
        assert np.abs(box - hull(painted(scene, label))).max() <= 0.5 + 1e-9
        assert np.abs(box - hull(scene.pixels == label + 1)).max() <= 0.5 + 1e-9
        if mask is not None:
            assert np.array_equal(mask, scene.pixels == label + 1)


BOXES = [(5, 8, 25, 30), (40, 10, 70, 22), (30, 40, 60, 58)]
"""Apart from each other, so that colours do not mix."""


@pytest.mark.parametrize("masks", [True, False])
@settings(max_examples=150, deadline=None)
@given(
    scaled=st.tuples(st.integers(20, 200), st.integers(20, 200)),
    offset=st.tuples(st.integers(-60, 60), st.integers(-60, 60)),
)
def test_boxes_are_where_their_pixels_are(masks, scaled, offset):
    scene = placed(drawn((64, 80), BOXES, masks=masks), Place(scaled, offset, (90, 100)), Least(0.05, 2.0))
    assert_boxes_match_pixels(scene)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_all_changes_together_keep_boxes_on_their_pixels(seed):
    config = AugmentConfig(
        mosaic=0.0, zoom=(0.6, 2.5), flip=0.5, flip_vertical=0.5, colour_jitter=0.0, least_left=0.1
    )
    scene = augment_scene([drawn((64, 80), BOXES)], 96, config, rng(seed))
    assert scene.size_hw == (96, 96)
    assert_boxes_match_pixels(scene)


def test_a_thing_that_is_not_cut_keeps_its_box_in_fractions_of_a_pixel():
    scene = drawn((40, 40), [(10, 10, 20, 20)])
    exact = Things(as_boxes([[10.25, 9.5, 20.75, 20.125]]), np.array([0]), scene.things.masks)
    moved = placed(Scene(scene.image, exact), Place((80, 60), (3, 5), (100, 100)))
    assert moved.things.boxes_xyxy.tolist() == [
        [10.25 * 1.5 + 5, 9.5 * 2 + 3, 20.75 * 1.5 + 5, 20.125 * 2 + 3]
    ]


def test_a_cut_thing_is_boxed_by_what_is_left_of_its_mask():
    """An L: a bar along the top, a foot at the left. Cut below the bar, only the foot remains."""
    mask = np.zeros((20, 20), bool)
    mask[0:4, 2:18] = mask[0:20, 2:6] = True
    image = np.zeros((20, 20, 3), np.uint8)
    below = Place((20, 20), (-10, 0), (10, 20))
    whole = as_boxes([[2, 0, 18, 20]])
    scene = Scene(image, Things(whole, np.array([0]), (mask,)))
    assert placed(scene, below).things.boxes_xyxy.tolist() == [[2, 0, 6, 10]]
    without = Scene(image, Things(whole, np.array([0]), (None,)))
    assert placed(without, below).things.boxes_xyxy.tolist() == [[2, 0, 18, 10]], "all that can be known"


@pytest.mark.parametrize("masks", [True, False])
def test_too_small_a_rest_is_ignored_and_no_background(masks):
    scene = drawn((40, 40), [(0, 0, 20, 20), (20, 20, 40, 40)], masks=masks)
    cut = placed(scene, Place((40, 40), (-17, -17), (40, 40)), Least(0.2, 1.0))
    assert cut.things.labels.tolist() == [1]
    assert cut.things.ignored_xyxy.tolist() == [[0, 0, 3, 3]]
    assert (cut.pixels[:3, :3] == 1).all(), "a pixel's class does not depend on how much of its thing is left"
    gone = placed(scene, Place((40, 40), (-20, -20), (40, 40)), Least(0.2, 1.0))
    assert gone.things.labels.tolist() == [1]
    assert not len(gone.things.ignored_xyxy), "nothing of it is seen"


def test_too_narrow_a_thing_is_ignored():
    small = placed(
        drawn((40, 40), [(10, 10, 20, 12)]), Place((10, 10), (0, 0), (10, 10)), Least(0.2, 1.0)
    ).things
    assert not len(small)
    assert small.ignored_xyxy.tolist() == [[2.5, 2.5, 5.0, 3.0]]
    assert small.ignored_labels.tolist() == [0], "a thing that is too small keeps its class"


def test_ignored_regions_move_and_end_at_the_border():
    scene = Scene(
        np.zeros((20, 20, 3), np.uint8),
        Things(
            np.zeros((0, 4)),
            np.zeros(0, np.int64),
            (),
            as_boxes([[5, 5, 15, 15], [0, 0, 2, 2]]),
            np.array([2, -1]),
        ),
    )
    moved = placed(scene, Place((40, 40), (-20, -20), (20, 20))).things
    assert moved.ignored_xyxy.tolist() == [[0, 0, 10, 10]]
    assert moved.ignored_labels.tolist() == [2]


def test_padding_is_grey_unknown_and_empty():
    scene = placed(drawn((10, 10), [(0, 0, 10, 10)]), Place((10, 10), (5, 5), (20, 20)))
    assert (scene.image[:5] == 114).all()
    assert (scene.pixels[:5] == IGNORE).all()
    assert not scene.things.masks[0][:5].any()
    assert (scene.pixels[5:15, 5:15] == 1).all()
    outside = placed(scene, Place((20, 20), (50, 0), (20, 20)))
    assert (outside.image == 114).all()
    assert not len(outside.things)


@pytest.mark.parametrize("vertical", [True, False])
def test_flips_are_involutions(vertical):
    scene = drawn((30, 50), [(3, 4, 10, 20), (20, 1, 49, 9)])
    things = Things(
        scene.things.boxes_xyxy,
        scene.things.labels,
        scene.things.masks,
        as_boxes([[1, 2, 3, 9]]),
        np.array([4]),
    )
    scene = Scene(scene.image, things, scene.pixels)
    once = flipped(scene, vertical=vertical)
    assert_boxes_match_pixels(once)
    assert same(flipped(once, vertical=vertical), scene)
    assert not same(once, scene)


def same(a: Scene, b: Scene) -> bool:
    things = (a.things is None) == (b.things is None) and (
        a.things is None
        or (
            np.array_equal(a.things.boxes_xyxy, b.things.boxes_xyxy)
            and np.array_equal(a.things.labels, b.things.labels)
            and np.array_equal(a.things.ignored_xyxy, b.things.ignored_xyxy)
            and np.array_equal(a.things.ignored_labels, b.things.ignored_labels)
            and len(a.things.masks) == len(b.things.masks)
            and all(
                (m is None) == (n is None) and (m is None or np.array_equal(m, n))
                for m, n in zip(a.things.masks, b.things.masks, strict=True)
            )
        )
    )
    pixels = (a.pixels is None) == (b.pixels is None) and (
        a.pixels is None or np.array_equal(a.pixels, b.pixels)
    )
    return bool(np.array_equal(a.image, b.image) and things and pixels)


def test_nothing_asked_nothing_changed():
    scene = drawn((48, 48), [(5, 8, 25, 30), (26, 10, 47, 22)])
    assert same(augment_scene([scene], 48, NOTHING, rng()), scene)
    assert same(fit_scene(scene, 48), scene)


@pytest.mark.parametrize("size_hw", [(30, 50), (50, 30), (7, 97), (64, 64), (200, 133)])
def test_evaluation_sees_the_letterbox_of_preprocess(size_hw):
    left, top, width, height = letterbox((size_hw[1], size_hw[0]), 64)
    place = drawn_place(size_hw, (64, 64), 64, 1.0, 0.0, rng())
    assert (place.offset_yx, place.scaled_hw) == ((top, left), (height, width))


def everything(seed: int) -> Scene:
    config = AugmentConfig(flip_vertical=0.5, colour_jitter=0.3)
    generator = rng(seed)
    count = 4 if wants_mosaic(config, generator) else 1
    return augment_scene([drawn((64, 80), BOXES[:k]) for k in range(count)][::-1], 96, config, generator)


def test_the_same_seed_gives_the_same_bytes():
    first = [everything(seed) for seed in range(12)]
    again = [everything(seed) for seed in reversed(range(12))][::-1]
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    assert len({scene.image.tobytes() for scene in first}) == 12


def test_the_source_stays():
    scenes = [drawn((64, 80), BOXES) for _ in range(4)]
    for seed in range(5):
        augment_scene(scenes, 96, AugmentConfig(), rng(seed))
        augment_scene(scenes[:1], 96, AugmentConfig(), rng(seed))
    assert all(same(scene, drawn((64, 80), BOXES)) for scene in scenes)


def test_a_mosaic_holds_four_pictures_around_a_point():
    colours = (10, 80, 160, 240)
    scenes = [Scene(np.full((50, 50, 3), c, np.uint8), None, np.full((50, 50), c, np.uint8)) for c in colours]
    joined = mosaic(scenes, 100, rng(3), scale=(1.0, 1.0))
    seen = {c: hull((joined.image == c).all(axis=2)) for c in colours}
    x, y = seen[10][2:]
    assert 100 * MEETING[0] - 1 <= min(x, y) <= max(x, y) <= 100 * MEETING[1] + 1
    assert [seen[c].tolist() for c in colours] == [
        [0, 0, x, y],
        [x, 0, 100, y],
        [0, y, x, 100],
        [x, y, 100, 100],
    ]
    assert np.array_equal(joined.pixels, joined.image[:, :, 0])
    assert joined.things is None, "nobody looked at any of them"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_boxes_of_a_mosaic_are_where_their_pixels_are(seed):
    empty = Scene(
        np.full((40, 60, 3), GREY, np.uint8),
        Things(np.zeros((0, 4)), np.zeros(0, np.int64), ()),
        np.zeros((40, 60), np.uint8),
    )
    scenes = [drawn((64, 80), BOXES), empty, empty, empty]
    assert_boxes_match_pixels(mosaic(scenes, 128, rng(seed), scale=(0.5, 1.6), least=Least(0.1, 2.0)))


def test_a_picture_where_nobody_looked_is_ignored_in_a_mosaic():
    known = drawn((50, 50), [(10, 10, 40, 40)])
    unknown = Scene(np.zeros((50, 50, 3), np.uint8))
    joined = mosaic([known, unknown, unknown, known], 100, rng(1), scale=(1.0, 1.0), least=ALL_KEPT)
    x, y = joined.things.ignored_xyxy[0][0], joined.things.ignored_xyxy[1][1]
    assert joined.things.ignored_xyxy.tolist() == [[x, 0, 100, y], [0, y, x, 100]]
    assert joined.things.ignored_labels.tolist() == [-1, -1], "of any class"
    x, y = int(x), int(y)
    assert (joined.pixels[:y, x:] == IGNORE).all()
    assert (joined.pixels[y:, :x] == IGNORE).all()
    assert len(joined.things) == 2


def test_empty_is_not_unknown():
    image = np.zeros((32, 32, 3), np.uint8)
    empty = Scene(image, Things(np.zeros((0, 4)), np.zeros(0, np.int64), ()), None)
    for seed in range(6):
        out = augment_scene([empty], 48, AugmentConfig(), rng(seed))
        assert len(out.things) == 0
        assert not len(out.things.ignored_xyxy)
        assert out.pixels is None
        assert augment_scene([Scene(image)], 48, AugmentConfig(), rng(seed)).things is None
        joined = augment_scene([empty] * 4, 48, AugmentConfig(), rng(seed))
        assert len(joined.things) == len(joined.things.ignored_xyxy) == 0


def test_a_crop_can_be_led_to_a_point():
    scene = drawn((200, 200), [(150, 20, 154, 24)])
    config = AugmentConfig(mosaic=0.0, zoom=(3.0, 3.0), flip=0.0, colour_jitter=0.0, least_side=0.0)
    for seed in range(20):
        seen = augment_scene([scene], 100, config, rng(seed), towards_yx=(22.0, 152.0))
        assert (seen.pixels == 1).any()
        assert len(seen.things) == 1


def test_colours_change_and_geometry_stays():
    scene = drawn((48, 48), [(5, 8, 25, 30)])
    config = AugmentConfig(mosaic=0.0, zoom=(1.0, 1.0), shift=0.0, flip=0.0, colour_jitter=0.5)
    changed = augment_scene([scene], 48, config, rng(2))
    assert not np.array_equal(changed.image, scene.image)
    assert same(Scene(scene.image, changed.things, changed.pixels), scene)


def test_objects_of_a_sample_become_things():
    mask = np.zeros((20, 30), bool)
    mask[2:8, 3:9] = True
    objects = Objects(
        as_boxes([[3, 2, 9, 8], [-5, -5, 10, 10], [20, 10, 28, 18], [40, 40, 50, 50]]),
        np.array([1, 0, 2, 1]),
        (encode(mask), None, None, None),
        np.array([False, False, True, False]),
    )
    things = Things.of(objects, (20, 30))
    assert things.boxes_xyxy.tolist() == [[3, 2, 9, 8], [0, 0, 10, 10]], (
        "clipped; what is outside has no place"
    )
    assert things.labels.tolist() == [1, 0]
    assert np.array_equal(things.masks[0], mask)
    assert things.masks[1] is None
    assert things.ignored_xyxy.tolist() == [[20, 10, 28, 18]], "crowds"
    assert things.ignored_labels.tolist() == [2], "of their class"


def test_grey_pictures():
    scene = Scene(np.arange(48 * 48, dtype=np.uint8).reshape(48, 48, 1))
    assert augment_scene([scene], 32, AugmentConfig(), rng()).image.shape == (32, 32, 1)


def test_wrong_requests_are_told():
    with pytest.raises(ConfigError, match="these are 2"):
        augment_scene([Scene(np.zeros((8, 8, 3), np.uint8))] * 2, 32, NOTHING, rng())
    with pytest.raises(DatasetError, match=r"1 and 0\n  fix: .*-1 for all"):
        Things(np.zeros((0, 4)), np.zeros(0, np.int64), (), np.zeros((1, 4)))
    with pytest.raises(ConfigError, match="mosaic has four"):
        mosaic([Scene(np.zeros((8, 8, 3), np.uint8))], 32, rng())
    with pytest.raises(ConfigError, match="zoom is a least and a greatest"):
        AugmentConfig(zoom=(2.0, 1.0))


def test_a_scene_becomes_a_target():
    mask = np.zeros((16, 16), bool)
    mask[0:4, 0:6] = True
    things = Things(
        as_boxes([[0, 0, 6, 4], [8, 8, 16, 16]]),
        np.array([1, 0]),
        (mask, None),
        as_boxes([[0, 8, 4, 12], [4, 8, 8, 12]]),
        np.array([1, ANY_CLASS]),
    )
    pixels = np.full((16, 16), IGNORE, np.uint8)
    target = scene_target(Scene(np.zeros((16, 16, 3), np.uint8), things, pixels), label=2)
    assert target.boxes_xyxy.dtype == torch.float32
    assert target.boxes_xyxy.tolist() == [[0, 0, 6, 4], [8, 8, 16, 16], [0, 8, 4, 12], [4, 8, 8, 12]]
    assert target.box_labels.tolist() == [1, 0, 1, ANY_CLASS]
    assert target.box_crowd.tolist() == [False, False, True, True]
    assert target.box_masks_known.tolist() == [True, False, False, False]
    assert target.box_masks.shape == (4, 4, 4)
    assert target.box_masks[0, 0].tolist() == [1, 0.5, 0, 0]
    assert target.box_masks.sum() == 1.5
    assert (target.label, target.pixels.shape) == (2, (16, 16))


def test_a_target_of_an_empty_scene_says_so_and_one_of_an_unknown_scene_says_nothing():
    image = np.zeros((16, 16, 3), np.uint8)
    empty = scene_target(Scene(image, Things(np.zeros((0, 4)), np.zeros(0, np.int64), ())))
    assert (empty.boxes_xyxy.shape, empty.box_masks, empty.pixels) == ((0, 4), None, None)
    assert scene_target(Scene(image)).boxes_xyxy is None
