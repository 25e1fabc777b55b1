"""Thresholds of a run: fitted by `train` at its end, anew by `calibrate`, applied by run folder and Bundle alike."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import assay
from assay.bundle import ABSTENTION, load_bundle
from assay.data.own_pictures import own_pictures
from assay.decide.stored import ARRAYS, PLAIN, load_abstention
from assay.decide.unknown import MOST
from assay.errors import BundleError, ConfigError, DatasetError
from assay.report.abstain_section import abstain_section
from assay.report.abstain_text import found_rows
from assay.train.predictor import load_run
from assay.train.reference import LEAST, reference_count

SMALL = {
    "model": "cnn",
    "width": 8,
    "depth": 2,
    "size": 32,
    "batch": 4,
    "baselines": False,
    "precision": "fp32",
    "validation": 0.25,
    "test": 0.25,
    "epochs": 2,
}


@pytest.fixture(scope="module")
def trained(_drawn_photos, tmp_path_factory):
    place = tmp_path_factory.mktemp("calibrate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_CACHE", str(place / "cache"))
        assay.train(_drawn_photos, place / "run", **SMALL)
    return place / "run"


@pytest.fixture
def run(trained, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(trained, tmp_path / "run")


def test_training_leaves_thresholds_and_what_came_of_them(trained):
    predictor = load_run(trained)
    made = predictor.abstention.calibration
    assert (made.pictures, made.part, made.unit, made.chose_weights) == (6, "validation", "picture", True)
    assert predictor.abstention.temperature == predictor.card.temperature
    assert len(predictor.abstention.unknown.reference) == 12
    test = json.loads((trained / "evaluation" / "test.json").read_text())
    assert set(test["abstention"]) == {"coverage", "risk", "set_coverage", "set_size", "called_unknown"}
    assert test["abstention"]["coverage"]["value"] == 0  # six pictures promise nothing
    assert test["abstention"]["risk"]["value"] is None


def test_the_pass_at_the_end_sees_what_prediction_sees(trained, photos):
    """Thresholds are fitted on logits of cached pixels; the answer corridor must give the same."""
    again = shutil.copytree(trained, photos.parent / "again")
    done = assay.calibrate(again)
    first = load_abstention(trained, done.abstention.classes)
    np.testing.assert_allclose(done.abstention.sets.limits, first.sets.limits, rtol=1e-5)
    assert done.abstention.calibration == first.calibration


def test_calibrate_takes_options_and_fresh_pictures(run, photos):
    done = assay.calibrate(run, data=photos, risk=0.3, confidence=0.6, coverage=0.8, neighbours=3)
    made = done.abstention.calibration
    assert (made.pictures, made.part, made.chose_weights) == (24, "all", False)
    assert done.abstention.config.risk == 0.3
    assert done.abstention.unknown.neighbours == 3
    assert not any("optimistic" in text for text in done.warnings)
    assert load_run(run).abstention.digest == done.abstention.digest
    assert done.to_dict()["unknown"]["reference"] == 12
    json.dumps(done.to_dict(), allow_nan=False)


def test_run_and_bundle_hold_the_same_answers_back(run, photos, tmp_path):
    assay.calibrate(run, data=photos, risk=0.5, confidence=0.5)
    assay.export(run, tmp_path / "x.bundle")
    bundle = load_bundle(tmp_path / "x.bundle")
    assert ABSTENTION in bundle.members
    assert bundle.card.thresholds["abstention"]["config"]["risk"] == 0.5
    paths = sorted(photos.rglob("*.png"))
    ours = list(load_run(run).predict(paths, abstain=True))
    packed = assay.load(tmp_path / "x.bundle")
    theirs = list(packed.predict(paths, abstain=True))
    assert [p.doubt.reasons for p in ours] == [p.doubt.reasons for p in theirs]
    assert [p.doubt.labels for p in ours] == [p.doubt.labels for p in theirs]
    alone = packed(paths[0], abstain=True)
    assert alone.doubt.reasons == theirs[0].doubt.reasons
    assert load_run(run)(paths[0], abstain=True).doubt.reasons == ours[0].doubt.reasons
    assert packed(paths[0]).doubt is None
    assert next(iter(packed.predict(paths[:1]))).doubt is None


def test_a_run_without_validation_has_none_and_says_how(photos, tmp_path):
    options = {**SMALL, "validation": 0.0, "test": 0.0, "epochs": 1}
    done = assay.train(photos, tmp_path / "run", **options)
    assert not (done.folder / PLAIN).exists()
    with pytest.raises(ConfigError, match=r"has no thresholds.*\n  fix: run `assay calibrate"):
        load_run(done.folder).predict([photos], abstain=True)
    with pytest.raises(ConfigError, match="no validation part"):
        assay.calibrate(done.folder)
    with pytest.raises(ConfigError, match="trained on these"):
        assay.calibrate(done.folder, part="train")
    assay.export(done.folder, tmp_path / "x.bundle")
    packed = assay.load(tmp_path / "x.bundle")
    with pytest.raises(ConfigError, match="holds no thresholds"):
        packed.predict([photos], abstain=True)
    with pytest.raises(ConfigError, match="holds no thresholds"):
        packed(photos / "circle" / "0.png", abstain=True)


def test_training_pictures_that_are_gone(run, photos, tmp_path):
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "data": str(tmp_path / "gone")}))
    done = assay.calibrate(run, data=photos)
    assert done.abstention.unknown is None
    assert "not where they were" in done.warnings[0]
    with pytest.raises(ConfigError):
        assay.calibrate(run)


def test_pictures_that_were_trained_on_are_left_out(run, tmp_path):
    own = json.loads((run / "run.json").read_text())["data"]
    done = assay.calibrate(run, data=own)
    assert done.abstention.calibration.pictures == 12
    assert done.warnings[0] == "12 of these pictures were trained on and are left out."
    dataset = assay.read_dataset(own)
    trained_on = own_pictures(run).part("train")
    with pytest.raises(ConfigError, match="trained on every picture"):
        assay.calibrate(run, data=replace(dataset, table=trained_on.table.select(["path", "label"])))


def test_unreadable_and_unlabelled_pictures(run, photos, tmp_path):
    (photos / "circle" / "0.png").write_bytes(b"no picture")
    done = assay.calibrate(run, data=photos)
    assert done.abstention.calibration.unreadable == 1
    assert done.abstention.calibration.pictures == 23
    assert any("Left out: 1 pictures" in text for text in done.warnings)
    for path in photos.rglob("*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(DatasetError, match="none of the 24 pictures"):
        assay.calibrate(run, data=photos)


def test_words_for_wrong_requests(run, photos, tmp_path):
    with pytest.raises(ConfigError, match="not a finished run"):
        assay.calibrate(tmp_path)
    with pytest.raises(ConfigError, match="unknown option 'rsk'"):
        assay.calibrate(run, rsk=0.1)
    with pytest.raises(ConfigError, match="risk is 2"):
        assay.calibrate(run, risk=2.0)
    with pytest.raises(ConfigError, match="no group holds two"):
        assay.calibrate(run, unit="group")


def test_the_test_part_is_told_to_be_spent(run):
    assert any("no longer the last word" in text for text in assay.calibrate(run, part="test").warnings)


def test_damaged_thresholds_are_told(run, photos, tmp_path):
    (run / ARRAYS).write_bytes(b"other")
    with pytest.raises(BundleError, match="stored thresholds are not valid"):
        load_run(run).predict([photos], abstain=True)
    assert load_run(run)(photos / "circle" / "0.png").error is None
    with pytest.raises(BundleError, match="stored thresholds are not valid"):
        assay.export(run, tmp_path / "x.bundle")


def test_the_clock_of_the_pass():
    assert reference_count(10_000, None, 0.01) == MOST
    assert reference_count(10_000, 10.0, 0.01) == 1200  # 2 % of ten minutes
    assert reference_count(10_000, 0.1, 0.01) == LEAST
    assert reference_count(30, 0.1, 0.01) == 30
    assert reference_count(10_000, 10.0, 0.0) == MOST


def test_command_line(cli, run, photos, tmp_path):
    done = cli("calibrate", run)
    assert done.code == 0
    assert (
        "It cannot be promised that at most 5 % of its answers are wrong: 6 pictures are too few" in done.out
    )
    assert "warning: The same pictures chose" in done.out
    told = json.loads(
        cli("calibrate", run, "--data", photos, "--risk", 0.5, "--confidence", 0.5, "--json").out
    )
    assert told["config"]["risk"] == 0.5
    assert told["calibration"]["pictures"] == 24
    assert len(told["promises"]) == 3
    assert cli("calibrate", run, "--label-column", "x").code == 2
    assert "risk is 5" in cli("calibrate", run, "--risk", 5).err


def test_evaluate_abstain(cli, run, photos):
    assay.calibrate(run, data=photos, risk=0.5, confidence=0.5)
    done = cli("evaluate", run, "--abstain")
    assert done.code == 0
    assert "Holding answers back" in done.out
    assert "sets that hold the right class" in done.out
    told = json.loads(cli("evaluate", run, "--abstain", "--json").out)
    assert (
        told["promises"][0].startswith("Of the answers it gives, at most 50 %")
        or "cannot" in told["promises"][0]
    )
    (run / PLAIN).unlink()
    assert "has no thresholds" in cli("evaluate", run, "--abstain").err


def test_the_section_of_the_report(run, photos):
    from assay.metrics.evaluation import Evaluation

    evaluation = Evaluation.load(run / "evaluation" / "test.json")
    section = abstain_section(run, evaluation)
    assert section["measured"]
    assert not section["can"]
    assert len(section["promises"]) == 3
    assert section["held"] == evaluation.n == 6
    assert len(section["shots"]) == 6
    assert section["shots"][0]["picture"].startswith("data:image")
    assert "<svg" in section["chart"]
    assay.calibrate(run, data=photos, risk=0.5, confidence=0.5)
    assert not abstain_section(run, evaluation)["measured"], "measured with other thresholds"
    assert abstain_section(run, None) is None
    (run / PLAIN).unlink()
    assert abstain_section(run, evaluation) is None


def test_the_page_shows_it(run):
    page = assay.write_report(run)
    text = page.read_text("utf-8")
    assert "When it rather says nothing" in text
    assert "It cannot be promised" in text


def test_found_rows_of_a_promise_kept_and_broken(run, photos):
    from assay.data.read import read_dataset
    from assay.metrics.evaluate import evaluate

    done = assay.calibrate(run, data=photos, risk=0.9, confidence=0.5)
    evaluation = evaluate(load_run(run), read_dataset(photos), None, abstain=True)
    rows = {row["what"]: row for row in found_rows(evaluation, done.abstention)}
    assert rows["wrong among the answers"]["promised"] == "at most 90 %"
    assert rows["wrong among the answers"]["verdict"] == "kept"
    assert rows["sets that hold the right class"]["promised"] == "at least 90 %"


def test_predict_abstain_from_end_to_end(cli, run, photos, tmp_path):
    """The flow: a run -> thresholds -> Bundle -> text, CSV, JSON and annotated copies."""
    cli("calibrate", run, "--data", photos, "--risk", 0.02)
    assert cli("export", run, "--out", tmp_path / "x.bundle").code == 0
    words = ("predict", tmp_path / "x.bundle", photos, "--abstain")
    done = cli(*words, "--csv", tmp_path / "a.csv", "--out", tmp_path / "seen")
    assert done.code == 0
    assert "no answer: unsure (" in done.out
    assert "0 of 24 pictures answered, 24 held back" in done.err
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text("utf-8").splitlines()))
    assert list(rows[0])[3:7] == ["answer", "abstains", "reasons", "set"]
    assert (rows[0]["answer"], rows[0]["abstains"]) == ("", "yes")
    assert "unsure" in rows[0]["reasons"].split("|")
    assert rows[0]["label"] in rows[0]["set"].split("|")
    assert len(list((tmp_path / "seen").rglob("*.jpg"))) == 24
    lines = [json.loads(line) for line in cli(*words, "--json").out.splitlines()]
    assert lines[0]["doubt"]["abstains"] is True
    assert lines[0]["doubt"]["labels"]
    assert "doubt" not in json.loads(cli(*words[:-1], "--json").out.splitlines()[0])
