"""Live sources: what came is answered at once, in order, in bounded memory; threads end, faults keep their place."""

from __future__ import annotations

import io
import os
import queue
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import yaml
from PIL import Image
from tests.tiny_policy import SHAPES
from tests.unit.test_pipeline import CARD, Engine

from assay.live import Feed, Live, Stoppable
from assay.photos import Photo
from assay.pipeline import BATCHES_AHEAD, CHUNKS_AHEAD, PHOTOS_AHEAD, answer
from assay.runtime.containers import pictures
from assay.runtime.enrolment import open_enrolment
from assay.runtime.screening import load_screener

WAYS = [(None, 1, 1), (None, 8, 4), (True, 1, 1), (True, 8, 2), (True, 3, 4)]
"""(lanes, batch, workers)."""


@pytest.fixture
def greys(tmp_path):
    """Eight pictures, from dark to light."""
    paths = [tmp_path / f"{i}.png" for i in range(8)]
    for i, path in enumerate(paths):
        Image.new("RGB", (64, 48), (i * 36,) * 3).save(path)
    return paths


class Endless:
    """The same photo for ever, and how often it was taken."""

    def __init__(self, path):
        self._path, self.taken = path, 0

    def __iter__(self):
        return self

    def __next__(self):
        self.taken += 1
        return Photo("held", self._path.read_bytes)


class Hand:
    """Gives sources one by one, when the test says so; an exception is raised in its place, None is the end."""

    def __init__(self):
        self._given = queue.Queue()
        self.taken = 0

    def give(self, *sources):
        for source in sources:
            self._given.put(source)

    def live(self):
        return Live([self._sources()], wake=lambda: self._given.put(None))

    def _sources(self):
        while (source := self._given.get()) is not None:
            if isinstance(source, Exception):
                raise source
            self.taken += 1
            yield source


def soon(answers, many=1):
    """The next answers, which must not be long in coming."""
    pool = ThreadPoolExecutor(1)
    try:
        return [pool.submit(next, answers).result(timeout=30) for _ in range(many)]
    finally:
        pool.shutdown(wait=False)


def threads():
    return [t.name for t in threading.enumerate() if t.name.startswith("assay-")]


def walked(sources, lanes, batch, workers, engine=None):
    engine = engine or Engine()
    return answer(
        sources,
        engine,
        CARD,
        batch=batch,
        workers=workers,
        alone=None if lanes is None else lambda _lanes: Engine(),
    )


@pytest.mark.parametrize(("lanes", "batch", "workers"), WAYS)
def test_an_answer_does_not_wait_for_the_next_source(greys, lanes, batch, workers):
    hand = Hand()
    answers = walked(hand.live(), lanes, batch, workers)
    hand.give(greys[0])
    assert soon(answers)[0].path == str(greys[0])
    hand.give(*greys[1:6])
    assert [one.path for one in soon(answers, 5)] == [str(path) for path in greys[1:6]]
    assert hand.taken == 6
    hand.give(greys[6], None)
    assert [one.path for one in answers] == [str(greys[6])]
    assert not threads()


@pytest.mark.parametrize(("lanes", "batch", "workers"), WAYS)
def test_answers_are_those_of_an_ordinary_walk(greys, tmp_path, lanes, batch, workers):
    sources = [*greys, tmp_path / "gone.png", Photo("held", lambda: np.full((9, 9, 3), 200, np.uint8))] * 9
    found = list(walked(Live([iter(sources)]), lanes, batch, workers))
    told = list(walked(sources, lanes, batch, workers))
    assert [one.path for one in found] == [one.path for one in told]
    assert [one.error for one in found] == [one.error for one in told]
    assert all(np.array_equal(one.probs, other.probs) for one, other in zip(found, told, strict=True))


@pytest.mark.parametrize(("lanes", "batch", "workers"), WAYS)
def test_a_fault_of_the_source_is_raised_behind_what_came_before(greys, lanes, batch, workers):
    hand = Hand()
    hand.give(*greys[:5], OSError("lost the list"))
    answers = walked(hand.live(), lanes, batch, workers)
    assert len([next(answers) for _ in range(5)]) == 5
    with pytest.raises(OSError, match="lost the list"):
        next(answers)
    assert not threads()


