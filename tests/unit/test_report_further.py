"""The sections that must be computed: map, look-alikes, explanations; and a page whatever is missing."""

from __future__ import annotations

import json
import re

import pyarrow.parquet as pq
import pytest

from assay.errors import ConfigError, DatasetError
from assay.explain.run_map import make_run_map, read_run_map, read_run_neighbours
from assay.report import completion
from assay.report.completion import Part, complete
from assay.report.contents import SECTIONS
from assay.report.map_section import explain_mistake, map_section, neighbour_section, trust_sentences
from assay.report.write import write_report


@pytest.fixture(autouse=True)
def only_the_map(monkeypatch):
    """Explanations take long, and have tests of their own."""
    monkeypatch.setattr(completion, "PARTS", completion.PARTS[:1])


def anchors(page):
    return re.findall(r'<section id="([^"]+)"', page)


def test_a_full_report_has_map_and_look_alikes(tiny_run):
    steps = []
    page = write_report(tiny_run, full=True, on_progress=lambda *s: steps.append(s)).read_text("utf-8")
    assert steps[-1] == ("map of the pictures", 24, 24)
    assert {"map", "alike"} <= set(anchors(page))
    assert "How far apart two groups are" in page
    assert page.count('<svg viewBox="0 0 1000') == 1
    assert "training pictures" in page
    linked = re.findall(r'<li><a href="#([^"]+)"', page)
    assert linked == anchors(page)
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_what_was_made_is_kept(tiny_run):
    assert complete(tiny_run) == []
    times = {p.name: p.stat().st_mtime_ns for p in (tiny_run / "features").iterdir()}
    assert set(times) == {"embedding.parquet", "map.json", "neighbours.json"}
    complete(tiny_run)
    assert times == {p.name: p.stat().st_mtime_ns for p in (tiny_run / "features").iterdir()}
    found = read_run_map(tiny_run)
    assert {p["part"] for p in found["points"]} == {"validation", "test"}
    assert len(found["points"]) == 12
    assert read_run_neighbours(tiny_run)["among"] == 12
    assert {n["label"] for m in read_run_neighbours(tiny_run)["mistakes"] for n in m["neighbours"]}


def test_a_map_of_other_weights_is_not_shown(tiny_run):
    make_run_map(tiny_run)
    assert map_section(tiny_run)
    weights = tiny_run / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    assert map_section(tiny_run) is None
    assert neighbour_section(tiny_run) is None


@pytest.mark.parametrize("name", ["map.json", "neighbours.json", "embedding.parquet"])
def test_a_damaged_file_is_made_again(tiny_run, name):
    make_run_map(tiny_run)
    (tiny_run / "features" / name).write_bytes(b"{ not what it was")
    make_run_map(tiny_run)
    assert map_section(tiny_run)
    assert read_run_neighbours(tiny_run)


def test_a_quick_report_says_what_is_missing(tiny_run):
    page = write_report(tiny_run).read_text("utf-8")
    assert "map" not in anchors(page)
    assert f"assay report {tiny_run}" in page
    assert "assay calibrate" in page


def test_pictures_that_are_gone_are_a_word_on_the_page(tiny_run, tmp_path):
    record = json.loads((tiny_run / "run.json").read_text())
    (tiny_run / "run.json").write_text(json.dumps({**record, "data": str(tmp_path / "gone")}))
    page = write_report(tiny_run, full=True).read_text("utf-8")
    assert "are not where they were" in page
    assert "map" not in anchors(page)


def test_pictures_that_go_later_leave_the_map(tiny_run, photos):
    make_run_map(tiny_run)
    for name in ("map.json", "neighbours.json"):
        file = tiny_run / "features" / name
        file.write_text(json.dumps({**json.loads(file.read_text()), "root": str(photos / "gone")}))
    page = write_report(tiny_run).read_text("utf-8")
    assert {"map", "alike"} <= set(anchors(page))
    assert "not found" in page


def test_a_run_without_held_out_pictures(tiny_run):
    table = pq.read_table(tiny_run / "split.parquet")
    column = table.column_names.index("part")
    pq.write_table(table.set_column(column, "part", [["train"] * len(table)]), tiny_run / "split.parquet")
    with pytest.raises(DatasetError, match="no held-out pictures"):
        make_run_map(tiny_run)
    assert "no held-out pictures" in write_report(tiny_run, full=True).read_text("utf-8")


def test_a_run_without_validation_or_training_pictures(tiny_run):
    table = pq.read_table(tiny_run / "split.parquet")
    pq.write_table(table.filter([p == "test" for p in table["part"].to_pylist()]), tiny_run / "split.parquet")
    for file in (tiny_run / "evaluation").glob("validation.*"):
        file.unlink()
    page = write_report(tiny_run, full=True).read_text("utf-8")
    assert "map" in anchors(page)
    assert "alike" not in anchors(page)


def test_a_failing_part_costs_no_other(tiny_run, monkeypatch):
    def fail(folder, step):
        raise RuntimeError("something odd")

    monkeypatch.setattr(completion, "PARTS", (Part("explanations", fail), *completion.PARTS))
    assert complete(tiny_run) == ["explanations: RuntimeError: something odd"]
    page = write_report(tiny_run, full=True).read_text("utf-8")
    assert "something odd" in page
    assert "map" in anchors(page)


def test_a_broken_section_costs_no_other(tiny_run):
    make_run_map(tiny_run)
    file = tiny_run / "features" / "map.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "points": [{"x": 1}]}))
    page = write_report(tiny_run).read_text("utf-8")
    assert "map of the pictures: KeyError" in page
    assert "alike" in anchors(page)


def test_the_verb_makes_what_is_missing_unless_quick(cli, tiny_run):
    assert cli("report", tiny_run, "--quick").code == 0
    assert not (tiny_run / "features").exists()
    got = cli("report", tiny_run)
    assert got.out.strip() == str(tiny_run / "report.html")
    assert (tiny_run / "features" / "map.json").exists()


def test_an_unfinished_run_has_a_page(cli, tiny_run):
    (tiny_run / "card.json").unlink()
    assert cli("report", tiny_run).code == 0
    assert not (tiny_run / "features").exists()
    with pytest.raises(ConfigError):
        make_run_map(tiny_run)


def mistake(*labels, similarity=0.7):
    alike = [{"label": label, "similarity": similarity} for label in labels]
    return {"label": "true", "prediction": "said", "neighbours": alike}


def test_mistakes_are_put_into_words():
    assert "one of the two labels may be wrong" in explain_mistake(mistake("said", similarity=0.99))
    assert "still it fails here" in explain_mistake(mistake("true", similarity=0.99))
    assert "3 of the 4 training pictures most like it are “said”" in explain_mistake(
        mistake("said", "said", "true", "said")
    )
    assert "weighs it wrongly" in explain_mistake(mistake("true", "true", "said"))
    assert "where the two classes meet" in explain_mistake(mistake("true", "said", "x", "y"))
    assert "seen few like this" in explain_mistake(mistake("x", "y", "z"))
    assert "no training picture" in explain_mistake(mistake())


def test_a_poor_map_is_called_poor():
    scores = {"method": "t-SNE", "trustworthiness": 0.6, "knn_full": 0.9, "knn_map": 0.5, "k": 10}
    told = " ".join(trust_sentences(scores))
    assert "cannot be believed" in told
    assert "more disorder than there is" in told
    assert "no difference" in trust_sentences({"method": "none"})[0]


def test_every_section_tells_how_to_read_it():
    assert all(len(s.how) > 40 and s.question.endswith("?") for s in SECTIONS)
