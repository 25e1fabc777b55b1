"""``assay evaluate`` and ``assay report`` of a Bundle that tells class, tags, boxes, masks and pixels at once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import assay
from assay.cli.commands import evaluate as verb
from assay.data.read import read_dataset
from assay.data.write import write_dataset
from assay.errors import ConfigError
from assay.labels import ClassNames
from assay.masks import encode
from assay.metrics.evaluation import Evaluation
from assay.metrics.scene_evaluate import evaluate_scenes
from assay.metrics.scene_evaluation import SceneEvaluation
from assay.objects import objects_type
from assay.pixel_masks import encode_pixels
from assay.report.scene_words import headline
from assay.runtime.load import load
from assay.types import Dataset

COLOURS = ("red", "blue")


@pytest.fixture
def cells(draw_cells, tmp_path):
    """Six pictures of coloured cells as a Parquet table, with a part; the blue cell of the last one is unlabelled."""
    rows = []
    for i in range(6):
        drawn = {(1 + i % 3, 2): "red", (5, i): "blue"}
        draw_cells(f"shots/{i}.png", drawn)
        labelled = dict(list(drawn.items())[: 1 if i == 5 else 2])
        plane = np.zeros((64, 64), np.uint8)
        things = []
        for (row, column), colour in labelled.items():
            own = np.zeros((64, 64), bool)
            own[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = True
            plane[own] = 1 + COLOURS.index(colour)
            box = [8.0 * column, 8.0 * row, 8.0 * column + 8, 8.0 * row + 8]
            things.append({"label": colour, "box": box, "mask": encode(own).counts, "crowd": False})
        mask = tmp_path / "masks" / f"{i}.png"
        mask.parent.mkdir(exist_ok=True)
        mask.write_bytes(encode_pixels(plane))
        label = "warm" if i % 2 else "cold"
        rows.append(
            (f"shots/{i}.png", label, [label], things, f"masks/{i}.png", "test" if i > 1 else "train")
        )
    paths, labels, tags, objects, planes, parts = zip(*rows, strict=True)
    table = pa.table(
        {
            "path": paths,
            "label": labels,
            "labels": pa.array(tags, pa.list_(pa.string())),
            "objects": pa.array(objects, objects_type()),
            "pixels": planes,
            "height_px": pa.array([64] * 6, pa.int32()),
            "width_px": pa.array([64] * 6, pa.int32()),
            "part": parts,
        }
    )
    dataset = Dataset(
        table,
        ClassNames(["cold", "warm"]),
        tmp_path,
        "cells",
        {},
        ClassNames(COLOURS),
        ClassNames(["background", *COLOURS]),
    )
    write_dataset(dataset, tmp_path / "cells.parquet")
    return tmp_path / "cells.parquet"


def test_every_head_is_measured(cli, scene_bundle, cells, tmp_path):
    got = cli("evaluate", scene_bundle, cells, "--json", "--draws", 20, "--out", tmp_path / "found")
    told = json.loads(got.out)
    assert got.code == 0
    assert told["task"] == "scene"
    assert told["n"] == 4
    assert set(told["main"]) == {"class", "tags", "boxes", "masks", "pixels"}
    assert told["metrics"]["boxes.recall"]["value"] == 1.0
    assert told["boxes"]["mistakes"]["background"] == 1  # the cell that nobody labelled
    assert told["pixels"]["pictures"] == 4
    saved = SceneEvaluation.load(tmp_path / "found" / "test.json")
    assert saved.material.paths == [f"shots/{i}.png" for i in range(2, 6)]


def test_text_has_every_part_with_intervals(cli, scene_bundle, cells):
    got = cli("evaluate", scene_bundle, cells, "--draws", 20)
    for words in (
        "cells on cells, part test: 4 pictures",
        "Class of the picture",
        "Boxes (7 things, told from a score of 0.5 on)",
        "mean IoU, foreground",
        "found with the right class",
        "mistakes: 1 where nothing is",
        "95 % interval",
    ):
        assert words in got.out, words


def test_another_score_is_told_from(cli, scene_bundle, cells):
    got = json.loads(cli("evaluate", scene_bundle, cells, "--json", "--draws", 20, "--score", 0.9999).out)
    assert got["told_from"] == 0.9999
    low = json.loads(cli("evaluate", scene_bundle, cells, "--json", "--draws", 20, "--score", 0).out)
    assert low["told_from"] == 0.0
    assert low["metrics"]["boxes.ap50"] == got["metrics"]["boxes.ap50"]  # average precision looks at all
    for wrong in (2, 1, -0.1):
        told = cli("evaluate", scene_bundle, cells, f"score={wrong}")
        assert told.code == 2
        assert "--score needs a number from 0 up to, but not, 1" in told.err


def test_what_is_of_classifiers_or_of_things_alone_is_told(cli, scene_bundle, cells, tiny_bundle, photos):
    got = cli("evaluate", scene_bundle, cells, "--abstain")
    assert got.code == 2
    assert "--abstain is measured of classifiers" in got.err
    assert "class, tags, boxes, masks, pixels" in got.err
    assert "this network finds none" in cli("evaluate", tiny_bundle, photos, "--score", 0.5).err


def test_data_without_such_labels_is_told(cli, scene_bundle, photos):
    got = cli("evaluate", scene_bundle, photos, "part=all")
    assert got.code == 1
    assert "no class of the model" in got.err


@pytest.fixture
def run(cells, scene_bundle, tmp_path, monkeypatch):
    """A run folder as a training leaves it: its split table has no boxes, masks or pixels."""
    folder = tmp_path / "run"
    folder.mkdir()
    table = pq.read_table(cells).select(["path", "label", "part"])
    pq.write_table(table, folder / "split.parquet")
    record = {"data": str(cells), "dataset": "cells", "classes": ["cold", "warm"], "status": "finished"}
    (folder / "run.json").write_text(json.dumps(record))
    monkeypatch.setattr(verb, "load_answerer", lambda _place: load(scene_bundle, check=False))
    return folder


def test_run_knows_its_own_pictures_and_split(cli, run):
    got = cli("evaluate", run, "--json", "draws=20")
    assert json.loads(got.out)["boxes"]["objects"] == 7
    page = cli("report", run)
    assert page.code == 0
    assert "finds and rightly names 100.0" in (run / "report.html").read_text("utf-8")


def test_a_score_that_is_tried_does_not_become_the_runs_own(cli, run):
    cli("evaluate", run, "draws=20")
    before = (run / "evaluation" / "test.json").read_bytes()
    told = cli("evaluate", run, "draws=20", "--score", 0.9)
    assert "written to" not in told.out
    assert (run / "evaluation" / "test.json").read_bytes() == before
    assert "written to" in cli("evaluate", run, "draws=20", "--score", 0.9, f"out={run / 'tried'}").out


def test_pictures_that_left_the_data_are_told(cli, run, cells):
    table = pq.read_table(cells)
    pq.write_table(table.slice(1).replace_schema_metadata(table.schema.metadata), cells)
    got = cli("evaluate", run, "--part", "all")
    assert got.code == 1
    assert "1 pictures of the run are not in cells any more" in got.err
    assert "shots/0.png" in got.err
    assert f"--split {run / 'split.parquet'}" in got.err
    assert cli("evaluate", run, "--split", run / "split.parquet", "draws=20").code == 0


def test_report_of_an_evaluation_alone(cli, scene_bundle, cells, tmp_path):
    cli("evaluate", scene_bundle, cells, "--draws", 20, "--out", tmp_path / "found")
    assert cli("report", tmp_path / "found" / "test.json").code == 0
    assert (tmp_path / "found" / "test.html").exists()


def test_batch_changes_nothing(cli, scene_bundle, cells):
    one, many = (
        json.loads(cli("evaluate", scene_bundle, cells, "--json", "draws=5", f"batch={n}").out)
        for n in (1, 4)
    )
    assert one["main"] == pytest.approx(many["main"])


def test_record_keeps_its_classes(run, cells):
    from assay.data.own_pictures import as_stored

    record = json.loads((Path(run) / "run.json").read_text())
    found = as_stored(replace(read_dataset(cells)), run / "split.parquet", record)
    assert list(found.classes) == ["cold", "warm"]
    assert {"objects", "pixels", "labels", "height_px"} <= set(found.table.column_names)
    assert found[0].objects is not None


def test_one_function_measures_both_kinds(scene_bundle, cells, tiny_bundle, photos):
    scenes = assay.evaluate(load(scene_bundle, check=False), read_dataset(cells), draws=5)
    assert isinstance(scenes, SceneEvaluation)
    assert scenes.part == "test"
    classes = assay.evaluate(load(tiny_bundle, check=False), read_dataset(photos), None, draws=5)
    assert isinstance(classes, Evaluation)
    with pytest.raises(ConfigError, match="abstaining is measured of classifiers"):
        assay.evaluate(load(scene_bundle, check=False), read_dataset(cells), abstain=True)


def test_calibrate_tells_the_parts_that_have_things(cli, run, cells, scene_bundle):
    model, data = load(scene_bundle, check=False), read_dataset(cells)
    model.card.save(run / "card.json")
    whole = evaluate_scenes(model, data, None, draws=20)
    replace(whole, part="validation").save(run / "evaluation")
    i = data.table.column_names.index("objects")
    nobody = data.table.set_column(i, "objects", pa.nulls(len(data), objects_type()))
    bare = evaluate_scenes(model, replace(data, table=nobody), None, draws=20)
    replace(bare, part="test").save(run / "evaluation")
    told = cli("calibrate", run, "--target", "recall", "--value", 0.5)
    assert told.code == 0, told.err
    rows = [line.split()[0] for line in told.out.splitlines() if "%" in line]
    assert rows == ["validation"]
    assert "Panoptic quality was that of the earlier score" in told.out
    assert cli("calibrate", run, "--target", "recall", "--value", 0.5, "--part", "test").code == 2
    assert "the best F1 needs no value" in cli("calibrate", run, "--value", 0.5).err


def test_an_evaluation_in_which_nothing_could_be_measured_has_its_sentence(scene_bundle, cells):
    found = evaluate_scenes(load(scene_bundle, check=False), read_dataset(cells), None, draws=20)
    nothing = replace(found, classify=None, tags=None, whole=None, pixels=None)
    assert headline(nothing) == "Nothing could be measured on 6 pictures."
