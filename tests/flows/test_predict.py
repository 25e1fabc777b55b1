"""``assay predict`` from end to end on a Bundle that was made without torch."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image


def assay_process_of(words, env):
    """Python with these words, run to its end in this environment."""
    return subprocess.run(
        [sys.executable, *map(str, words)], check=False, env=env, capture_output=True, encoding="utf-8"
    )


def assay_process(*words, **kw):
    """The command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "assay", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        **kw,
    )


@pytest.fixture
def broken(photos):
    """A picture that is cut off, between the others in order."""
    path = photos / "circle" / "3.png"
    path.write_bytes(path.read_bytes()[:200])
    return path


def test_text(cli, tiny_bundle, photos):
    done = cli("predict", tiny_bundle, photos)
    lines = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert len(lines) == 24
    path, label, share = lines[0].split("  ")
    assert path == str(photos / "circle" / "0.png")
    assert label == "circle"
    assert share.endswith(" %")
    assert float(share[:-2]) > 40


def test_top(cli, tiny_bundle, photos):
    line = cli("predict", tiny_bundle, photos / "circle" / "0.png", "top=3").out
    assert [name in line for name in ("circle", "square", "größer 三角")] == [True] * 3
    assert line.count(" %") == 3


def test_json_lines(cli, tiny_bundle, photos, broken):
    done = cli("predict", tiny_bundle, photos / "circle", "--json")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert (done.code, done.err) == (1, "")
    assert [row["path"] for row in rows] == [str(photos / "circle" / f"{i}.png") for i in range(8)]
    assert set(rows[0]) == {"path", "label", "confidence", "top", "size_hw"}
    assert rows[0]["size_hw"] == [64, 64]
    assert len(rows[0]["top"]) == 3
    assert set(rows[3]) == {"path", "error"}


def test_a_broken_picture_is_one_line_and_the_rest_is_done(cli, tiny_bundle, photos, broken):
    done = cli("predict", tiny_bundle, photos)
    assert done.code == 1
    assert len(done.out.splitlines()) == 23
    first, last = done.err.splitlines()
    assert first.startswith(f"error: {broken} is damaged")
    assert last == "23 of 24 pictures answered, 1 could not be read"


def test_csv(cli, tiny_bundle, photos, broken, tmp_path):
    table = tmp_path / "deep" / "answers.csv"
    cli("predict", tiny_bundle, photos, "--csv", table, "--top", "2")
    rows = list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8"))))
    assert len(rows) == 24
    assert list(rows[0]) == "path label confidence label_2 confidence_2 height width error".split()  # noqa: SIM905
    assert rows[0]["label"] == "circle"
    assert float(rows[0]["confidence"]) > float(rows[0]["confidence_2"])
    assert (rows[0]["height"], rows[0]["width"], rows[0]["error"]) == ("64", "64", "")
    assert rows[3]["label"] == ""
    assert "damaged" in rows[3]["error"]
    assert [file.name for file in table.parent.iterdir()] == ["answers.csv"]


def test_a_full_disk_leaves_no_half_table(cli, tiny_bundle, photos, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "no space")

    table = tmp_path / "answers.csv"
    table.write_text("earlier")
    monkeypatch.setattr("os.fsync", full)
    done = cli("predict", tiny_bundle, photos, "--csv", table, "--overwrite")
    assert done.code == 1
    assert f"{table} could not be written\n  got: the disk is full\n  fix: free some space" in done.err
    assert table.read_text() == "earlier"
    assert [file.name for file in tmp_path.glob("answers*")] == ["answers.csv"]


def test_annotated_pictures(cli, tiny_bundle, photos, broken, tmp_path):
    (photos / "circle" / "0.jpg").write_bytes((photos / "circle" / "0.png").read_bytes())
    out = tmp_path / "annotated"
    done = cli("predict", tiny_bundle, photos, photos / "square" / "0.png", "--out", out)
    assert done.code == 1
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert len(names) == 25
    assert {"circle/0.jpg", "circle/0.png.jpg", "square/0.png.jpg", "square/0.png-2.jpg"} <= names
    assert "circle/3.png.jpg" not in names
    with Image.open(out / "circle" / "0.jpg") as picture:
        assert picture.format == "JPEG"
        assert picture.height > picture.width  # with the bar below it


