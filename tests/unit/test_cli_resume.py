"""Output files of long walks: grown beside their names, cut back after a kill, the same bytes in the end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from assay.cli.outputs import ledger
from assay.errors import AssayError, ModelError

FILES = {"--jsonl": "a.jsonl", "--csv": "a.csv", "--parquet": "a.parquet"}


@pytest.fixture
def many(tmp_path):
    """120 pictures, two of them broken."""
    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(120):
        colour = tuple(int(v) for v in np.random.default_rng(i).integers(0, 256, 3))
        Image.new("RGB", (40, 30), colour).save(folder / f"{i}.png")
    for i in (7, 90):
        (folder / f"{i}.png").write_bytes(b"broken")
    return folder


def words(bundle, many, folder, *further, files=FILES):
    named = [word for flag, name in files.items() for word in (flag, folder / name)]
    return ["predict", bundle, many, *named, "--quiet", "--batch", "4", "--workers", "2", *further]


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def unbroken(cli, tiny_bundle, many, tmp_path):
    folder = tmp_path / "unbroken"
    done = cli(*words(tiny_bundle, many, folder))
    assert done.code == 1
    assert done.err.endswith("118 of 120 pictures answered, 2 could not be read\n")
    found = contents(folder)
    assert sorted(found) == sorted(FILES.values())
    return found


def break_after(monkeypatch, n, error):
    """The corridor fails after ``n`` answers; a line is added to the book after every batch."""
    from assay.cli.commands import predict

    monkeypatch.setattr(ledger, "_EVERY_S", 0.0)
    shown = predict._shown

    def breaking(answers, *rest):
        for i, answer in enumerate(shown(answers, *rest)):
            if i == n:
                raise error
            yield answer

    monkeypatch.setattr(predict, "_shown", breaking)


@pytest.mark.parametrize("error", [ModelError("the network failed"), KeyboardInterrupt()])
def test_a_failure_keeps_what_was_done_and_resume_gives_the_same_files(
    cli, tiny_bundle, many, tmp_path, unbroken, monkeypatch, error
):
    folder = tmp_path / "broken"
    with monkeypatch.context() as patched:
        break_after(patched, 50, error)
        stopped = cli(*words(tiny_bundle, many, folder))
    assert stopped.code == (130 if isinstance(error, KeyboardInterrupt) else 1)
    assert "48 pictures are kept; go on with the same command and --resume" in stopped.err
    assert not any((folder / name).exists() for name in FILES.values())
    resumed = cli(*words(tiny_bundle, many, folder, "--resume"))
    assert resumed.code == 1
    assert "71 of 72 pictures answered, 1 could not be read (48 more were done before)" in resumed.err
    assert contents(folder) == unbroken


def test_killed_in_the_middle(cli, tiny_bundle, many, tmp_path, unbroken):
    folder = tmp_path / "killed"
    folder.mkdir()
    command = [sys.executable, "-c", SLOW, *map(str, words(tiny_bundle, many, folder))]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    book, until = folder / "a.jsonl.resume", time.monotonic() + 60
    while time.monotonic() < until and (not book.exists() or book.read_bytes().count(b'"done"') < 3):
        time.sleep(0.02)
    second = cli(*words(tiny_bundle, many, folder, "--resume"))
    assert second.code == 2
    assert f"another run is writing {folder / 'a.jsonl'}" in second.err
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (folder / "a.csv.part").stat().st_size > 0
    assert cli(*words(tiny_bundle, many, folder)).code == 2  # not without a word
    assert cli(*words(tiny_bundle, many, folder, "--resume")).code == 1
    assert contents(folder) == unbroken


SLOW = """
import sys, time
from assay.cli.commands import predict
from assay.cli.outputs import ledger
from assay.cli.main import main

ledger._EVERY_S = 0.0
shown = predict._shown

def slowly(answers, *rest):
    for answer in shown(answers, *rest):
        time.sleep(0.05)
        yield answer

predict._shown = slowly
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_what_comes_only_once_is_made_whole_when_it_is_stopped(tiny_bundle, many, tmp_path, sign):
    files = {
        "--jsonl": tmp_path / "a.jsonl",
        "--csv": tmp_path / "a.csv",
        "--parquet": tmp_path / "a.parquet",
    }
    named = [str(word) for pair in files.items() for word in pair]
    command = [
        sys.executable,
        "-c",
        SLOW,
        "predict",
        str(tiny_bundle),
        "-",
        *named,
        "--quiet",
        "--batch",
        "4",
    ]
    paths = "".join(f"{path}\n" for path in sorted(many.iterdir())).encode()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(paths)
    process.stdin.flush()  # and not closed: more could come
    book, until = tmp_path / "a.jsonl.resume", time.monotonic() + 60
    while time.monotonic() < until and (not book.exists() or book.read_bytes().count(b'"done"') < 3):
        time.sleep(0.02)
    process.send_signal(sign)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert b"what was written is whole" in err
    assert b"--resume" not in err
    rows = [json.loads(line) for line in files["--jsonl"].read_text("utf-8").splitlines()]
    assert 12 <= len(rows) < 120
    assert pq.read_table(files["--parquet"]).num_rows == len(rows)
    assert len(files["--csv"].read_text("utf-8").splitlines()) == 1 + len(rows)
    assert not book.exists()


