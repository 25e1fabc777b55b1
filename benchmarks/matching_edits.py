"""Thirty edits by which people try to get a known photo past a machine, each with numbers drawn from a generator.

An edit takes an upright RGB picture and gives another one; ``save`` makes the file of it, as a re-upload would.
Strengths are fixed where the name says so ("crop 10 %"), and drawn within a range otherwise.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

Rng = np.random.Generator
Edit = Callable[[Image.Image, Rng], Image.Image]


def jpeg(quality: int) -> Edit:
    def edit(picture: Image.Image, _rng: Rng) -> Image.Image:
        return _open(save(picture, quality))

    return edit


def resize(share: float) -> Edit:
    def edit(picture: Image.Image, _rng: Rng) -> Image.Image:
        w, h = picture.size
        return picture.resize((max(8, round(w * share)), max(8, round(h * share))), Image.Resampling.BICUBIC)

    return edit


def stretch(picture: Image.Image, rng: Rng) -> Image.Image:
    """To another aspect: 10 to 25 % wider or higher."""
    w, h = picture.size
    by = 1 + rng.uniform(0.1, 0.25)
    wide = rng.random() < 0.5
    return picture.resize((round(w * by), h) if wide else (w, round(h * by)), Image.Resampling.BICUBIC)


def turned(way: Image.Transpose) -> Edit:
    return lambda picture, _rng: picture.transpose(way)


def rotate(degrees: float) -> Edit:
    """By a small angle to either side; the corners are filled with white, black or grey."""

    def edit(picture: Image.Image, rng: Rng) -> Image.Image:
        fill = ((255, 255, 255), (0, 0, 0), (128, 128, 128))[int(rng.integers(3))]
        angle = degrees * (1 if rng.random() < 0.5 else -1)
        return picture.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=fill)

    return edit


def straightened(degrees: float) -> Edit:
    """By a small angle, and cut so that no corner is empty: what a telephone's own editor does."""

    def edit(picture: Image.Image, rng: Rng) -> Image.Image:
        angle = degrees * (1 if rng.random() < 0.5 else -1)
        w, h = picture.size
        a = np.radians(abs(angle))
        by = 1 / (np.cos(a) + max(w / h, h / w) * np.sin(a))
        whole = picture.rotate(angle, Image.Resampling.BICUBIC)
        dx, dy = w * (1 - by) / 2, h * (1 - by) / 2
        return whole.crop((round(dx), round(dy), round(w - dx), round(h - dy)))

    return edit


def crop(share: float, *, centre: bool = False) -> Edit:
    """``share`` of the width and of the height are cut off; anywhere, or evenly on all sides."""

    def edit(picture: Image.Image, rng: Rng) -> Image.Image:
        w, h = picture.size
        x, y = (0.5, 0.5) if centre else rng.random(2)
        cw, ch = round(w * (1 - share)), round(h * (1 - share))
        left, top = round((w - cw) * x), round((h - ch) * y)
        return picture.crop((left, top, left + cw, top + ch))

    return edit


def one_side(share: float) -> Edit:
    """``share`` is cut off one side alone."""

    def edit(picture: Image.Image, rng: Rng) -> Image.Image:
        w, h = picture.size
        box = [0, 0, w, h]
        side = int(rng.integers(4))
        box[side] += round((w if side % 2 == 0 else h) * share) * (1 if side < 2 else -1)
        return picture.crop((box[0], box[1], box[2], box[3]))

    return edit


def border(colour: tuple[int, int, int]) -> Edit:
    """A frame of one colour, 4 to 15 % of the shorter side wide."""

    def edit(picture: Image.Image, rng: Rng) -> Image.Image:
        return ImageOps.expand(picture, round(min(picture.size) * rng.uniform(0.04, 0.15)), colour)

    return edit


def letterbox(picture: Image.Image, _rng: Rng) -> Image.Image:
    """Filled up to a square with white."""
    side = max(picture.size)
    out = Image.new("RGB", (side, side), (255, 255, 255))
    out.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return out


