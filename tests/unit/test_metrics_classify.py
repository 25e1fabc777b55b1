"""Against scikit-learn and torchmetrics."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics

from assay.errors import ConfigError
from assay.metrics.classify import (
    accuracy,
    answers,
    auroc,
    balanced_accuracy,
    class_rows,
    confused_pairs,
    confusion,
    macro_f1,
    right_in_top,
    top5,
)
from assay.metrics.metric import check_shapes
from assay.models.torchvision_ops import declare_missing_ops

declare_missing_ops()  # torchmetrics imports torchvision


@pytest.fixture
def case():
    rng = np.random.default_rng(3)
    targets = rng.choice([0, 1, 2, 3, 4, 5, 7, 8], size=300)  # class 6 and 9 never occur
    logits = rng.normal(size=(300, 10))
    logits[:, 9] = -9
    logits[np.arange(300), targets] += 1
    probs = np.exp(logits)
    return np.round(probs / probs.sum(1, keepdims=True), 3).astype(np.float32), targets


def test_accuracy_and_f1_are_those_of_scikit_learn(case):
    probs, targets = case
    given = answers(probs)
    assert accuracy(probs, targets) == pytest.approx(sklearn_metrics.accuracy_score(targets, given))
    assert macro_f1(probs, targets) == pytest.approx(
        sklearn_metrics.f1_score(targets, given, average="macro")
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of answers that are no target
        expected = sklearn_metrics.balanced_accuracy_score(targets, given)
    assert balanced_accuracy(probs, targets) == pytest.approx(expected)
    np.testing.assert_array_equal(
        confusion(given, targets, 10), sklearn_metrics.confusion_matrix(targets, given, labels=range(10))
    )


def test_top5_is_that_of_torchmetrics():
    rng = np.random.default_rng(0)
    probs, targets = rng.random((200, 12)), rng.integers(12, size=200)
    from torchmetrics.functional.classification import multiclass_accuracy

    expected = multiclass_accuracy(
        torch.tensor(probs), torch.tensor(targets), num_classes=12, top_k=5, average="micro"
    )
    assert top5(probs, targets) == pytest.approx(float(expected))


def test_top_of_equals_takes_the_first_ones():
    probs = np.full((3, 4), 0.25)
    np.testing.assert_array_equal(right_in_top(probs, np.array([0, 1, 2]), k=2), [1, 1, 0])


def test_auroc_is_that_of_scikit_learn(case):
    probs, targets = case
    by_class = [
        sklearn_metrics.roc_auc_score(targets == k, probs[:, k]) for k in range(10) if (targets == k).any()
    ]
    assert auroc(probs, targets) == pytest.approx(np.mean(by_class), abs=1e-12)


def test_auroc_is_that_of_torchmetrics():
    rng = np.random.default_rng(0)
    probs, targets = rng.random((200, 3)), rng.integers(3, size=200)
    from torchmetrics.functional.classification import multiclass_auroc

    expected = multiclass_auroc(torch.tensor(probs), torch.tensor(targets), num_classes=3)
    assert auroc(probs, targets) == pytest.approx(float(expected), abs=1e-6)


def test_auroc_of_two_classes_is_that_of_the_second():
    scores, targets = np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1])
    assert auroc(np.stack([1 - scores, scores], 1), targets) == pytest.approx(0.75)


def test_auroc_of_one_class_is_undefined():
    assert math.isnan(auroc(np.full((4, 3), 1 / 3), np.zeros(4, np.int64)))


def test_per_class_rows(case):
    probs, targets = case
    given = answers(probs)
    rows = class_rows([f"c{k}" for k in range(10)], given, targets)
    precision, recall, f1, support = sklearn_metrics.precision_recall_fscore_support(
        targets, given, labels=range(10), zero_division=np.nan
    )
    for k, row in enumerate(rows):
        assert row["support"] == support[k]
        assert (row["recall"]["value"] is None) == (support[k] == 0)
        if support[k] and row["predicted"]:
            assert row["precision"]["value"] == pytest.approx(precision[k])
            assert row["recall"]["value"] == pytest.approx(recall[k])
            assert row["f1"]["value"] == pytest.approx(f1[k])
            assert row["f1"]["low"] <= row["f1"]["value"] <= row["f1"]["high"]
    assert rows[9]["f1"] == {"value": None, "low": 0.0, "high": 1.0}


def test_confused_pairs_need_no_matrix():
    targets, given = np.array([0, 0, 0, 49_999, 5]), np.array([1, 1, 0, 2, 5])
    assert confused_pairs(given, targets, 50_000) == [(0, 1, 2), (49_999, 2, 1)]


def test_bad_input_is_named():
    with pytest.raises(ConfigError, match="no class index"):
        check_shapes(np.ones((2, 3)), np.array([0, -1]))
    with pytest.raises(ConfigError, match=r"probs \(N, K\)"):
        check_shapes(np.ones((2, 3)), np.array([0]))
    with pytest.raises(ConfigError, match="not finite"):
        check_shapes(np.full((1, 3), np.nan), np.array([0]))