@pytest.mark.parametrize(("lanes", "batch", "workers"), WAYS)
def test_no_more_is_taken_than_there_is_room_for(greys, lanes, batch, workers):
    endless = Endless(greys[0])
    answers = walked(Live([endless]), lanes, batch, workers)
    next(answers)
    before = -1
    while before != endless.taken:
        before = endless.taken
        time.sleep(0.05)
    ahead = (2 * workers + CHUNKS_AHEAD) * batch if lanes and workers > 1 else 2 * batch * BATCHES_AHEAD
    assert endless.taken <= ahead + 2
    answers.close()
    assert not threads()


def test_an_engine_that_fails_is_raised_and_threads_end(greys):
    def broken(_x):
        raise RuntimeError("no engine")

    hand = Hand()
    hand.give(greys[0])
    with pytest.raises(RuntimeError, match="no engine"):
        next(walked(hand.live(), True, 4, 2, broken))
    assert not threads()


def test_photos_that_hold_their_pixels_are_no_more_on_many_lanes(greys):
    endless = Endless(greys[0])
    answers = walked(endless, True, 8, 64)
    next(answers)
    assert endless.taken <= PHOTOS_AHEAD + 64 + CHUNKS_AHEAD
    answers.close()


def test_a_feed_that_is_left_ends_its_thread():
    hand = Hand()
    with Feed(hand.live(), 2) as feed:
        assert feed.take(lambda there: there) == []
        hand.give("a", "b", "c", "d")
        feed.wait()
        assert feed.take(lambda there: min(there, 1)) == ["a"]
    assert not threads()


def test_standard_input_is_answered_line_by_line(photos, tiny_bundle):
    import assay

    path = str(photos / "circle" / "0.png")
    read, write = os.pipe()
    with os.fdopen(read, "rb") as stream, os.fdopen(write, "wb", buffering=0) as lines:
        answers = assay.load(tiny_bundle, threads=1).predict(pictures("-", stdin=stream), workers=2)
        for ending in (b"\n", b"\0", b"\r\n"):
            lines.write(path.encode() + ending)
            assert soon(answers)[0].path == path
        begun = time.monotonic()
        answers.close()  # while it waits for a line
        assert time.monotonic() - begun < 5
        assert not threads()


def test_a_stream_that_is_stopped_is_at_its_end():
    read, write = os.pipe()
    with os.fdopen(read, "rb") as stream, os.fdopen(write, "wb", buffering=0) as lines:
        waiting = Stoppable(stream)
        lines.write(b"abc")
        assert io.BufferedReader(waiting).read1(10) == b"abc"
        threading.Timer(0.2, waiting.stop).start()
        assert waiting.read(10) == b""


def test_the_command_line_answers_before_the_list_ends(photos, tiny_bundle):
    words = [sys.executable, "-m", "assay", "predict", str(tiny_bundle), "-"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as process:
        for name in ("circle", "square"):
            process.stdin.write(f"{photos / name / '0.png'}\n")
            process.stdin.flush()
            assert name in process.stdout.readline()
        process.stdin.close()
        assert process.wait(timeout=60) == 0


def test_photos_are_screened_and_enrolled_as_they_come(tiny_bundle, tmp_path, photos):
    path = tmp_path / "shapes.yaml"
    told = {**SHAPES, "matching": {"references": "known.references"}}
    path.write_text(yaml.safe_dump(told, allow_unicode=True), "utf-8")
    screener = load_screener(path)
    for walk in (screener.screen, lambda sources: open_enrolment(screener.policy).add(sources, "fake")):
        hand = Hand()
        answers = walk(hand.live())
        for name in ("0.png", "1.png"):
            hand.give(photos / "circle" / name)
            assert soon(answers)[0].path == str(photos / "circle" / name)
        hand.give(OSError("lost the list"))
        with pytest.raises(OSError, match="lost the list"):
            next(answers)
        assert not threads()
