"""One photo by every road (checkpoint, each engine, Python, command line) is one tensor and one answer."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

import assay
from assay.export.export import export
from assay.runtime.engines.engine import Engine
from assay.tables import ENGINES
from assay.train.predictor import load_run


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A JPEG on its side, not square, with an odd number of pixels; its EXIF says how it is to be turned."""
    path = tmp_path_factory.mktemp("road") / "photo.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (13, 17, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise).resize((401, 303), Image.Resampling.BICUBIC).save(path, quality=90, exif=exif)
    return path


@pytest.fixture
def seen(monkeypatch):
    """What engines are asked, batch by batch."""
    tensors = []
    run = Engine._run

    def spying(self, names, images):
        tensors.append(np.array(images))
        return run(self, names, images)

    monkeypatch.setattr(Engine, "_run", spying)
    return tensors


@pytest.mark.parametrize("decode", ["exact", "scaled"])
def test_equal_tensors_and_equal_scores(tiny_run, tmp_path, photo, seen, cli, monkeypatch, decode):
    card = json.loads((tiny_run / "card.json").read_text("utf-8"))
    card["preprocess"]["decode"] = decode
    (tiny_run / "card.json").write_text(json.dumps(card))
    place = tmp_path / "x.bundle"
    export(tiny_run, place, decode="auto" if decode == "scaled" else "exact")
    checkpoint = load_run(tiny_run)
    asked, inner = [], type(checkpoint).engine

    def spying(self, x):
        asked.append(np.array(x))
        return inner(self, x)

    monkeypatch.setattr(type(checkpoint), "engine", spying)
    (expected,) = checkpoint.predict([photo])
    (tensor,) = asked
    seen.clear()
    answers = {}
    here = [name for name in ENGINES if ENGINES.load(name).missing() is None]
    for engine in here:
        predictor = assay.load(place, engine=engine, check=False)
        for how, given in (("path", photo), ("bytes", photo.read_bytes()), ("str", str(photo))):
            answers[engine, how] = predictor(given).probs
        (answers[engine, "walk"],) = (one.probs for one in predictor.predict([photo]))
        (first, *_) = predictor.predict([photo] * 5, batch=1, workers=2)
        answers[engine, "lanes"] = first.probs
        if decode == "exact":
            answers[engine, "array"] = predictor(assay_array(photo)).probs
        told = cli("predict", place, photo, "--engine", engine, "--json")
        row = {one["label"]: one["probability"] for one in json.loads(told.out)["top"]}
        answers[engine, "command"] = np.array([row[name] for name in predictor.classes])
    mine = [x for x in seen if x.shape == tensor.shape and not np.array_equal(x, tensor)]
    golden = [x for x in seen if len(x) > 1]
    assert len(seen) > len(here) * 8
    assert not mine, "a road prepared the photo in another way"
    assert all(len(x) in (2, 4) for x in golden)  # the golden pictures, where the command line checks them
    for road, probs in answers.items():
        np.testing.assert_allclose(probs, expected.probs, atol=1e-4, err_msg=str(road))


def assay_array(photo):
    from assay.image import read_image

    return read_image(photo)


def test_an_archive_and_a_table_are_roads_too(tiny_run, tmp_path, photo):
    import zipfile

    import pyarrow as pa
    import pyarrow.parquet as pq

    export(tiny_run, tmp_path / "x.bundle")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(photo, "photo.jpg")
    pq.write_table(pa.table({"image": [photo.read_bytes()]}), tmp_path / "a.parquet")
    predictor = assay.load(tmp_path / "x.bundle")
    answers = [predictor(photo).probs]
    answers += [next(predictor.predict(str(tmp_path / name))).probs for name in ("a.zip", "a.parquet")]
    held = io.BytesIO(photo.read_bytes())
    answers.append(predictor(held.getvalue()).probs)
    for probs in answers[1:]:
        np.testing.assert_array_equal(probs, answers[0])
