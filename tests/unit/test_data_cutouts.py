"""Cut-outs: pixels of the object stay, nothing of the background does, and edges are as soft as asked for."""

from __future__ import annotations

import numpy as np
import pytest

from assay.data.cutouts import cut_out
from assay.errors import ConfigError, DatasetError

RED, GREEN = (220, 30, 30), (20, 180, 60)


def disc(size_hw=(80, 100), centre=(40, 50), radius=20, soft=False):
    """A red disc on green, its edge mixed as a camera mixes it, and its mask."""
    y, x = np.indices(size_hw)
    inside = np.clip(radius + 0.5 - np.hypot(y + 0.5 - centre[0], x + 0.5 - centre[1]), 0, 1)
    image = np.rint(inside[..., None] * RED + (1 - inside[..., None]) * GREEN).astype(np.uint8)
    return image, inside.astype(np.float32) if soft else inside > 0.5


def test_transparent_is_the_object_and_nothing_else():
    image, mask = disc()
    out = cut_out(image, mask, feather_px=1.5)
    assert out.shape == (46, 46, 4), "20 px each way, and room for the soft edge"
    assert (out[23, 23] == (*RED, 255)).all()
    assert (out[0, 0] == 0).all()
    rim = (out[..., 3] > 0) & (out[..., 3] < 255)
    assert rim.any()


def test_no_halo_of_the_old_background():
    """At the rim of a red disc on green nothing green is left, where plain blending would keep it."""
    image, mask = disc()
    out = cut_out(image, mask, feather_px=2.0).astype(int)
    seen = out[..., 3] > 25
    assert (out[seen][:, 1] - out[seen][:, 0]).max() < -100, "red everywhere"
    white = cut_out(image, mask, background="white", feather_px=2.0).astype(int)
    assert (white[..., 1] - white[..., 0]).max() <= 0, "from red to white, and never greenish"


def test_white_is_white_and_the_middle_is_untouched():
    image, mask = disc()
    out = cut_out(image, mask, background="white", margin=None)
    assert out.shape == image.shape
    assert (out[0, 0] == 255).all()
    assert np.array_equal(out[30:50, 40:60], image[30:50, 40:60])


def test_blurred_surroundings_do_not_glow():
    image, mask = disc()
    out = cut_out(image, mask, background="blur", margin=None, blur_px=8.0).astype(int)
    assert np.array_equal(out[30:50, 40:60], image[30:50, 40:60])
    ring = out[40, 50 + 25 : 50 + 40]
    assert np.abs(ring - GREEN).max() <= 3, "green beside the red disc, not brown"


def test_without_feather_the_edge_is_the_mask():
    image, mask = disc()
    out = cut_out(image, mask, feather_px=0.0, margin=None)
    assert np.array_equal(out[..., 3] == 255, mask)
    assert np.array_equal(out[mask][:, :3], image[mask])


def test_a_soft_mask_is_kept():
    image, mask = disc(soft=True)
    out = cut_out(image, mask, feather_px=0.0, margin=None)
    assert np.array_equal(out[..., 3], np.rint(255 * mask).astype(np.uint8))


@pytest.mark.parametrize("feather", [0.5, 1.0, 3.0, 6.0])
def test_the_edge_is_half_on_the_masks_edge_and_as_wide_as_asked(feather):
    image = np.full((60, 60, 3), 100, np.uint8)
    mask = np.zeros((60, 60), bool)
    mask[:, 30:] = True
    alpha = cut_out(image, mask, feather_px=feather, margin=None)[30, :, 3] / 255
    assert alpha[29] + alpha[30] == pytest.approx(1, abs=0.01)
    assert (np.diff(alpha) >= 0).all()
    soft = (alpha > 0.02) & (alpha < 0.98)
    assert soft.sum() <= 2.2 * feather + 2


def test_an_object_at_the_border_stays_cut_off_there():
    image = np.full((40, 40, 3), 90, np.uint8)
    mask = np.zeros((40, 40), bool)
    mask[10:30, :20] = True
    alpha = cut_out(image, mask, feather_px=3.0)[..., 3]
    assert alpha[alpha.shape[0] // 2, 0] == 255


def test_thin_things_keep_their_colour():
    image = np.full((40, 40, 3), GREEN, np.uint8)
    mask = np.zeros((40, 40), bool)
    mask[20, 5:35] = True
    image[mask] = RED
    out = cut_out(image, mask, feather_px=1.5, margin=None).astype(int)
    assert np.abs(out[20, 20, :3] - RED).max() < 40


def test_the_image_stays():
    image, mask = disc()
    before = image.copy()
    for background in ("transparent", "white", "blur"):
        cut_out(image, mask, background=background)
    assert np.array_equal(image, before)


def test_tiny_and_full_masks():
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    one = np.zeros((9, 7), bool)
    one[4, 3] = True
    for mask in (one, np.ones((9, 7), bool)):
        for background in ("transparent", "white", "blur"):
            out = cut_out(image, mask, background=background)
            assert out.dtype == np.uint8
            assert 0 not in out.shape
    assert np.array_equal(cut_out(image, np.ones((9, 7), bool))[..., :3], image)


def test_what_cannot_be_cut_is_told():
    image, mask = disc()
    with pytest.raises(DatasetError, match="another size than its picture"):
        cut_out(image, mask.T)
    with pytest.raises(DatasetError, match="the mask is empty"):
        cut_out(image, np.zeros_like(mask))
    with pytest.raises(DatasetError, match="values of 0 to 1"):
        cut_out(image, mask * np.float32(255))
    with pytest.raises(ConfigError, match="no background is called 'black'"):
        cut_out(image, mask, background="black")
    with pytest.raises(ConfigError, match="feather_px is -1"):
        cut_out(image, mask, feather_px=-1)
