"""A Bundle of a network of several heads answers without torch: in Python, and on the command line."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import shutil
import subprocess
import sys
import types
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import assay
from assay.answer_words import sentences
from assay.bundle import Card, load_bundle, save_bundle
from assay.cli.outputs.coco_ids import read_ids
from assay.configs import PreprocessConfig
from assay.data.read import read_dataset
from assay.detections import Detections
from assay.drawing import background_of, class_colour
from assay.errors import BundleError, ConfigError, ImageError, ModelError
from assay.labels import ClassNames
from assay.runtime.golden import pack_golden, read_golden, sample
from assay.runtime.load import load_classifier
from assay.types import Prediction, Predictor

THINGS = {(0, 1): "red", (3, 4): "blue", (6, 6): "red"}


@pytest.fixture
def predictor(scene_bundle):
    return assay.load(scene_bundle, threads=1)


@pytest.fixture
def photo(draw_cells):
    return draw_cells("photos/a.png", THINGS)


@pytest.fixture
def photos(draw_cells, photo):
    """Three pictures, one of them without things, and a broken one between them."""
    draw_cells("photos/b.png", {})
    (photo.parent / "c.png").write_bytes(b"no picture")
    draw_cells("photos/d.png", {(1, 1): "blue"}, scale=3)
    return photo.parent


def same(a, b):
    """Whether two answers are equal bit for bit, but for rounding between batches."""
    np.testing.assert_allclose(a.probs, b.probs, atol=1e-6)
    np.testing.assert_allclose(a.tags, b.tags, atol=1e-6)
    np.testing.assert_allclose(a.boxes.boxes_xyxy, b.boxes.boxes_xyxy, atol=1e-4)
    assert a.boxes.labels.tolist() == b.boxes.labels.tolist()
    assert [m and m.counts for m in a.masks] == [m and m.counts for m in b.masks]
    np.testing.assert_array_equal(a.pixels, b.pixels)


def test_everything_is_told_of_a_photo(predictor, photo):
    found = predictor(photo)
    assert isinstance(found, Prediction)
    assert found.label == "warm"
    assert found.tags.round(2).tolist() == [1.0, 1.0]
    names = [found.object_classes[i] for i in found.boxes.cls]
    boxes = {(name, tuple(box)) for name, box in zip(names, found.boxes.xyxy.round(3).tolist(), strict=True)}
    assert boxes == {("red", (8, 0, 16, 8)), ("blue", (32, 24, 40, 32)), ("red", (48, 48, 56, 56))}
    assert found.boxes.conf.min() > 0.99
    for mask, box in zip(found.masks, found.boxes.xyxy, strict=True):
        np.testing.assert_allclose(mask.box_xyxy, box, atol=1)
    assert found.pixels.shape == found.size_hw == (64, 64)
    assert [found.pixels[4, 12], found.pixels[28, 36], found.pixels[20, 20]] == [1, 2, 0]


def test_it_is_a_predictor_with_card_and_name(predictor, scene_bundle):
    assert isinstance(predictor, Predictor)
    assert list(predictor.classes) == ["warm", "cold"]
    assert (predictor.name, predictor.path) == ("cells", scene_bundle)
    assert predictor.digest == load_bundle(scene_bundle).digest
    assert repr(predictor) == "BundleScenePredictor('cells', class, tags, boxes, masks, pixels, 64 px)"


def test_all_ways_of_giving_a_photo_agree(predictor, photo):
    with Image.open(photo) as image:
        ways = [str(photo), photo.read_bytes(), image, np.asarray(image)]
        for way in ways:
            same(predictor(photo), predictor(way))


def test_predict_and_call_agree(predictor, photos):
    found = list(predictor.predict(photos, batch=2, workers=2))
    assert [p.path for p in found] == [str(photos / f"{name}.png") for name in "abcd"]
    assert [p.error is None for p in found] == [True, True, False, True]
    for answer in (found[0], found[1], found[3]):
        same(answer, predictor(answer.path))
    assert len(found[1].boxes) == 0
    with pytest.raises(ImageError, match=r"c\.png"):
        predictor(photos / "c.png")


def test_boxes_are_in_pixels_of_the_picture(predictor, photos):
    found = predictor(photos / "d.png")
    assert found.size_hw == (192, 192)
    np.testing.assert_allclose(found.boxes.xyxy, [[24, 24, 48, 48]], atol=1e-3)
    assert found.masks[0].size_hw == found.pixels.shape == (192, 192)


def test_the_score_from_which_things_are_told(predictor, scene_bundle, draw_cells):
    """A cell that is red in part scores 0.1; the card's threshold is 0.5."""
    photo = draw_cells("half.png", {(2, 2): "red"})
    pixels = np.array(Image.open(photo))
    pixels[16:24, 19:24] = 128
    assert len(predictor(pixels).boxes) == 0
    assert len(predictor(pixels, least_score=0.01).boxes) == 1
    strict = replace(predictor, card=replace(predictor.card, thresholds={"boxes": {"score": 0.05}}))
    assert len(strict(pixels).boxes) == 1
    for score in (1.0, -0.1, float("nan")):
        with pytest.raises(ConfigError, match="least_score is"):
            predictor(photo, least_score=score)
        with pytest.raises(ConfigError, match="least_score is"):
            predictor.predict([photo], least_score=score)


