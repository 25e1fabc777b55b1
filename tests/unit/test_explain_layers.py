"""Layers by name, and vectors of pictures on disk."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

import assay
from assay.configs import ModelConfig
from assay.errors import AssayError, ConfigError, DatasetError, ModelError
from assay.explain.feature_files import read_features
from assay.explain.layers import Tap, list_layers
from assay.explain.source import pooled
from assay.export.export import export
from assay.models.build import build_model
from assay.models.classifier import Classifier
from assay.train.predictor import load_run


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return build_model(ModelConfig(model="cnn", width=4, depth=3), 3).eval()


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(5, 3, 32, 32)).astype(np.float32)


def test_every_listed_layer_can_be_read_in_its_shape(net, images):
    infos = list_layers(net, 3, 32)
    assert {"embedding", "logits", "stage1"} <= {info.name for info in infos}
    logits = Tap(net, "logits")(images)[0]
    for info in infos:
        again, output = Tap(net, info.name)(images)
        assert output.shape == (5, *info.shape), info.name
        np.testing.assert_allclose(again, logits, atol=1e-5)


def test_reading_leaves_no_hook_behind(net, images):
    name = list_layers(net, 3, 32)[-1].name
    Tap(net, name)(images)
    assert not any(module._forward_hooks for module in net.modules())


def test_unknown_layers_are_told_with_the_nearest(net):
    with pytest.raises(ConfigError, match="did you mean embedding"):
        Tap(net, "embeding")
    with pytest.raises(ConfigError, match="stages"):
        Tap(net, "stage9")(np.zeros((1, 3, 32, 32), np.float32))
    with pytest.raises(ConfigError, match="no layer ''"):
        Tap(net, "")


class Odd(Classifier):
    """A layer that works on pieces of pictures, one that gives a pair, and one that never runs."""

    def __init__(self):
        super().__init__()
        self.row, self.rnn = nn.Linear(8, 6), nn.GRU(6, 4, batch_first=True)
        self.unused, self.last = nn.ReLU(), nn.Linear(4, 2)

    def embed(self, x):
        rows = self.row(x[:, 0].reshape(-1, 8)).reshape(len(x), -1, 6)
        return self.rnn(rows)[0].mean(1)

    def features(self, x):
        return [x]

    @property
    def head(self):
        return self.last


def test_layers_that_give_no_output_a_picture_are_refused():
    x = np.ones((3, 1, 8, 8), np.float32)
    assert Tap(Odd(), "rnn")(x)[1].shape == (3, 8, 4)
    with pytest.raises(ModelError, match="one output a picture"):
        Tap(Odd(), "row")(x)
    with pytest.raises(ModelError, match="takes no part"):
        Tap(Odd(), "unused")(x)
    assert {info.name for info in list_layers(Odd(), 1, 8)} == {
        "stage1",
        "embedding",
        "logits",
        "rnn",
        "last",
    }


def test_maps_that_end_in_channels_are_turned():
    class Last(nn.Module):
        def forward(self, x):
            return x.permute(0, 2, 3, 1)

    net = Odd()
    net.unused = Last()
    net.embed = lambda x: net.unused(x).flatten(1)[:, :4]
    x = np.arange(2 * 3 * 64, dtype=np.float32).reshape(2, 3, 8, 8)
    np.testing.assert_array_equal(Tap(net, "unused")(x)[1], x)
    assert next(i.shape for i in list_layers(net, 3, 8) if i.name == "unused") == (3, 8, 8)


def test_pooling_has_known_answers():
    maps = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)
    assert pooled(maps, "mean").tolist() == [[1.5, 5.5]]
    assert pooled(maps, "max").tolist() == [[3, 7]]
    assert pooled(maps, "none").shape == (1, 8)
    steps = np.array([[[1.0, 5.0], [3.0, 1.0]]], np.float32)  # 1 T F
    assert pooled(steps, "mean").tolist() == [[2, 3]]
    assert pooled(np.ones((2, 3), np.float32), "max").shape == (2, 3)


@pytest.mark.parametrize("suffix", ["parquet", "npy", "npz"])
def test_every_format_says_the_same(tiny_run, photos, tmp_path, suffix):
    found = assay.features(tiny_run, photos, tmp_path / f"f.{suffix}", batch=5)
    assert (len(found), found.dim) == (24, found.vectors().shape[1])
    assert found.column("label")[:2] == ["circle", "circle"]
    assert set(found.column("label")) == {"circle", "square", "größer 三角"}
    assert found.column("part") == [None] * 24
    assert found.about["layer"] == "embedding"
    again = read_features(tmp_path / f"f.{suffix}")
    np.testing.assert_array_equal(again.vectors(), found.vectors())
    predictor = load_run(tiny_run)
    answers = list(predictor.predict([found.place(i) for i in range(24)]))
    assert found.column("prediction") == [p.label for p in answers]
    np.testing.assert_allclose(found.column("confidence"), [p.confidence for p in answers], atol=1e-5)
    assert "F" not in str(found.about["digest"])


def test_parquet_is_readable_by_others(tiny_run, photos, tmp_path):
    assay.features(tiny_run, photos, tmp_path / "f.parquet")
    table = pq.read_table(tmp_path / "f.parquet")
    assert table.column_names == ["path", "label", "part", "group", "prediction", "confidence", "vector"]
    assert str(table.schema.field("vector").type).startswith("fixed_size_list<")


def test_the_runs_own_pictures_by_part(tiny_run, tmp_path):
    found = assay.features(tiny_run, None, tmp_path / "f.parquet", part="test", layer="stage1", pool="max")
    assert len(found) == 6
    assert set(found.column("part")) == {"test"}
    assert (found.about["shape"][0], found.about["pool"]) == (found.dim, "max")


def test_broken_pictures_are_left_out_and_told(tiny_run, photos, tmp_path):
    (photos / "circle" / "3.png").write_bytes(b"no picture")
    steps = []
    found = assay.features(
        tiny_run, photos, tmp_path / "f.npy", batch=4, on_progress=lambda *s: steps.append(s)
    )
    assert (len(found), found.about["left_out"]) == (23, 1)
    assert found.about["left_out_pictures"][0]["path"] == "circle/3.png"
    assert "circle/3.png" not in found.column("path")
    whole = assay.features(tiny_run, [found.place(5)], tmp_path / "one.npy")
    np.testing.assert_allclose(found.vectors()[5], whole.vectors()[0], atol=1e-5)
    assert steps[-1] == (24, 24)


def test_plain_files_have_no_labels(tiny_bundle, photos, tmp_path):
    flat = photos / "circle"
    found = assay.features(tiny_bundle, flat, tmp_path / "f.parquet")
    assert (len(found), found.dim) == (8, 3)
    assert found.column("label") == [None] * 8
    with pytest.raises(ConfigError, match="no part 'test'"):
        assay.features(tiny_bundle, flat, tmp_path / "g.parquet", part="test")


def test_nothing_is_written_when_nothing_can_be_read(tiny_bundle, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match="none of the 1 pictures"):
        assay.features(tiny_bundle, [tmp_path / "a.png"], tmp_path / "f.parquet")
    assert not list(tmp_path.glob("*f.parquet*"))


def test_bad_requests_are_told(tiny_bundle, tiny_run, photos, tmp_path):
    for change, words in (
        ({"out": tmp_path / "f.csv"}, "features go to .parquet"),
        ({"pool": "mena"}, "unknown pool 'mena'"),
        ({"layer": "stage1"}, "a Bundle has no layer 'stage1'"),
        ({"model": tmp_path / "none"}, "does not exist"),
        ({"pictures": None}, "a Bundle has none of its own"),
        ({"pictures": tmp_path / "none"}, "does not exist"),
    ):
        given = {"model": tiny_bundle, "pictures": photos, "out": tmp_path / "f.npz", **change}
        with pytest.raises(ConfigError, match=words):
            assay.features(given.pop("model"), given.pop("pictures"), given.pop("out"), **given)


def test_a_run_whose_pictures_are_gone_is_told(tiny_run, tmp_path):
    record = json.loads((tiny_run / "run.json").read_text())
    (tiny_run / "run.json").write_text(json.dumps({**record, "data": str(tmp_path / "gone")}))
    with pytest.raises(ConfigError, match="are not where they were"):
        assay.features(tiny_run, None, tmp_path / "f.npz")
    (tiny_run / "split.parquet").unlink()
    with pytest.raises(ConfigError, match="does not say which pictures"):
        assay.features(tiny_run, None, tmp_path / "f.npz")


@pytest.mark.parametrize("suffix", ["parquet", "npy", "npz"])
def test_damaged_files_are_told(tiny_bundle, photos, tmp_path, suffix):
    place = tmp_path / f"f.{suffix}"
    with pytest.raises(ConfigError, match="does not exist"):
        read_features(place)
    place.write_bytes(b"not what it was")
    with pytest.raises(DatasetError, match="no features file"):
        read_features(place)
    assay.features(tiny_bundle, photos, place)
    place.write_bytes(place.read_bytes()[:200])
    with pytest.raises(AssayError):
        read_features(place).vectors()


def test_a_foreign_parquet_is_no_features_file(tiny_run):
    with pytest.raises(DatasetError, match="no features file"):
        read_features(tiny_run / "split.parquet")


def test_a_bundle_sees_what_its_run_sees(tiny_run, photos, tmp_path):
    export(tiny_run, tmp_path / "s.bundle")
    run = assay.features(tiny_run, photos, tmp_path / "run.npz")
    packed = assay.features(tmp_path / "s.bundle", photos, tmp_path / "packed.npz")
    np.testing.assert_allclose(run.vectors(), packed.vectors(), atol=1e-3)
    np.testing.assert_allclose(run.about["probe"], packed.about["probe"], atol=1e-3)
    assert run.about["digest"] != packed.about["digest"]


def test_a_bundle_needs_no_torch(tiny_bundle, photos, tmp_path):
    words = ["features", str(tiny_bundle), str(photos), "--out", str(tmp_path / "f.parquet")]
    more = [*words[:2], "--among", words[-1], "--neighbours", str(photos / "circle" / "0.png")]
    code = (
        "import sys; from assay.cli.main import main\n"
        f"codes = [main({words!r}), main({more!r}), main({[*words[:2], '--list-layers']!r})]\n"
        "heavy = [m for m in ('torch', 'torchvision', 'timm', 'sklearn', 'matplotlib') if m in sys.modules]\n"
        "print('found', codes, heavy)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert "found [0, 0, 0] []" in told.stdout, told.stderr
