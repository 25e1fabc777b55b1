"""The doctor's round: reading what no training would take, checkups that fail, what is kept, and where things go."""

from __future__ import annotations

import json
import math
import os
import shutil
from itertools import count

import numpy as np
import pytest

from assay.audit import audit as room
from assay.audit.audit import audit, chosen_checkups
from assay.audit.finding import Finding, Item, finding
from assay.audit.intake import read_for_audit
from assay.audit.outcome import Audit, list_names, list_of, sorted_findings
from assay.configs import ReadConfig
from assay.data.checks import check_dataset
from assay.data.read import read_dataset
from assay.errors import AssayError, ConfigError, DatasetError
from assay.tables import Table

MADE = count()


def check_two(x):
    next(MADE)
    yield finding("warning", "second", "Second", "One thing.|{n} things.", items=[Item(("a.png",), (0,))] * 2)
    yield finding(
        "error", "first", "First", "Bad.", "Mend it.", figures={"score": np.float32(0.5), "odd": math.nan}
    )


def check_good(x):
    return [finding("good", "fine", "Fine", "All is well.", figures={"n": len(x.dataset)})]


def check_broken(x):
    yield finding("note", "halfway", "Halfway", "So far.")
    raise ZeroDivisionError("of strange | {data}")


def check_refused(x):
    raise DatasetError("there are ten pictures", fix="add more")


def check_interrupted(x):
    raise KeyboardInterrupt


@pytest.fixture
def checkups(monkeypatch):
    """Stands in for the table of checkups: only those named in the test."""

    def use(*names):
        table = Table("checkup", {name: f"nowhere:{name}" for name in names})
        table.load = lambda name: globals()[f"check_{name}"]
        monkeypatch.setattr(room, "CHECKUPS", table)

    use("two", "good")
    return use


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_findings_are_sorted_and_written(checkups, photos, tmp_path):
    found = audit(photos, tmp_path / "out")
    assert [f.code for f in found.findings] == ["first", "second", "fine"]
    assert (found.n, found.worst, found.exit_code, found.is_fit) == (24, "error", 1, False)
    assert found.classes == {"circle": 8, "größer 三角": 8, "square": 8}
    told = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert told["findings"][0]["figures"] == {"score": 0.5, "odd": None}
    assert told["overview"]["formats"] == {"PNG": 24}
    assert (tmp_path / "out" / "findings" / "second.csv").read_text() == "path,text,score\na.png,,\na.png,,\n"
    assert not (tmp_path / "out" / "findings" / "first.csv").exists()
    again = Audit.load(tmp_path / "out")
    assert again.to_dict() == found.to_dict() == json.loads(json.dumps(found.to_dict()))
    assert str(tmp_path) not in json.dumps({**found.to_dict(), "data": ""})


def test_a_checkup_that_fails_costs_no_other(checkups, photos, tmp_path):
    checkups("broken", "refused", "good")
    found = audit(photos, tmp_path / "out")
    codes = [f.code for f in found.findings]
    assert codes == ["halfway", "checkup-failed", "checkup-failed", "fine"]
    broken, refused = (f for f in found.findings if f.code == "checkup-failed")
    assert "ZeroDivisionError: of strange | {data}" in broken.what
    assert (tmp_path / "out" / "work" / "broken.failure.txt").read_text().startswith("Traceback")
    assert "there are ten pictures" in refused.what
    assert refused.fix == "add more"
    assert found.exit_code == 0
    assert broken.level == "note"


def test_what_is_finished_is_kept(checkups, photos, tmp_path):
    audit(photos, tmp_path / "out")
    before = next(MADE)
    again = audit(photos, tmp_path / "out")
    assert next(MADE) == before + 1, "nothing was made again"
    assert [f.code for f in again.findings] == ["first", "second", "fine"]
    audit(photos, tmp_path / "out", near_bits=3)
    assert next(MADE) == before + 3, "another option is another question"
    (photos / "circle" / "0.png").write_bytes((photos / "circle" / "1.png").read_bytes())
    audit(photos, tmp_path / "out", near_bits=3)
    assert next(MADE) == before + 5, "another file is too"


def test_a_longer_list_is_made_anew_only_where_one_was_cut_off(checkups, photos, tmp_path):
    checkups("two")
    assert len(audit(photos, tmp_path / "out", most=5).findings[1].items) == 2
    before = next(MADE)
    assert len(audit(photos, tmp_path / "out", most=9).findings[1].items) == 2
    assert len(audit(photos, tmp_path / "out", most=1).findings[1].items) == 1
    assert next(MADE) == before + 1
    audit(photos, tmp_path / "out", near_bits=2, most=2)
    audit(photos, tmp_path / "out", near_bits=2, most=3)
    assert next(MADE) == before + 4