def story(picture: Image.Image, _rng: Rng) -> Image.Image:
    """On a blurred, larger copy of itself, as in a story of 9 to 16."""
    w = picture.width
    h = max(round(w * 16 / 9), round(picture.height * 1.15))
    out = ImageOps.fit(picture, (w, h)).filter(ImageFilter.GaussianBlur(w / 16))
    out.paste(picture, (0, (h - picture.height) // 2))
    return out


def text(picture: Image.Image, rng: Rng) -> Image.Image:
    """One or two lines across the photo, in a tenth of its height."""
    out = picture.copy()
    draw, (w, h) = ImageDraw.Draw(out), picture.size
    words = ("SALE 50%", "NEW! 100% original", "DM to order", "BEST PRICE", "call 0123-456789")
    font = ImageFont.load_default(max(8, round(h * 0.1)))
    for _ in range(int(rng.integers(1, 3))):
        colour = ((255, 255, 255), (240, 40, 40), (20, 20, 20), (255, 220, 0))[int(rng.integers(4))]
        at = (w * rng.uniform(0, 0.3), h * rng.uniform(0.02, 0.85))
        draw.text(at, words[int(rng.integers(len(words)))], fill=colour, font=font)
    return out


def watermark(picture: Image.Image, rng: Rng) -> Image.Image:
    """A pale word all over the photo, aslant."""
    w, h = picture.size
    side = round(1.5 * max(w, h))
    layer = Image.new("L", (side, side), 0)
    draw, font = ImageDraw.Draw(layer), ImageFont.load_default(max(8, round(h * 0.07)))
    for y in range(0, side, max(8, round(h * 0.22))):
        draw.text((rng.uniform(0, w * 0.3), y), "my-shop.example   " * 6, fill=110, font=font)
    layer = layer.rotate(30)
    left, top = (side - w) // 2, (side - h) // 2
    out = picture.copy()
    out.paste(Image.new("RGB", (w, h), (255, 255, 255)), (0, 0), layer.crop((left, top, left + w, top + h)))
    return out


def sticker(picture: Image.Image, rng: Rng) -> Image.Image:
    """A disc of one colour over 5 to 8 % of the photo."""
    out, (w, h) = picture.copy(), picture.size
    r = np.sqrt(w * h * rng.uniform(0.05, 0.08) / np.pi)
    x, y = w * rng.uniform(0.15, 0.85), h * rng.uniform(0.15, 0.85)
    colour = tuple(int(v) for v in rng.integers(0, 256, 3))
    ImageDraw.Draw(out).ellipse((x - r, y - r, x + r, y + r), fill=colour)
    return out


def screenshot(picture: Image.Image, rng: Rng) -> Image.Image:
    """The photo in a telephone's shop page: bars above and below, lines of text, a round button."""
    dark = rng.random() < 0.4
    ground, ink = ((18, 18, 20), (225, 225, 228)) if dark else ((252, 252, 252), (40, 40, 44))
    w = 390
    high = round(picture.height * w / picture.width)
    top, below = int(rng.integers(60, 130)), int(rng.integers(120, 320))
    out = Image.new("RGB", (w, top + high + below), ground)
    out.paste(picture.resize((w, high), Image.Resampling.BICUBIC), (0, top))
    draw, font = ImageDraw.Draw(out), ImageFont.load_default(18)
    draw.text((16, 8), "9:41", fill=ink, font=ImageFont.load_default(14))
    draw.rounded_rectangle((w - 50, 10, w - 18, 22), 4, outline=ink)
    draw.text((46, top - 32), "Item details", fill=ink, font=font)
    draw.text(
        (14, top + high + 12),
        f"${int(rng.integers(20, 900))}.00",
        fill=(220, 60, 40),
        font=ImageFont.load_default(26),
    )
    for y in range(top + high + 52, top + high + below - 40, 24):
        draw.rectangle(
            (14, y, int(rng.integers(w // 2, w - 14)), y + 9),
            fill=tuple((a + b) // 2 for a, b in zip(ground, ink, strict=True)),
        )
    draw.rounded_rectangle((w - 150, out.height - 44, w - 14, out.height - 10), 17, fill=(230, 80, 40))
    return out


def gallery(picture: Image.Image, rng: Rng) -> Image.Image:
    """A screenshot of a gallery: the photo in the middle of an even, dark page with two bars of icons."""
    w, h = 390, 780
    out = Image.new("RGB", (w, h), (0, 0, 0))
    fitted = ImageOps.contain(picture, (w, h - 240))
    out.paste(fitted, ((w - fitted.width) // 2, (h - fitted.height) // 2 + int(rng.integers(-20, 20))))
    draw = ImageDraw.Draw(out)
    for x in range(40, w, 78):
        draw.ellipse((x - 9, h - 48, x + 9, h - 30), outline=(235, 235, 235), width=2)
    draw.text((16, 12), "9:41", fill=(240, 240, 240), font=ImageFont.load_default(14))
    return out


def grey(picture: Image.Image, _rng: Rng) -> Image.Image:
    return picture.convert("L").convert("RGB")


def hue(picture: Image.Image, rng: Rng) -> Image.Image:
    """All hues moved by 25 to 75 % of the circle."""
    hsv = np.asarray(picture.convert("HSV")).copy()
    hsv[..., 0] += np.uint8(rng.integers(64, 192))
    return Image.fromarray(hsv, "HSV").convert("RGB")


def brightness(low: float, high: float) -> Edit:
    return lambda picture, rng: ImageEnhance.Brightness(picture).enhance(rng.uniform(low, high))


def contrast(picture: Image.Image, rng: Rng) -> Image.Image:
    """Much less or much more of it, and another gamma."""
    out = ImageEnhance.Contrast(picture).enhance(rng.choice([rng.uniform(0.4, 0.7), rng.uniform(1.4, 2.0)]))
    gamma = rng.uniform(0.6, 1.6)
    return out.point([round(255 * (v / 255) ** gamma) for v in range(256)] * 3)


def blur(picture: Image.Image, _rng: Rng) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(max(picture.size) / 100))


def sharpen(picture: Image.Image, _rng: Rng) -> Image.Image:
    return picture.filter(ImageFilter.UnsharpMask(max(picture.size) / 100, 250, 0))


def noise(picture: Image.Image, rng: Rng) -> Image.Image:
    """Gaussian, with a spread of 25 of 255."""
    pixels = np.asarray(picture, np.float32)
    return Image.fromarray(np.clip(pixels + rng.normal(0, 25, pixels.shape), 0, 255).astype(np.uint8))


def chain(*edits: Edit) -> Edit:
    def edit(picture: Image.Image, rng: Rng) -> Image.Image:
        for one in edits:
            picture = one(picture, rng)
        return picture

    return edit


_T = Image.Transpose
EDITS: dict[str, Edit] = {
    "JPEG 30": jpeg(30),
    "JPEG 10": jpeg(10),
    "half the size": resize(0.5),
    "a third of the size": resize(1 / 3),
    "stretched": stretch,
    "mirrored": turned(_T.FLIP_LEFT_RIGHT),
    "turned by 90": turned(_T.ROTATE_90),
    "turned by 180": turned(_T.ROTATE_180),
    "turned by 270": turned(_T.ROTATE_270),
    "rotated by 3": rotate(3),
    "rotated by 8": rotate(8),
    "straightened by 5": straightened(5),
    "crop 5 %": crop(0.05),
    "crop 10 %": crop(0.10),
    "crop 20 %": crop(0.20),
    "crop 20 % of one side": one_side(0.20),
    "white border": border((255, 255, 255)),
    "black border": border((0, 0, 0)),
    "letterbox": letterbox,
    "story": story,
    "text": text,
    "watermark": watermark,
    "sticker": sticker,
    "screenshot": screenshot,
    "screenshot of a gallery": gallery,
    "grey": grey,
    "recoloured": hue,
    "brighter": brightness(1.3, 1.7),
    "darker": brightness(0.4, 0.65),
    "contrast and gamma": contrast,
    "blurred": blur,
    "sharpened": sharpen,
    "noise": noise,
    "mirror, crop 10 %, JPEG 30": chain(turned(_T.FLIP_LEFT_RIGHT), crop(0.1), jpeg(30)),
    "screenshot, rotated by 3, JPEG 30": chain(screenshot, rotate(3), jpeg(30)),
    "text, border, darker": chain(text, border((255, 255, 255)), brightness(0.5, 0.7)),
    "crop 10 %, recoloured, text": chain(crop(0.1), hue, text),
    "rotated by 3, a third, noise": chain(rotate(3), resize(1 / 3), noise),
}
"""Name -> edit."""


def save(picture: Image.Image, quality: int = 85) -> bytes:
    """The bytes of a JPEG file."""
    held = io.BytesIO()
    picture.convert("RGB").save(held, "JPEG", quality=quality)
    return held.getvalue()


def _open(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")
