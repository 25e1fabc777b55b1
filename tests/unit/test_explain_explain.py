"""``explain`` from a run folder to files, the section of the report, the filters and the command."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import assay
from assay.card import Card
from assay.configs import ModelConfig, PreprocessConfig
from assay.data.read import read_dataset
from assay.errors import ConfigError, DatasetError
from assay.explain import explain as explain_file
from assay.explain.explain import explain
from assay.explain.explanation import Explanation
from assay.explain.filters import look_at_filters
from assay.explain.first_layer import describe_first_layer, find_first_layer
from assay.explain.pictures import Picture, spread, telling
from assay.image import read_image
from assay.metrics.evaluate import evaluate
from assay.models.build import build_model
from assay.preprocess import Preprocess
from assay.report.explain_page import write_explain_page
from assay.report.explain_section import explain_section
from assay.train.predictor import load_run

CONFIG = ModelConfig(model="cnn", width=8, depth=3)
FAST = ["grad-cam", "layer-cam", "occlusion"]


@pytest.fixture(scope="module")
def _taught(_drawn_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that tells discs, squares and triangles by their colour, measured on 18 pictures."""
    folder = tmp_path_factory.mktemp("taught") / "shapes"
    folder.mkdir()
    data = read_dataset(_drawn_photos)
    card = Card(
        data.classes,
        PreprocessConfig(size=48),
        {**CONFIG.to_dict(), "channels": 3},
        temperature=1.0,
        name="shapes",
    )
    torch.manual_seed(0)
    model = build_model(CONFIG, 3).train()
    x = torch.from_numpy(np.stack([Preprocess(card.preprocess)(read_image(sample.path)) for sample in data]))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(25):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(x), torch.from_numpy(data.targets)).backward()
        optimiser.step()
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors")
    card.save(folder / "card.json")
    (folder / "run.json").write_text(
        json.dumps({"status": "finished", "dataset": "photos", "data": str(_drawn_photos)})
    )
    parts = ["train" if i % 4 == 0 else "validation" for i in range(len(data))]
    data = replace(data, table=data.table.append_column("part", pa.array(parts)))
    evaluate(load_run(folder), data, "validation", draws=20).save(folder / "evaluation")
    explain(folder, kinds=FAST, n=6, test_pictures=18)
    return folder


@pytest.fixture
def taught(_taught: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_taught, tmp_path / "shapes"))


@pytest.fixture(scope="module")
def found(_taught: Path) -> Explanation:
    return Explanation.load(_taught / "explain")


def test_what_is_found_and_written(found):
    assert [score.kind for score in found.scores] == FAST
    assert found.best is not None
    assert found.best == found.passed[0].kind
    assert (found.tested, found.tested_on, found.model, found.size) == (18, "the validation part", "cnn", 48)
    assert len(found.shown) == 6
    assert {shown.label for shown in found.shown} == {"circle", "square", "größer 三角"}
    for shown in found.shown:
        for name in (shown.original, shown.overlay):
            assert read_image(found.folder / name).shape == (320, 320, 3)
    with np.load(found.folder / "maps.npz", allow_pickle=False) as arrays:
        assert set(arrays.files) == {"paths", *(score.kind for score in found.passed)}
        assert arrays[found.best].shape == (6, 48, 48)
        assert float(arrays[found.best].max()) <= 1
    values = json.loads((found.folder / "explain.json").read_text("utf-8"))
    assert values == json.loads(json.dumps(found.to_dict()))


def test_the_map_lies_on_the_thing(found):
    """Pictures are noise but for a coloured thing, so the map's heaviest cells must be coloured."""
    with np.load(found.folder / "maps.npz", allow_pickle=False) as arrays:
        maps, paths = arrays[found.best].astype(float), arrays["paths"]
    for map_, path in zip(maps, paths, strict=True):
        pixels = np.asarray(Image.fromarray(read_image(str(path))).resize((48, 48)), dtype=float)
        coloured = np.ptp(pixels, axis=2) > 90
        assert np.average(coloured, weights=map_) > 1.5 * coloured.mean()


