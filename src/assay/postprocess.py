"""After the network: logits to calibrated probabilities, and a Prediction to a picture one can look at."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from assay.errors import ConfigError, ImageError, ModelError
from assay.image import read_image
from assay.lettering import fit

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from assay.types import Prediction

_LEAST_WIDTH = 240
_BAR, _TEXT, _MUTED, _TRACK = "#1b1f24", "#ffffff", "#aeb6c0", "#3a414a"
_FILL, _HELD, _FAULT = "#4cc38a", "#f0b95b", "#ff8f8f"


def probabilities(logits: ArrayLike, temperature: float = 1.0) -> NDArray[np.float32]:
    """Softmax of ``logits / temperature`` (Guo et al. 2017, section 4.2), worked out in float64.

    Parameters
    ----------
    logits : (N, K) scores; N may be 0.
    temperature : of the calibration, above 0.

    Returns
    -------
    (N, K) float32, rows sum to 1 but for rounding; a row with NaN or no finite score is NaN.

    Raises
    ------
    ConfigError : the temperature is not a positive number.
    ModelError : logits are not (N, K).
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise ConfigError(f"temperature is {temperature}", fix="give a number above 0; 1 changes nothing")
    exact = np.asarray(logits, dtype=np.float64)
    if exact.ndim != 2 or exact.shape[1] == 0:
        raise ModelError("logits are (N, K), a row for each picture", got=f"shape {exact.shape}")
    with np.errstate(invalid="ignore"):
        exact = (exact - exact.max(axis=1, keepdims=True)) / temperature
        weights = np.exp(exact)
        return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def annotate(prediction: Prediction) -> Image.Image:
    """The upright picture above a quiet bar with the label, its probability and the runners-up.

    The picture itself stays uncovered. Where it cannot be read, an empty frame carries the error.
    """
    picture = _picture(prediction)
    width, height = picture.size
    size = max(14, min(48, width // 24))
    bar = _bar(prediction, width, size)
    sheet = Image.new("RGB", (width, height + bar.height), _BAR)
    sheet.paste(picture, (0, 0))
    sheet.paste(bar, (0, height))
    return sheet


def _picture(prediction: Prediction) -> Image.Image:
    """The picture, enlarged where it is too narrow for a label; grey where it cannot be read."""
    try:
        picture = Image.fromarray(read_image(prediction.path))
    except ImageError:
        return Image.new("RGB", (2 * _LEAST_WIDTH, _LEAST_WIDTH), "#d0d4d9")
    if picture.width >= _LEAST_WIDTH:
        return picture
    height = max(1, round(picture.height * _LEAST_WIDTH / picture.width))
    if height > 16 * _LEAST_WIDTH:  # a sliver: give it room instead of enlarging it without end
        room = Image.new("RGB", (_LEAST_WIDTH, picture.height), "#d0d4d9")
        room.paste(picture, ((_LEAST_WIDTH - picture.width) // 2, 0))
        return room
    return picture.resize((_LEAST_WIDTH, height), Image.Resampling.LANCZOS)


def _bar(prediction: Prediction, width: int, size: int) -> Image.Image:
    margin, small = size * 2 // 3, size * 3 // 4
    bar = Image.new("RGB", (width, 3 * size + margin), _BAR)
    draw = ImageDraw.Draw(bar)
    room, below = width - 2 * margin, (margin, margin + size * 3 // 2)
    if prediction.error is not None:
        _write(draw, (margin, margin), "no prediction", size=size, room=room, colour=_FAULT)
        _write(draw, below, prediction.error, size=small, room=room, colour=_MUTED)
        return bar
    if prediction.doubt is not None and prediction.doubt.abstains:
        _write(draw, (margin, margin), "no answer", size=size, room=room, colour=_HELD)
        _write(draw, below, why_held_back(prediction), size=small, room=room, colour=_MUTED)
        _gauge(draw, prediction.confidence, (0, 0, width, max(3, size // 5)), _HELD)
        return bar
    share = f"{100 * prediction.confidence:.1f} %"
    taken = math.ceil(fit(share, size, width)[1].getlength(share))
    others = " · ".join(f"{name} {100 * p:.1f} %" for name, p in prediction.top(4)[1:])
    _write(draw, (margin, margin), str(prediction.label), size=size, room=room - taken - size, colour=_TEXT)
    _write(draw, (width - margin - taken, margin), share, size=size, room=width, colour=_TEXT)
    _write(draw, below, others, size=small, room=room, colour=_MUTED)
    _gauge(draw, prediction.confidence, (0, 0, width, max(3, size // 5)))
    return bar


def why_held_back(prediction: Prediction) -> str:
    """Why there is no answer, with what it might be: ``unsure (plate 43 %, bowl 38 %)``; "" where there is one."""
    reasons = () if prediction.doubt is None else prediction.doubt.reasons
    told = []
    if "unknown" in reasons:
        told.append("unknown, unlike the training pictures")
    if "unsure" in reasons:
        told.append(f"unsure ({', '.join(f'{name} {100 * p:.0f} %' for name, p in prediction.top(2))})")
    return "; ".join(told)


def _write(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, *, size: int, room: int, colour: str
) -> None:
    line, font = fit(text, size, room)
    draw.text((at[0], at[1] + size * 5 // 6), line, fill=colour, font=font, anchor="ls")  # one baseline


def _gauge(
    draw: ImageDraw.ImageDraw, share: float, box: tuple[int, int, int, int], colour: str = _FILL
) -> None:
    left, top, right, bottom = box
    draw.rectangle((left, top, right, bottom - 1), fill=_TRACK)
    if share > 0:
        draw.rectangle((left, top, left + share * (right - left), bottom - 1), fill=colour)
