from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks import accuracy, summarise, throughput  # noqa: E402
from benchmarks.answers import Answers, score  # noqa: E402
from benchmarks.data import make_clothing, make_grocery  # noqa: E402
from benchmarks.data.coarse import coarse_of, coarse_right  # noqa: E402
from benchmarks.data.tree import read_rows, tree_name, write_tree  # noqa: E402
from benchmarks.jobs import wanted  # noqa: E402


@pytest.fixture
def clothing(tmp_path: Path) -> Path:
    """30 senders with 1 to 6 photos of three classes, in the published layout."""
    folder = tmp_path / "data" / "clothing"
    rng = np.random.default_rng(0)
    rows = []
    for sender in range(30):
        for i in range(int(rng.integers(1, 7))):
            label, part = ("hat", "dress", "shoes")[int(rng.integers(3))], ("train", "validation")[i % 2]
            name = f"photo-{sender:02}-{i}"
            (folder / part / label).mkdir(parents=True, exist_ok=True)
            (folder / part / label / f"{name}.jpg").write_bytes(name.encode())
            rows.append({"image": name, "split": part, "sender_id": str(sender)})
    with (folder / "senders.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def run(monkeypatch: pytest.MonkeyPatch, module: object, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["script", *words])
    return int(module.main())  # type: ignore[attr-defined]


def test_clothing_keeps_senders_together_and_the_record_is_the_split(clothing, tmp_path, monkeypatch):
    monkeypatch.setattr(make_clothing, "RECORD", tmp_path / "record.json")
    words = ("--data", str(clothing.parent), "--out", str(tmp_path / "out"))
    assert run(monkeypatch, make_clothing, *words) == 0
    rows = read_rows(tmp_path / "out" / "clothing.csv")
    assert len({(row["group"], row["part"]) for row in rows}) == 30
    assert {row["part"] for row in rows} == {"train", "validation", "test"}
    record = json.loads((tmp_path / "record.json").read_text())
    assert sum(part["photos"] for part in record["parts"].values()) == len(rows)

    first = record["senders"]["train"].split()[0]
    record["senders"]["train"] = " ".join(s for s in record["senders"]["train"].split() if s != first)
    record["senders"]["test"] += f" {first}"
    (tmp_path / "record.json").write_text(json.dumps(record))
    assert run(monkeypatch, make_clothing, *words) == 0
    moved = read_rows(tmp_path / "out" / "clothing.csv")
    assert {row["part"] for row in moved if row["group"] == first} == {"test"}
    for row in moved:  # the tree follows, and nothing of the older split stays behind
        folder = {"train": "train", "validation": "val", "test": "test"}[row["part"]]
        assert [p.parts[-3] for p in (tmp_path / "out" / "tree").rglob(tree_name(row["path"]))] == [folder]


def test_clothing_refuses_a_record_that_contradicts_itself():
    row = {"path": "a.jpg", "label": "hat", "group": "1"}
    with pytest.raises(ValueError, match="sender 1 is in train and in test"):
        make_clothing.apply_record([row], {"senders": {"train": "1", "test": "1"}})
    with pytest.raises(ValueError, match="are in no part"):
        make_clothing.apply_record([row], {"senders": {"train": "2"}})


@pytest.mark.parametrize("module", [make_clothing, make_grocery])
def test_absent_pictures_are_skipped_in_one_line(module, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, module, "--data", str(tmp_path), "--out", str(tmp_path / "out")) == 0
    said = capsys.readouterr().out
    assert said.startswith("skipped: ")
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_grocery_validation_is_hash_stable_and_in_every_class():
    photos = [
        {"path": f"train/{name}/{i:03}.jpg", "fine": name, "coarse": name[0], "list": "train"}
        for name in ("apple", "pear", "plum")
        for i in range(60)
    ]
    photos.append({"path": "val/apple/1.jpg", "fine": "apple", "coarse": "a", "list": "val"})
    rows = make_grocery.carve(photos)
    parts = {row["path"]: row["part"] for row in rows}
    assert parts["val/apple/1.jpg"] == "test"
    assert {row["label"] for row in rows if row["part"] == "validation"} == {"apple", "pear", "plum"}
    assert 10 <= sum(part == "validation" for part in parts.values()) <= 35
    more = [*photos, {"path": "train/plum/999.jpg", "fine": "plum", "coarse": "p", "list": "train"}]
    again = {row["path"]: row["part"] for row in make_grocery.carve(more)}
    assert sum(parts[path] != again[path] for path in parts) <= 1


def test_tree_has_every_class_in_every_part_and_copies(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jpg").write_bytes(b"1")
    rows = [{"path": "a/1.jpg", "label": "x", "part": "train"}]
    assert write_tree(rows, tmp_path, tmp_path / "tree") == 1
    copied = tmp_path / "tree" / "train" / "x" / "a__1.jpg"
    assert copied.read_bytes() == b"1"
    assert not copied.is_symlink()
    assert (tmp_path / "tree" / "test" / "x").is_dir()
    with pytest.raises(ValueError, match="2 pictures have only 1"):
        write_tree([*rows, {**rows[0], "path": "a__1.jpg"}], tmp_path, tmp_path / "tree")


def test_coarse_adds_probabilities_up():
    probs = np.array([[0.4, 0.3, 0.3], [0.6, 0.2, 0.2]])
    coarse = {"gala": "apple", "conference": "pear", "anjou": "pear"}
    right = coarse_right(probs, np.array([1, 0]), ["gala", "conference", "anjou"], coarse)
    assert right.tolist() == [True, True]  # 0.3 + 0.3 > 0.4: pear, though gala leads
    with pytest.raises(ValueError, match="belongs to"):
        coarse_of([{"label": "gala", "coarse": "apple"}, {"label": "gala", "coarse": "pear"}])


ROWS = [
    {
        "path": f"p/{i:02}.jpg",
        "label": "xy"[i % 2],
        "part": "test" if i < 20 else "train",
        "group": str(i // 4),
    }
    for i in range(24)
]


def answers(right: list[bool]) -> Answers:
    """Answers to ROWS in reverse order, by a tool that numbers the classes y, x."""
    targets = np.array([1 - i % 2 for i in range(20)])
    given = np.where(right, targets, 1 - targets)
    names = [tree_name(row["path"]) for row in ROWS[:20]]
    return Answers(names[::-1], np.eye(2)[given[::-1]], targets[::-1], ["y", "x"], {})


def line_of(tool: str, seed: int, right: list[bool], setting: str = "default") -> dict:
    told = {"dataset": "d", "track": "scratch", "tool": tool, "setting": setting, "seed": seed}
    facts = {
        "validation": 0.5,
        "minutes_used": 1.0,
        "commit": "c",
        "machine": {"cpu": "", "cores": 2, "torch": ""},
    }
    job = f"d/scratch/{tool}/{setting}/s{seed}"
    return {"job": job, **told, **facts, **score(answers(right), ROWS)}


def test_score_matches_pictures_by_name_and_keeps_every_answer():
    right = [i % 3 > 0 for i in range(20)]
    line = line_of("assay", 0, right)
    assert (line["k"], line["n"]) == (sum(right), 20)
    assert summarise.rights(line).tolist() == right
    assert line["groups"] == [i // 4 for i in range(20)]
    json.dumps(line)


def test_score_refuses_other_pictures_and_other_labels():
    whole = answers([True] * 20)
    with pytest.raises(ValueError, match="19 answered pictures are not the 20"):
        score(Answers(whole.names[1:], whole.probs[1:], whole.targets[1:], ["y", "x"], {}), ROWS)
    with pytest.raises(ValueError, match="is x, the tool has y"):
        score(Answers(whole.names, whole.probs, 1 - whole.targets, ["y", "x"], {}), ROWS)


def test_paired_difference_is_that_of_the_means_over_seeds():
    mine = [line_of("assay", seed, [True] * 20) for seed in (0, 1)]
    theirs = [
        line_of("timm", 0, [i >= 10 for i in range(20)]),
        line_of("timm", 1, [i >= 12 for i in range(20)]),
    ]
    told = summarise.paired(mine, theirs)
    assert told["pictures"].value == pytest.approx(0.55)
    assert 0 < told["pictures"].low < 0.55 < told["pictures"].high
    assert told["groups"].low < told["pictures"].low  # whole senders fail together
    assert told["p"] == pytest.approx([2 / 2**10, 2 / 2**12])
    with pytest.raises(ValueError, match="different pictures"):
        summarise.paired(mine, [{**theirs[0], "pictures": "other"}])


def test_tables_and_page():
    lines = [line_of("assay", 0, [False] * 20), line_of("assay", 0, [True] * 20)]
    lines += [line_of("timm", 0, [i % 2 == 0 for i in range(20)])]
    table = summarise.accuracy_table(lines)
    assert len(table) == 4
    assert "**100.0**" in table[2]  # the newer line of one job counts
    assert "+50.0" in summarise.paired_table(lines)[2]
    page = "a\n<!-- x:begin -->\nold\n<!-- x:end -->\nb"
    assert summarise.fill(page, {"x": ["new"]}) == page.replace("old", "new")
    with pytest.raises(ValueError, match="no markers for y"):
        summarise.fill(page, {"y": []})


def test_the_results_page_has_the_markers():
    page = (ROOT / "docs" / "results.md").read_text("utf-8")
    summarise.fill(page, {"accuracy": [], "throughput": [], "small": []})


def test_jobs_are_unique_filtered_and_resumed():
    jobs = list(accuracy.all_jobs(10))
    assert len({job.name for job in jobs}) == len(jobs)
    assert {job.tool for job in jobs if job.dataset == "grocery-coarse"} == {"assay"}
    some = wanted(iter(jobs), ["clothing,assay,s1"])
    assert {(job.dataset, job.tool, job.seed) for job in some} == {("clothing", "assay", 1)}
    line = {"job": some[0].name, "options": some[0].options, "minutes": 10, "split": "h"}
    assert accuracy.is_done(some[0], "h", [line])
    assert not accuracy.is_done(some[0], "other split", [line])
    assert not accuracy.is_done(some[0], "h", [{**line, "options": "--size 32"}])


def test_rates_leave_validation_out():
    lines = [
        {"kind": "stage", "name": "train", "seconds": 5.0},
        *({"kind": "step", "seconds": 5.0 + i} for i in (1, 2)),
        {"kind": "epoch", "seconds": 17.0},
        *({"kind": "step", "seconds": 17.0 + i} for i in (2, 4)),
        {"kind": "epoch", "seconds": 30.0},
    ]
    assert throughput.rates_of_log(lines, batch=32) == [32.0, 16.0]
