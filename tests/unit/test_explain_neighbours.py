from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

import assay
from assay.errors import ConfigError, DatasetError
from assay.explain import feature_files
from assay.explain.feature_files import TEXTS, read_features
from assay.explain.feature_writer import FeatureWriter, Rows
from assay.explain.neighbours import nearest, neighbours
from assay.export.export import export
from assay.report.neighbour_sheet import neighbour_sheet


def written(path, vectors):
    texts = {name: [f"{i}.png" for i in range(len(vectors))] for name in TEXTS}
    with FeatureWriter(path, {}) as writer:
        for start in range(0, len(vectors), 7):
            piece = {name: values[start : start + 7] for name, values in texts.items()}
            block = vectors[start : start + 7]
            writer.write(Rows(block, piece, [0.5] * len(block)))
    return read_features(path)


@pytest.mark.parametrize("suffix", ["parquet", "npy", "npz"])
@pytest.mark.parametrize("block_bytes", [64, 1 << 20])
def test_blocks_find_what_a_full_search_finds(tmp_path, monkeypatch, suffix, block_bytes):
    monkeypatch.setattr(feature_files, "_BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 4)).astype(np.float32)
    queries = rng.normal(size=(5, 4)).astype(np.float32)
    rows, similarity = nearest(queries, written(tmp_path / f"f.{suffix}", vectors), 3)
    wanted = cosine_similarity(queries, vectors)
    np.testing.assert_array_equal(rows, np.argsort(-wanted, axis=1)[:, :3])
    np.testing.assert_allclose(similarity, -np.sort(-wanted, axis=1)[:, :3], atol=1e-5)


def test_rows_can_be_barred(tmp_path):
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [0, 0]], np.float32)
    found = written(tmp_path / "f.npz", vectors)
    rows, similarity = nearest(vectors[:1], found, 4, skip={0: {0}})
    assert rows.tolist() == [[1, 2, 3, -1]]
    assert similarity[0, 2] == 0  # a zero vector is like nothing
    assert nearest(vectors[:1], found, 2, keep=np.array([False, False, True, False]))[0].tolist() == [[2, -1]]
    with pytest.raises(ConfigError, match="vectors of 3 numbers"):
        nearest(np.ones((1, 3), np.float32), found, 1)


@pytest.fixture
def among(tiny_run, photos, tmp_path):
    return assay.features(tiny_run, photos, tmp_path / "f.parquet")


def test_a_photo_is_not_its_own_neighbour_but_its_copy_is(tiny_run, photos, among, tmp_path):
    photo = photos / "square" / "2.png"
    (copy := tmp_path / "copy.png").write_bytes(photo.read_bytes())
    own, twin = neighbours(tiny_run, [photo, copy], among, top=3)
    assert photo not in [n.file for n in own.neighbours]
    assert len(own.neighbours) == 3
    assert twin.neighbours[0].path == "square/2.png"
    assert twin.neighbours[0].similarity == pytest.approx(1, abs=1e-5)
    assert twin.neighbours[0].label == "square"
    assert neighbour_sheet([own, twin]).width > 600


def test_more_neighbours_than_pictures(tiny_run, photos, among):
    (found,) = neighbours(tiny_run, [photos / "circle" / "0.png"], among, top=99)
    assert len(found.neighbours) == 23


def test_bad_requests_are_told(tiny_run, tiny_bundle, photos, among, tmp_path):
    photo = photos / "circle" / "0.png"
    with pytest.raises(ConfigError, match="otherwise prepared pictures"):
        neighbours(tiny_bundle, [photo], among)
    with pytest.raises(ConfigError, match="at least one"):
        neighbours(tiny_run, [photo], among, top=0)
    with pytest.raises(DatasetError, match=r"gone\.png cannot be read"):
        neighbours(tiny_run, [tmp_path / "gone.png"], among)
    other = read_features(among.path)
    other.about["digest"], other.about["probe"] = "0" * 64, [1.0] * len(other.about["probe"])
    with pytest.raises(ConfigError, match="was made by another network"):
        neighbours(tiny_run, [photo], other)


def test_the_exported_bundle_counts_as_the_same_network(tiny_run, photos, among, tmp_path):
    export(tiny_run, tmp_path / "s.bundle")
    photo = photos / "circle" / "0.png"
    (by_run,), (by_bundle,) = (neighbours(m, [photo], among) for m in (tiny_run, tmp_path / "s.bundle"))
    assert [n.path for n in by_run.neighbours[:3]] == [n.path for n in by_bundle.neighbours[:3]]


def test_pictures_that_moved_leave_a_tile(tiny_run, photos, among):
    found = neighbours(tiny_run, [photos / "circle" / "0.png"], among, top=2)
    found[0].neighbours[0].file.unlink()
    assert neighbour_sheet(found).height > 200
