"""Videos by the user's ffmpeg: every frame once, in its time; faults in words; no process left behind."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from assay.errors import AssayError, ConfigError, ImageError
from assay.labels import ClassNames
from assay.photos import name_of
from assay.runtime import ffmpeg
from assay.runtime.containers import pictures
from assay.runtime.video import Video, VideoFacts, is_video
from assay.runtime.video_out import VideoFile
from assay.types import Prediction

if shutil.which("ffmpeg") is None:
    if os.environ.get("CI"):
        pytest.fail("ffmpeg is not installed: apt-get install ffmpeg", pytrace=False)
    pytest.skip("needs ffmpeg", allow_module_level=True)


def frame(i, height=48, width=64):
    """Grey with a bright square that moves to the right."""
    picture = np.full((height, width, 3), 60, np.uint8)
    picture[16:32, 2 * i : 2 * i + 16] = (220, 40, 40)
    return picture


@pytest.fixture
def walk(tmp_path):
    """20 frames, 10 a second."""
    path = tmp_path / "walk.mp4"
    with VideoFile(path, Fraction(10)) as file:
        for i in range(20):
            file.write(frame(i))
    return path


def write_video(path, frames):
    with VideoFile(path, Fraction(5), overwrite=True) as file:
        for one in frames:
            file.write(one)


def ffmpeg_run(*words):
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, words)], check=True, stdin=subprocess.DEVNULL)


def test_frames_come_once_and_in_their_time(walk):
    video = Video(str(walk))
    assert (video.facts.size_hw, video.facts.rate, video.count()) == ((48, 64), 10, 20)
    photos = list(video)
    assert [photo.name for photo in photos] == [f"{walk}#{i}" for i in range(20)]
    assert [dict(photo.facts)["time_s"] for photo in photos] == pytest.approx([i / 10 for i in range(20)])
    for i in (0, 7, 19):
        assert np.abs(photos[i].read().astype(int) - frame(i)).mean() < 6


def test_every_nth(walk):
    photos = list(Video(str(walk), step=6))
    assert [photo.name.rpartition("#")[2] for photo in photos] == ["0", "6", "12", "18"]
    assert [dict(photo.facts)["time_s"] for photo in photos] == pytest.approx([0, 0.6, 1.2, 1.8])
    assert Video(str(walk), step=6).count() == 4
    assert np.abs(photos[2].read().astype(int) - frame(12)).mean() < 6


def test_the_name_of_a_video_is_no_complaint(walk, tmp_path):
    named = tmp_path / "corrupt, truncated: invalid data.mp4"
    ffmpeg_run("-i", walk, "-c", "copy", "-metadata", "title=partial file ended prematurely", f"file:{named}")
    assert len(list(Video(str(named)))) == 20


def test_frames_are_upright(walk, tmp_path):
    turned = tmp_path / "turned.mp4"
    ffmpeg_run("-i", walk, "-c", "copy", "-metadata:s:v:0", "rotate=90", turned)
    video = Video(str(turned))
    assert next(iter(video)).read().shape[:2] == video.facts.size_hw == (64, 48)


def test_a_video_that_is_cut_off_gives_what_came_before(cli, tiny_bundle, tmp_path, walk):
    whole = tmp_path / "whole.ts"  # a stream that has no index at its end
    ffmpeg_run("-i", walk, "-c", "copy", "-f", "mpegts", whole)
    cut = tmp_path / "cut.mkv"
    ffmpeg_run("-i", walk, "-c:v", "mpeg4", cut)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 6 // 10])
    done = cli("predict", tiny_bundle, cut)
    assert done.code == 1
    assert 0 < len(done.out.splitlines()) < 20
    assert "is damaged or cut off after frame" in done.err
    assert len(list(Video(str(whole)))) == 20


@pytest.mark.parametrize("data", [b"", b"nothing of the kind", b"ffconcat version 1.0\nfile walk.mp4\n"])
def test_no_video_at_all(cli, tiny_bundle, tmp_path, data):
    path = tmp_path / "x.mp4"
    path.write_bytes(data)
    done = cli("predict", tiny_bundle, path)
    assert done.code == 2
    assert f"{path} is no video that can be read" in done.err


def test_an_mp4_without_its_end_is_told_at_once(cli, tiny_bundle, tmp_path, walk):
    path = tmp_path / "x.mp4"
    ffmpeg_run("-i", walk, "-c", "copy", "-movflags", "-faststart", path)
    path.write_bytes(path.read_bytes()[:-400])
    done = cli("predict", tiny_bundle, path)
    assert done.code == 2
    assert "is no video that can be read" in done.err


def test_without_ffmpeg(walk, monkeypatch):
    ffmpeg.program.cache_clear()
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match="videos need ffprobe, which is not installed") as told:
        _ = Video(str(walk)).facts
    assert "apt-get install ffmpeg" in told.value.fix
    monkeypatch.setenv("ASSAY_FFMPEG", "/nowhere/ffmpeg")
    with pytest.raises(ConfigError) as told:
        _ = Video(str(walk)).facts
    assert told.value.got == "/nowhere/ffmpeg"
    monkeypatch.undo()
    ffmpeg.program.cache_clear()


def test_no_process_is_left_behind(walk):
    def children():
        tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
        return {child for task in tasks for child in task.read_text().split()}

    before = children()
    for _ in range(50):
        frames = iter(Video(str(walk)))
        next(frames)
        frames.close()
    assert children() <= before


def test_what_ffmpeg_says_goes_into_no_file(walk):
    """It says something of every frame, and a camera may run for weeks."""

    def files_without_a_name():
        opened = [one.readlink() for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
        return {path for path in opened if path.name.endswith("(deleted)")}

    before = files_without_a_name()
    frames = iter(Video(str(walk)))
    for _ in range(15):
        next(frames)
    assert files_without_a_name() == before
    frames.close()


def test_no_more_than_the_last_words_are_kept(tmp_path, monkeypatch):
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\nseq 300000 >&2\necho the end >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("ASSAY_FFMPEG", str(program))
    ffmpeg.program.cache_clear()
    heard = []
    with ffmpeg.Child([], hear=lambda line: heard.append(line) or line.startswith("2")) as child:
        assert child.output.read() == b""
        assert child.finish() == (3, "the end")
    assert (len(heard), heard[-1]) == (300_002, "")
    with ffmpeg.Child([]) as child:
        assert child.finish() == (3, "the end")
    ffmpeg.program.cache_clear()


def test_seconds_are_let_go_of_with_their_frames_and_waited_for_once():
    from assay.runtime.video import _Log

    log = _Log()
    for i in range(3):
        assert log.hear(f"[Parsed_showinfo_0 @ 0x5] n:{i:4} pts: {i} pts_time:{i / 4} duration: 1\n")
    assert log.hear("[Parsed_showinfo_0 @ 0x5] n:   3 pts: NOPTS pts_time:NOPTS duration: 1\n")
    assert not log.hear("[h264 @ 0x5] error while decoding MB 1 2\n")
    assert [log.time_of(i, 9) for i in range(4)] == [0, 0.25, 0.5, 9]
    assert (log._known, log.complaint) == ({}, "[h264 @ 0x5] error while decoding MB 1 2")
    log._patience_s = 0.05
    assert log.time_of(4, 7) == 7
    assert log._patience_s == 0
    log.hear("")
    assert log.time_of(5, 8) == 8


@pytest.fixture
def camera(monkeypatch):
    """``camera:0`` that gives 2 frames a second, and a list that has an entry for each that was taken from it."""
    drawn, taken, frames = "testsrc=size=64x48:rate=2,realtime", [], Video._frames

    def counted(self, run):
        for photo in frames(self, run):
            taken.append(photo.name)
            yield photo

    monkeypatch.setattr(Video, "_camera", lambda self: ["-f", "lavfi", "-i", drawn])
    monkeypatch.setattr(Video, "_frames", counted)
    monkeypatch.setattr(Video, "facts", VideoFacts((48, 64), Fraction(2), None))
    return "camera:0", taken


@pytest.mark.parametrize(("batch", "workers"), [(8, 2), (4, 3), (16, 1)])
def test_a_camera_is_answered_frame_by_frame(tiny_bundle, camera, batch, workers):
    import threading

    import assay

    name, taken = camera
    answers = assay.load(tiny_bundle, threads=1).predict(pictures(name), batch=batch, workers=workers)
    first = next(answers)
    assert len(taken) < 9  # one, and what came on a slow machine; not a batch for each lane
    found = [first, next(answers), next(answers)]
    assert [one.path for one in found] == [f"camera:0#{i}" for i in range(3)]
    assert [dict(one.photo.facts)["time_s"] for one in found] == [0, 0.5, 1]
    answers.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("assay-")]


def test_a_bad_video_is_one_error_and_the_walk_goes_on(cli, tiny_bundle, walk, photos, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"nothing of the kind")
    picture = photos / "circle" / "0.png"
    found = list(pictures([bad, picture, walk], step=10))
    assert [name_of(one) for one in found] == [str(bad), str(picture), f"{walk}#0", f"{walk}#10"]
    with pytest.raises(ImageError, match="is no video that can be read"):
        found[0].read()
    assert pictures([bad, picture]).count() is None
    done = cli("predict", tiny_bundle, bad, picture)
    assert done.code == 1
    assert done.out.startswith(f"{picture}  circle")
    listed = pictures("-", stdin=io.BytesIO(f"{walk}\n{bad}\ncamera:77\n".encode()), step=10)
    names = [f"{walk}#0", f"{walk}#10", str(bad), "camera:77"]
    assert [name_of(one) for one in listed] == names


def test_a_camera_that_is_not_there():
    assert is_video("camera:77")
    with pytest.raises(ConfigError, match="there is no camera camera:77"):
        list(Video("camera:77"))


def test_odd_sizes_are_padded_and_nothing_is_left_of_a_failure(tmp_path):
    path = tmp_path / "odd.mp4"
    with VideoFile(path, Fraction(5)) as file:
        file.write(frame(0, 49, 65))
    assert Video(str(path)).facts.size_hw == (50, 66)
    with pytest.raises(AssayError, match="frames of a video have one size"):
        write_video(path, [frame(0), frame(0, 20, 20)])
    assert [p.name for p in tmp_path.iterdir()] == ["odd.mp4"]
    assert Video(str(path)).facts.size_hw == (50, 66)
    with pytest.raises(ConfigError, match="is there already"):
        VideoFile(path, Fraction(5))


def red_cells(tmp_path):
    """8 frames of 64 x 64 with one red cell of 8 px that moves, for the network of the fixture ``scene_bundle``."""
    path = tmp_path / "cells.mkv"
    frames = np.full((8, 64, 64, 3), 128, np.uint8)
    for i in range(8):
        frames[i, 24:32, 8 * (i // 2) : 8 * (i // 2) + 8] = (230, 20, 20)
    ffmpeg_run(
        *(
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb24",
            "-video_size",
            "64x64",
            "-framerate",
            "4",
            "-i",
            write(tmp_path, frames),
        ),
        *("-c:v", "ffv1", "-pix_fmt", "bgr0", path),
    )
    return path


def write(tmp_path, frames):
    path = tmp_path / "frames.rgb"
    path.write_bytes(frames.tobytes())
    return path


def test_things_are_followed_and_drawn(cli, scene_bundle, tmp_path):
    path, table, drawn = red_cells(tmp_path), tmp_path / "things.csv", tmp_path / "drawn.mp4"
    lines = tmp_path / "things.jsonl"
    done = cli("predict", scene_bundle, path, "--track", "--csv", table, "--jsonl", lines, "--video", drawn)
    assert (done.code, done.err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8"))))
    assert [row["path"].rpartition("#")[2] for row in rows if row["thing"] == "1"] == [
        str(i) for i in range(8)
    ]
    assert len({row["track"] for row in rows}) < len(rows)
    told = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [one["frame"] for one in told] == list(range(8))
    assert told[4]["time_s"] == pytest.approx(1.0)
    assert all(one["boxes"][0]["track"] > 0 for one in told)
    assert (Video(str(drawn)).count(), Video(str(drawn)).facts.rate) == (8, 4)


def test_wrong_uses_of_video_options(cli, tiny_bundle, scene_bundle, photos, walk, tmp_path):
    for words, told in (
        ((tiny_bundle, walk, "--track"), "--track is for networks that find things"),
        ((scene_bundle, photos, "--video", tmp_path / "x.mp4"), "--video is for the frames of one video"),
        ((scene_bundle, walk, "--track", "--csv", tmp_path / "x.csv", "--resume"), "leave --resume out"),
        ((scene_bundle, walk, "--every", "0"), "--every needs at least 1"),
        ((scene_bundle, walk, "--video", walk), "is there already"),
        ((scene_bundle, walk, "--video", tmp_path / "x.avi"), "is written as MP4"),
    ):
        done = cli("predict", *words)
        assert done.code == 2
        assert told in done.err


def test_numbers_begin_anew_with_each_video_and_other_pictures_have_none():
    from assay.cli.followed import followed
    from assay.detections import Detections
    from assay.photos import Photo

    def seen(name, i):
        box = Detections(
            np.array([[10.0 + i, 10, 30 + i, 30]]), np.zeros(1, np.int64), np.ones(1, np.float32)
        )
        photo = None if name.endswith("jpg") else Photo(f"{name}#{i}", bytes, (("frame", i),))
        path = name if photo is None else photo.name
        names = ClassNames(["thing"])
        return Prediction(
            path, names, np.empty(0, np.float32), (64, 64), boxes=box, object_classes=names, photo=photo
        )

    answers = [*(seen("a.mp4", i) for i in range(3)), seen("x.jpg", 0), *(seen("b.mp4", i) for i in range(3))]
    found = list(followed((one for one in answers), 1))
    assert [None if one.boxes.tracks is None else one.boxes.tracks.tolist() for one in found] == [
        [1], [1], [1], None, [1], [1], [1]
    ]  # fmt: skip


def test_without_the_extra(monkeypatch):
    import sys

    from assay.runtime.tracking import Tracker

    monkeypatch.setitem(sys.modules, "norfair", None)
    with pytest.raises(ConfigError, match="needs the package norfair-enough") as told:
        Tracker()
    assert "assay-vision[video]" in told.value.fix


def test_an_empty_photo_is_an_error_of_its_own():
    video = Video("x.mp4")
    video.__dict__["facts"] = type("Facts", (), {"rate": Fraction(5), "size_hw": (4, 4)})
    with pytest.raises(ImageError, match="holds no frame that can be read"):
        video._cut_off(0, "").read()
