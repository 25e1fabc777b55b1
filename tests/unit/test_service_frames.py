"""Frames over pipes: what goes in comes out, and nothing else is taken for a frame."""

from __future__ import annotations

import asyncio
import os
import struct
import threading

import pytest

from assay.service.workers.frames import (
    MOST_HEADER,
    FrameError,
    pack,
    read_frame,
    receive_frame,
    send_frame,
    unpack,
    widen,
    write_frame,
)

MOST = 1_000_000
GOOD = ({"name": "größer 三角", "values": [1, 2.5, None]}, (b"first", b"", bytes(range(256))))


@pytest.fixture
def pipe():
    """(what is read from, what is written to)"""
    taken, given = os.pipe()
    with os.fdopen(taken, "rb", 0) as reading, os.fdopen(given, "wb", 0) as writing:
        yield reading, writing


def streamed(data):
    """The frames that asyncio reads from these bytes."""

    async def read():
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        found = []
        while (frame := await read_frame(reader, MOST)) is not None:
            found.append(frame)
        return found

    return asyncio.run(read())


def piped(data, pipe):
    """The frames that a child reads from these bytes."""
    pipe[1].write(data)
    pipe[1].close()
    found = []
    while (frame := receive_frame(pipe[0].fileno(), MOST)) is not None:
        found.append(frame)
    return found


def wire(header, blobs=()):
    return b"".join([pack(header, blobs), *blobs])


@pytest.mark.parametrize("ways", ["stream", "pipe"])
def test_what_goes_in_comes_out(ways, pipe):
    data = wire(*GOOD) + wire({}) + wire({"n": 1}, [b"x"])
    frames = streamed(data) if ways == "stream" else piped(data, pipe)
    assert [frame.header for frame in frames] == [GOOD[0], {}, {"n": 1}]
    assert [[bytes(blob) for blob in frame.blobs] for frame in frames] == [list(GOOD[1]), [], [b"x"]]


def test_large_blobs_pass_a_small_pipe(pipe):
    blobs = [os.urandom(300_000), os.urandom(500_000)]
    thread = threading.Thread(target=send_frame, args=(pipe[1].fileno(), {"n": 7}, blobs))
    thread.start()
    frame = receive_frame(pipe[0].fileno(), MOST)
    thread.join()
    assert frame.header == {"n": 7}
    assert [bytes(blob) for blob in frame.blobs] == blobs


def test_a_frame_of_very_many_blobs(pipe):
    blobs = [bytes([i % 251]) * 700 for i in range(1300)]
    thread = threading.Thread(target=send_frame, args=(pipe[1].fileno(), {}, blobs))
    thread.start()
    frame = receive_frame(pipe[0].fileno(), MOST)
    thread.join()
    assert [bytes(blob) for blob in frame.blobs] == blobs


def test_a_widened_pipe_takes_a_photo_at_once(pipe):
    widen(pipe[1].fileno())
    os.set_blocking(pipe[1].fileno(), False)
    if pipe[1].write(bytes(200_000)) < 200_000:
        pytest.skip("this system grants no wider pipes")


def test_the_parent_writes_what_a_child_reads(pipe):
    async def write():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), pipe[1]
        )
        writer = asyncio.StreamWriter(transport, protocol, None, loop)
        write_frame(writer, *GOOD)
        found = await asyncio.to_thread(receive_frame, pipe[0].fileno(), MOST)
        transport.close()
        await asyncio.sleep(0)
        return found

    frame = asyncio.run(write())
    assert frame.header == GOOD[0]
    assert [bytes(blob) for blob in frame.blobs] == list(GOOD[1])


@pytest.mark.parametrize("at", range(1, len(wire({"n": 1}, [b"12345678"])), 3))
def test_a_cut_frame_is_told(at, pipe):
    data = wire({"n": 1}, [b"12345678"])[:at]
    with pytest.raises(FrameError, match="is cut off"):
        streamed(data)
    with pytest.raises(FrameError, match="is cut off"):
        piped(data, pipe)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (struct.pack("!II", MOST_HEADER + 1, 0), "too large, or none"),
        (struct.pack("!II", 2, MOST + 1), "too large, or none"),
        (struct.pack("!II", 0, 0), "too large, or none"),
        (b"\xff" * 64, "too large, or none"),
        (struct.pack("!II", 2, 0) + b"[]", "not in its form"),
        (struct.pack("!II", 4, 0) + b"{no}", "not in its form"),
        (struct.pack("!II", 2, 0) + b"\xff\xfe", "not in its form"),
        (struct.pack("!II", 40_000, 0) + b"[" * 40_000, "not in its form"),
        (struct.pack("!II", 13, 3) + b'{"sizes":[2]}abc', "not in its form"),
        (struct.pack("!II", 17, 3) + b'{"sizes":[-2, 5]}abc', "not in its form"),
        (struct.pack("!II", 16, 3) + b'{"sizes":[3.0] }abc', "not in its form"),
        (struct.pack("!II", 13, 3) + b'{"sizes":"a"}abc', "not in its form"),
        (struct.pack("!II", 2, 3) + b"{}abc", "not in its form"),
    ],
)
def test_what_is_no_frame_is_refused(data, told, pipe):
    with pytest.raises(FrameError, match=told):
        streamed(data)
    with pytest.raises(FrameError, match=told):
        piped(data, pipe)


def test_a_header_beyond_the_limit_is_not_sent():
    with pytest.raises(FrameError, match="too large"):
        pack({"words": "x" * MOST_HEADER})


def test_blobs_are_views_of_one_buffer():
    frame = unpack(b'{"sizes":[1,2]}', b"abc")
    assert [bytes(blob) for blob in frame.blobs] == [b"a", b"bc"]
    assert frame.blobs[0].obj is frame.blobs[1].obj