def test_a_second_call_reads_what_is_there(taught, monkeypatch):
    def never(*_: object, **__: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(explain_file, "Examiner", never)
    again = explain(taught, kinds=FAST, n=6, test_pictures=18)
    assert again.best is not None
    (taught / "explain" / "00.png").unlink()
    explain(taught, kinds=FAST, n=6, test_pictures=18)  # drawn again, but the tests are kept
    assert (taught / "explain" / "00.png").is_file()
    explain(taught, kinds=["occlusion"], n=2, test_pictures=18)
    with pytest.raises(AssertionError, match="measured again"):
        explain(taught, kinds=["occlusion"], n=2, test_pictures=17)


def test_a_stopped_call_goes_on(taught, monkeypatch):
    (taught / "explain" / "explain.json").unlink()
    stored = taught / "explain" / "tests.json"
    values = json.loads(stored.read_text())
    stored.write_text(json.dumps({**values, "scores": values["scores"][:1]}))
    asked: list[str] = []
    explain(taught, kinds=FAST, n=2, test_pictures=18, progress=lambda what, *_: asked.append(what))
    assert set(asked) == set(FAST[1:])
    stored.write_text("{ damaged")
    assert explain(taught, kinds=["grad-cam"], n=1, test_pictures=18).scores[0].n == 18


def test_other_weights_are_tested_anew(taught):
    weights = load_run(taught).model.state_dict()
    save_file({k: v.contiguous() + 0.01 for k, v in weights.items()}, taught / "model.safetensors")
    asked: list[int] = []
    explain(
        taught,
        kinds=["grad-cam"],
        n=1,
        test_pictures=10,
        progress=lambda _, done, total: asked.append(total - done),
    )
    assert asked[-1] == 0


def test_pictures_of_the_user(taught, photos, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    names = [photos / "circle", photos / "square" / "1.png", tmp_path / "broken.png"]
    found = explain(taught, names, kinds=FAST, n=20, test_pictures=18, out=tmp_path / "mine")
    assert len(found.shown) == 9
    assert all(shown.label is None and shown.right is None for shown in found.shown)
    assert found.tested_on == "the validation part"
    assert found.notes == ["1 picture could not be read"]
    assert not (taught / "explain" / "mine").exists()


def test_without_an_evaluation_the_given_pictures_are_tested(taught, photos):
    shutil.rmtree(taught / "evaluation")
    found = explain(taught, [photos], kinds=["occlusion"], n=2, test_pictures=12)
    assert (found.tested_on, found.tested) == ("the pictures given", 12)
    with pytest.raises(DatasetError, match="was not measured on any pictures"):
        explain(taught)


def test_too_few_pictures_show_nothing(tiny_run):
    found = explain(tiny_run, n=3)
    assert found.best is None
    assert all(score.verdict == "failed" for score in found.scores)
    assert "6 pictures are too few" in found.notes[0]
    assert all(shown.overlay is None for shown in found.shown)
    page = write_explain_page(found.folder).read_text("utf-8")
    assert "No explanation of shapes passed its test." in page
    assert "cannot be told from 6 pictures" in page
    assert "-map.png" not in page


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kinds": ["grad-cma"]}, r"unknown explanation 'grad-cma'[\s\S]*did you mean grad-cam"),
        ({"kinds": []}, "no kind of explanation is named"),
        ({"n": 0}, "n is 0"),
        ({"test_pictures": 0}, "test_pictures is 0"),
        ({"pictures": ["nowhere.jpg"]}, "nowhere.jpg"),
    ],
)
def test_what_cannot_be_taken_is_told(taught, options, words):
    with pytest.raises(ConfigError, match=words):
        explain(taught, **options)


def test_what_is_no_run_is_told(tmp_path):
    with pytest.raises(ConfigError, match="is not a finished run"):
        explain(tmp_path)
    with pytest.raises(ConfigError, match="holds no explanation"):
        Explanation.load(tmp_path)


def test_pictures_that_moved_are_told(taught, monkeypatch):
    file = taught / "evaluation" / "validation.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "root": "/nowhere"}))
    with pytest.raises(DatasetError, match=r"are gone[\s\S]*/nowhere/circle[\s\S]*name pictures"):
        explain(taught)


def test_damaged_files_are_told(taught):
    (taught / "explain" / "explain.json").write_text('{"format": 1}')
    with pytest.raises(DatasetError, match="is damaged"):
        explain_section(taught)


def test_choice_of_pictures():
    pool = [
        Picture(Path(f"{i}.png"), f"{i}", "ab"[i % 2], "ab"[i % 2] if i > 3 else "c", i / 20)
        for i in range(20)
    ]
    chosen = telling(pool, 8)
    assert [p.name for p in chosen[-2:]] == ["3", "2"], "the surest mistakes come last"
    assert sorted(p.label for p in chosen[:6]) == ["a"] * 3 + ["b"] * 3
    assert [p.name for p in telling(pool[:4], 8)] == ["3", "2", "1", "0"]
    assert sorted(p.label for p in spread(pool, 4)) == ["a", "a", "b", "b"]
    assert spread(pool, 4) == spread(pool, 4)
    assert len(spread(pool, 99)) == 20


