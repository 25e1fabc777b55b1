"""No upload of any content ends more than one process, takes more than 3 s or 512 MiB, or harms the next photo.

The sandbox that it is decoded in, in which no file and no socket can be opened, has tests of its own
(``tests/unit/test_service_sandbox.py``). Every byte, every file: ``python -m benchmarks.hostile_uploads``.
"""

from __future__ import annotations

import asyncio
import sys
from itertools import islice

import numpy as np
import pytest
from benchmarks.data.hostile_bombs import BOMBS
from benchmarks.data.hostile_files import cut_files, made_files, mutated_files, photograph
from benchmarks.hostile_uploads import FORMATS, LIMIT_MIB, LIMIT_S, PLAN, measure, shared_files

from assay.runtime.rendition import render_jpeg
from assay.runtime.screen_parts import SERVICE_LIMITS, decode
from assay.service.workers.pool import Decoders

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the decoder's limits are Linux'")

SLACK_S = 1.0
"""Of the test, which shares its cores with others; the benchmark allows none."""
STRIDE = 37


def put_through(files):
    told = asyncio.run(measure(files, aloud=False))
    assert told["files"] == told["read"] + told["refused"]
    assert all(told["confined"].values())
    assert told["next_good_photo_lost"] == 0
    assert max(told["slowest_s"].values()) <= LIMIT_S + SLACK_S, told["slowest_s"]
    assert 30 < told["peak_mib"] <= LIMIT_MIB
    return told


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_bombs(part):
    told = put_through(islice(BOMBS.items(), part, None, 4))
    assert told["files"] >= 13


def test_metadata_and_two_kinds_in_one_file():
    told = put_through((name, make) for name, make in made_files() if name not in BOMBS)
    assert told["read"] >= 20  # a photo with something behind it is a photo
    assert told["refused"] >= 20


def test_photos_that_were_cut_off():
    told = put_through(cut_files(("JPEG", "PNG", "WEBP"), STRIDE))
    assert told["files"] > 100
    assert told["ended_the_decoder"] == {}


def test_changed_bytes_in_every_format():
    told = put_through(mutated_files(FORMATS, 10))
    assert told["files"] == 90


@pytest.mark.shared
def test_the_collection_of_broken_files(shared_data):
    told = put_through(shared_files(shared_data / "bad-images"))
    assert told["files"] > 250


@pytest.mark.shared
def test_the_sandbox_changes_no_answer(shared_data):
    """Nothing that decoding needs is missing in a process that can open no file any more."""
    files = [
        *((name, make()) for name, make in shared_files(shared_data / "bad-images")),
        *((name, make()) for name, make in mutated_files(FORMATS, 3, seed=1)),
        *((name, photograph(name, 1200)) for name in FORMATS),  # codecs use threads for large ones
    ]

    async def through_processes():
        decoders = Decoders(1)
        await decoders.start()
        try:
            return [(await decoders.decode(data, PLAN), await decoders.render(data, 64)) for _, data in files]
        finally:
            await decoders.stop()

    for (name, data), (there, shown) in zip(files, asyncio.run(through_processes()), strict=True):
        here = decode(data, PLAN)
        assert (there.error, there.size_hw) == (here.error, here.size_hw), name
        assert all(np.array_equal(a, b) for a, b in zip(there.pixels, here.pixels, strict=True)), name
        assert np.array_equal(there.prints, here.prints), name
        assert shown == (render_jpeg(data, 64, SERVICE_LIMITS) if here.error is None else None), name