def test_what_is_not_wanted_is_left_out(predictor, photo):
    found = predictor(photo, masks=False, pixels=False)
    assert set(found.masks) == {None}
    assert found.pixels is None
    assert len(found.boxes) == 3


def test_features(predictor, photo):
    assert predictor.embed(photo).shape == (2,)


def test_a_classifier_is_what_some_ask_for(scene_bundle, tiny_bundle):
    assert load_classifier(tiny_bundle).name == "tiny"
    with pytest.raises(ConfigError, match=r"cells\.bundle is no classifier's Bundle") as told:
        load_classifier(scene_bundle)
    assert "class, tags, boxes, masks, pixels" in told.value.got


@pytest.mark.parametrize(
    "change",
    [
        {"object_classes": ClassNames(["red", "blue", "green"])},
        {"pixel_classes": ClassNames(["background", "red"])},
        {"classes": ClassNames(["warm"])},
        {"heads": ["class", "tags", "boxes", "masks"]},
        {"heads": ["class", "tags", "boxes", "pixels"]},
    ],
)
def test_a_card_that_does_not_fit_the_network(scene_bundle, change):
    bundle = load_bundle(scene_bundle)
    model = {**bundle.card.model, "heads": change.pop("heads", bundle.card.heads)}
    members = {name: bundle.member(name) for name in ("network.onnx", "golden.safetensors")}
    save_bundle(scene_bundle, replace(bundle.card, model=model, **change), members)
    with pytest.raises(
        BundleError, match=r"cells\.bundle: the network's outputs do not fit the card"
    ) as told:
        assay.load(scene_bundle)
    assert "boxes (2 classes)" in told.value.got


def test_a_classifiers_card_on_a_network_of_several_heads(scene_bundle, tiny_bundle):
    bundle, card = load_bundle(scene_bundle), load_bundle(tiny_bundle).card
    card = replace(card, preprocess=bundle.card.preprocess)
    pixels, _ = read_golden(bundle.member("golden.safetensors"), bundle.card)
    golden = pack_golden(pixels, np.zeros((2, 3), np.float32))
    save_bundle(
        scene_bundle, card, {"network.onnx": bundle.member("network.onnx"), "golden.safetensors": golden}
    )
    with pytest.raises(BundleError, match="the network's outputs do not fit the card"):
        assay.load(scene_bundle)


def test_another_answer_than_the_checkpoints_is_noticed(scene_bundle):
    bundle = load_bundle(scene_bundle)
    pixels, answers = read_golden(bundle.member("golden.safetensors"), bundle.card)
    graph = bundle.member("network.onnx")
    for name in ("boxes_distances", "pixel_logits"):
        wrong = {**answers, name: answers[name] + 0.1}
        save_bundle(
            scene_bundle,
            bundle.card,
            {"network.onnx": graph, "golden.safetensors": pack_golden(pixels, wrong)},
        )
        with pytest.raises(BundleError, match="does not answer here as it did") as told:
            assay.load(scene_bundle)
        assert f"{name}: values differ by 0." in told.value.got
    fewer = pack_golden(pixels, {name: value for name, value in answers.items() if name != "prototypes"})
    save_bundle(scene_bundle, bundle.card, {"network.onnx": graph, "golden.safetensors": fewer})
    with pytest.raises(BundleError, match="does not fit the classes") as told:
        assay.load(scene_bundle)
    assert "prototypes" in told.value.got