@pytest.mark.parametrize("where", ["photos", "photos/circle", "photos/new"])
def test_annotated_pictures_never_go_where_they_come_from(cli, tiny_bundle, photos, tmp_path, where):
    before = sorted(photos.rglob("*"))
    done = cli("predict", tiny_bundle, photos, "--out", tmp_path / where)
    assert done.code == 2
    assert "where the pictures come from" in done.err
    assert sorted(photos.rglob("*")) == before


def test_a_named_picture_is_not_overwritten(cli, tiny_bundle, photos):
    photo = photos / "a.jpg"
    Image.new("RGB", (64, 64), "red").save(photo)
    before = photo.read_bytes()
    done = cli("predict", tiny_bundle, photo, "--out", photos)
    assert done.code == 2
    assert "where the pictures come from" in done.err
    assert photo.read_bytes() == before


def test_no_named_picture_is_written_over_by_the_copy_of_another(cli, tiny_bundle, photos, monkeypatch):
    for folder, colour in (("a", "red"), ("b", "blue")):
        (photos / folder).mkdir()
        Image.new("RGB", (64, 64), colour).save(photos / folder / "1.jpg")
    before = (photos / "a" / "1.jpg").read_bytes()
    for names in (["b/1.jpg", "a/1.jpg"], ["?/1.jpg"]):
        done = cli("predict", tiny_bundle, *(photos / name for name in names), "--out", photos / "a")
        assert done.code == 2
        assert "where the pictures come from" in done.err
    listed = io.TextIOWrapper(io.BytesIO(f"{photos}/b/1.jpg\n{photos}/a/1.jpg\n".encode()))
    monkeypatch.setattr(sys, "stdin", listed)
    done = cli("predict", tiny_bundle, "-", "--out", photos / "a")
    assert done.code == 2
    assert f"--out would overwrite {photos / 'a' / '1.jpg'}" in done.err
    assert (photos / "a" / "1.jpg").read_bytes() == before


def test_a_run_folder_answers_too(cli, tiny_run, photos, tmp_path):
    done = cli(
        "predict", tiny_run, photos, "--csv", tmp_path / "answers.csv", "--batch", "5", "--workers", "1"
    )
    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == 24
    told = cli("predict", tiny_run, photos, "--abstain")
    assert told.code == 2
    assert "run `assay calibrate" in told.err
    assert "no card.json" in cli("predict", photos, photos / "circle").err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["photos/nothing.jpg"], "there is no picture or folder photos/nothing.jpg"),
        (["photos", "--top", "0"], "--top needs at least 1"),
        (["photos", "--batch", "-1"], "--batch needs at least 1"),
        (["photos", "--batch", "many"], "many"),
        (["photos", "--jsn"], "did you mean --json"),
        (["photos", "--csv", "photos"], "photos is a folder"),
        (["photos", "--out", "tiny.bundle"], "--out tiny.bundle is a file"),
        ([], "pictures"),
    ],
)
def test_wrong_usage(cli, tiny_bundle, photos, monkeypatch, words, told):
    monkeypatch.chdir(photos.parent)
    done = cli("predict", "tiny.bundle", *words)
    assert done.code == 2
    assert told in done.err
    assert done.out == ""


def test_wrong_bundles(cli, tiny_bundle, photos, tmp_path):
    assert cli("predict", tmp_path / "no.bundle", photos).code == 2
    done = cli("predict", photos / "circle" / "0.png", photos)
    assert done.code == 1
    assert "this is no Bundle" in done.err
    tiny_bundle.write_bytes(tiny_bundle.read_bytes()[:-5])
    done = cli("predict", tiny_bundle, photos)
    assert done.code == 1
    assert "cut short or damaged" in done.err
    assert done.err.count("\n") == 3


def test_errors_as_json(cli, tiny_bundle, tmp_path):
    done = cli("predict", tiny_bundle, tmp_path / "none", "--json")
    assert done.code == 2
    assert json.loads(done.err)["error"]["what"].startswith("there is no picture or folder")