def test_an_interrupt_says_how_to_go_on(checkups, photos, tmp_path):
    checkups("good", "interrupted")
    with pytest.raises(KeyboardInterrupt, match="give the same command again to go on"):
        audit(photos, tmp_path / "out")
    assert (tmp_path / "out" / "work" / "findings" / "good.json").exists()
    checkups("good", "two")
    assert audit(photos, tmp_path / "out").exit_code == 1


def test_where_it_goes(checkups, photos, here):
    assert audit(photos).folder == "audits/photos"
    other = here / "other" / "photos"
    photos.rename(here / "moved")
    (here / "other").mkdir()
    (here / "moved").rename(other)
    assert audit(other).folder == "audits/photos-2"
    assert audit(other).folder == "audits/photos-2"
    (here / "full").mkdir()
    (here / "full" / "thesis.txt").write_text("x")
    for place, words in (
        ("full", "is not empty"),
        ("full/thesis.txt", "is a file"),
        (other / "a", "lies in the data"),
    ):
        with pytest.raises(ConfigError, match=words):
            audit(other, place)


def test_mistakes(checkups, photos, tmp_path):
    with pytest.raises(ConfigError, match="did you mean near_bits"):
        audit(photos, tmp_path / "o", near_bit=3)
    with pytest.raises(ConfigError, match="the most is 16"):
        audit(photos, tmp_path / "o", near_bits=99)
    with pytest.raises(ConfigError, match="did you mean two"):
        audit(photos, tmp_path / "o", checkups=["tow"])
    with pytest.raises(ConfigError, match="does not exist"):
        audit(tmp_path / "gone", tmp_path / "o")
    with pytest.raises(ConfigError, match="is read already"):
        audit(read_dataset(photos), tmp_path / "o", group_column="seller")
    with pytest.raises(ConfigError, match="two ways"):
        audit(photos, tmp_path / "o", groups="t.csv", group_pattern="x")
    assert not (tmp_path / "o").exists()


def test_choice_of_checkups():
    every = chosen_checkups(None)
    assert every[:3] == ["files", "duplicates", "parts"]
    assert chosen_checkups(["power", "files"]) == ["files", "power"]
    assert chosen_checkups(None, ["labels"]) == [name for name in every if name != "labels"]
    with pytest.raises(ConfigError, match="no checkup is left"):
        chosen_checkups(["files"], ["files"])


def test_progress_names_its_stages(checkups, photos, tmp_path):
    told = []
    audit(photos, tmp_path / "out", progress=lambda *step: told.append(step))
    assert ("looking at pictures", 24, 24) in told
    assert told[-1] == ("checkups", 2, 2)


def test_pictures_without_classes_are_examined(checkups, photos, tmp_path):
    found = audit(photos / "circle", tmp_path / "out")
    assert (found.n, dict(found.classes), dict(found.parts)) == (8, {}, {})
    for name in ("train", "test"):
        (tmp_path / "flat" / name).mkdir(parents=True)
        (photos / "square" / "0.png").rename(tmp_path / "flat" / name / "0.png")
        (photos / "square" / "1.png").rename(photos / "square" / "0.png") if name == "train" else None
    flat = read_for_audit(tmp_path / "flat", ReadConfig())
    assert flat.parts == {"train": 1, "test": 1}
    assert flat.targets.tolist() == [-1, -1]


@pytest.mark.parametrize("text", ["path,price\n{},3\n", "path,label\n{},\n", "image\n{}\n"])
def test_tables_without_labels_are_examined(checkups, photos, tmp_path, text):
    path = (photos / "circle" / "0.png").relative_to(tmp_path)
    (tmp_path / "t.csv").write_text(text.format(path))
    found = audit(tmp_path / "t.csv", tmp_path / "out")
    assert (found.n, found.overview["readable"]) == (1, 1)


def test_data_that_stays_refused(checkups, photos, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="is empty"):
        audit(tmp_path / "empty", tmp_path / "o")
    (tmp_path / "t.csv").write_text("path,label,part\na.png,x,trian\n")
    with pytest.raises(DatasetError, match="unknown parts"):
        audit(tmp_path / "t.csv", tmp_path / "o")
    (tmp_path / "t.csv").write_text("price\n3\n")
    with pytest.raises(DatasetError, match="no column with picture paths"):
        audit(tmp_path / "t.csv", tmp_path / "o")


