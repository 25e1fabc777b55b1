"""``assay split`` and ``assay check``: what they print, write and return."""

from __future__ import annotations

import json
import shutil

from assay.data.read import read_dataset


def test_split_writes_a_table_and_its_record(cli, photos, tmp_path):
    out = cli("split", photos, "--out", tmp_path / "s" / "split.csv")
    assert out.code == 0
    assert "class" in out.out
    assert "größer 三角" in out.out
    data = read_dataset(tmp_path / "s" / "split.csv")
    record = json.loads((tmp_path / "s" / "split.split.json").read_text())
    assert data.parts == record["split"]["counts"]
    assert record["split"]["by"] == "hash"
    assert all(sample.path.exists() for sample in data)


def test_split_again_after_adding_pictures_keeps_the_old_ones(cli, photos, tmp_path):
    out = tmp_path / "split.csv"
    assert cli("split", photos, f"out={out}").code == 0
    before = {s.path.name + str(s.label): s.part for s in read_dataset(out)}
    for name in ("circle", "square"):
        shutil.copy(photos / name / "0.png", photos / name / "new.png")
    again = cli("split", photos, f"out={out}")
    assert "old pictures stay where they are" in again.out
    after = {s.path.name + str(s.label): s.part for s in read_dataset(out)}
    assert len(after) == len(before) + 2
    assert {key: after[key] for key in before} == before


def test_split_by_groups_of_a_table(cli, photos, tmp_path):
    rows = [f"{p.stem},{p.stem}" for p in (photos / "circle").iterdir()]
    (tmp_path / "who.csv").write_text("image,seller\n" + "\n".join(rows) + "\n")
    told = cli(
        *("split", photos, "--groups", tmp_path / "who.csv", "--group-column", "seller", "--json", "--out"),
        tmp_path / "s.parquet",
    )
    record = json.loads(told.out)
    assert record["split"]["group_column"] == "seller"
    homes = {}
    for sample in read_dataset(tmp_path / "s.parquet"):
        assert homes.setdefault(sample.group, sample.part) == sample.part


def test_split_groups_mistakes(cli, photos, tmp_path):
    (tmp_path / "who.csv").write_text("image,seller\nnobody,1\n")
    words = ("split", photos, "--out", tmp_path / "s.csv", "--groups", tmp_path / "who.csv")
    assert "no column named by --group-column" in cli(*words).err
    assert "did you mean seller?" in cli(*words, "--group-column", "seler").err
    assert "no picture of photos is named in who.csv" in cli(*words, "--group-column", "seller").err
    (tmp_path / "who.csv").write_text("image,seller\n0,1\n0,2\n")
    assert "1 pictures have two groups" in cli(*words, "--group-column", "seller").err
    assert not (tmp_path / "s.csv").exists()


def test_split_keeps_relative_paths_when_asked(cli, photos, tmp_path):
    assert cli("split", photos, "--relative", "--out", tmp_path / "far" / "s.csv").code == 0
    assert str(tmp_path) not in (tmp_path / "far" / "s.csv").read_text()


def test_split_usage_errors(cli, photos, tmp_path):
    assert cli("split", photos, "--out", tmp_path / "s.txt").code == 2
    assert cli("split", tmp_path / "no", "--out", tmp_path / "s.csv").code == 2
    assert cli("split", photos, "--out", tmp_path / "s.csv", "--validation", "2").code == 2
    assert not (tmp_path / "s.csv").exists()


def test_check_says_that_nothing_is_wrong(cli, photos):
    out = cli("check", photos)
    assert out.code == 0
    assert "photos: 24 pictures, 3 classes" in out.out
    assert "nothing is wrong" in out.out


def test_check_names_everything_and_fails(cli, photos):
    (photos / "empty class").mkdir()
    (photos / "circle" / "bad.jpg").write_bytes(b"no")
    (photos / "circle" / "zero.jpg").write_bytes(b"")
    out = cli("check", photos)
    assert out.code == 1
    for words in ("one class has no picture: empty class", "circle/bad.jpg", "circle/zero.jpg", "fix:"):
        assert words in out.out


def test_check_as_json(cli, photos):
    (photos / "circle" / "zero.jpg").write_bytes(b"")
    out = cli("check", photos, "--json")
    facts = json.loads(out.out)
    assert out.code == 1
    assert (facts["n"], len(facts["classes"])) == (25, 3)
    assert [(p["code"], p["count"], p["where"]) for p in facts["problems"]] == [
        ("empty-file", 1, ["circle/zero.jpg"])
    ]