def test_what_lies_there_is_not_lost_without_a_word(cli, tiny_bundle, many, tmp_path, unbroken, monkeypatch):
    folder = tmp_path / "unbroken"
    again = cli(*words(tiny_bundle, many, folder))
    assert again.code == 2
    assert "a.jsonl is there already" in again.err
    assert "--overwrite" in again.err
    complete = cli(*words(tiny_bundle, many, folder, "--resume"))
    assert complete.code == 2
    assert "a.jsonl is there already, and no unfinished run lies beside it" in complete.err
    assert cli(*words(tiny_bundle, many, folder, "--overwrite")).code == 1
    assert contents(folder) == unbroken


def test_stopped_while_the_files_get_their_names(cli, tiny_bundle, many, tmp_path, unbroken, monkeypatch):
    from assay.cli.outputs.tables import AnswerTable

    folder = tmp_path / "broken"
    with monkeypatch.context() as patched:
        patched.setattr(AnswerTable, "finish", lambda self: (_ for _ in ()).throw(AssayError("no room")))
        assert cli(*words(tiny_bundle, many, folder)).code == 1
    assert (folder / "a.jsonl").exists()
    assert not (folder / "a.csv").exists()
    done = cli(*words(tiny_bundle, many, folder, "--resume"))
    assert (done.code, done.err) == (1, "all 120 pictures were answered; the files have their names now\n")
    assert contents(folder) == unbroken


def test_another_command_does_not_go_on_with_it(cli, tiny_bundle, many, tmp_path, monkeypatch):
    folder = tmp_path / "broken"
    with monkeypatch.context() as patched:
        break_after(patched, 50, ModelError("the network failed"))
        cli(*words(tiny_bundle, many, folder))
    fresh = cli(*words(tiny_bundle, many, folder))
    assert fresh.code == 2
    assert "an unfinished run lies beside" in fresh.err
    assert "48 pictures done" in fresh.err
    other = cli(*words(tiny_bundle, many, folder, "--resume", "--top", "2"))
    assert other.code == 2
    assert "top was None, now 2" in other.err
    (many / "3.png").unlink()
    moved = cli(*words(tiny_bundle, many, folder, "--resume"))
    assert moved.code == 2
    assert "picture 48 is another one than before" in moved.err


def test_a_run_that_never_got_anywhere_leaves_nothing(cli, tiny_bundle, many, tmp_path, monkeypatch):
    folder = tmp_path / "broken"
    break_after(monkeypatch, 2, ModelError("the network failed"))
    assert cli(*words(tiny_bundle, many, folder)).code == 1
    assert list(folder.iterdir()) == []


def test_things_too(cli, scene_bundle, draw_cells, tmp_path, monkeypatch):
    many = tmp_path / "cells"
    many.mkdir()
    for i in range(24):
        draw_cells(f"cells/{i}.png", {(i % 8, j): "red" for j in range(i % 4)})
    files = {**FILES, "--coco": "a.json"}
    whole, folder = tmp_path / "whole", tmp_path / "broken"
    assert cli(*words(scene_bundle, many, whole, files=files)).code == 0
    with monkeypatch.context() as patched:
        break_after(patched, 13, ModelError("the network failed"))
        cli(*words(scene_bundle, many, folder, files=files))
    assert cli(*words(scene_bundle, many, folder, "--resume", files=files)).code == 0
    found = contents(folder)
    assert found == {name: data.replace(b"/whole/", b"/broken/") for name, data in contents(whole).items()}
    coco = json.loads(found["a.json"])
    assert len(coco["images"]) == 24
    assert [one["id"] for one in coco["annotations"]] == list(range(1, len(coco["annotations"]) + 1))
    table = pq.read_table(folder / "a.parquet")
    assert table.num_rows == 24
    assert sum(len(row["things"]) for row in table.to_pylist()) == len(coco["annotations"])
    assert json.loads(table.schema.metadata[b"assay"])["model"] == "cells"


def test_wrong_uses(cli, tiny_bundle, photos, tmp_path):
    for given, told in (
        (["--resume"], "--resume goes on with files"),
        (["--resume", "--overwrite", "--csv", "a.csv"], "choose one"),
        (["--csv", tmp_path / "a", "--jsonl", tmp_path / "a"], "two kinds of output have one name"),
    ):
        done = cli("predict", tiny_bundle, photos, *given)
        assert done.code == 2
        assert told in done.err
    done = cli("predict", tiny_bundle, "-", "--csv", tmp_path / "a", "--resume")
    assert "standard input and cameras cannot be read twice" in done.err