def test_a_sample_meets_every_place_of_every_axis():
    values = np.arange(2 * 64 * 64 * 12, dtype=np.float32).reshape(2, 64, 64, 12)
    kept = sample(values)
    assert kept.shape[0] == 2
    assert 2000 < kept.shape[1] <= 4096
    places = np.unravel_index(kept[0].astype(int), (64, 64, 12))
    assert [len(set(axis.tolist())) for axis in places] == [64, 64, 12]
    np.testing.assert_array_equal(sample(values[:, :2, :2]), values[:, :2, :2].reshape(2, -1))


def test_logits_of_a_classifier_are_kept_whole():
    """As in Bundles of earlier versions, however many classes there are."""
    logits = np.random.default_rng(0).standard_normal((2, 5000)).astype(np.float32)
    card = Card(ClassNames(map(str, range(5000))), PreprocessConfig(size=16), {"model": "cnn", "channels": 3})
    data = pack_golden(np.zeros((2, 16, 16, 3), np.uint8), logits)
    np.testing.assert_array_equal(read_golden(data, card)[1]["logits"], logits)


def test_answering_imports_neither_torch_nor_arrow(scene_bundle, photo):
    code = (
        "import sys, assay\n"
        f"assay.load({str(scene_bundle)!r})({str(photo)!r}).to_json()\n"
        "heavy = {'torch', 'torchvision', 'timm', 'accelerate', 'pyarrow', 'onnx', 'rich', 'jinja2'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"


def test_coco_results(predictor, photo):
    found = predictor(photo)
    rows = found.to_coco(7)
    assert [row["image_id"] for row in rows] == [7, 7, 7]
    assert {row["category_id"] for row in found.to_coco(7, [90, 80])} == {80, 90}
    assert all(len(row["bbox"]) == 4 and row["segmentation"]["size"] == [64, 64] for row in rows)
    with pytest.raises(ConfigError, match="one category number for each class"):
        found.to_coco(7, [1])
    assert replace(found, boxes=None).to_coco(7) == []


def test_a_bridge_to_supervision(predictor, photo, monkeypatch):
    found = predictor(photo)
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ConfigError, match="needs the package supervision") as told:
        found.to_supervision()
    assert told.value.fix == "pip install supervision"
    fake = types.ModuleType("supervision")
    fake.Detections = lambda **given: given
    monkeypatch.setitem(sys.modules, "supervision", fake)
    given = found.to_supervision()
    assert (given["xyxy"].shape, given["xyxy"].dtype) == ((3, 4), np.float32)
    assert (given["mask"].shape, given["mask"].dtype) == ((3, 64, 64), bool)
    assert given["class_id"].tolist() == found.boxes.cls.tolist()
    assert given["confidence"].tolist() == found.boxes.conf.tolist()
    assert given["data"]["class_name"].tolist() == [found.object_classes[i] for i in found.boxes.cls]
    assert predictor(photo, masks=False).to_supervision()["mask"] is None
    with pytest.raises(ConfigError, match="has no boxes"):
        replace(found, boxes=None).to_supervision()


def test_plot_draws_what_was_found(predictor, photos):
    found = predictor(photos / "d.png")
    plain, drawn = Image.open(photos / "d.png"), found.plot()
    assert drawn.width >= 240
    assert drawn.height > drawn.width
    assert not np.array_equal(np.asarray(drawn.resize(plain.size)), np.asarray(plain))
    picture = np.asarray(plain.resize((480, 480)))
    large = predictor(picture)
    sheet = np.asarray(large.plot(picture))
    assert sheet.shape[1] == 480
    box = large.boxes.xyxy[0].round().astype(int)
    assert (sheet[box[1] + 20 : box[3] - 4, box[0]] == class_colour(1)).all(axis=1).mean() > 0.9
    legend = sheet[480:].reshape(-1, 3)
    assert (legend == class_colour(1)).all(axis=1).sum() > 50  # the swatch of the class of pixels
    with pytest.raises(ConfigError, match="differ in size"):
        large.plot(picture[:400])
    bare = replace(large, boxes=None, pixels=None, tags=None, path=str(photos / "a.png")).plot(picture)
    np.testing.assert_array_equal(np.asarray(bare)[:480], picture)


def test_no_colour_for_the_background():
    assert background_of(ClassNames(["shirt", "Background"])) == 1
    assert background_of(ClassNames(["sky", "sea"])) is None


