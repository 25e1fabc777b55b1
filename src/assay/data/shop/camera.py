"""Light and lens: shading of a flat shape, its shadow, and what a camera does to a scene.

Shading is a cheap relief: the blurred silhouette is taken for a height, and its slope towards the light brightens
or darkens. It gives flat polygons the roundness that a photo has. Pictures are (H, W, 3) float32, 0 to 255.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFilter

from assay.data.shop.backdrops import clouds
from assay.data.shop.canvas import Floats
from assay.data.shop.sellers import Seller

_ORIENTATION = 0x0112


def blurred(mask: Floats, radius: float) -> Floats:
    """(H, W) Gaussian blur by three box passes; ``radius`` in pixels. 8-bit inside, so 0 to 1 in steps of 1/255."""
    image = Image.fromarray((mask * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(image, dtype=np.float32) / 255


def moved(mask: Floats, dx: float, dy: float) -> Floats:
    """(H, W) shifted by whole pixels; what comes in is 0."""
    out, (h, w) = np.zeros_like(mask), mask.shape
    x, y = round(dx), round(dy)
    if abs(x) < w and abs(y) < h:
        out[max(0, y) : h + min(0, y), max(0, x) : w + min(0, x)] = mask[
            max(0, -y) : h + min(0, -y), max(0, -x) : w + min(0, -x)
        ]
    return out


def relief(alpha: Floats, seller: Seller, rng: np.random.Generator) -> Floats:
    """(H, W) factor that rounds the shape ``alpha`` (0 to 1) under the seller's lamp."""
    h, w = alpha.shape
    (lx, ly), side = seller.light, min(h, w)
    near, far = blurred(alpha, side * 0.02), blurred(alpha, side * 0.07)
    step = max(1.0, side * 0.012)
    fine = moved(near, -lx * step, -ly * step) - moved(near, lx * step, ly * step)
    broad = moved(far, -lx * 4 * step, -ly * 4 * step) - moved(far, lx * 4 * step, ly * 4 * step)
    x, y = np.linspace(-1, 1, w, dtype=np.float32)[None, :], np.linspace(-1, 1, h, dtype=np.float32)[:, None]
    slope = 0.16 * (x * lx + y * ly) + 0.03 * clouds((w, h), (4, 4), rng)
    return (
        1.0
        + seller.contrast * (slope - 0.45 * fine - 0.6 * broad)
        + 0.012 * clouds((w, h), (w // 2, h // 2), rng)
    )


def cast_shadow(scene: Floats, alpha: Floats, seller: Seller, lift: float) -> Floats:
    """``scene`` with the shadow of ``alpha``: a dark one at the contact, a soft one away from the light.

    ``lift`` is how far the thing stands off its ground, in shares of the picture's side.
    """
    side = min(alpha.shape)
    lx, ly = seller.light
    contact = blurred(moved(alpha, -lx * side * 0.008, side * 0.012), max(1.0, side * 0.008))
    soft = blurred(moved(alpha, -lx * side * lift, -ly * side * lift), side * (0.015 + lift * 0.5))
    depth = 0.32 * contact + (0.2 + 0.5 * seller.contrast) * soft
    shaded: Floats = scene * (1 - np.minimum(depth, 0.75))[..., None]
    return shaded


def develop(scene: Floats, seller: Seller, rng: np.random.Generator) -> Image.Image:
    """The picture that the seller's camera takes: light falling off, colour cast, exposure, blur, noise."""
    h, w, _ = scene.shape
    x, y = np.linspace(-1, 1, w, dtype=np.float32)[None, :], np.linspace(-1, 1, h, dtype=np.float32)[:, None]
    lx, ly = seller.light
    falloff = 1 + 0.3 * seller.contrast * (x * lx + y * ly) - rng.uniform(0.0, 0.14) * (x * x + y * y)
    gain = np.array(seller.gains, np.float32) * 2 ** (seller.exposure + rng.normal(0, 0.1))
    lit = 255 * np.clip(scene / 255 * falloff[..., None] * gain, 0, None)
    lit = np.where(
        lit > 210, 255 - 45 * np.exp(-(lit - 210) / 45), lit
    )  # highlights roll off, as film and phones do
    image = Image.fromarray(lit.astype(np.uint8))
    radius = seller.blur * max(w, h) * rng.uniform(0.5, 1.6)
    if radius > 0.25:
        image = image.filter(ImageFilter.GaussianBlur(radius))
    grain = rng.standard_normal((h, w, 1), dtype=np.float32) + 0.4 * rng.standard_normal(
        (h, w, 3), dtype=np.float32
    )
    return Image.fromarray(
        np.clip(np.asarray(image, np.float32) + grain * seller.noise * 0.7, 0, 255).astype(np.uint8)
    )


def encode(image: Image.Image, seller: Seller) -> bytes:
    """JPEG bytes; some phones lay the picture on its side and say so in EXIF."""
    exif = Image.Exif()
    if seller.sideways:
        exif[_ORIENTATION] = 6  # "turn 90 degrees clockwise to view"
        image = image.transpose(Image.Transpose.ROTATE_90)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=seller.quality, exif=exif.tobytes() if seller.sideways else b"")
    return out.getvalue()
