"""One look at every file: the facts, and how they are kept."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageOps

from assay.audit import facts as facts_room
from assay.audit import workers as workers_room
from assay.audit.facts import Facts, gather_facts
from assay.audit.fingerprint import Cut, prints, to_grey
from assay.audit.jpeg_traces import estimate_quality
from assay.audit.look import look_at
from assay.audit.truncation import ends_in_zeros, is_cut_off, sniff
from assay.errors import ImageError
from assay.image import read_image
from assay.labels import ClassNames
from assay.types import Dataset
from assay.verb_configs import AuditConfig

NO_BAR = lambda *_: None  # noqa: E731


def scene(seed: int, side: int = 64) -> Image.Image:
    """Soft shapes: what a photo is to a fingerprint."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize(
        (side, side), Image.Resampling.BICUBIC
    )


def dataset_of(root: Path, names: list[str]) -> Dataset:
    table = pa.table({"path": names, "label": pa.nulls(len(names), pa.string())})
    return Dataset(table, ClassNames([]), root)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(10):
        scene(i).save(tmp_path / f"{i}.png")
    return tmp_path


def gather(root: Path, names: list[str] | None = None, work: Path | None = None, **options: object) -> Facts:
    names = sorted(p.name for p in root.iterdir() if p.is_file()) if names is None else names
    return gather_facts(dataset_of(root, names), work or root / "work", AuditConfig(**options), NO_BAR)  # type: ignore[arg-type]


def same(one: Facts, two: Facts) -> bool:
    apart = ["jpeg_quality"]  # NaN is not NaN
    return bool(one.table.drop_columns(apart).equals(two.table.drop_columns(apart)))