def test_sentences():
    classes, things = ClassNames(["mug", "bowl"]), ClassNames(["cup", "shoe"])
    found = Prediction(
        "a.jpg",
        classes,
        np.array([0.98, 0.02], np.float32),
        (4, 4),
        tags=np.array([0.2, 0.7], np.float32),
        boxes=Detections(
            np.array([[0, 0, 2, 2], [1, 1, 3, 3.0]]), np.array([0, 1]), np.array([0.97, 0.4], np.float32)
        ),
        pixels=np.array([[0, 0], [0, 1]], np.uint8),
        object_classes=things,
        pixel_classes=things,
    )
    assert sentences(found) == [
        "mug 98 %",
        "tags: bowl 70 %",
        "2 things: cup .97, shoe .40",
        "pixels: cup 75 %, shoe 25 %",
    ]
    assert sentences(found, top=2, tag_score=0.9)[:2] == ["mug 98 %, bowl 2 %", "no tags"]
    assert sentences(replace(found, boxes=Detections.none()))[2] == "no things"
    many = Detections(np.tile([0.0, 0, 2, 2], (20, 1)), np.zeros(20, int), np.ones(20, np.float32))
    assert sentences(replace(found, boxes=many))[2].startswith("20 things: cup 1.00, ")
    assert sentences(replace(found, boxes=many))[2].endswith(", ...")


def test_text(cli, scene_bundle, photos):
    done = cli("predict", scene_bundle, photos)
    lines = done.out.splitlines()
    assert done.code == 1
    assert lines[0].startswith(f"{photos / 'a.png'}  warm 52 %; tags: warm 100 %, cold 100 %; 3 things: ")
    assert lines[0].endswith("; pixels: background 93 %, red 4 %, blue 2 %")
    assert "; no tags; no things; " in lines[1]
    first, last = done.err.splitlines()
    assert first.startswith(f"error: {photos / 'c.png'} is not a picture")
    assert last == "3 of 4 pictures answered, 1 could not be read"
    assert "no things" in cli("predict", scene_bundle, photos / "a.png", "--least-score", "0.9999999").out


def test_json_lines(cli, scene_bundle, photos):
    done = cli("predict", scene_bundle, photos, "--json")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert (done.code, done.err) == (1, "")
    assert set(rows[0]) == {"path", "label", "confidence", "top", "tags", "boxes", "pixels", "size_hw"}
    assert set(rows[0]["boxes"][0]) == {"label", "score", "box_xyxy", "mask"}
    assert set(rows[2]) == {"path", "error"}


def test_csv_has_a_row_a_thing(cli, scene_bundle, photos, tmp_path):
    table = tmp_path / "answers.csv"
    assert cli("predict", scene_bundle, photos, "--csv", table).code == 1
    rows = list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8"))))
    assert list(rows[0]) == [
        *("path", "label", "confidence", "tags", "thing", "thing_label", "score", "x1", "y1", "x2", "y2"),
        *("mask_px", "pixels", "height", "width", "error"),
    ]
    assert [row["path"][-5] for row in rows] == list("aaabcd")
    assert [row["thing"] for row in rows] == ["1", "2", "3", "", "", "1"]
    assert {row["thing_label"] for row in rows[:3]} == {"red", "blue"}
    assert rows[5]["x1"] == "24.00"
    assert rows[0]["tags"] == "warm|cold"
    assert rows[3]["pixels"] == "background=1.000000"
    assert "not a picture" in rows[4]["error"]


def test_coco_file(cli, scene_bundle, photos, tmp_path):
    """A data set of its own, and results for COCO's tools."""
    place = tmp_path / "found.json"
    assert cli("predict", scene_bundle, photos, "--coco", place).code == 1
    told = json.loads(place.read_text(encoding="utf-8"))
    assert [row["file_name"] for row in told["images"]] == ["photos/a.png", "photos/b.png", "photos/d.png"]
    assert told["categories"] == [{"id": 1, "name": "red"}, {"id": 2, "name": "blue"}]
    assert len(told["annotations"]) == 4
    assert {"image_id", "category_id", "bbox", "score", "segmentation"} <= set(told["annotations"][0])
    data = read_dataset(place)
    assert [len(sample.objects) for sample in data] == [3, 0, 1]
    assert data[2].objects.masks[0].area == told["annotations"][3]["area"]


