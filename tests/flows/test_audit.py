"""The doctor from end to end: a small set with planted faults, broken off and gone on with, and its mended copy."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

QUICK = ("--minutes", "0", "--workers", "1")


def draw(i: int, kind: int) -> Image.Image:
    """A noisy picture of its own with a disc, square or bar in the colour of its class."""
    rng = np.random.default_rng(1000 * kind + i)
    coarse = rng.integers(40, 215, (6, 6, 3), dtype=np.uint8)
    pixels = np.array(Image.fromarray(coarse).resize((96, 96), Image.Resampling.BICUBIC))
    y, x = rng.integers(10, 50, 2)
    rows, columns = np.mgrid[:96, :96]
    shape = (
        (rows - y - 16) ** 2 + (columns - x - 16) ** 2 < 256,
        (abs(rows - y - 16) < 14) & (abs(columns - x - 16) < 14),
        (abs(rows - y - 16) < 5) & (abs(columns - x - 16) < 20),
    )[kind]
    pixels[shape] = ((230, 40, 40), (40, 60, 230), (40, 210, 80))[kind]
    return Image.fromarray(pixels)


@pytest.fixture(scope="session")
def _planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted") / "shop"
    for kind, name in enumerate(("disc", "square", "bar")):
        for i in range(40):
            place = folder / ("train" if i < 24 else "val" if i < 30 else "test") / name
            place.mkdir(parents=True, exist_ok=True)
            draw(i, kind).save(place / f"{i:02}.jpg", quality=90)
    t = folder / "train"
    (t / "disc" / "00.jpg").write_bytes((t / "disc" / "00.jpg").read_bytes()[:900])
    (t / "disc" / "01.jpg").write_bytes(b"")
    (t / "disc" / "02.jpg").write_bytes(b"<html>404</html>")
    Image.open(t / "disc" / "03.jpg").save(t / "disc" / "03.png")
    (t / "disc" / "03.png").rename(t / "disc" / "03.jpg")
    shutil.copy(t / "square" / "00.jpg", t / "square" / "copy.jpg")
    shutil.copy(t / "square" / "01.jpg", t / "bar" / "other-label.jpg")
    shutil.copy(t / "square" / "02.jpg", folder / "test" / "square" / "leak.jpg")
    Image.open(t / "bar" / "03.jpg").resize((80, 80)).save(
        folder / "test" / "bar" / "near-leak.jpg", quality=70
    )
    return folder


@pytest.fixture
def planted(_planted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_planted, tmp_path / "shop"))


def audit(cli, data, out, *words):
    told = cli("audit", data, "--out", out, "--json", *QUICK, *words)
    assert told.err == ""
    found = json.loads(told.out)
    return told.code, {f["code"]: f for f in found["findings"]}, found


def paths_of(finding) -> set[str]:
    return {path for item in finding["items"] for path in item["paths"]}


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


MENDED = (
    *("truncated", "empty-file", "unreadable", "wrong-extension", "exact-duplicates"),
    *("same-picture-two-labels", "same-picture-two-parts", "near-duplicates-across-parts"),
)


def test_planted_faults_are_found_and_the_mended_copy_is_clean(cli, planted, tmp_path):
    before = bytes_below(planted)
    code, found, _ = audit(cli, planted, tmp_path / "a", "--fix", tmp_path / "mended")
    assert code == 1
    assert paths_of(found["truncated"]) == {"train/disc/00.jpg"}
    assert paths_of(found["empty-file"]) == {"train/disc/01.jpg"}
    assert paths_of(found["unreadable"]) == {"train/disc/02.jpg"}
    assert paths_of(found["wrong-extension"]) == {"train/disc/03.jpg"}
    assert paths_of(found["exact-duplicates"]) >= {"train/square/00.jpg", "train/square/copy.jpg"}
    assert paths_of(found["same-picture-two-labels"]) == {"train/square/01.jpg", "train/bar/other-label.jpg"}
    assert paths_of(found["same-picture-two-parts"]) == {"train/square/02.jpg", "test/square/leak.jpg"}
    assert paths_of(found["near-duplicates-across-parts"]) == {"train/bar/03.jpg", "test/bar/near-leak.jpg"}
    assert not [f for f in found.values() if f["code"] == "checkup-failed"]
    assert bytes_below(planted) == before, "the original is never touched"
    mended = tmp_path / "mended"
    assert (mended / "train" / "disc" / "03.png").is_file()
    assert (mended / "test" / "square" / "leak.jpg").is_file()
    assert not (mended / "train" / "square" / "02.jpg").exists()
    _, again, told = audit(cli, mended, tmp_path / "b")
    assert not {code for code in MENDED if again.get(code, {"level": "good"})["level"] != "good"}
    assert told["parts"]["test"] == 32


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_broken_off_and_gone_on_with(cli, planted, tmp_path, sign):
    command = [sys.executable, "-m", "assay", "audit", str(planted), "--out", str(tmp_path / "a"), *QUICK]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first = tmp_path / "a" / "work" / "findings" / "files.json"
    deadline = time.monotonic() + 60
    while not first.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(sign)
    _, errors = process.communicate(timeout=60)
    if sign == signal.SIGINT:
        assert process.returncode == 130, errors
        assert "give the same command again to go on" in errors
        assert "Traceback" not in errors
    assert not (tmp_path / "a" / "audit.json").exists()
    stamp = first.stat().st_mtime_ns
    _, _, gone_on = audit(cli, planted, tmp_path / "a")
    assert first.stat().st_mtime_ns == stamp, "a finished checkup is not made again"
    _, _, unbroken = audit(cli, planted, tmp_path / "b")
    assert gone_on["findings"] == unbroken["findings"]


@pytest.mark.parametrize(
    "name", ["one class", "ten pictures", "all equal", "all broken", "no classes", "one group", "empty class"]
)
def test_strange_data_are_audited(cli, planted, tmp_path, name):
    data, words = tmp_path / "data", []
    if name == "one class":
        shutil.copytree(planted / "train" / "bar", data / "bar")
    elif name == "ten pictures":
        for kind in ("bar", "square"):
            (data / kind).mkdir(parents=True)
            for path in sorted((planted / "val" / kind).iterdir())[:5]:
                shutil.copy(path, data / kind)
    elif name in ("all equal", "all broken"):
        for i in range(12):
            place = data / ("a", "b")[i % 2] / f"{i}.jpg"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes((planted / "val/bar/24.jpg").read_bytes() if name == "all equal" else b"x")
    elif name == "no classes":
        shutil.copytree(planted / "train" / "bar", data)
    else:
        shutil.copytree(planted, data)
        if name == "empty class":
            (data / "train" / "nothing").mkdir()
        else:
            words = ["--group-pattern", "(jpg)"]
    code, _, told = audit(cli, data, tmp_path / "out", *words)
    assert code in (0, 1)
    assert told["n"] > 0
    failed = [f["what"] for f in told["findings"] if f["code"] == "checkup-failed"]
    assert not failed, failed
    assert (tmp_path / "out" / "audit.html").is_file()
