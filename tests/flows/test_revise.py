"""From people's answers to a network that decides, and back: revise, train, compare, calibrate, promote, rollback."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.answered import AnsweredService, picture, write_policy
from tests.candidates import write_thresholds

from assay.bundle import load_bundle, save_bundle
from assay.data.lineage import read_revision, revision_faults
from assay.data.read import read_dataset
from assay.labels import ClassNames
from assay.runtime.revision import held_out_doubt

COLOURS = {"circle": (220, 60, 50), "square": (50, 80, 220), "triangle": (60, 200, 80)}
QUICK = ("--epochs", "3", "--batch", "8", "--precision", "fp32", "--workers", "1")


def write_photos(folder: Path, numbers: dict[str, range]) -> Path:
    """A table with so many photos of each class in each part; ``""`` is no part."""
    folder.mkdir()
    with (folder / "labelled.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", "part", "seller"])
        for k, (label, colour) in enumerate(COLOURS.items()):
            for part, numbers_of in numbers.items():
                for i in numbers_of:
                    name = f"{k}-{i}.png"
                    (folder / name).write_bytes(picture(1000 * k + i, colour))
                    table.writerow([name, label, part, f"{part} {i % 4}"])
    return folder / "labelled.csv"


def rename_classes(source: Path, place: Path) -> None:
    """The same network with names that every font of a chart has."""
    bundle = load_bundle(source)
    members = {key: bundle.members[key] for key in bundle.members if key != "card.json"}
    save_bundle(place, replace(bundle.card, classes=ClassNames(COLOURS)), members)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_photos(
        tmp_path / "base", {"train": range(12), "validation": range(12, 18), "test": range(18, 48)}
    )


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """A policy with an untrained network, exported with its weights."""
    (tmp_path / "shop").mkdir()
    return write_policy(tmp_path / "shop" / "shapes.yaml")


@pytest.fixture
def answered(live: Path) -> Callable[[], AnsweredService]:
    """20 reviewed photos, half of them circles, and two that were audited."""

    def fill() -> AnsweredService:
        service = AnsweredService(live)
        for i in range(20):
            kind = "circle" if i % 2 else "square"
            photo = service.send(picture(9000 + i, COLOURS[kind]), f"new seller {i}")
            if kind == "circle":
                service.answer(photo, "reject", "round")
            else:
                service.answer(photo, "accept", shape="square")
        for i in range(2):
            photo = service.send(picture(9100 + i, COLOURS["circle"]), f"audited {i}", "accept", audited=True)
            service.answer(photo, "reject", "round", shape="circle")
        unclear = service.send(picture(9200, COLOURS["square"]), "somebody")
        service.answer(unclear, "accept")
        return service

    return fill


def revise(cli: Any, live: Path, base: Path, *words: object) -> Any:
    out = live.parent / "revisions"
    return cli("revise", live, "--data", base, "--out", out, "--group-column", "seller", *words)


def test_answers_become_a_revision_once(live, base, tiny_bundle, answered, cli):
    rename_classes(tiny_bundle, live.parent / "tiny.bundle")
    service = answered()
    done = revise(cli, live, base)
    assert done.code == 0, done.err
    (folder,) = (live.parent / "revisions").iterdir()
    assert f"revision 1: {folder}" in done.out
    assert "144 photos of labelled, as they were" in done.out
    assert "22 reviewed photos of 22 senders (2 audit, 20 review;" in done.out
    assert "shape (column label): 12 answers said, 10 follow from the verdict" in done.out
    assert "left out 1: nobody said what is right, and the verdict alone does not tell" in done.out
    data = read_dataset(read_revision(folder).table)
    reviewed = [row for row in data if row.extra["photo_id"] is not None]
    assert sum(data.classes[row.label] == "circle" for row in reviewed) == 12
    assert {row.extra["weight"] for row in reviewed if row.extra["arm"] == "audit"} == {4.0}
    held_out = {row.path.name for row in read_dataset(base) if row.part == "test"}
    assert {row.path.name for row in data if row.part == "test" and row.extra["photo_id"] is None} == held_out
    again = revise(cli, live, base, "--json")
    assert again.code == 0
    told = json.loads(again.out)
    assert (told["is_new"], told["revision"]["number"], told["folder"]) == (False, 1, str(folder))
    photo = service.send(picture(9300, COLOURS["circle"]), "late")
    service.answer(photo, "reject", "round")
    gone = service.database.read_now(
        lambda c: c.exec_driver_sql("select id from photos where sender = 'new seller 0' limit 1").scalar()
    )
    service.erase(gone)
    third = revise(cli, live, base)
    assert "revision 2" in third.out
    assert "1 pictures were erased in the service since" in third.out
    assert "left out 1: the photo was erased" in third.out
    assert revision_faults(folder) == []
    service.close()


@pytest.mark.slow
def test_a_candidate_that_is_worse_is_refused(live, base, tiny_bundle, answered, cli):
    rename_classes(tiny_bundle, live.parent / "tiny.bundle")
    write_thresholds(live, 0.5)
    answered().close()
    done = revise(cli, live, base, "--train", *QUICK, "--lr", "1e-9")
    assert done.code == 1, done.err
    assert "refused:" in done.out
    assert "gets worse: recall" in done.out
    assert "the candidate began anew" in done.err
    assert "it cannot be shown that the live network tiny did not learn from" in done.err
    (folder,) = (live.parent / "revisions" / "candidates").iterdir()
    told = json.loads((folder / "comparison.json").read_text("utf-8"))
    assert told["passed"] is False
    assert told["new"]["sha256"] == load_bundle(folder / "shape.bundle").digest
    assert "candidate" in (folder / "comparison.html").read_text("utf-8")
    kept = cli("promote", live, folder / "shapes.yaml")
    assert kept.code == 1
    assert "gets worse" in kept.err
    assert not live.is_symlink()
    forced = cli("promote", live, folder / "shapes.yaml", "--force", "a test", "--who", "ann", "--json")
    assert forced.code == 0, forced.err
    assert json.loads(forced.out)["live"].startswith("0002-")
    assert "people decide everything" in forced.err
    listed = cli("rollback", live, "--list")
    assert "a test" in listed.out
    assert cli("rollback", live, "--who", "ann").code == 0


@pytest.mark.slow
def test_a_better_candidate_goes_live_and_comes_back(live, base, tiny_run, answered, tmp_path, cli):
    assert cli("export", tiny_run, "--out", tmp_path / "run.bundle").code == 0
    rename_classes(tmp_path / "run.bundle", live.parent / "tiny.bundle")
    answered().close()
    fresh = write_photos(tmp_path / "fresh", {"": range(60, 80)})
    learning = ("--lr", "0.01", "--epochs", "8", "--test", "0.5")
    done = revise(cli, live, base, "--train", *QUICK, *learning, "--calibrate", fresh, "--json")
    assert done.code == 0, done.out + done.err
    told = json.loads(done.out)
    candidate = told["candidate"]
    assert candidate["passed"] is True
    assert candidate["accuracy"]["difference"]["low"] > 0
    assert candidate["weighted"] == told["revision"]["reviewed"]["parts"]["test"]
    assert candidate["traffic"]["value"] > 0
    assert "the candidate began anew" not in " ".join(candidate["notes"])
    run = json.loads((Path(candidate["folder"]) / "run" / "run.json").read_text("utf-8"))
    assert "17 of 17 tensors" in run["weights"]["summary"]
    assert run["weights"]["file"].startswith("live-")
    assert run["recipe"]["preprocess"]["size"] == 32
    assert candidate["thresholds"]["photos"] == 60
    page = cli("promote", live, candidate["policy"], "--why", "it knows more", "--who", "ann")
    assert page.code == 0, page.err
    assert "decides now, in place of 0001-" in page.out
    screened = cli("screen", live, tmp_path / "fresh", "--json")
    verdicts = [json.loads(line)["verdict"] for line in screened.out.splitlines()]
    assert len(verdicts) == 60
    back = cli("rollback", live, "--who", "ann")
    assert back.code == 0
    assert "version 0001-" in back.out


@pytest.mark.slow
def test_round_after_round_nothing_is_compared_on_what_was_learned(live, base, answered, tmp_path, cli):
    flags = ("--model", "cnn", "--width", "4", "--depth", "2", "--size", "32", "--no-baselines")
    run = tmp_path / "run"
    assert cli("train", base, "--group-column", "seller", "--out", run, *QUICK, *flags).code == 0
    assert cli("export", run, "--out", live.parent / "tiny.bundle").code == 0
    service = answered()
    for number in (1, 2):
        done = revise(cli, live, base, "--train", *QUICK, "--json")
        candidate = json.loads(done.out)["candidate"]
        assert not [
            note for note in candidate["notes"] if "cannot be shown" in note or "learned from" in note
        ]
        promoted = cli("promote", live, candidate["policy"], "--force", "a test", "--who", "ann")
        assert promoted.code == 0, promoted.err
        photo = service.send(picture(9300 + number, COLOURS["circle"]), f"late {number}")
        service.answer(photo, "reject", "round", reviewer="bob")
    service.close()
    again = revise(cli, live, base, "--train", *QUICK, "--validation", "0", "--test", "0.9", "--json")
    assert not [note for note in json.loads(again.out)["candidate"]["notes"] if "learned from" in note]
    table = Path(json.loads(again.out)["data"])
    revision = read_revision(table.parent)
    revision.lineage["base"]["split_hashes"].clear()
    card = load_bundle(live.parent / "tiny.bundle").card
    assert "cannot be shown" in held_out_doubt(revision, "shape", card)


@pytest.mark.slow
def test_thresholds_are_not_found_from_what_was_learned(live, base, tiny_run, answered, tmp_path, cli):
    assert cli("export", tiny_run, "--out", tmp_path / "run.bundle").code == 0
    rename_classes(tmp_path / "run.bundle", live.parent / "tiny.bundle")
    answered().close()
    done = revise(cli, live, base, "--train", *QUICK, "--calibrate", base)
    assert done.code == 2
    assert "the candidate learned from photos of" in done.err
    assert "54 of 144" in done.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--minutes", "1"), "--minutes is for a candidate"),
        (("--calibrate", "x.csv"), "--calibrate is for a candidate"),
        (("--question", "colour"), "asks no question 'colour'"),
        (("--folder", "nowhere"), "there is no service in nowhere"),
    ],
)
def test_wrong_usage(words, told, live, base, tiny_bundle, answered, cli):
    rename_classes(tiny_bundle, live.parent / "tiny.bundle")
    answered().close()
    done = revise(cli, live, base, *words)
    assert done.code == 2
    assert told in done.err
    assert "Traceback" not in done.err