def written_truth(place, told, names, ids=(900, 33, 7), numbers=(17, 4)):
    """What was found as the truth of a file with numbers and file names of its own, and a picture more."""
    key = dict(zip((row["id"] for row in told["images"]), ids, strict=True))
    images = [
        row | {"id": key[row["id"]], "file_name": name}
        for row, name in zip(told["images"], names, strict=True)
    ]
    rows = [
        row | {"image_id": key[row["image_id"]], "category_id": numbers[row["category_id"] - 1]}
        for row in told["annotations"]
    ]
    categories = [{"id": 90, "name": "no such"}, {"id": 4, "name": "blue"}, {"id": 17, "name": "red"}]
    images.append({"id": 1, "file_name": "else/where.png", "height": 8, "width": 8})
    place.write_text(json.dumps({"images": images, "categories": categories, "annotations": rows}))
    return place


def scored(truth, annotations):
    """AP50-95 by pycocotools."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO(truth)
        run = COCOeval(gt, gt.loadRes(annotations), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run.stats[0]


@pytest.mark.parametrize(
    "names",
    [
        ["a.png", "b.png", "d.png"],
        ["photos/a.png", "./photos/b.png", "old\\\\photos\\\\d.png"],
        ["val/x/a.png", "val/x/b.png", "val/x/d.png"],
    ],
)
def test_answers_have_the_numbers_of_the_users_file(cli, scene_bundle, photos, tmp_path, names):
    """COCO's own tools score them against that file."""
    assert cli("predict", scene_bundle, photos, "--coco", tmp_path / "plain.json").code == 1
    told = json.loads((tmp_path / "plain.json").read_text(encoding="utf-8"))
    truth = written_truth(tmp_path / "truth.json", told, names)
    done = cli("predict", scene_bundle, photos, "--coco", tmp_path / "f.json", "--coco-ids", truth)
    assert (done.code, "left out" in done.err) == (1, False)
    found = json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))
    assert found["categories"] == [{"id": 17, "name": "red"}, {"id": 4, "name": "blue"}]
    assert [(row["id"], row["file_name"]) for row in found["images"]] == [
        (900, "photos/a.png"),
        (33, "photos/b.png"),
        (7, "photos/d.png"),
    ]
    assert {row["image_id"] for row in found["annotations"]} == {900, 7}
    assert scored(truth, found["annotations"]) == pytest.approx(1)
    assert [len(sample.objects) for sample in read_dataset(tmp_path / "f.json")] == [3, 0, 1]


def test_pictures_that_the_users_file_does_not_list_are_told(
    cli, scene_bundle, photos, tmp_path, monkeypatch
):
    """Also when the walk is taken up, by then some were left out and some numbers were given."""
    from assay.cli.commands import predict
    from assay.cli.outputs import ledger

    assert cli("predict", scene_bundle, photos, "--coco", tmp_path / "plain.json").code == 1
    told = json.loads((tmp_path / "plain.json").read_text(encoding="utf-8"))
    truth = written_truth(tmp_path / "truth.json", told, ["e.png", "b.png", "d.png"])
    (photos / "z").mkdir()
    shutil.copy(photos / "d.png", photos / "z" / "d.png")  # of the two the first has the number
    files = [tmp_path / "f.json", tmp_path / "g.json"]
    words = ["predict", scene_bundle, photos, "--coco-ids", truth, "--quiet", "--batch", "1", "--coco"]
    done = cli(*words, files[0])
    expected = f"warning: 2 pictures have no image of their own in {truth} (compared by file name) and are left out of"
    assert expected in done.err
    assert f"{photos / 'a.png'}, {photos / 'z' / 'd.png'}" in done.err
    shown = predict._shown

    def breaking(answers, *rest):
        for i, answer in enumerate(shown(answers, *rest)):
            if i == 4:
                raise ModelError("the network failed")
            yield answer

    monkeypatch.setattr(ledger, "_EVERY_S", 0.0)
    with monkeypatch.context() as patched:
        patched.setattr(predict, "_shown", breaking)
        assert "4 pictures are kept" in cli(*words, files[1]).err
    other = written_truth(tmp_path / "other.json", told, ["a.png", "b.png", "d.png"])
    refused = cli(*[other if word == truth else word for word in words], files[1], "--resume")
    assert (refused.code, "coco_ids was" in refused.err) == (2, True)
    assert expected in cli(*words, files[1], "--resume").err
    assert files[0].read_bytes() == files[1].read_bytes()
    found = json.loads(files[0].read_text(encoding="utf-8"))
    assert [row["id"] for row in found["images"]] == [33, 7]
    assert len(found["annotations"]) == 1


