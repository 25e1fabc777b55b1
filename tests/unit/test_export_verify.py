from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from assay.bundle import Card
from assay.configs import PreprocessConfig
from assay.errors import ExportError
from assay.export.verify import (
    Parity,
    measure_parity,
    read_pixels,
    render_patterns,
    require_parity,
)
from assay.labels import ClassNames

GOOD = Parity(
    pictures=10,
    source="validation part",
    logit_difference=1e-6,
    logit_scale=10.0,
    probability_difference=1e-7,
    embedding_difference=1e-6,
    embedding_scale=2.0,
    label_agreement=1.0,
    ties=0,
    tolerance=1e-4,
)


def card_of(**preprocess):
    config = PreprocessConfig(size=16, **preprocess)
    channels = 1 if config.colour == "gray" else 3
    return Card(ClassNames(["a", "b"]), config, {"model": "cnn", "channels": channels})


class MeanColour(torch.nn.Module):
    """Red against blue, less ``shift``."""

    def __init__(self, shift=0.0):
        super().__init__()
        self.shift = shift

    def embed(self, x):
        return x.mean((2, 3))

    def forward(self, x):
        return self.embed(x)[:, [0, 2]] + torch.tensor([self.shift, 0.0])


class Engine:
    """The same in numpy; writes down its batches."""

    def __init__(self, shift=0.0, features_shift=0.0):
        self.model, self.batches, self.features_shift = MeanColour(shift), [], features_shift

    def __call__(self, x):
        self.batches.append(len(x))
        return self.model(torch.from_numpy(x)).numpy()

    def embed(self, x):
        return self.model.embed(torch.from_numpy(x)).numpy() + np.float32(self.features_shift)


def measure(engine, n=40):
    card = card_of()
    return measure_parity(
        MeanColour(), engine, render_patterns(card, n), card, source="patterns", tolerance=1e-3
    )


def test_equal_networks_hold():
    parity = measure(Engine())
    assert parity.holds
    assert (parity.logit_difference, parity.label_agreement, parity.pictures) == (0, 1, 40)
    require_parity(parity)


def test_different_batch_sizes_are_tried():
    engine = Engine()
    measure(engine)
    assert engine.batches == [1, 16, 16, 7]
    engine = Engine()
    measure(engine, n=1)
    assert engine.batches == [1]


def test_different_networks_do_not_hold():
    parity = measure(Engine(0.5))
    assert not parity.holds
    assert parity.logit_difference == pytest.approx(0.5, abs=1e-5)
    assert parity.probability_difference > 0.01
    with pytest.raises(ExportError, match="nothing was written") as told:
        require_parity(parity)
    assert "on 40 pictures (patterns) logits differ by up to 0.5" in told.value.got


def test_features_that_differ_do_not_hold():
    """Abstention and matching stand on them: right logits alone are not enough."""
    parity = measure(Engine(features_shift=0.01))
    assert (parity.logit_difference, parity.label_agreement) == (0, 1)
    assert parity.embedding_difference == pytest.approx(0.01, rel=0.01)
    assert parity.embedding_scale >= 1
    assert not parity.holds
    with pytest.raises(ExportError, match="nothing was written") as told:
        require_parity(parity)
    assert "features by up to 0.01 (" in told.value.got
    assert measure(Engine(features_shift=1e-4)).holds


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({}, True),
        ({"logit_difference": 9e-4}, True),
        ({"logit_difference": 1.1e-3}, False),
        ({"logit_difference": float("nan")}, False),
        ({"embedding_difference": 1.9e-4}, True),
        ({"embedding_difference": 2.1e-4}, False),
        ({"embedding_difference": float("nan")}, False),
        ({"label_agreement": 0.9}, False),
        ({"label_agreement": 0.9, "ties": 1}, True),
        ({"label_agreement": 0.8, "ties": 1}, False),
    ],
)
def test_what_holds(change, holds):
    assert replace(GOOD, **change).holds == holds


@pytest.mark.parametrize("colour", ["rgb", "gray"])
def test_patterns_are_the_same_everywhere(colour):
    card = card_of(colour=colour)
    patterns = render_patterns(card, 3)
    assert patterns.shape == (3, 16, 16, card.channels)
    assert patterns.dtype == np.uint8
    assert np.array_equal(patterns, render_patterns(card, 3))
    assert patterns.std() > 20


def test_pictures_that_can_be_read(photos):
    (photos / "circle" / "0.png").write_bytes(b"broken")
    paths = sorted((photos / "circle").iterdir())
    assert read_pixels(paths, card_of()).shape == (7, 16, 16, 3)
    assert read_pixels(paths, card_of(), limit=3).shape == (3, 16, 16, 3)
    assert read_pixels([], card_of(colour="gray")).shape == (0, 16, 16, 1)
