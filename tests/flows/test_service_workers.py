"""Worker processes: the same answers as in one process, and what happens when they die, hang, or meet poison."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml

from assay.errors import AssayError, BundleError, PolicyError
from assay.image import DEFAULT_LIMITS, ImageLimits
from assay.photos import Photo
from assay.runtime.screen_parts import DecodePlan, answer_decoded, decode, decode_plan
from assay.runtime.screening import load_screener
from assay.service.workers.child import LostError
from assay.service.workers.facts import Failed
from assay.service.workers.pool import Answerers, Decoders

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and /proc are Linux'")

SHAPES = {
    "format": 1,
    "name": "shapes",
    "version": "1",
    "questions": {"shape": {"model": "tiny.bundle", "answers": {"*": "pass"}}},
    "automatic": {"accept": {"risk": 0.3}},
}


@pytest.fixture
def policy(tiny_bundle, tmp_path):
    path = tmp_path / "shapes.yaml"
    path.write_text(yaml.safe_dump(SHAPES, allow_unicode=True), "utf-8")
    return path


@pytest.fixture
def files(photos):
    return sorted(photos.rglob("*.png"))


@asynccontextmanager
async def running(*pools):
    try:
        for pool in pools:
            await pool.start()
        yield
    finally:
        for pool in pools:
            await pool.stop()


async def until(holds, seconds):
    """Seconds until it holds."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < seconds, "it never held"
        await asyncio.sleep(0.01)
    return time.monotonic() - begun


def named_photo(path):
    return Photo(path.name, path.read_bytes)


def test_halves_are_the_whole(policy, files):
    screener = load_screener(policy)
    plan = decode_plan(screener)
    (files[3].parent / "broken.png").write_bytes(files[3].read_bytes()[:200])
    files = [*files, files[3].parent / "broken.png"]
    whole = list(screener.evidence([named_photo(path) for path in files]))
    decoded = [decode(path.read_bytes(), plan, DEFAULT_LIMITS) for path in files]
    names, digests = [path.name for path in files], [one.photo for one in whole]
    for lanes in (1, 2):
        assert answer_decoded(screener, decoded, names, digests, lanes=lanes) == whole
    assert whole[-1].error.startswith("broken.png is damaged")


def test_processes_say_what_one_process_says(policy, files):
    screener = load_screener(policy)
    (files[3].parent / "broken.png").write_bytes(files[3].read_bytes()[:200])
    files = [*files, files[3].parent / "broken.png"]
    whole = list(screener.evidence([named_photo(path) for path in files]))
    names, digests = [path.name for path in files], [one.photo for one in whole]

    async def screen():
        decoders, answerers = Decoders(2), Answerers(policy, 1, threads=2)
        async with running(decoders, answerers):
            assert (decoders.alive, answerers.alive) == (2, 1)
            assert all(decoders.confined.values()), decoders.confined
            plan = answerers.facts.plan
            decoded = await asyncio.gather(*(decoders.decode(path.read_bytes(), plan) for path in files))
            return answerers.facts, decoded, await answerers.answer(decoded, names, digests)

    facts, decoded, found = asyncio.run(screen())
    assert found == whole
    assert facts.policy == screener.policy.digest
    assert facts.models == screener.digests
    assert facts.classes == screener.classes
    assert facts.plan == decode_plan(screener)
    for path, one in zip(files, decoded, strict=True):
        here = decode(path.read_bytes(), facts.plan)
        assert one.error == here.error
        assert all(np.array_equal(a, b) for a, b in zip(one.pixels, here.pixels, strict=True))
