"""Models in sequence: what a pipeline file may say, and what comes out."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.unit.test_live import Hand

import assay
from assay.bundle import load_bundle, save_bundle
from assay.configs import HEADS
from assay.errors import BundleError, ConfigError
from assay.runtime.pipeline_file import read_steps
from assay.runtime.sequence import SequencePredictor
from assay.types import NO_CLASSES, Predictor

FIND = '[[step]]\nname = "find"\nmodel = "cells.bundle"\n'
KIND = '[[step]]\nname = "kind"\nmodel = "tiny.bundle"\ncrops_of = "find"\n'
"""tiny.bundle tells red things (circle), blue ones (square) and green ones apart."""
THINGS = {(0, 1): "red", (3, 4): "blue", (6, 6): "red"}


@pytest.fixture
def write(scene_bundle, tiny_bundle, tmp_path):
    """``write(FIND + KIND)``: the file, beside both Bundles."""

    def file(text, name="shop.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return file


@pytest.fixture
def photo(draw_cells):
    return draw_cells("photos/a.png", THINGS, scale=2)


@pytest.fixture
def photos(draw_cells, photo):
    draw_cells("photos/b.png", {})
    (photo.parent / "c.png").write_bytes(b"no picture")
    for i in range(6):
        draw_cells(f"photos/d{i}.png", {(i, i): "blue"}, scale=3)
    return photo.parent


def keep_heads(path, *heads):
    """The Bundle again, with a network that tells only these."""
    import onnx

    bundle = load_bundle(path)
    of = {
        "class": ["class_logits"],
        "tags": ["tag_logits"],
        "pixels": ["pixel_logits"],
        "masks": ["prototypes"],
    }
    of["boxes"] = ["boxes_class_logits", "boxes_distances"]
    of["masks"].append("boxes_coefficients")
    names = [name for head in heads for name in of[head]]
    proto = onnx.load_from_string(bundle.member("network.onnx"))
    ends = [end for end in proto.graph.output if end.name in names]
    del proto.graph.output[:]
    proto.graph.output.extend(ends)
    card = replace(
        bundle.card,
        model={**bundle.card.model, "heads": [head for head in HEADS if head in heads]},
        classes=bundle.card.classes if {"class", "tags"} & set(heads) else NO_CLASSES,
        object_classes=bundle.card.object_classes if "boxes" in heads else NO_CLASSES,
        pixel_classes=bundle.card.pixel_classes if "pixels" in heads else NO_CLASSES,
    )
    from safetensors.numpy import load, save

    golden = load(bundle.member("golden.safetensors"))
    kept = save({name: value for name, value in golden.items() if name in ("pixels", *names)})
    save_bundle(path, card, {"network.onnx": proto.SerializeToString(), "golden.safetensors": kept})


def test_each_thing_gets_the_answer_of_the_second_model(write, photo):
    shop = assay.load(write(FIND + KIND))
    found = shop(photo)
    assert isinstance(shop, SequencePredictor)
    assert isinstance(shop, Predictor)
    kinds = {"red": "circle", "blue": "square"}
    assert len(found.crops["kind"]) == len(found.boxes) == 3
    for box, label, crop in zip(found.boxes.xyxy, found.boxes.labels, found.crops["kind"], strict=True):
        assert crop.label == kinds[found.object_classes[label]]
        assert crop.confidence > 0.9
        assert (crop.origin_xy, crop.size_hw) == (tuple(box[:2].round()), (16, 16))
    assert found.label == "warm"
    assert found.pixels.shape == (128, 128)


def test_the_order_in_the_file_does_not_matter(write, photo):
    one, other = (assay.load(write(text)) for text in (FIND + KIND, KIND + FIND))
    assert repr(one) == repr(other) == "SequencePredictor('shop', find, kind of find)"
    assert one.digest == other.digest
    assert one(photo).to_json() == other(photo).to_json()


def test_only_things_of_the_named_classes_are_looked_at(write, photo):
    found = assay.load(write(FIND + KIND + 'classes = ["blue"]\n'))(photo)
    told = [None if crop is None else crop.label for crop in found.crops["kind"]]
    assert sorted(map(str, told)) == ["None", "None", "square"]
    assert told.index("square") == found.boxes.labels.tolist().index(1)


def test_the_margin_is_that_of_assay_crops(write, photo):
    found = assay.load(write(FIND + KIND + "margin = 0.25\n"))(photo)
    sizes = {crop.origin_xy: crop.size_hw for crop in found.crops["kind"]}
    assert sizes == {(12, 0): (20, 24), (60, 44): (24, 24), (92, 92): (24, 24)}  # cut off at the upper border


def test_relabelled_things_have_the_second_models_classes(write, photo):
    shop = assay.load(write(FIND + KIND + 'classes = ["red"]\nrelabel = true\n'))
    found = shop(photo)
    assert list(shop.card.object_classes) == ["blue", "circle", "square", "größer 三角"]
    assert found.object_classes == shop.card.object_classes
    names = [found.object_classes[i] for i in found.boxes.labels]
    assert sorted(names) == ["blue", "circle", "circle"]
    assert (np.diff(found.boxes.scores) <= 0).all()
    plain = assay.load(write(FIND + KIND))(photo)
    finds = {tuple(box): score for box, score in zip(plain.boxes.xyxy, plain.boxes.scores, strict=True)}
    for i, (box, score) in enumerate(zip(found.boxes.xyxy, found.boxes.scores, strict=True)):
        crop = found.crops["kind"][i]
        assert (crop is None) == (names[i] == "blue")
        expected = finds[tuple(box)] * (1 if crop is None else crop.confidence)
        assert score == pytest.approx(expected, rel=1e-6)
        assert crop is None or crop.origin_xy == tuple(box[:2].round())
        assert found.masks[i].box_xyxy[:2] == pytest.approx(box[:2], abs=2)


def unsure(path, temperature):
    """The Bundle again, less sure of everything."""
    bundle = load_bundle(path)
    members = {name: bundle.member(name) for name in ("network.onnx", "golden.safetensors")}
    save_bundle(path, replace(bundle.card, temperature=temperature), members)


def seen(found):
    """What is told of each thing: box, class, score, its mask's corner, and its crop's class."""
    crops = found.crops["kind"]
    assert len(crops) == len(found.masks) == len(found.boxes)
    return [
        (
            tuple(box),
            found.object_classes[int(label)],
            float(score),
            tuple(mask.box_xyxy[:2]),
            crop and crop.label,
        )
        for box, label, score, mask, crop in zip(
            found.boxes.xyxy, found.boxes.labels, found.boxes.scores, found.masks, crops, strict=True
        )
    ]


@pytest.mark.parametrize("within", ["", 'classes = ["red"]\n'])
def test_the_least_score_holds_for_the_product(write, tiny_bundle, draw_cells, within):
    """Who asks for all and filters is left with what is told at once, as ``evaluate`` and ``predict`` do."""
    unsure(tiny_bundle, 20.0)
    photo = draw_cells("a.png", THINGS | {(1, 6): "red", (6, 1): "blue"})
    pixels = np.array(Image.open(photo))
    for rows, left in ((slice(0, 8), 13), (slice(8, 16), 52), (slice(48, 56), 12)):
        pixels[rows, left : left + 4] = 128  # cells that are in part grey score less
    Image.fromarray(pixels).save(photo)
    shop = assay.load(write(FIND + KIND + "relabel = true\n" + within))
    whole, told = shop(pixels, least_score=0.01), shop(pixels)
    least = shop.card.thresholds["boxes"]["score"]
    plain = assay.load(write(FIND + KIND))(pixels)
    assert len(plain.boxes) > len(told.boxes) > 0  # else nothing is shown
    assert seen(told) == [one for one in seen(whole) if one[2] >= least]
    assert told.boxes.scores.min() >= least
    stepped = assay.load(write(FIND + "least_score = 0.7\n" + KIND + "relabel = true\n" + within))
    walked = next(shop.predict([photo], least_score=0.7))
    for found in (shop(pixels, least_score=0.7), walked, stepped(pixels)):
        assert seen(found) == [one for one in seen(whole) if one[2] >= 0.7]


def test_evaluate_and_predict_tell_the_same_relabelled_things(cli, write, tiny_bundle, photos, tmp_path):
    """Measured against what is told, nothing is missed and nothing is wrong."""
    unsure(tiny_bundle, 20.0)
    file = write(FIND + KIND + "relabel = true\n")
    (photos / "c.png").unlink()
    halved = np.array(Image.open(photos / "d2.png"))
    halved[48:72, 60:72] = 128
    Image.fromarray(halved).save(photos / "d2.png")
    for score in ((), ("--score", "0.6")):
        told = tmp_path / f"truth{len(score)}.json"
        least = [word.replace("--", "--least-") for word in score]
        assert cli("predict", file, photos, "--coco", told, *least).code == 0
        done = cli("evaluate", file, told, "--part", "all", "--draws", "5", "--json", *score)
        assert done.code == 0, done.err
        metrics = json.loads(done.out)["metrics"]
        assert (metrics["boxes.precision"]["value"], metrics["boxes.recall"]["value"]) == (1, 1)


def test_predict_and_call_agree(write, photos):
    shop = assay.load(write(FIND + KIND))
    found = list(shop.predict(photos, batch=2, workers=2))
    names = ["a", "b", "c", *(f"d{i}" for i in range(6))]
    assert [p.path for p in found] == [str(photos / f"{name}.png") for name in names]
    assert [p.error is None for p in found] == [name != "c" for name in names]
    for answer in found:
        if answer.error is None:
            once = shop(answer.path)
            assert [c.label for c in answer.crops["kind"]] == [c.label for c in once.crops["kind"]]
            np.testing.assert_allclose(answer.boxes.xyxy, once.boxes.xyxy, atol=1e-4)
    assert found[1].crops == {"kind": ()}
    assert found[2].crops == {}


def decoded_smaller(path):
    """The Bundle again, with JPEG files decoded smaller."""
    bundle = load_bundle(path)
    card = replace(bundle.card, preprocess=replace(bundle.card.preprocess, decode="scaled"))
    save_bundle(path, card, {name: bundle.member(name) for name in ("network.onnx", "golden.safetensors")})


@pytest.mark.parametrize("relabel", ["", "relabel = true\n"])
def test_a_call_and_predict_and_the_command_give_equal_tensors(
    write, scene_bundle, tiny_bundle, draw_cells, tmp_path, cli, relabel
):
    """Bundles that decode JPEG files smaller do so on every road, and things are cut from all pixels on every road."""
    grain = np.random.default_rng(0).integers(-60, 60, (640, 640, 3))
    drawn = np.array(Image.open(draw_cells("a.png", THINGS, scale=10)))
    photo = tmp_path / "a.jpg"
    Image.fromarray(np.clip(drawn + grain, 0, 255).astype(np.uint8)).save(photo, quality=90)
    decoded_smaller(scene_bundle)
    decoded_smaller(tiny_bundle)
    file = write(FIND + KIND + relabel)
    shop = assay.load(file)
    called, walked = shop(photo), next(shop.predict([photo]))
    for told in (called, shop(photo.read_bytes()), shop(str(photo))):
        np.testing.assert_array_equal(told.probs, walked.probs)
        np.testing.assert_array_equal(told.pixels, walked.pixels)
        np.testing.assert_array_equal(told.boxes.xyxy, walked.boxes.xyxy)
        np.testing.assert_array_equal(told.boxes.scores, walked.boxes.scores)
        for mine, theirs in zip(told.crops["kind"], walked.crops["kind"], strict=True):
            np.testing.assert_array_equal(mine.probs, theirs.probs)
    assert len(called.crops["kind"]) == 3
    row = json.loads(cli("predict", file, photo, "--json").out)
    assert [box["score"] for box in row["boxes"]] == [box["score"] for box in called.to_dict()["boxes"]]
    whole = assay.load(file, exact_decode=True)(photo)
    assert not np.array_equal(whole.boxes.scores, called.boxes.scores)  # else nothing was shown
    np.testing.assert_array_equal(shop(np.array(Image.open(photo))).probs, whole.probs)  # pixels are as given


def test_all_pixels_are_decoded_for_cutting_alone(write, draw_cells, monkeypatch):
    def never(_photo):
        raise AssertionError("nothing is cut out")

    monkeypatch.setattr("assay.runtime.sequence.open_photo", never)
    assert len(assay.load(write(FIND))(draw_cells("a.png", THINGS)).boxes) == 3
    assert assay.load(write(FIND + KIND))(draw_cells("b.png", {})).crops == {"kind": ()}


def test_a_generator_is_read_as_it_goes(write, photos):
    shop, read = assay.load(write(FIND + KIND)), []

    def endless():
        while True:
            read.append(1)
            yield photos / "d0.png"

    walk = shop.predict(endless(), batch=2, workers=1)
    for _ in range(3):
        assert next(walk).crops["kind"][0].label == "square"
    walk.close()
    assert len(read) < 30


def test_scores_and_what_is_wanted_reach_every_step(write, photo):
    shop = assay.load(write(FIND + "least_score = 0.9\n" + KIND))
    pixels = np.array(Image.open(photo))
    pixels[:16, 24:32] = 128  # half of the first cell, which then scores 0.76
    assert len(shop(pixels).boxes) == 2
    assert len(shop(pixels, least_score=0.5).boxes) == 3
    assert shop.card.thresholds["boxes"]["score"] == 0.9
    found = shop(photo, least_score=0.5, masks=False, pixels=False)
    assert len(found.boxes) == 3
    assert (set(found.masks), found.pixels) == ({None}, None)
    with pytest.raises(ConfigError, match="least_score is 2"):
        shop.predict([photo], least_score=2)


def test_steps_on_the_whole_picture_are_one_answer(write, scene_bundle, photo, tmp_path):
    (tmp_path / "pixels.bundle").write_bytes(scene_bundle.read_bytes())
    keep_heads(scene_bundle, "boxes", "masks")
    keep_heads(tmp_path / "pixels.bundle", "pixels")
    whole = '[[step]]\nname = "all"\nmodel = "tiny.bundle"\n'
    ground = '[[step]]\nname = "ground"\nmodel = "pixels.bundle"\n'
    shop = assay.load(write(whole + FIND + ground + KIND))
    assert shop.card.heads == ("class", "boxes", "masks", "pixels")
    assert list(shop.classes) == ["circle", "square", "größer 三角"]
    for found in (shop(photo), next(shop.predict([photo]))):
        assert found.label in shop.classes
        assert len(found.crops["kind"]) == len(found.boxes) == 3
        assert found.pixels.max() == 2
        assert (found.object_classes, found.pixel_classes) == (
            shop.card.object_classes,
            shop.card.pixel_classes,
        )


def test_crops_of_crops(write, draw_cells):
    """Cells that are found in the crop of a cell: a network in a network."""
    inner = '[[step]]\nname = "parts"\nmodel = "cells.bundle"\ncrops_of = "find"\nmargin = 0.5\n'
    shop = assay.load(write(FIND + inner + KIND.replace('"find"', '"parts"')))
    found = shop(draw_cells("large.png", {(2, 2): "red"}, scale=8))
    (part,) = found.crops["parts"]
    assert part.size_hw == (128, 128)
    assert len(part.boxes) == 16  # a quarter of the crop's 64 cells
    assert {crop.label for crop in part.crops["kind"]} == {"circle"}
    told = found.to_dict()["boxes"][0]["crops"]["parts"]
    assert told["origin_xy"] == [96, 96]
    assert told["boxes"][0]["crops"]["kind"]["label"] == "circle"


def test_one_model_in_two_steps_is_loaded_once(write, photo):
    shop = assay.load(write(FIND + KIND + KIND.replace('"kind"', '"again"')))
    assert shop.models["kind"] is shop.models["again"]
    assert list(shop(photo).crops) == ["kind", "again"]


def test_no_answer_waits_for_the_next_live_source(write, photo):
    hand = Hand()
    answers = assay.load(write(FIND + KIND)).predict(hand.live())
    for _ in range(2):
        hand.give(photo)
        assert next(answers).crops["kind"]
    hand.give(None)
    assert not list(answers)


def test_command(cli, write, photos, tmp_path):
    file = write(FIND + KIND)
    done = cli("predict", file, photos, "--csv", tmp_path / "t.csv", "--coco", tmp_path / "c.json")
    assert done.code == 1
    assert "red 1.00 (kind: circle 100 %)" in done.out.splitlines()[0]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text(encoding="utf-8"))))
    assert {(row["thing_label"], row["kind"]) for row in rows if row["thing"]} == {
        ("red", "circle"),
        ("blue", "square"),
    }
    assert len(json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))["annotations"]) == 9
    assert cli("predict", file, photos, "--parquet", tmp_path / "t.parquet", "--quiet").code == 1
    things = [
        thing for row in pq.read_table(tmp_path / "t.parquet").to_pylist() for thing in row["things"] or ()
    ]
    kinds = {(thing["label"], thing["steps"]["kind"]["label"]) for thing in things}
    assert kinds == {("red", "circle"), ("blue", "square")}
    assert json.loads(things[0]["steps"]["kind"]["json"])["label"] in ("circle", "square")
    done = cli("predict", file, photos / "a.png", "--json", "--out", tmp_path / "out")
    row = json.loads(done.out)
    assert row["boxes"][0]["crops"]["kind"]["label"] in ("circle", "square")
    with Image.open(tmp_path / "out" / "a.png.jpg") as picture:
        assert picture.width >= 128


def test_it_can_be_measured(cli, write, photos, tmp_path):
    """Against its own answers: all classes, boxes and masks are right."""
    file = write(FIND + KIND + "relabel = true\n")
    (photos / "c.png").unlink()
    assert cli("predict", file, photos, "--coco", tmp_path / "truth.json").code == 0
    done = cli("evaluate", file, tmp_path / "truth.json", "--part", "all", "--draws", "5", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["model"] == "shop"
    for name in ("boxes.ap50_95", "masks.ap50_95"):
        assert told["metrics"][name]["value"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no steps"),
        ("step = 3\n", "has no steps"),
        ("[[step]\n", "is no TOML"),
        ('[[steps]]\nname = "x"\n', "unknown name 'steps'"),
        ('[[step]]\nname = "x"\n', "step 'x' has no model"),
        ('[[step]]\nmodel = "cells.bundle"\n', "step 1 has no name"),
        (FIND + "margn = 1\n", "step 'find' has an unknown name 'margn'"),
        (FIND + 'margin = "wide"\n', "step 'find': margin is 'wide'"),
        (FIND + "margin = 0.1\n", "looks at whole pictures, so margin means nothing"),
        (FIND + KIND + "margin = 9\n", "step 'kind': margin is 9"),
        (FIND + KIND + "classes = []\n", "things of no class"),
        (FIND + KIND + 'classes = "red"\n', "step 'kind': classes is 'red'"),
        (FIND + "least_score = 1\n", "least_score is 1"),
        (FIND + FIND, "two steps are called 'find'"),
        (FIND + KIND.replace('"find"', '"fnd"'), "kind looks at the things of 'fnd', and no step is called so"),
        (KIND.replace('"find"', '"kind"'), "steps wait for each other"),
        (KIND + KIND.replace("find", "kind").replace('name = "kind"', 'name = "find"'), "wait for each other"),
        (FIND.replace("cells", "nothing"), "models are not there"),
        (FIND + KIND + 'classes = ["rd"]\n', "class 'rd', which find does not know"),
        (FIND.replace("cells", "tiny") + KIND, "looks at the things of find, whose model finds none"),
        (FIND + FIND.replace('"find"', '"other"'), "find and other both tell the classes of the whole picture"),
        (
            FIND + KIND + "relabel = true\n" + KIND.replace('"kind"', '"more"') + "relabel = true\n",
            "kind and more both relabel things of class 'red'",
        ),
        (FIND.replace("cells.bundle", "shop.toml"), "find is a pipeline file itself"),
        ("\0", "is no TOML"),
    ],
)  # fmt: skip
def test_mistakes(write, text, told):
    with pytest.raises(ConfigError, match=told) as raised:
        assay.load(write(text))
    assert raised.value.fix
    assert "shop" in raised.value.what


def test_more_mistakes(write, scene_bundle, tmp_path, cli, photo):
    with pytest.raises(ConfigError, match="there is no pipeline file"):
        assay.load(tmp_path / "none.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        assay.load(tmp_path / "folder.toml")
    with pytest.raises(ConfigError, match="did you mean find"):
        read_steps(write(FIND + KIND.replace('"find"', '"fnd"')))
    keep_heads(scene_bundle, "boxes")
    seek = KIND.replace("tiny", "cells") + "relabel = true\n"
    with pytest.raises(ConfigError, match="kind cannot relabel, for its model tells no class"):
        assay.load(write(FIND + seek))
    scene_bundle.write_bytes(scene_bundle.read_bytes()[:-9])
    with pytest.raises(BundleError, match=r"cells\.bundle"):
        assay.load(write(FIND + KIND))
    done = cli("predict", write("[[step]]\n"), photo)
    assert (done.code, done.out) == (2, "")
    assert "shop.toml: step 1 has no name" in done.err