def test_the_section_of_the_report(taught):
    section = explain_section(taught)
    assert section["best"]["kind"] == Explanation.load(taught / "explain").best
    assert len(section["pictures"]) == 6
    assert section["pictures"][0]["overlay"].startswith("data:image/webp;base64,")
    assert "where chance gives" in section["sentence"]
    assert {row["kind"] for row in section["rows"]} == set(FAST)
    assert section["filters"] is None
    shutil.rmtree(taught / "explain")
    assert explain_section(taught) is None


def test_a_failed_kind_is_listed_but_not_shown(taught):
    file = taught / "explain" / "explain.json"
    values = json.loads(file.read_text("utf-8"))
    values["scores"][0] |= {"verdict": "failed", "reason": "it shows <the picture>"}
    file.write_text(json.dumps(values))
    page = write_explain_page(taught / "explain").read_text("utf-8")
    assert "it shows &lt;the picture&gt;" in page
    assert "Not shown: <b>grad-cam</b>" in page
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)


def test_filters(taught):
    found = look_at_filters(taught, most=12)
    folder = taught / "explain"
    assert found.folder == folder
    assert "8 patterns of 3 x 3 pixels" in found.first
    assert len(found.stages) == 1, "a cnn of three stages has one map at stride 4"
    assert 3 <= found.stages[0].field_px <= 48
    assert len(found.stages[0].channels) == 8
    for name in ("first-layer.png", "stage-1.png", "kept.png"):
        assert min(read_image(folder / name).shape[:2]) > 50
    section = explain_section(taught)
    assert section["filters"]["stages"][0]["sheet"].startswith("data:image")
    assert "What its early layers answer to" in write_explain_page(folder).read_text("utf-8")
    (folder / "explain.json").unlink()
    assert explain_section(taught)["rows"] == []
    (folder / "filters.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"filters\.json is damaged"):
        explain_section(taught)


@pytest.mark.parametrize(
    ("name", "form", "shape", "words"),
    [
        ("cnn", "squares", (32, 3, 3, 3), "3 x 3 pixels"),
        ("rnn-bilstm", "rows", (224 // 2, 3, 1, 64), "row by row"),
        ("rnn-bigru", "rows", (256 // 2, 3, 1, 64), "row by row"),
        ("rnn-renet", "squares", (56, 3, 4, 4), "4 x 4 pixels"),
        ("rnn-mingru", "squares", (112, 3, 8, 8), "8 x 8 pixels"),
    ],
)
def test_the_first_layer_of_each_family(name, form, shape, words):
    model = build_model(ModelConfig(model=name), 3).eval()
    layer = find_first_layer(model, torch.rand(1, 3, 64, 64))
    assert (layer.form, layer.weights.shape) == (form, shape)
    assert words in describe_first_layer(layer)
    pictures = layer.pictures(5)
    assert len(pictures) == 5
    height = shape[3] // 4 if form == "rows" else shape[2]
    assert pictures[0].shape == (height, shape[3], 3)


def test_a_first_layer_that_is_no_picture_is_told():
    assert "do not stand for pixels" in describe_first_layer(None)


def test_the_command(cli, taught, photos):
    got = cli(
        "explain", taught, "--kinds", "grad-cam,layer-cam,occlusion", "--n", "6", "--test-pictures", "18"
    )
    assert got.code == 0, got.err
    assert "tested on 18 pictures of the validation part" in got.out
    assert re.search(r"^grad-cam +passed +0\.\d+ +0\.\d+ +\+0\.\d+", got.out, re.MULTILINE)
    assert (taught / "explain" / "explain.html").is_file()
    words = ("--kinds", "occlusion", "--n", "1", "--test-pictures", "8", "--filters", "--json")
    told = json.loads(cli("explain", taught, photos / "circle" / "0.png", *words).out)
    assert told["shown"][0]["name"] == "0.png"
    assert told["filters"]["stages"]
    assert cli("explain", taught, "--kinds", "cam").code == 2
    assert cli("explain", taught, "--n", "0").err.startswith("error: --n is 0")
    assert cli("explain", "nowhere").code == 2


def test_the_public_name_is_the_function():
    assert callable(assay.explain)
    assert assay.explain is explain


def test_the_summary_of_the_benchmark(found):
    import sys

    root = str(Path(__file__).resolve().parents[2])
    if root not in sys.path:
        sys.path.insert(0, root)
    from benchmarks import explanations

    line = {"network": "cnn", "dataset": "photos", "run": "shapes", "size": 48, **found.scores[0].to_dict()}
    refused = {**line, "kind": "score-cam", "gain": None, "verdict": "refused", "reason": "no map"}
    rows = explanations.table([line, refused])
    assert rows[0].count("|") == rows[1].count("|") == rows[2].count("|") == rows[3].count("|")
    assert explanations.find_runs([found.folder.parent.parent]) == [found.folder.parent]
