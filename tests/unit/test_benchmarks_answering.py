"""The benchmark of answering: what is asked of each program, and the table that comes of it."""

from __future__ import annotations

from pathlib import Path

from benchmarks.answering import WAYS, commands, flat, tables
from benchmarks.flat_memory import make_folder, resident_mb

NETWORK = {
    "name": "resnet18",
    "task": "classify",
    "side": 224,
    "pt": "a.pt",
    "onnx": "a.onnx",
    "openvino": "a_openvino",
}


def test_every_program_answers_the_same_folder():
    found = commands(NETWORK, Path("net"), Path("pictures"), Path("out"), 0.0)
    assert len(found) == len(WAYS) + 5
    assert all("pictures" in words for words in found.values())
    things = commands(
        {**NETWORK, "name": "yolo11n", "task": "detect"}, Path("net"), Path("p"), Path("out"), 0.3
    )
    assert set(things) == {f"assay {e} {p}" for e, p in WAYS} | {
        f"ultralytics {k}" for k in ("pt", "onnx", "openvino")
    }
    assert all("0.3" in words for words in things.values())  # all tell things from the same score on


def test_the_table_has_medians_and_ratios():
    def line(program, rate, pictures=100):
        return {"network": "n", "program": program, "per_s": rate, "pictures": pictures}

    lines = [line("old", 5.0, 50), *(line("a", r) for r in (10.0, 30.0, 20.0)), line("b", 10.0)]
    (table,) = tables(lines)
    assert "| a | 20.0 | 10.0 - 30.0 | 1.00 |" in table
    assert "| b | 10.0 | 10.0 - 10.0 | 0.50 |" in table
    assert "old" not in table


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