@pytest.mark.parametrize("how", ["command", "python", "openvino"])
def test_nothing_is_reported_home(tiny_bundle, photos, tmp_path, how):
    """ONNX Runtime reports by itself from 1.29 on, and leaves a device number and a queue in the user's cache.

    OpenVINO sends an event when it is imported, unless a variable says that this is a test, and leaves ~/intel.
    """
    home = tmp_path / "home"
    home.mkdir()
    unwanted = ("XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY", "CI", "TF_BUILD", "JENKINS_URL")
    kept = {k: v for k, v in os.environ.items() if k not in unwanted}
    photo = photos / "circle" / "0.png"
    engine = "openvino" if how == "openvino" else "onnxruntime"
    code = f"import assay; print(assay.load({str(tiny_bundle)!r}, engine={engine!r})({str(photo)!r}).label)"
    code += "; import sys; assert not [name for name in sys.modules if 'telemetry' in name and 'openvino' in name]"
    words = ["-m", "assay", "predict", tiny_bundle, photo] if how == "command" else ["-c", code]
    done = assay_process_of(words, {**kept, "HOME": str(home)})
    assert done.returncode == 0, done.stderr
    assert "circle" in done.stdout
    names = [path.name.lower() for path in home.rglob("*")]
    assert not [name for name in names if name.startswith(("microsoft", "onnxruntime", "intel", "openvino"))]


def test_a_list_on_stdin(tiny_bundle, photos):
    """In the order of the list; a missing file is a broken picture like any other."""
    paths = [
        str(photos / "square" / "0.png"),
        str(photos / "none.jpg"),
        str(photos / "größer 三角" / "1.png"),
    ]
    process = assay_process("predict", tiny_bundle, "-", "--json", stdin=subprocess.PIPE)
    out, err = process.communicate("\n".join(paths) + "\n", timeout=60)
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["path"] for row in rows] == paths
    assert ["error" in row for row in rows] == [False, True, False]
    assert (process.returncode, err) == (1, "")


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_names_that_are_no_unicode_or_control_the_terminal(tiny_bundle, photos):
    folder = photos / "odd"
    folder.mkdir()
    data = (photos / "square" / "0.png").read_bytes()
    for name in (b"\xff.png", b"new\nline.png", b"\x1b[31mred.png"):
        (folder / os.fsdecode(name)).write_bytes(data)
    process = assay_process("predict", tiny_bundle, folder, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert len(out.splitlines()) == 3
    assert "\x1b" not in out
    process = assay_process(
        "predict", tiny_bundle, folder, "--json", env={**os.environ, "PYTHONIOENCODING": "ascii"}
    )
    out, _ = process.communicate(timeout=60)
    assert [json.loads(line)["label"] for line in out.splitlines()] == ["square"] * 3


def test_a_reader_that_leaves(tiny_bundle, photos):
    """As ``| head -1`` does."""
    process = assay_process("predict", tiny_bundle, *[photos] * 400, "--batch", "4")
    assert process.stdout.readline().endswith(" %\n")
    process.stdout.close()
    assert process.wait(timeout=60) in (141, -signal.SIGPIPE)
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.skipif(os.name == "nt", reason="signals differ")
def test_ctrl_c(tiny_bundle, photos, tmp_path):
    process = assay_process(
        "predict", tiny_bundle, "-", "--csv", tmp_path / "a.csv", "--batch", "1", stdin=subprocess.PIPE
    )
    process.stdin.write(f"{photos / 'circle' / '0.png'}\n" * 100)  # fits into a pipe; then it waits for more
    process.stdin.flush()
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted: after" in err
    assert "what was written is whole" in err  # for a list on stdin cannot be gone on with
    assert time.monotonic() - begun < 10
    assert [path.name for path in tmp_path.glob("*a.csv*")] == ["a.csv"]


def test_abstain_without_thresholds(cli, tiny_bundle, photos):
    done = cli("predict", tiny_bundle, photos, "--abstain")
    assert done.code == 2
    assert "holds no thresholds, so it cannot abstain" in done.err
    assert "assay calibrate" in done.err
    assert done.out == ""


def test_help_names_the_exit_codes(cli):
    done = cli("predict", "--help")
    assert done.code == 0
    assert "0 all answered, 1 some pictures could not be read" in done.out