def test_what_is_known_of_a_photo(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[271], exif[272], exif[305], exif[274] = "Maker", "One", "Editor 2", 6
    exif.get_ifd(0x8769)[36867] = "2024:05:06 07:08:09"
    scene(0, 300).crop((0, 0, 300, 200)).save(tmp_path / "a.jpg", quality=70, subsampling=2, exif=exif)
    row = gather(tmp_path).table.to_pylist()[0]
    assert (row["width"], row["height"], row["orientation"]) == (200, 300, 6)
    assert (row["format"], row["suffix_format"], row["mode"], row["frames"]) == ("JPEG", "JPEG", "RGB", 1)
    assert (row["jpeg_quality"], row["subsampling"], row["has_exif"]) == (70, "4:2:0", True)
    assert (row["camera"], row["taken"], row["software"]) == ("Maker One", "2024:05:06 07:08:09", "Editor 2")
    assert row["fault"] is None
    assert row["bytes"] == (tmp_path / "a.jpg").stat().st_size
    assert 0 < row["brightness"] < 255
    assert row["contrast"] > 5
    assert row["colourfulness"] > 5


def test_thumb_is_the_upright_picture(tmp_path: Path) -> None:
    picture = scene(3, 128)
    turned = Image.Exif()
    turned[274] = 8
    picture.save(tmp_path / "plain.png")
    picture.transpose(Image.Transpose.ROTATE_270).save(tmp_path / "turned.png", exif=turned)
    facts = gather(tmp_path)
    assert facts.thumbs.shape == (2, 32, 32, 3)
    assert np.abs(facts.thumbs[0].astype(int) - facts.thumbs[1]).max() <= 3
    assert facts.column("print")[0] == facts.column("print")[1]


@pytest.mark.parametrize("quality", [10, 35, 50, 75, 90, 100])
def test_quality_of_a_jpeg_is_read_off_its_tables(quality: int) -> None:
    stream = io.BytesIO()
    scene(0).save(stream, "JPEG", quality=quality)
    assert estimate_quality(Image.open(stream).quantization[0]) == pytest.approx(quality, abs=1)  # type: ignore[attr-defined]
    assert np.isnan(estimate_quality(None))


def test_faults_are_told_apart(folder: Path) -> None:
    whole = (folder / "0.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "words.jpg").write_text("no picture")
    (folder / "folder.png").mkdir()
    photo = io.BytesIO()
    scene(0, 256).save(photo, "JPEG")
    (folder / "cut.jpg").write_bytes(photo.getvalue()[:-200])
    names = ["0.png", "cut.png", "cut.jpg", "empty.png", "words.jpg", "gone.png", "0.png/x.png", "folder.png"]
    facts = gather(folder, names)
    assert facts.column("fault").tolist() == [
        None, "truncated", "truncated", "empty-file", "unreadable", "missing-file", "missing-file", "unreadable",
    ]  # fmt: skip
    assert facts.readable.tolist() == [True] + 7 * [False]
    assert "begins with" in facts.column("reason")[4]
    assert not facts.thumbs[1:].any()
    assert np.isnan(facts.column("brightness")[1:]).all()
    assert facts.column("width")[2] == 256  # the header was whole


def test_large_jpegs_are_decoded_small_and_seen_alike(tmp_path: Path) -> None:
    scene(1, 2400).save(tmp_path / "large.jpg", quality=95)
    scene(1, 240).save(tmp_path / "small.jpg", quality=95)
    facts = gather(tmp_path)
    assert facts.column("width").tolist() == [2400, 240]
    assert np.abs(facts.thumbs[0].astype(int) - facts.thumbs[1]).mean() < 3
    assert (tmp_path / "large.jpg").write_bytes((tmp_path / "large.jpg").read_bytes()[:-3000])
    assert look_at(tmp_path / "large.jpg").fault == "truncated"


@pytest.mark.parametrize(
    ("name", "kind", "mode"), [("a.jpg", "PNG", "RGB"), ("b.png", "JPEG", "L"), ("c", "GIF", "P")]
)
def test_true_format_against_the_name(tmp_path: Path, name: str, kind: str, mode: str) -> None:
    scene(0).convert(mode).save(tmp_path / name, kind)
    seen = look_at(tmp_path / name)
    assert (seen.format, seen.mode) == (kind, mode)
    assert seen.suffix_format == {"a.jpg": "JPEG", "b.png": "PNG", "c": None}[name]


def test_processes_and_one_process_see_the_same(folder: Path) -> None:
    one, two = gather(folder, work=folder / "one", workers=1), gather(folder, work=folder / "two", workers=2)
    assert same(one, two)
    assert np.array_equal(one.thumbs, two.thumbs)


def test_a_crash_of_the_decoder_costs_one_picture(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = (
        "import os; from assay.audit import workers as w; old = w.look_at\n"
        "w.look_at = lambda path: os._exit(9) if path.name == '4.png' else old(path)\n"
        "w.serve()"
    )
    monkeypatch.setattr(workers_room, "_START", start)
    facts = gather(folder, workers=2)
    assert facts.column("fault").tolist() == [None] * 4 + ["unreadable"] + [None] * 5
    assert facts.column("reason")[4] == "the decoder crashed"


def test_nothing_is_looked_at_twice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    monkeypatch.setattr(workers_room, "look_at", lambda path: looked.append(path.name) or look_at(path))
    names = [f"{i}.png" for i in range(10)]
    first = gather(folder, names)
    assert len(looked) == 10
    again = gather(folder, names)
    assert len(looked) == 10
    assert same(again, first)

    scene(99).save(folder / "3.png")
    os.utime(folder / "3.png", ns=(1, 1))
    scene(98).save(folder / "new.png")
    changed = gather(folder, ["new.png", *names[::-1]])
    assert looked[10:] == ["new.png", "3.png"]
    assert changed.column("digest")[7].tobytes() != first.column("digest")[3].tobytes()
    assert np.array_equal(changed.thumbs[1], first.thumbs[9])
    assert {p.suffix for p in (folder / "work").iterdir()} == {".arrow", ".npy"}
    assert len(list((folder / "work").iterdir())) == 2


def test_a_broken_off_look_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts_room, "JOB", 2)
    looked: list[str] = []

    def stop(path: Path) -> object:
        if path.name == "6.png" and not (folder / "on").exists():
            raise KeyboardInterrupt
        looked.append(path.name)
        return look_at(path)

    monkeypatch.setattr(workers_room, "look_at", stop)
    names = [f"{i}.png" for i in range(10)]
    with pytest.raises(KeyboardInterrupt):
        gather(folder, names)
    assert looked == names[:6]
    (folder / "on").touch()
    facts = gather(folder, names)
    assert looked == names
    assert facts.readable.all()
    assert np.array_equal(facts.thumbs[9], look_at(folder / "9.png").thumb)


def test_a_damaged_shard_is_looked_at_again(folder: Path) -> None:
    names = [f"{i}.png" for i in range(10)]
    first = gather(folder, names)
    table = next((folder / "work").glob("facts-*.arrow"))
    del first
    table.write_bytes(b"ARROW1 and no more")
    assert gather(folder, names).readable.all()


def test_the_same_row_twice_and_no_rows(folder: Path) -> None:
    facts = gather(folder, ["1.png", "2.png", "1.png"])
    assert len(facts) == 3
    assert facts.column("digest")[0].tobytes() == facts.column("digest")[2].tobytes()
    empty = gather(folder, [])
    assert (len(empty), empty.thumbs.shape) == (0, (0, 32, 32, 3))


def test_progress_is_told(folder: Path) -> None:
    told: list[tuple[str, int, int]] = []
    gather_facts(
        dataset_of(folder, ["1.png", "2.png"]), folder / "w", AuditConfig(), lambda *a: told.append(a)
    )
    assert told[0] == ("looking at pictures", 0, 2)
    assert told[-1] == ("looking at pictures", 2, 2)


def test_texts_are_in_memory_once(folder: Path) -> None:
    formats = gather(folder).column("format")
    assert formats.dtype == object
    assert len({id(text) for text in formats}) == 1


def test_prints_survive_what_copies_suffer() -> None:
    picture = scene(5, 256)
    thumbs = np.stack([np.asarray(p.resize((32, 32), Image.Resampling.BILINEAR)) for p in (
        picture, picture.resize((100, 100)), picture.point(lambda v: min(255, int(v * 1.2))), ImageOps.mirror(picture),
    )])  # fmt: skip
    plain, flipped = prints(to_grey(thumbs))
    apart = np.bitwise_count(plain[0] ^ plain)
    assert apart[1] <= 2
    assert apart[2] <= 8
    assert np.bitwise_count(flipped[0] ^ plain[3]) <= 2
    assert np.bitwise_count(prints(to_grey(thumbs), Cut.centre(0.0))[0][0] ^ plain[0]) == 0


def test_flat_pictures_have_the_print_0() -> None:
    flat = np.stack([np.full((32, 32, 3), level, np.uint8) for level in (0, 7, 128, 255)])
    assert [marks.tolist() for marks in prints(to_grey(flat))] == [[0] * 4, [0] * 4]


def test_end_of_a_file() -> None:
    stream = io.BytesIO()
    scene(0).save(stream, "JPEG")
    data = stream.getvalue()
    assert not ends_in_zeros(data)
    assert not ends_in_zeros(data + bytes(600))  # padding after the end does no harm
    assert ends_in_zeros(data[:-400] + bytes(600))
    assert is_cut_off(data[:-9], "JPEG", "cannot identify")
    assert not is_cut_off(data, "JPEG", "10 pixels; the limit is 5; truncated")
    assert sniff(data[:64]) == "JPEG"
    assert sniff(b"hello") is None


@pytest.mark.shared
def test_verdicts_are_those_of_the_decoder(
    shared_data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = shared_data / "bad-images"
    names = sorted(
        str(p.relative_to(root)) for p in root.glob("*/*") if p.is_file() and "LICENSE" not in p.name
    )
    told = gather(root, names, tmp_path, workers=2)
    assert capfd.readouterr().err == ""  # libtiff writes to the terminal by itself
    expected = []
    for name in names:
        try:
            expected.append(read_image(root / name).shape[:2])
        except ImageError:
            expected.append(None)
    sizes = zip(told.column("height").tolist(), told.column("width").tolist(), strict=True)
    assert [size if ok else None for size, ok in zip(sizes, told.readable, strict=True)] == expected
    faults = set(told.column("fault"))
    assert faults == {None, "truncated", "unreadable"}


@pytest.mark.slow
def test_ctrl_c_leaves_no_process(tmp_path: Path) -> None:
    for i in range(40):
        shutil.copy(scene_file(tmp_path), tmp_path / f"{i}.png")
    program = (
        "import sys, os, signal, threading, time; from pathlib import Path; import pyarrow as pa\n"
        "from assay.audit.facts import gather_facts; from assay.verb_configs import AuditConfig\n"
        "from assay.labels import ClassNames; from assay.types import Dataset\n"
        f"root = Path({str(tmp_path)!r}); names = [f'{{i}}.png' for i in range(40)] * 200\n"
        "data = Dataset(pa.table({'path': [f'{n}' for n in names], 'label': pa.nulls(len(names), pa.string())}),"
        " ClassNames([]), root)\n"
        "def stop(what, done, total):\n"
        "    if done > 0: os.kill(os.getpid(), signal.SIGINT); time.sleep(1)\n"
        "from assay.audit import facts as f\n"
        "f._keys_of = lambda d: __import__('numpy').arange(len(d)).astype('uint64')\n"
        "try: gather_facts(data, root / 'w', AuditConfig(workers=2), stop)\n"
        "except KeyboardInterrupt: print('stopped')\n"
        "here = str(os.getpid())\n"
        "print(Path(f'/proc/{here}/task/{here}/children').read_text().split())\n"
        "print(len(list((root / 'w').glob('shard-*'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split("\n")[:3] == ["stopped", "[]", "1"], done.stderr
    assert done.stderr == ""


def scene_file(folder: Path) -> Path:
    path = folder / "scene.png"
    if not path.exists():
        scene(0).save(path)
    return path