def test_a_folder_of_broken_files(checkups, tmp_path):
    for name in ("a/1.jpg", "a/2.jpg", "b/3.jpg"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_bytes(b"not a picture")
    found = audit(tmp_path / "data", tmp_path / "out")
    assert (found.overview["broken"], found.overview["shorter_side"]) == (3, {})


def test_groups_from_names(checkups, photos, tmp_path):
    dataset = read_for_audit(photos, ReadConfig(), group_pattern=r"/(\d)")
    assert set(dataset.table["group"].to_pylist()) == {str(i) for i in range(8)}
    audit(photos, tmp_path / "out", group_pattern=r"/(\d)")


def test_what_two_checkups_saw_alike_is_told_once():
    rows = [Item(("a.png",), (0,))]
    one, same = (finding(level, "unlabelled", "X", "x", items=rows) for level in ("error", "warning"))
    other = finding("note", "unlabelled", "X", "x", items=[Item(("b.png",), (1,))])
    assert sorted_findings([other, same, one]) == (one, other)
    assert list_names([one, other]) == ["unlabelled.csv", "unlabelled-2.csv"]


def test_lists_have_a_column_for_each_figure():
    places = (
        Item(("a.png", "b.png"), (0, 1), "two, equal", 0.123456789, {"bits": 3, "which": ["x", np.int64(1)]}),
        Item(("c.png",), (2,), figures={"more": None}),
    )
    told = list_of(Finding("note", "x", "X", "x", items=places))
    assert told.splitlines()[0] == "path,others,text,score,bits,which,more"
    assert told.splitlines()[1] == 'a.png,b.png,"two, equal",0.123457,3,"[""x"", 1]",'
    assert told.splitlines()[2] == "c.png,,,,,,"


def test_loading_what_is_no_audit(tmp_path):
    with pytest.raises(ConfigError, match="is not an audit"):
        Audit.load(tmp_path)
    (tmp_path / "audit.json").write_text("{}")
    with pytest.raises(AssayError, match="cannot be read as an audit"):
        Audit.load(tmp_path)
    (tmp_path / "audit.json").write_text('{"format": 99}')
    with pytest.raises(AssayError, match="another version"):
        Audit.load(tmp_path)


def test_tables_beside_the_pictures_and_further_columns_are_part_of_the_question(checkups, photos, tmp_path):
    out = tmp_path / "out"
    audit(photos, out)
    before = next(MADE)
    (photos / "senders.csv").write_text("name,sender\n0.png,ann\n")
    audit(photos, out)
    assert next(MADE) == before + 2, "a new table beside the pictures"
    audit(photos, out)
    assert next(MADE) == before + 3
    (photos / "senders.csv").write_text("name,sender\n0.png,barbara\n")
    audit(photos, out)
    assert next(MADE) == before + 5, "another content"
    rows = [f"circle/{i}.png,circle,{{}}" for i in range(4)] + ["square/0.png,square,x"] * 2
    for sender in ("ann", "bob"):
        (photos / "labels.csv").write_text(
            "path,label,sender\n" + "\n".join(rows).format(*[sender] * 4) + "\n"
        )
        audit(photos / "labels.csv", tmp_path / "table")
    assert next(MADE) == before + 8, "a further column with other values"


def test_a_folder_that_may_not_be_looked_into_costs_no_audit(photos, tmp_path, monkeypatch):
    scan = os.scandir

    def closed(place="."):
        if str(place).endswith("square"):
            raise PermissionError(13, "Permission denied", str(place))
        return scan(place)

    monkeypatch.setattr(os, "scandir", closed)
    found = audit(photos, tmp_path / "out", checkups=["files"], workers=1)
    told = {f.code: f for f in found.findings}
    assert told["closed-folder"].level == "error"
    assert told["closed-folder"].items[0].text == "square/"
    assert found.n == 16
    problems = {p.code: p for p in check_dataset(read_dataset(photos))}
    assert problems["closed-folder"].where == ("square/",)
    shutil.move(photos / "circle", photos.parent / "bare")
    (photos.parent / "bare" / "square").mkdir()
    found = audit(photos.parent / "bare", tmp_path / "bare-out", checkups=["files"], workers=1)
    assert "closed-folder" in {f.code for f in found.findings}, "of pictures without classes, too"


def test_a_root_that_may_not_be_looked_into_is_told(photos, monkeypatch):
    def closed(place="."):
        raise PermissionError(13, "Permission denied", str(place))

    for name in ("scandir", "listdir"):
        monkeypatch.setattr(os, name, closed)
    with pytest.raises(DatasetError, match="cannot be looked into") as error:
        read_dataset(photos)
    assert error.value.got == "Permission denied"
