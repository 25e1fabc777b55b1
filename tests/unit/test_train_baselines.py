"""The baselines: priors, colours, and pictures that cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from assay.errors import DatasetError
from assay.labels import ClassNames
from assay.train.baselines import _sample_rows, colour_histogram, fit_colour_histogram, fit_majority
from assay.types import Dataset, Predictor

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (20, 40, 210)}


def paint(path: Path, colour: tuple[int, int, int], seed: int) -> None:
    noise = np.random.default_rng(seed).integers(-25, 26, (32, 48, 3))
    Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)).save(path)


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    """Six red, four green, two blue pictures to train on; one of each to test."""
    rows = []
    for part, counts in (("train", (6, 4, 2)), ("test", (1, 1, 1))):
        for (name, colour), count in zip(COLOURS.items(), counts, strict=True):
            for i in range(count):
                path = f"{part}-{name}-{i}.png"
                paint(tmp_path / path, colour, len(rows))
                rows.append({"path": path, "label": name, "part": part})
    return Dataset(pa.Table.from_pylist(rows), ClassNames(COLOURS), tmp_path)


def test_majority_says_the_priors_of_the_training_part(dataset):
    baseline = fit_majority(dataset)
    (found,) = baseline.predict([dataset.root / "test-blue-0.png"])
    np.testing.assert_allclose(found.probs, [6 / 12, 4 / 12, 2 / 12], rtol=1e-6)
    assert found.label == "red"
    assert found.size_hw == (32, 48)
    assert isinstance(baseline, Predictor)


def test_colours_are_learned(dataset):
    baseline = fit_colour_histogram(dataset, workers=2)
    assert isinstance(baseline, Predictor)
    test = dataset.part("test")
    found = list(baseline.predict([sample.path for sample in test]))
    assert [p.label for p in found] == list(COLOURS)
    assert all(p.probs.sum() == pytest.approx(1, abs=1e-5) and p.probs.dtype == np.float32 for p in found)
    assert [p.path for p in found] == [str(sample.path) for sample in test]


def test_two_classes_and_one_without_pictures(dataset):
    kept = dataset.part("train")
    kept = kept.select(np.array([label != "red" for label in kept.table["label"].to_pylist()]))
    baseline = fit_colour_histogram(kept)
    found = list(baseline.predict([dataset.root / f"test-{name}-0.png" for name in ("green", "blue")]))
    assert [p.label for p in found] == ["green", "blue"]
    assert all(p.probs[0] == 0 for p in found)


def test_the_logistic_regression_is_that_of_scikit_learn(dataset):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train = dataset.part("train")
    features = np.stack([colour_histogram(np.asarray(Image.open(s.path))) for s in train])
    oracle = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)).fit(
        features, train.targets
    )
    found = fit_colour_histogram(dataset).predict([s.path for s in train])
    np.testing.assert_allclose([p.probs for p in found], oracle.predict_proba(features), atol=2e-3)


@pytest.mark.parametrize("fit", [fit_majority, fit_colour_histogram])
def test_a_broken_picture_is_one_line(dataset, fit):
    broken = dataset.root / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n")
    good = dataset.root / "test-red-0.png"
    found = list(fit(dataset).predict([good, broken, good]))
    assert [p.error is None for p in found] == [True, False, True]
    assert "broken.png" in found[1].error


def test_broken_training_pictures_are_passed_over(dataset):
    (dataset.root / "train-red-0.png").write_bytes(b"")
    (found,) = fit_colour_histogram(dataset).predict([dataset.root / "test-red-0.png"])
    assert found.label == "red"


def test_nothing_to_learn_from_is_told(dataset):
    red = dataset.select(np.array([label == "red" for label in dataset.table["label"].to_pylist()]))
    with pytest.raises(DatasetError, match=r"at least two classes\n  got: 6 readable pictures of 1 class"):
        fit_colour_histogram(red)
    unlabelled = Dataset(
        pa.table({"path": ["a.png"], "label": pa.array([None], pa.string())}), dataset.classes, dataset.root
    )
    with pytest.raises(DatasetError, match="no labelled training pictures"):
        fit_majority(unlabelled)


def test_a_histogram_by_hand():
    image = np.zeros((2, 2, 3), np.uint8)
    image[0, 0] = (255, 0, 32)
    found = colour_histogram(image)
    assert found[0] == pytest.approx(np.sqrt(0.75))
    assert found[7 * 64 + 1] == pytest.approx(0.5)
    assert (found**2).sum() == pytest.approx(1)


def test_a_large_picture_is_thinned_out_alike():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    large = image.repeat(16, 0).repeat(16, 1)
    np.testing.assert_allclose(colour_histogram(large), colour_histogram(image), atol=1e-6)


def test_a_sample_is_stratified_and_the_same_every_time():
    targets = np.repeat([0, 1, 2, 3], [6000, 3000, 999, 1])
    found = _sample_rows(targets, 2000)
    assert len(found) == 2000 == len(np.unique(found))
    assert (np.diff(found) > 0).all()
    assert np.abs(np.bincount(targets[found]) - [1200, 600, 200, 1]).max() <= 1
    np.testing.assert_array_equal(found, _sample_rows(targets, 2000))
    inside = found[targets[found] == 0]
    assert inside[-1] > 5900  # from everywhere, not the first ones


def test_few_rows_are_all_taken_and_each_of_many_classes_has_one():
    np.testing.assert_array_equal(_sample_rows(np.array([1, 0, 1]), 3), [0, 1, 2])
    targets = np.concatenate([np.zeros(500, int), np.arange(1, 40)])
    assert set(targets[_sample_rows(targets, 40)]) == set(range(40))
    assert len(_sample_rows(np.arange(50), 20)) == 20


def test_no_more_pictures_than_needed_are_read(dataset, monkeypatch):
    from assay.train import baselines

    read = []
    whole = baselines.read_image
    monkeypatch.setattr(baselines, "MOST_PICTURES", 6)
    monkeypatch.setattr(baselines, "read_image", lambda path: read.append(path.name) or whole(path))
    fit_colour_histogram(dataset)
    assert len(read) == 6
    assert sorted(name.split("-")[1] for name in read) == ["blue", "green", "green", "red", "red", "red"]
