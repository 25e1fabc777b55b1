"""What the doctor learns from the pictures: folds, hand-made features, kernel ridge, small networks, embeddings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.audit import vectors
from assay.audit.embed import load_embedder
from assay.audit.folds import joined, make_folds
from assay.audit.hand_features import COLOURS, EDGES, colours, edges
from assay.audit.kernel_ridge import FoldRidge, KernelMap, best_scores, one_hot
from assay.audit.mapped_rows import fill_rows
from assay.audit.small_nets import evenly
from assay.audit.stack import stacked
from assay.audit.vectors import make_vectors, why_not_learn
from assay.audit.views import make_view
from assay.errors import ConfigError, DatasetError


@pytest.fixture
def patches(tmp_path: Path, draw_patch: Callable[..., Any]) -> Path:
    for kind, name in enumerate(("red", "blue", "green")):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(12):
            draw_patch(kind, i).save(tmp_path / "set" / name / f"{i}.png")
    return tmp_path / "set"


def test_folds_hold_every_class_and_keep_groups_whole() -> None:
    rng = np.random.default_rng(0)
    targets = np.repeat([0, 1, 2], 40)
    groups = rng.integers(0, 30, 120)
    folds = make_folds(targets, 5, groups=groups)
    assert set(folds) == {0, 1, 2, 3, 4}
    assert all(len(set(folds[groups == g])) == 1 for g in range(30))
    plain = make_folds(targets, 5)
    assert all((np.bincount(targets[plain == f]) == 8).all() for f in range(5))


def test_folds_of_strange_sets() -> None:
    assert set(make_folds(np.array([0, 1]), 5)) <= {0, 1}
    assert len(set(make_folds(np.arange(7), 5))) >= 2  # every picture a class of its own
    two_groups = make_folds(np.array([0, 1] * 10), 5, groups=np.arange(20) // 10)
    assert len(set(two_groups)) == 2
    mixed = make_folds(np.array([0, 1] * 20), 5, groups=np.r_[np.zeros(20, int), np.arange(1, 21)])
    assert len(set(mixed[:20])) == 1


def test_joined_groups() -> None:
    assert joined(None, None) is None
    found = joined(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2]))
    assert found is not None
    assert found[0] == found[1] == found[2] != found[3]


def test_edges_know_a_turn_and_colours_a_place() -> None:
    lines = np.zeros((2, 32, 32, 3), np.uint8)
    lines[0, ::4] = 255
    lines[1, :, ::4] = 255
    found = edges(lines)
    assert found.shape == (2, EDGES)
    assert np.linalg.norm(found[0] - found[1]) > np.linalg.norm(found[0])
    flat = np.full((1, 32, 32, 3), 200, np.uint8)
    assert not edges(flat).any()
    red = np.zeros((1, 16, 16, 3), np.uint8)
    red[0, :8, :8, 0] = 255
    shares = colours(red)[0] ** 2
    assert shares.shape == (COLOURS,)
    assert shares.sum() == pytest.approx(4)
    assert shares[48] == pytest.approx(1)  # the first quadrant is all of the reddest red


def test_a_view_has_length_one_and_bears_equal_pictures() -> None:
    rng = np.random.default_rng(1)
    raw = rng.normal(size=(50, 8)).astype(np.float32)
    view = make_view("x", lambda block: raw[block], 50, 4)
    assert view.values.shape == (50, 4)
    assert float((view.values**2).sum(1).mean()) == pytest.approx(1, rel=1e-4)
    equal = make_view("x", lambda block: np.ones_like(raw)[block], 50, 4)
    assert np.isfinite(equal.values).all()
    assert not equal.values.any()


def test_ridge_leaves_the_fold_out() -> None:
    """Against the plain way: leave the rows out and solve again."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(60, 5)).astype(np.float32)
    targets = (x[:, 0] + 0.3 * rng.normal(size=60) > 0).astype(np.int64)
    folds = make_folds(targets, 4)
    mapped = KernelMap(x)
    found = FoldRidge(mapped, folds).scores(one_hot(targets, 2), 0.3)
    rows = np.concatenate([r for _, r in mapped.blocks()]).astype(np.float64)
    ridge = np.diag(np.r_[np.full(rows.shape[1] - 1, 0.3), 1e-3])
    for fold in range(4):
        a = folds != fold
        weights = np.linalg.solve(rows[a].T @ rows[a] + ridge, rows[a].T @ one_hot(targets, 2)[a])
        assert found[~a] == pytest.approx(rows[~a] @ weights, abs=1e-3)
    scores, _ = best_scores(FoldRidge(mapped, folds), targets, 2)
    assert (scores.argmax(1) == targets).mean() > 0.7


def test_stacking_finds_nothing_in_noise() -> None:
    """A free regression finds 38 % here on average: it turns the leaning of out-of-fold scores round."""
    shares = []
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(size=(90, 10)).astype(np.float32)
        targets = np.arange(90) % 3
        folds = make_folds(targets, 5, seed=seed)
        scores, _ = best_scores(FoldRidge(KernelMap(noise), folds), targets, 3)
        shares.append((stacked([scores], targets, 3, folds).argmax(1) == targets).mean())
    assert np.mean(shares) < 0.37


@pytest.mark.parametrize("count", [60, 600])
def test_stacking_weighs_views(count: int) -> None:
    rng = np.random.default_rng(0)
    targets = np.arange(count) % 3
    good = one_hot(targets, 3) + 0.3 * rng.normal(size=(count, 3)).astype(np.float32)
    noise = rng.normal(size=(count, 3)).astype(np.float32)
    probs = stacked([noise, good], targets, 3, make_folds(targets, 5))
    assert (probs.argmax(1) == targets).mean() > 0.85
    assert probs.sum(1) == pytest.approx(np.ones(count), abs=1e-5)


