"""The answer corridor: order, broken pictures, bounded memory, threads that end."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from assay.configs import PreprocessConfig
from assay.errors import ConfigError, ModelError
from assay.image import ImageLimits, read_image
from assay.labels import ClassNames
from assay.pipeline import BATCHES_AHEAD, answer
from assay.postprocess import probabilities
from assay.preprocess import Preprocess
from assay.types import Doubt


@dataclass(frozen=True)
class CardOfTest:
    classes: ClassNames
    preprocess: PreprocessConfig
    temperature: float


CARD = CardOfTest(ClassNames(["dark", "light"]), PreprocessConfig(size=8, mean=(0.5,), std=(0.5,)), 2.0)


class Engine:
    """Light where the mean is above the middle; keeps what it saw."""

    def __init__(self) -> None:
        self.batches: list[np.ndarray] = []

    def __call__(self, x: np.ndarray) -> np.ndarray:
        self.batches.append(x)
        mean = x.mean(axis=(1, 2, 3))
        return np.stack([-mean, mean], axis=1)


@pytest.fixture
def greys(tmp_path: Path) -> list[Path]:
    """Eight 64 x 48 pictures, from dark to light."""
    paths = [tmp_path / f"{i}.png" for i in range(8)]
    for i, path in enumerate(paths):
        Image.new("RGB", (64, 48), (i * 36,) * 3).save(path)
    return paths


@pytest.mark.parametrize("batch", [1, 3, 8, 100])
@pytest.mark.parametrize("workers", [1, 4])
def test_order_batches_and_values(greys, batch, workers):
    engine = Engine()
    predictions = list(answer(greys, engine, CARD, batch=batch, workers=workers))
    assert [p.path for p in predictions] == [str(path) for path in greys]
    assert [p.label for p in predictions] == ["dark"] * 4 + ["light"] * 4
    assert all(p.size_hw == (48, 64) for p in predictions)
    assert [len(b) for b in engine.batches] == [len(greys[i : i + batch]) for i in range(0, 8, batch)]
    mean = 2 * (7 * 36 / 255) - 1
    assert predictions[7].confidence == pytest.approx(1 / (1 + np.exp(-2 * mean / 2.0)), abs=1e-6)


def test_the_tensor_is_that_of_preprocess(greys):
    engine = Engine()
    list(answer(greys[:1], engine, CARD))
    assert np.array_equal(engine.batches[0][0], Preprocess(CARD.preprocess)(read_image(greys[0])))


def test_broken_pictures_are_one_line_each_and_the_rest_is_done(greys, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"not a picture")
    sources = [tmp_path / "gone.jpg", *greys[:3], tmp_path / "bad.jpg", str(greys[7])]
    predictions = list(answer(sources, Engine(), CARD, batch=2))
    assert [p.error is not None for p in predictions] == [True, False, False, False, True, False]
    assert "gone.jpg cannot be read; got: No such file" in predictions[0].error
    assert "\n" not in predictions[4].error
    assert predictions[4].label is None
    assert predictions[5].label == "light"


def test_a_batch_of_broken_pictures_does_not_reach_the_engine(tmp_path):
    engine = Engine()
    assert len(list(answer([tmp_path / f"{i}" for i in range(5)], engine, CARD, batch=2))) == 5
    assert engine.batches == []


def test_no_sources():
    assert list(answer([], Engine(), CARD)) == []


def test_limits_are_passed_on(greys):
    (prediction,) = answer(greys[:1], Engine(), CARD, limits=ImageLimits(max_pixels=10))
    assert "too many pixels" in prediction.error


def test_an_endless_source_is_read_no_further_than_needed(greys):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield greys[0]

    predictions = answer(endless(), Engine(), CARD, batch=4)
    for _ in range(10):
        next(predictions)
    assert taken <= 12 + BATCHES_AHEAD * 4
    predictions.close()


def test_threads_end_with_the_iterator(greys):
    def decoding() -> int:
        return sum(t.name.startswith("assay-decode") for t in threading.enumerate())

    before = decoding()
    predictions = answer(greys * 20, Engine(), CARD, batch=2, workers=4)
    next(predictions)
    assert decoding() > before
    predictions.close()
    assert decoding() == before
    list(answer(greys, Engine(), CARD))
    assert decoding() == before


def test_failures_of_engine_and_source_are_raised_and_threads_end(greys):
    def broken(x):
        raise RuntimeError("no engine")

    def sources():
        yield greys[0]
        raise OSError("lost the list")

    with pytest.raises(RuntimeError, match="no engine"):
        list(answer(greys, broken, CARD))
    with pytest.raises(OSError, match="lost the list"):
        list(answer(sources(), Engine(), CARD))
    assert not [t for t in threading.enumerate() if t.name.startswith("assay-decode")]


def test_wrong_shape_of_scores_has_words(greys):
    with pytest.raises(ModelError, match=r"do not fit 2 pictures and 2 classes\n  got: shape \(2, 3\)"):
        list(answer(greys[:2], lambda x: np.zeros((len(x), 3)), CARD))


def test_scores_that_are_no_numbers_are_told(greys):
    def half(x):
        logits = np.zeros((len(x), 2))
        logits[0] = np.nan
        return logits

    first, second = answer(greys[:2], half, CARD)
    assert first.error == "the network's scores are not finite numbers"
    assert second.error is None


def test_words_for_wrong_numbers(greys):
    with pytest.raises(ConfigError, match="batch is 0"):
        answer(greys, Engine(), CARD, batch=0)
    with pytest.raises(ConfigError, match="workers is 0"):
        answer(greys, Engine(), CARD, workers=0)


@pytest.mark.shared
def test_every_bad_image_is_one_prediction(shared_data):
    paths = sorted((shared_data / "bad-images" / "files").iterdir())
    predictions = list(answer(paths, Engine(), CARD))
    assert [p.path for p in predictions] == [str(path) for path in paths]
    assert all("\n" not in p.error for p in predictions if p.error)
    assert sum(p.error is None for p in predictions) >= 210


class Doubter:
    """Unsure of everything; keeps what it was shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def doubt(self, probs, logits, embedding):
        self.seen.append((probs, logits, embedding))
        return [Doubt(("unsure",), known=float(i)) for i in range(len(probs))]


def test_doubt_sees_logits_and_embedding_of_what_can_be_answered(greys, tmp_path):
    engine, doubter = Engine(), Doubter()

    def ends(x):
        logits = engine(x)
        if len(x) > 1:
            logits[1] = np.nan
        return logits, x.mean(axis=(2, 3))

    sources = [greys[0], tmp_path / "gone.png", *greys[1:4]]
    predictions = list(answer(sources, ends, CARD, batch=5, doubt=doubter))
    assert [p.error is None for p in predictions] == [True, False, False, True, True]
    assert [p.doubt.known for p in predictions if p.doubt] == [0, 1, 2]
    assert [p.doubt is None for p in predictions] == [False, True, True, False, False]
    ((probs, logits, embedding),) = doubter.seen
    assert (probs.shape, logits.shape, embedding.shape) == ((3, 2), (3, 2), (3, 3))
    assert np.array_equal(probs, probabilities(logits, CARD.temperature))
    assert all(p.doubt is None for p in answer(greys, engine, CARD))
