"""The files of an explanation: maps as arrays, each picture with its overlay, and all kinds side by side."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.explain.explanation import Shown
from assay.explain.faithfulness import BATCH, answers
from assay.explain.overlay import SIDE, Pixels, lay_over, sheet
from assay.explain.pictures import Picture
from assay.files import write_file
from assay.image import encode_image
from assay.postprocess import probabilities
from assay.preprocess import Preprocess, scaled
from assay.tables import EXPLANATIONS
from assay.train.predictor import CheckpointPredictor

COMPARED = 6
"""Pictures on ``kinds.png``."""
_SMALL = 150

Maps = dict[str, NDArray[np.float32]]
"""Kind -> (N, S, S) in [0, 1]."""


def draw_maps(predictor: CheckpointPredictor, x: Tensor, kinds: Sequence[str]) -> Maps:
    """Maps of the network's own answers to x (N, C, S, S)."""
    model = predictor.model
    classes = answers(model, x)
    found: Maps = {}
    for kind in kinds:
        draw = EXPLANATIONS.load(kind)
        parts = [draw(model, a, b) for a, b in zip(x.split(BATCH), classes.split(BATCH), strict=True)]
        found[kind] = torch.cat(parts).cpu().numpy()
    return found


def calibrated(predictor: CheckpointPredictor, x: Tensor) -> NDArray[np.float32]:
    """(N, K) probabilities."""
    with torch.inference_mode():
        logits = torch.cat([predictor.model(part) for part in x.split(32)])
    return probabilities(logits.float().cpu().numpy(), predictor.card.temperature)


def save_maps(folder: Path, maps: Maps, pictures: Sequence[Picture]) -> None:
    """``maps.npz``: ``paths`` (N,), and (N, S, S) float16 for each kind; half precision is plenty for a map."""
    packed = io.BytesIO()
    arrays = {kind: values.astype(np.float16) for kind, values in maps.items()}
    names = np.array([str(p.path) for p in pictures], dtype=np.str_)
    np.savez_compressed(packed, paths=names, **arrays)  # type: ignore[arg-type]
    write_file(folder / "maps.npz", packed.getvalue())


def save_pictures(
    folder: Path,
    predictor: CheckpointPredictor,
    pictures: Sequence[Picture],
    probs: NDArray[np.float32],
    maps: NDArray[np.float32] | None,
) -> list[Shown]:
    """Each picture as the network sees it, but larger, and with its map laid over, as PNG."""
    found = []
    for i, picture in enumerate(pictures):
        pixels = pixels_of(predictor, picture, SIDE)
        original, laid = f"{i:02}.png", None
        write_file(folder / original, encode_image(pixels, "PNG"))
        if maps is not None:
            laid = f"{i:02}-map.png"
            write_file(folder / laid, encode_image(lay_over(pixels, maps[i]), "PNG"))
        answer, sure = predictor.classes[int(probs[i].argmax())], round(float(probs[i].max()), 6)
        found.append(Shown(picture.name, str(picture.path), answer, sure, picture.label, original, laid))
    return found


def save_sheet(folder: Path, predictor: CheckpointPredictor, pictures: Sequence[Picture], maps: Maps) -> None:
    """``kinds.png``: the kinds that passed side by side on the first pictures."""
    rows = []
    for i, picture in enumerate(pictures[:COMPARED]):
        pixels = pixels_of(predictor, picture, _SMALL)
        rows.append(
            (picture.label or picture.name, [pixels, *(lay_over(pixels, m[i]) for m in maps.values())])
        )
    page = sheet(rows, ["picture", *maps])
    write_file(folder / "kinds.png", encode_image(np.asarray(page), "PNG"))


def pixels_of(predictor: CheckpointPredictor, picture: Picture, side: int) -> Pixels:
    """(side, side, 3) uint8: the part of the picture that the network sees."""
    preprocess = Preprocess(scaled(predictor.card.preprocess, side))
    pixels = preprocess.read(picture.path)[0]
    return np.ascontiguousarray(np.broadcast_to(pixels, (side, side, 3)))