def test_rows_go_on_where_they_broke_off(tmp_path: Path) -> None:
    asked: list[int] = []

    def work(block: slice) -> Any:
        asked.append(block.start)
        if block.start == 1280 and asked.count(1280) == 1:
            raise KeyboardInterrupt
        return np.arange(block.start, block.stop)[:, None]

    with pytest.raises(KeyboardInterrupt):
        fill_rows(tmp_path / "a.npy", 2000, (1,), np.float32, work, lambda *_: None)
    found = fill_rows(tmp_path / "a.npy", 2000, (1,), np.float32, work, lambda *_: None)
    assert found[:, 0].tolist() == list(range(2000))
    assert asked.count(0) == 1


def test_vectors_by_hand(patches: Path, examine: Callable[..., Any]) -> None:
    v = make_vectors(examine(patches))
    assert len(v) == 36
    assert v.probs.shape == (36, 3)
    assert v.probs.sum(1) == pytest.approx(np.ones(36), abs=1e-5)
    assert v.accuracy.value > 0.8
    assert v.chance == pytest.approx(1 / 3)
    assert v.how == "edges and colours"


def test_vectors_are_kept(patches: Path, examine: Callable[..., Any], monkeypatch: Any) -> None:
    first = make_vectors(examine(patches))
    monkeypatch.setattr(vectors._Maker, "make", lambda _: pytest.fail("made again"))
    again = make_vectors(examine(patches))
    assert np.array_equal(first.probs, again.probs)
    assert again.how == first.how
    with pytest.raises(pytest.fail.Exception):
        make_vectors(examine(patches, seed=1))


def test_vectors_leave_out_what_cannot_be_read(patches: Path, examine: Callable[..., Any]) -> None:
    (patches / "red" / "3.png").write_bytes(b"no picture")
    v = make_vectors(examine(patches))
    assert len(v) == 35
    assert examine(patches).dataset.table["path"][3].as_py() not in v.rows


def test_small_networks_learn_and_are_kept(
    patches: Path, examine: Callable[..., Any], monkeypatch: Any
) -> None:
    monkeypatch.setattr(vectors, "_EASY", 2.0)
    steps: list[tuple[str, int, int]] = []
    examination = examine(patches, minutes=0.03, folds=2)
    object.__setattr__(examination, "progress", lambda *step: steps.append(step))
    v = make_vectors(examination)
    assert "2 small networks at 32 px" in v.how
    assert v.accuracy.value > 0.6
    assert ("training small networks", 200, 200) in steps


def test_easy_pictures_need_no_network(patches: Path, examine: Callable[..., Any], monkeypatch: Any) -> None:
    monkeypatch.setattr(vectors, "_EASY", 0.5)
    assert make_vectors(examine(patches, minutes=1.0)).how == "edges and colours"


def test_a_cut_is_even() -> None:
    targets = np.repeat([0, 1, 2], [100, 10, 5])
    kept = evenly(targets, np.arange(115), 30, np.random.default_rng(0))
    assert np.bincount(targets[kept]).tolist() == [12, 10, 5] or len(kept) <= 30
    assert (np.bincount(targets[kept])[1:] == [10, 5]).all()


def test_features_of_a_bundle(patches: Path, tiny_bundle: Path, examine: Callable[..., Any]) -> None:
    v = make_vectors(examine(patches, embedding=str(tiny_bundle)))
    assert "the Bundle tiny.bundle at 32 px" in v.how
    assert v.accuracy.value > 0.8


def test_features_of_weights(tmp_path: Path, patches: Path, examine: Callable[..., Any]) -> None:
    from safetensors.torch import save_file

    from assay.configs import ModelConfig
    from assay.models.build import build_model

    save_file(build_model(ModelConfig(model="cnn"), 2).state_dict(), tmp_path / "cnn.safetensors")
    embedder = load_embedder(f"cnn:{tmp_path / 'cnn.safetensors'}")
    assert embedder.dims() == 256
    assert embedder.how == "features of cnn with the weights cnn.safetensors at 160 px"


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("nowhere.bundle", "does not exist"),
        ("cnn:nowhere.pth", "there is no weights file"),
        (".", "not a finished run"),
    ],
)
def test_an_embedding_that_is_none(named: str, words: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=words):
        load_embedder(named)


def test_too_little_to_learn_from(tmp_path: Path, draw_patch: Any, examine: Callable[..., Any]) -> None:
    for kind, name in enumerate("ab"):
        (tmp_path / "few" / name).mkdir(parents=True)
        for i in range(4):
            draw_patch(kind, i).save(tmp_path / "few" / name / f"{i}.png")
    examination = examine(tmp_path / "few")
    assert "20 are the least" in str(why_not_learn(examination))
    with pytest.raises(DatasetError, match="cannot be learnt from"):
        make_vectors(examination)


def test_few_groups_are_few_witnesses_for_stacking() -> None:
    """300 rows would do for free weights; 20 groups of 15 do not, and the leaning of noise is not turned round."""
    free, scaled = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(20), 15)
        targets = groups % 2
        noise = (rng.normal(size=(20, 8))[groups] + 0.3 * rng.normal(size=(300, 8))).astype(np.float32)
        folds = make_folds(targets, 5, groups=groups, seed=seed)
        scores, _ = best_scores(FoldRidge(KernelMap(noise), folds), targets, 2)
        for units, found in ((None, free), (20, scaled)):
            found.append((stacked([scores], targets, 2, folds, units=units).argmax(1) == targets).mean())
    assert np.mean(scaled) < 0.56
    assert np.mean(scaled) <= np.mean(free)
