"""The end of a run decides when its answers are held back: validation pictures, and a pass over training pictures.

The pass is what unknown-ness compares with. It is held to a small share of a time-boxed run, which the plan keeps in
reserve (``train.begin``); ``assay calibrate`` may take more pictures later.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from assay.decide.abstention import Abstention, fit_abstention
from assay.decide.unknown import MOST, choose_reference
from assay.models.classifier import Classifier
from assay.train.material import Material
from assay.types import Dataset
from assay.verb_configs import AbstainConfig

REFERENCE_SHARE = 0.02
"""Most of a time-boxed run's time that goes into the pass over training pictures."""

LEAST = 64
"""Training pictures that are looked at however short the run is."""

Ends = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Logits (N, K) and embedding (N, F)."""


def reference_count(pictures: int, minutes: float | None, seconds_each: float) -> int:
    """How many of so many training pictures are compared with; a run by epochs has no clock to keep."""
    most = min(MOST, pictures)
    if minutes is None or seconds_each <= 0:
        return most
    return min(most, max(LEAST, int(REFERENCE_SHARE * minutes * 60 / seconds_each)))


@torch.inference_mode()
def look_at_training(
    model: Classifier, material: Material, count: int, device: torch.device, batch: int = 32
) -> Ends:
    """Logits and embedding of ``count`` training pictures, chosen evenly over classes, from decoded pixels."""
    rows = choose_reference(material.train.targets, count)
    preprocess, parts = material.preprocess, []
    model.eval()
    for start in range(0, len(rows), batch):
        pixels = [preprocess.pixels(material.train_pixels[int(row)]) for row in rows[start : start + batch]]
        x = torch.from_numpy(preprocess.normalise(np.stack(pixels))).to(device)
        parts.append(ends_of(model, x.contiguous(memory_format=torch.channels_last)))
    return join(parts)


def ends_of(model: Classifier, x: torch.Tensor) -> Ends:
    """(B, C, S, S) -> logits (B, K) and embedding (B, F) in float32; call it without gradients."""
    embedding = model.embed(x)
    return model.head(embedding).float().cpu().numpy(), embedding.float().cpu().numpy()


def join(parts: list[Ends]) -> Ends:
    """The batches behind each other."""
    return np.concatenate([logits for logits, _ in parts]), np.concatenate([found for _, found in parts])


def fit_at_the_end(validation: Ends, reference: Ends, material: Material, temperature: float) -> Abstention:
    """Thresholds by the defaults of ``AbstainConfig``, on the validation part, which also chose the weights."""
    assert material.validation is not None
    return fit_abstention(
        *validation,
        material.validation.targets,
        group_names(material.validation),
        reference,
        temperature,
        AbstainConfig(),
        classes=material.dataset.classes,
        about={
            "dataset": material.dataset.name,
            "part": "validation",
            "split_hash": material.dataset.split_hash,
            "chose_weights": True,
        },
    )


def group_names(dataset: Dataset) -> list[str | None] | None:
    """The group of each row as text; None where no row has one."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    table = dataset.table
    if "group" not in table.column_names or table["group"].null_count == len(table):
        return None
    names: list[str | None] = pc.cast(table["group"], pa.string()).to_pylist()
    return names
