from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import assay
from assay.bundle import load_bundle, save_bundle
from assay.errors import BundleError, ConfigError, ImageError, ModelError
from assay.labels import ClassNames
from assay.runtime.engines.onnxruntime import OnnxRuntimeEngine
from assay.runtime.golden import check_golden, pack_golden, read_golden
from assay.runtime.precisions import golden_limit
from assay.types import Prediction, Predictor


@pytest.fixture
def predictor(tiny_bundle):
    return assay.load(tiny_bundle, threads=1)


def test_a_call_answers(predictor, photos):
    prediction = predictor(photos / "square" / "0.png")
    assert isinstance(prediction, Prediction)
    assert prediction.label == "square"
    assert prediction.size_hw == (64, 64)
    assert prediction.probs.shape == (3,)
    assert prediction.probs.sum() == pytest.approx(1)


def test_it_is_a_predictor_with_card_and_name(predictor, tiny_bundle):
    assert isinstance(predictor, Predictor)
    assert list(predictor.classes) == ["circle", "square", "größer 三角"]
    assert predictor.name == "tiny"
    assert predictor.path == tiny_bundle
    assert predictor.digest == load_bundle(tiny_bundle).digest
    assert repr(predictor) == "BundlePredictor('tiny', 3 classes, 32 px)"
    assert replace(predictor, batch=3).batch == 3


def test_all_ways_of_giving_a_photo_agree(predictor, photos):
    path = photos / "circle" / "1.png"
    image = Image.open(path)
    ways = [path, str(path), path.read_bytes(), bytearray(path.read_bytes()), image, np.asarray(image)]
    answers = [predictor(way).probs for way in ways]
    assert all(np.array_equal(answers[0], other) for other in answers[1:])
    image.close()


def test_predict_and_call_agree_bit_for_bit(predictor, photos):
    paths = sorted(photos.rglob("*.png"))
    found = list(predictor.predict(paths, batch=5, workers=2))
    assert [prediction.path for prediction in found] == [str(path) for path in paths]
    for path, prediction in zip(paths, found, strict=True):
        np.testing.assert_allclose(prediction.probs, predictor(path).probs, atol=1e-6)


def test_predict_takes_a_folder(predictor, photos):
    found = list(predictor.predict(photos))
    assert len(found) == 24
    assert sum(str(p.label) in p.path for p in found) >= 22
    with pytest.raises(ConfigError, match="there is no picture or folder"):
        predictor.predict("nowhere")


def test_a_broken_picture_is_one_line(predictor, photos):
    broken = photos / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 cut")
    found = list(predictor.predict([photos / "circle" / "0.png", broken, photos / "square" / "0.png"]))
    assert [prediction.error is None for prediction in found] == [True, False, True]
    with pytest.raises(ImageError, match=r"broken\.jpg"):
        predictor(broken)


def test_wrong_photos_are_told(predictor, photos):
    with pytest.raises(ConfigError, match=r"there is no picture nothing\.jpg"):
        predictor("nothing.jpg")
    with pytest.raises(ConfigError, match="a photo is a path, bytes") as told:
        predictor(["a.jpg", "b.jpg"])
    assert told.value.got == "list"
    assert ".predict(paths)" in told.value.fix
    with pytest.raises(ConfigError, match=r"\(H, W, 3\) uint8"):
        predictor(np.zeros((8, 8, 3)))
    with pytest.raises(ConfigError, match=r"\(H, W, 3\) uint8"):
        predictor(np.zeros((0, 8, 3), np.uint8))
    with pytest.raises(ImageError, match="is a folder"):
        predictor(photos)


def test_features(predictor, photos):
    features = predictor.embed(photos / "circle" / "0.png")
    assert features.shape == (3,)
    assert features.dtype == np.float32


def test_temperature_is_applied(predictor, photos):
    photo = photos / "circle" / "0.png"
    cold = replace(predictor, card=replace(predictor.card, temperature=0.1))
    assert cold(photo).confidence > predictor(photo).confidence


def test_load_takes_only_paths_and_known_engines(tiny_bundle):
    with pytest.raises(ConfigError, match="named by its path"):
        assay.load(3)
    with pytest.raises(ConfigError, match="unknown engine 'onnx'") as told:
        assay.load(tiny_bundle, engine="onnx")
    assert "onnxruntime" in told.value.fix
    with pytest.raises(ConfigError, match="threads is 0"):
        assay.load(tiny_bundle, threads=0)


