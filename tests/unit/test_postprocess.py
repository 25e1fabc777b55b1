"""Softmax at a temperature, and the annotated picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from assay import lettering
from assay.errors import ConfigError, ModelError
from assay.labels import ClassNames
from assay.lettering import fit
from assay.postprocess import annotate, probabilities, why_held_back
from assay.types import Doubt, Prediction

CLASSES = ClassNames(["shoe", "连衣裙", "платье", "a name " * 30, "tab\tand\nline", "👟 emoji"])


def test_known_values():
    probs = probabilities([[0.0, np.log(3.0)], [1.0, 1.0]])
    np.testing.assert_allclose(probs, [[0.25, 0.75], [0.5, 0.5]], rtol=1e-6)
    assert probs.dtype == np.float32


@given(
    st.lists(st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3), min_size=1, max_size=5),
    st.floats(0.01, 100),
)
def test_rows_sum_to_one_and_keep_their_order(logits, temperature):
    probs = probabilities(np.array(logits), temperature)
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-5)
    for row, prob in zip(np.array(logits), probs, strict=True):
        assert prob[row.argmax()] == prob.max()


def test_temperature_softens_and_huge_logits_are_stable():
    logits = np.array([[1000.0, 0.0]], np.float32)
    assert probabilities(logits)[0].tolist() == [1.0, 0.0]
    assert probabilities(logits, 1000.0)[0, 0] == pytest.approx(1 / (1 + np.exp(-1)))
    assert probabilities(np.array([[-np.inf, 0.0]]))[0].tolist() == [0.0, 1.0]


def test_no_rows_and_nan():
    assert probabilities(np.empty((0, 4))).shape == (0, 4)
    assert np.isnan(probabilities(np.array([[np.nan, 1.0]]))).all()


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_words_for_a_wrong_temperature(temperature):
    with pytest.raises(ConfigError, match="temperature is"):
        probabilities([[1.0]], temperature)


def test_words_for_wrong_logits():
    with pytest.raises(ModelError, match=r"logits are \(N, K\)[^\n]*\n  got: shape \(3,\)"):
        probabilities(np.zeros(3))


def predict(path, index: int = 0, **more) -> Prediction:
    probs = np.full(len(CLASSES), 0.1, np.float32)
    probs[index] = 0.5
    return Prediction(str(path), CLASSES, probs, **more)


@pytest.mark.parametrize("index", range(len(CLASSES)))
@pytest.mark.parametrize("size", [(64, 64), (900, 500), (1, 3000), (3000, 2)])
def test_any_name_on_any_shape(tmp_path, index, size):
    path = tmp_path / "photo.png"
    Image.new("RGB", size, (10, 200, 30)).save(path)
    sheet = annotate(predict(path, index))
    assert sheet.mode == "RGB"
    assert sheet.width >= min(240, size[0])
    assert sheet.height > 40


def test_the_picture_stays_uncovered_and_upright(tmp_path):
    path = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (400, 300), (10, 200, 30)).save(path, exif=exif)
    sheet = predict(path).plot()
    assert sheet.width == 300
    assert sheet.height > 400
    assert np.abs(np.asarray(sheet)[:400].astype(int) - [10, 200, 30]).max() < 4
    bar = np.asarray(sheet)[400:]
    assert (bar > 200).any()  # letters
    assert bar.mean() < 90  # on dark


def test_broken_pictures_carry_their_error(tmp_path):
    prediction = Prediction(
        str(tmp_path / "no.jpg"), CLASSES, np.empty(0, np.float32), error="no.jpg is gone"
    )
    assert annotate(prediction).size[0] > 240


def test_names_without_a_font_are_spelt_out(monkeypatch):
    monkeypatch.setattr(lettering, "SYSTEM_FONTS", ("no-such-font.ttf",))
    lettering._font_name.cache_clear()
    try:
        assert fit("连 shoe", 14, 500)[0] == r"\u8fde shoe"
        assert fit("größe", 14, 500)[0] == r"gro\xdfe"
        assert fit("café", 14, 500)[0] == "cafe"
    finally:
        lettering._font_name.cache_clear()


def test_long_names_are_shortened():
    line, font = fit("a long class name " * 9, 14, 120)
    assert line.endswith("…")
    assert font.getlength(line) <= 120
    assert fit("shoe", 14, 120)[0] == "shoe"
    assert fit("shoe", 14, 0)[0] == "…"


def test_an_answer_that_is_held_back_is_not_shown_as_one(tmp_path):
    picture = tmp_path / "plate.png"
    Image.new("RGB", (300, 200), "white").save(picture)
    probs = np.array([0.43, 0.38, 0.1, 0.05, 0.03, 0.01], np.float32)
    given = Prediction(str(picture), CLASSES, probs, (200, 300))
    held = Prediction(str(picture), CLASSES, probs, (200, 300), doubt=Doubt(("unknown", "unsure")))
    assert why_held_back(given) == ""
    assert why_held_back(held) == "unknown, unlike the training pictures; unsure (shoe 43 %, 连衣裙 38 %)"
    shown, other = np.asarray(annotate(given)), np.asarray(annotate(held))
    assert shown.shape == other.shape
    assert not np.array_equal(shown, other)
