"""Every awkward or broken file of the collection through ``assay predict``: a clear line each, and no hang."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time

import pytest

import assay

pytestmark = pytest.mark.shared
LONGEST_S = 10.0


@pytest.fixture
def files(shared_data):
    folder = shared_data / "bad-images"
    found = [path for path in sorted((folder / "files").iterdir()) if path.is_file()]
    return found + sorted((folder / "exif").glob("*.jpg"))


@pytest.fixture
def outcomes(shared_data):
    """File name -> what Pillow alone does with it."""
    with (shared_data / "bad-images" / "pillow13_outcomes.csv").open(encoding="utf-8", newline="") as file:
        return {row["file"].rpartition("/")[2]: row["outcome"] for row in csv.DictReader(file)}


def test_every_file_is_one_line(cli, tiny_bundle, files, photos):
    good = photos / "square" / "0.png"
    named = [path for file in files for path in (file, good)]
    done = cli("predict", tiny_bundle, *named, "--json")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 1
    assert done.err == ""
    assert [row["path"] for row in rows] == [str(path) for path in named]
    assert {row["label"] for row in rows[1::2]} == {"square"}
    for row in rows[::2]:
        assert ("error" in row) != ("label" in row)
        if "error" in row:
            assert row["path"] in row["error"]
            assert "\n" not in row["error"]
            assert "Traceback" not in row["error"]
            assert len(row["error"]) < 500


def test_text_has_one_line_each_too(cli, tiny_bundle, files):
    done = cli("predict", tiny_bundle, *files)
    told = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert len(done.out.splitlines()) + len(told) == len(files)
    assert done.err.splitlines()[-1].startswith(f"{len(files) - len(told)} of {len(files)} pictures answered")


def test_nothing_else_reaches_the_terminal(tiny_bundle, files):
    """libtiff would write lines of its own."""
    command = [sys.executable, "-m", "assay", "predict", str(tiny_bundle), *map(str, files)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=False)
    *told, last = done.stderr.splitlines()
    assert done.returncode == 1
    assert [line for line in told if not line.startswith("error: ")] == []
    assert last.endswith(f"{len(told)} could not be read")


def test_no_file_takes_long(tiny_bundle, files):
    predictor = assay.load(tiny_bundle, threads=1)
    for path in files:
        begun = time.monotonic()
        list(predictor.predict([path], workers=1))
        assert time.monotonic() - begun < LONGEST_S, path


def test_what_pillow_reads_is_answered(tiny_bundle, files, outcomes):
    """Files in the formats that are tried; what alone Pillow calls broken may be an error."""
    predictor = assay.load(tiny_bundle, threads=1)
    lost = [
        prediction.error
        for prediction in predictor.predict(files)
        if prediction.error is not None and outcomes.get(prediction.path.rpartition("/")[2]) == "ok"
    ]
    assert len(lost) <= 0.05 * len(files), "\n".join(lost)