def test_a_bundle_without_network_or_golden_pictures(tiny_bundle):
    bundle = load_bundle(tiny_bundle)
    save_bundle(tiny_bundle, bundle.card, {"network.onnx": bundle.member("network.onnx")})
    with pytest.raises(BundleError, match=r"tiny\.bundle has no golden\.safetensors"):
        assay.load(tiny_bundle)
    save_bundle(tiny_bundle, bundle.card, {"golden.safetensors": b""})
    with pytest.raises(BundleError, match=r"tiny\.bundle has no network\.onnx"):
        assay.load(tiny_bundle)


def test_another_answer_than_the_checkpoints_is_noticed(tiny_bundle):
    bundle = load_bundle(tiny_bundle)
    pixels, answers = read_golden(bundle.member("golden.safetensors"), bundle.card)
    members = {"network.onnx": bundle.member("network.onnx")}
    wrong = pack_golden(pixels, answers["logits"][:, ::-1])
    save_bundle(tiny_bundle, bundle.card, members | {"golden.safetensors": wrong})
    with pytest.raises(
        BundleError, match=r"tiny\.bundle: the network does not answer here as it did"
    ) as told:
        assay.load(tiny_bundle)
    assert "of their scale" in told.value.got
    assert assay.load(tiny_bundle, check=False).name == "tiny"


def test_other_normalisation_is_noticed(tiny_bundle):
    bundle = load_bundle(tiny_bundle)
    card = replace(bundle.card, preprocess=replace(bundle.card.preprocess, std=(0.2,)))
    members = {name: bundle.member(name) for name in ("network.onnx", "golden.safetensors")}
    save_bundle(tiny_bundle, card, members)
    with pytest.raises(BundleError, match="does not answer here"):
        assay.load(tiny_bundle)


def test_classes_that_do_not_fit_the_network(tiny_bundle):
    bundle = load_bundle(tiny_bundle)
    card = replace(bundle.card, classes=ClassNames(["a", "b"]))
    save_bundle(
        tiny_bundle, card, {"network.onnx": bundle.member("network.onnx"), "golden.safetensors": b"x"}
    )
    with pytest.raises(BundleError, match=r"golden\.safetensors cannot be read"):
        assay.load(tiny_bundle)
    pixels, answers = read_golden(bundle.member("golden.safetensors"), bundle.card)
    two = pack_golden(pixels, answers["logits"][:, :2])
    with pytest.raises(BundleError, match="does not fit the classes"):
        check_golden(two, OnnxRuntimeEngine(bundle.member("network.onnx")), card)


@pytest.mark.parametrize(
    ("pixels", "logits"),
    [
        (np.zeros((2, 16, 16, 3), np.uint8), np.zeros((2, 3), np.float32)),
        (np.zeros((2, 32, 32, 3), np.float32), np.zeros((2, 3), np.float32)),
        (np.zeros((2, 32, 32, 3), np.uint8), np.zeros((1, 3), np.float32)),
        (np.zeros((0, 32, 32, 3), np.uint8), np.zeros((0, 3), np.float32)),
    ],
)
def test_golden_pictures_must_fit_the_card(predictor, pixels, logits):
    with pytest.raises(BundleError, match=r"golden\.safetensors does not fit the card") as told:
        predictor.check(pack_golden(pixels, logits))
    assert "(n, 32, 32, 3) uint8" in told.value.fix


def test_nan_is_noticed(predictor):
    pixels = np.zeros((1, 32, 32, 3), np.uint8)
    with pytest.raises(BundleError, match="does not answer here"):
        predictor.check(pack_golden(pixels, np.full((1, 3), np.nan, np.float32)))


class NanEngine:
    """Scores that are no numbers, as a network with a broken weight gives."""

    name, precision = "nan", "fp32"

    def __call__(self, images):
        return np.full((len(images), 3), np.nan, np.float32)

    def outputs(self, images):
        return self(images), self(images)

    def alone(self, _lanes):
        return self