@pytest.mark.parametrize(
    ("truth", "told"),
    [
        ("{", "truth.json line 1"),
        ({"annotations": []}, "lists no images"),
        ({"images": []}, "has no category for 2 of the network's 2 classes"),
        ({"categories": [{"id": 1, "name": "red"}, {"id": 2, "name": "Blue"}]}, "did you mean Blue?"),
        ({"categories": [{"id": i, "name": n} for i, n in enumerate(("red", "blue", "red"))]}, "two categories"),
        ({"categories": [{"id": "a", "name": "red"}, {"id": 2, "name": "blue"}]}, "no whole number"),
        ({"images": [{"id": "x", "file_name": "a.png"}]}, "image x: its id is no whole number"),
    ],
)  # fmt: skip
def test_a_file_of_numbers_that_does_not_fit_is_told_before_anything_is_answered(
    cli, scene_bundle, photos, tmp_path, truth, told
):
    place = tmp_path / "truth.json"
    if isinstance(truth, dict) and "annotations" not in truth:
        truth = {"images": [], **truth}
    place.write_text(truth if isinstance(truth, str) else json.dumps(truth))
    done = cli("predict", scene_bundle, photos, "--coco", tmp_path / "f.json", "--coco-ids", place)
    assert (done.code, done.out) == (2, "")
    assert told in done.err
    assert not (tmp_path / "f.json").exists()


def test_numbers_are_for_a_coco_file_alone(cli, scene_bundle, tiny_bundle, photos, tmp_path):
    done = cli("predict", scene_bundle, photos, "--coco-ids", tmp_path / "no.json")
    assert (done.code, "--coco-ids says how --coco is numbered" in done.err) == (2, True)
    done = cli(
        "predict", scene_bundle, photos, "--coco-ids", tmp_path / "no.json", "--coco", tmp_path / "f.json"
    )
    assert (done.code, "no.json cannot be read" in done.err) == (2, True)


def test_a_picture_of_the_users_file_is_found_by_its_name(tmp_path):
    names = ["a.jpg", "sub/a.jpg", "val/b.jpg", "val/c.jpg", "test/c.jpg", str(tmp_path / "far" / "c.jpg")]
    told = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(names)] + [{"id": 77}],
        "categories": [{"id": 3, "name": "Tür"}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(told))
    (tmp_path / "other").mkdir()
    ids = read_ids(tmp_path / "truth.json", ClassNames(["Tür"]), [tmp_path / "other", "photos.zip"])
    assert ids.categories == (3,)
    found = {
        str(tmp_path / "a.jpg"): 0,  # beside the file, though another one ends in a.jpg
        str(tmp_path / "other" / "sub" / "a.jpg"): 1,
        str(tmp_path / "other" / "a.jpg"): 0,
        str(tmp_path / "b.jpg"): 2,
        str(tmp_path / "z" / "test" / "c.jpg"): 4,
        str(tmp_path / "far" / "c.jpg"): 5,
        str(tmp_path / "c.jpg"): None,
        str(tmp_path / "z" / "a.jpg"): None,
        str(tmp_path / "d.jpg"): None,
    }
    assert {name: ids.image(name) for name in found} == found
    assert ids.image("photos.zip/val/c.jpg", is_file=False) == 3


def test_annotated_pictures(cli, scene_bundle, photos, tmp_path):
    assert cli("predict", scene_bundle, photos, "--out", tmp_path / "out").code == 1
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a.png.jpg", "b.png.jpg", "d.png.jpg"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--abstain"], "--abstain holds back the class of a picture"),
        (["--least-score", "1"], "--least-score needs a number from 0"),
        (["--batch", "0"], "--batch needs at least 1"),
    ],
)
def test_wrong_usage(cli, scene_bundle, photos, words, told):
    done = cli("predict", scene_bundle, photos, *words)
    assert done.code == 2
    assert told in done.err
    assert done.out == ""


def test_options_of_things_mean_nothing_to_a_classifier(cli, tiny_bundle, photos, tmp_path):
    for words in (["--coco", tmp_path / "x.json"], ["--least-score", "0.3"]):
        done = cli("predict", tiny_bundle, photos, *words)
        assert done.code == 2
        assert "is for networks that find things" in done.err
    assert not (tmp_path / "x.json").exists()
