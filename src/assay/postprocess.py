"""After the network: logits to calibrated probabilities, and a Prediction to a picture one can look at."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from assay.caption import BAR, MUTED, TEXT, captions, write
from assay.drawing import draw_answer
from assay.errors import ConfigError, ImageError, ModelError
from assay.image import read_image
from assay.lettering import fit

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from assay.types import Prediction

_LEAST_WIDTH = 240
_TRACK, _FILL, _HELD, _FAULT = "#3a414a", "#4cc38a", "#f0b95b", "#ff8f8f"


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


def annotate(prediction: Prediction, picture: NDArray[np.uint8] | None = None) -> Image.Image:
    """The upright picture above a quiet bar with the label, its probability and the runners-up.

    Boxes, masks and pixel classes are drawn on the picture, and told below it with a legend; without them it stays
    uncovered. Where it cannot be read, an empty frame carries the error.

    Parameters
    ----------
    picture : (H, W, 3) uint8; read from ``prediction.path`` when not given.

    Raises
    ------
    ConfigError : picture and prediction differ in size.
    """
    drawn = _roomy(_picture(prediction, picture))
    width, height = drawn.size
    size = max(14, min(48, width // 24))
    is_scene = prediction.boxes is not None or prediction.tags is not None or prediction.pixels is not None
    bars = [] if is_scene and not len(prediction.probs) else [_bar(prediction, width, size)]
    bars += captions(prediction, width, size * 3 // 4)
    sheet = Image.new("RGB", (width, height + sum(bar.height for bar in bars)), BAR)
    sheet.paste(drawn, (0, 0))
    for bar in bars:
        sheet.paste(bar, (0, height))
        height += bar.height
    return sheet


def _picture(prediction: Prediction, picture: NDArray[np.uint8] | None) -> Image.Image:
    """The picture with what was found in it; grey where it cannot be read."""
    try:
        image = picture_of(prediction) if picture is None else picture
    except ImageError:
        return Image.new("RGB", (2 * _LEAST_WIDTH, _LEAST_WIDTH), "#d0d4d9")
    if prediction.boxes is None and prediction.pixels is None:
        return Image.fromarray(image)
    return draw_answer(image, prediction)


def picture_of(prediction: Prediction) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: the upright picture that was answered, read again. Raises ImageError."""
    if prediction.photo is None:
        return read_image(prediction.path)
    given = prediction.photo.read()
    return given if isinstance(given, np.ndarray) else read_image(given)


def _roomy(picture: Image.Image) -> Image.Image:
    """The picture, enlarged where it is too narrow for a label."""
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
    bar = Image.new("RGB", (width, 3 * size + margin), BAR)
    draw = ImageDraw.Draw(bar)
    room, below = width - 2 * margin, (margin, margin + size * 3 // 2)
    if prediction.error is not None:
        write(draw, (margin, margin), "no prediction", size=size, room=room, colour=_FAULT)
        write(draw, below, prediction.error, size=small, room=room, colour=MUTED)
        return bar
    if prediction.doubt is not None and prediction.doubt.abstains:
        write(draw, (margin, margin), "no answer", size=size, room=room, colour=_HELD)
        write(draw, below, why_held_back(prediction), size=small, room=room, colour=MUTED)
        _gauge(draw, prediction.confidence, (0, 0, width, max(3, size // 5)), _HELD)
        return bar
    share = f"{100 * prediction.confidence:.1f} %"
    taken = math.ceil(fit(share, size, width)[1].getlength(share))
    others = " · ".join(f"{name} {100 * p:.1f} %" for name, p in prediction.top(4)[1:])
    write(draw, (margin, margin), str(prediction.label), size=size, room=room - taken - size, colour=TEXT)
    write(draw, (width - margin - taken, margin), share, size=size, room=width, colour=TEXT)
    write(draw, below, others, size=small, room=room, colour=MUTED)
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


def _gauge(
    draw: ImageDraw.ImageDraw, share: float, box: tuple[int, int, int, int], colour: str = _FILL
) -> None:
    left, top, right, bottom = box
    draw.rectangle((left, top, right, bottom - 1), fill=_TRACK)
    if share > 0:
        draw.rectangle((left, top, left + share * (right - left), bottom - 1), fill=colour)
