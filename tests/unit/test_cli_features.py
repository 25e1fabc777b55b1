from __future__ import annotations

import json

import pytest

from assay.explain.feature_files import read_features


def test_layers_are_listed(cli, tiny_run, tiny_bundle):
    got = cli("features", tiny_run, "--list-layers")
    assert got.code == 0
    assert "embedding" in got.out
    found = json.loads(cli("features", tiny_bundle, "--list-layers", "--json").out)
    assert [row["name"] for row in found["layers"]] == ["embedding", "logits"]
    assert cli("features", "nowhere", "--list-layers").code == 2


def test_features_of_own_pictures(cli, tiny_run, tmp_path):
    got = cli("features", tiny_run, "--part", "test", "--out", tmp_path / "f.npz", "--layer", "logits")
    assert got.code == 0, got.err
    assert "6 pictures, 3 numbers each (logits)" in got.out
    assert len(read_features(tmp_path / "f.npz")) == 6


def test_the_default_place_is_here(cli, tiny_bundle, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli("features", tiny_bundle, photos).code == 0
    assert (tmp_path / "features.parquet").exists()


def test_a_map_and_neighbours_leave_nothing_else(cli, tiny_bundle, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photo = photos / "circle" / "0.png"
    words = ("--map", "m.svg", "--neighbours", photo, "--top", "3", "--sheet", "s.png", "--json")
    got = cli("features", tiny_bundle, photos, *words)
    assert got.code == 0, got.err
    found = json.loads(got.out)
    assert found["features"]["file"] is None
    assert found["map"]["method"] == "PCA"
    assert [n["label"] for n in found["neighbours"][0]["neighbours"]] == ["circle"] * 3
    assert {p.name for p in tmp_path.iterdir() if p.is_file()} == {"m.svg", "s.png", "tiny.bundle"}
    assert (tmp_path / "m.svg").read_text("utf-8").startswith("<svg")


def test_stored_features_are_used_again(cli, tiny_bundle, photos, tmp_path):
    cli("features", tiny_bundle, photos, "--out", tmp_path / "f.parquet")
    words = ("--neighbours", photos / "square" / "1.png", "--map", tmp_path / "m.png")
    got = cli("features", tiny_bundle, "--among", tmp_path / "f.parquet", *words)
    assert got.code == 0, got.err
    assert "answer:" in got.out
    assert "on the flat map" in got.out
    assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")


def test_a_table_keeps_labels_and_parts(cli, tiny_bundle, photos, tmp_path):
    rows = "\n".join(f"circle/{i}.png,round,{'test' if i < 3 else 'train'}" for i in range(8))
    (tmp_path / "t.csv").write_text(f"file,kind,part\n{rows}\n")
    words = ("--root", photos, "--label-column", "kind", "--path-column", "file", "--part", "test")
    got = cli("features", tiny_bundle, tmp_path / "t.csv", *words, "--out", tmp_path / "f.npy", "--json")
    assert got.code == 0, got.err
    found = read_features(tmp_path / "f.npy")
    assert found.column("label") == ["round"] * 3


def test_broken_pictures_are_warned_of(cli, tiny_bundle, photos, tmp_path):
    (photos / "circle" / "0.png").write_bytes(b"no picture")
    got = cli("features", tiny_bundle, photos, "--out", tmp_path / "f.npz")
    assert got.code == 0
    assert "left out: circle/0.png" in got.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--map", "map.pdf"], "--map is map.pdf"),
        (["--sheet", "s.png"], "--sheet draws neighbours"),
        (["--among", "f.npz"], "nothing is asked"),
        (["--among", "f.npz", "--layer", "x", "--map", "m.png"], "--layer has no use"),
        (["--among", "f.npz", "--map", "m.png"], "f.npz does not exist"),
        (["--top", "0"], "--top is 0"),
        (["--layer", "stage1"], "a Bundle has no layer"),
        (["--pool", "median"], "unknown pool"),
    ],
)
def test_bad_requests_are_told(cli, tiny_bundle, photos, words, told):
    data = [] if "--among" in words else [photos]
    got = cli("features", tiny_bundle, *data, *words)
    assert got.code == 2
    assert told in got.err
