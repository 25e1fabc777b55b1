"""The benchmark of answering: what is asked of each program, and the table that comes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.answering import flat
from benchmarks.answering_programs import WAYS, WHOLE, programs, things_in
from benchmarks.answering_summary import tables
from benchmarks.flat_memory import make_folder, resident_mb

NETWORK = {
    "name": "resnet18",
    "task": "classify",
    "side": 224,
    "pt": "a.pt",
    "onnx": "a.onnx",
    "openvino": "a_openvino",
    "score": 0.3,
}


def names_of(**changed):
    found = programs({**NETWORK, **changed}, Path("net"), Path("pictures"), Path("out"))
    return {program.name: program.words for program in found}


def test_every_program_answers_the_same_folder():
    found = names_of()
    assert len(found) == len(WAYS) + len(WHOLE) + 6
    assert all("pictures" in words for words in found.values())
    things = names_of(name="yolo11n", task="detect")
    assert {name for name in things if name.startswith("ultralytics")} == {
        "ultralytics pt",
        "ultralytics onnx",
        "ultralytics onnx, batch 8",
        "ultralytics openvino",
    }
    assert all("0.3" in words for words in things.values())  # all tell things from the same score on
    assert "--exact-decode" in things["assay openvino int8, whole"]


def test_the_table_has_medians_of_the_newest_series_and_ratios():
    def line(program, rate, series="b", things=0):
        about = {"network": "n", "program": program, "per_s": rate, "pictures": 100}
        return {**about, "series": series, "told": {"things": things}}

    lines = [line("assay old fp32", 5.0, "a"), *(line("assay x int8", r) for r in (10.0, 30.0, 20.0))]
    found = tables([*lines, line("peer", 10.0, things=250)])
    assert "| assay x int8 | 20.0 | 10.0 - 30.0 | 2.00 x | - | int8 |" in found
    assert "| peer | 10.0 | 10.0 - 10.0 | 1.00 x | 2.5 | fp32 |" in found
    assert not any("old" in row for row in found)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "path,thing,score\nx.jpg,1,0.5\nx.jpg,2,0.4\ny.jpg,,\n"),
        ("a.jsonl", '{"boxes": [{}, {}]}\n{"boxes": []}\n{"boxes": null}\n'),
    ],
)
def test_things_are_counted(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert things_in(tmp_path / name) == 2


def test_links_to_pictures(tmp_path):
    (tmp_path / "tree" / "train" / "a").mkdir(parents=True)
    for i in range(3):
        (tmp_path / "tree" / "train" / "a" / f"{i}.jpg").write_bytes(b"x")
    assert len(list(flat(tmp_path / "tree", tmp_path / "flat", 2).iterdir())) == 2
    assert len(list(flat(tmp_path / "tree", tmp_path / "flat", 2).iterdir())) == 2
    pictures = make_folder(tmp_path / "many", 1005)
    assert len(list(pictures.rglob("*.jpg"))) == 1005


def test_memory_of_a_process():
    import os

    assert resident_mb(os.getpid()) > 10
    assert resident_mb(2**22 + 7) == 0