@pytest.mark.parametrize("abstain", [False, True])
def test_scores_that_are_no_numbers_are_an_error_on_every_road(tiny_bundle, photos, abstain):
    with_thresholds(tiny_bundle)
    predictor = replace(assay.load(tiny_bundle), engine=NanEngine())
    photo = photos / "circle" / "0.png"
    called, walked = predictor(photo, abstain=abstain), next(predictor.predict([photo], abstain=abstain))
    for told in (called, walked, *predictor.answer([np.array(Image.open(photo))])):
        assert told.error == "the network's scores are not finite numbers"
        assert (told.label, told.size_hw, told.doubt) == (None, (64, 64), None)


def test_scores_of_another_shape_are_told(predictor, photos):
    two = replace(predictor, card=replace(predictor.card, classes=ClassNames(["a", "b"])))
    with pytest.raises(ModelError, match="do not fit 1 pictures and 2 classes"):
        two(photos / "circle" / "0.png")


def test_answering_imports_neither_torch_nor_arrow(tiny_bundle, photos):
    photo = photos / "circle" / "0.png"
    code = (
        "import sys, assay\n"
        f"assay.load({str(tiny_bundle)!r})({str(photo)!r})\n"
        "heavy = {'torch', 'torchvision', 'timm', 'accelerate', 'pyarrow', 'onnx', 'rich', 'jinja2'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("parity", "limit"),
    [
        ({}, 1e-3),
        ({"onnx": {"tolerance": 0.01}}, 0.01),
        ({"onnx": {"tolerance": 1e-5}}, 1e-3),
        ({"onnx": {"tolerance": None}}, 1e-3),
        ({"onnx": {"tolerance": True}}, 1e-3),
        ({"onnx": "yes"}, 1e-3),
    ],
)
def test_what_golden_pictures_may_differ_by(predictor, parity, limit):
    assert golden_limit(replace(predictor.card, parity=parity)) == limit


def with_thresholds(path, *, temperature=None, without=(), **changes):
    """The tiny Bundle with thresholds fitted on made-up pictures."""
    from assay.decide.abstention import fit_abstention
    from assay.decide.stored import to_parts
    from assay.verb_configs import AbstainConfig

    bundle = load_bundle(path)
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 300)
    logits = (6 * np.eye(3)[targets] + rng.standard_normal((300, 3))).astype(np.float32)
    embedding = rng.standard_normal((300, 3)).astype(np.float32)
    fitted = fit_abstention(
        logits, embedding, targets, None, (logits, embedding), temperature or bundle.card.temperature,
        AbstainConfig(), classes=bundle.card.classes,
    )  # fmt: skip
    plain, data = to_parts(fitted)
    members = {name: bundle.member(name) for name in ("network.onnx", "golden.safetensors")}
    members["abstention.safetensors"] = data
    card = replace(bundle.card, thresholds={"abstention": {**plain, **changes}})
    save_bundle(path, card, {name: data for name, data in members.items() if name not in without})
    return fitted


def test_a_bundle_with_thresholds_abstains(tiny_bundle, photos):
    fitted = with_thresholds(tiny_bundle)
    loaded = assay.load(tiny_bundle)
    assert loaded.abstention.digest == fitted.digest
    paths = sorted(photos.rglob("*.png"))
    for prediction in loaded.predict(paths, abstain=True):
        assert prediction.doubt.labels[0] == prediction.label
        assert prediction.doubt.abstains is bool(prediction.doubt.reasons)
    assert loaded(paths[0], abstain=True).doubt is not None
    plain = list(loaded.predict(paths))
    assert all(p.doubt is None for p in plain)
    for ours, theirs in zip(plain, loaded.predict(paths, abstain=True), strict=True):
        np.testing.assert_array_equal(ours.probs, theirs.probs)


def test_thresholds_that_do_not_fit_are_told_when_loading(tiny_bundle):
    with_thresholds(tiny_bundle, temperature=3.0)
    with pytest.raises(BundleError, match=r"tiny\.bundle: the stored thresholds are not valid") as told:
        assay.load(tiny_bundle)
    assert "fitted at temperature 3, the card has 1.5" in told.value.got
    with_thresholds(tiny_bundle, format=9)
    with pytest.raises(BundleError, match="stored thresholds are not valid"):
        assay.load(tiny_bundle)
    with_thresholds(tiny_bundle, without=("abstention.safetensors",))
    with pytest.raises(BundleError, match=r"has no abstention\.safetensors"):
        assay.load(tiny_bundle)
