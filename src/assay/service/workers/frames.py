"""Frames over a pipe: a JSON header and raw bytes, each with its length before it. Nothing that could be run.

A frame is two unsigned 32-bit numbers in network order, the bytes of the header and of all blobs together; then the
header, JSON in UTF-8, an object; then the blobs, one behind the other, whose lengths the header names in ``sizes``.
Both ends refuse a frame that is larger than they expect before they read it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from assay.errors import AssayError

MOST_HEADER = 4 * 1024 * 1024
"""Bytes of a header; a batch's names and answers fit many times."""
PIPE_BYTES = 1024 * 1024
"""What a pipe is asked to hold, so that a photo goes through in one piece; Linux gives 64 KiB unasked."""

_LENGTHS = struct.Struct("!II")
_MOST_PARTS = 512  # that one call may write; POSIX grants 16, Linux and macOS 1024
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ of Linux' fcntl.h; Python names it from 3.10 on, on Linux alone

Blob = bytes | bytearray | memoryview


class FrameError(AssayError):
    """What came through a pipe is no frame: cut off, too large or not in the form of one."""


@dataclass(frozen=True, eq=False)
class Frame:
    """``header``: plain values. ``blobs``: views of one buffer."""

    header: dict[str, Any]
    blobs: tuple[memoryview, ...] = ()


def pack(header: dict[str, Any], blobs: Sequence[Blob] = ()) -> bytes:
    """Lengths and header of a frame; the blobs follow as they are.

    Raises
    ------
    FrameError : larger than a frame may be.
    """
    sizes = [len(blob) for blob in blobs]
    text = json.dumps({**header, "sizes": sizes} if sizes else header, separators=(",", ":")).encode()
    if len(text) > MOST_HEADER or sum(sizes) >= 2**32:
        raise FrameError("a frame is too large", got=f"{len(text):,} + {sum(sizes):,} bytes")
    return _LENGTHS.pack(len(text), sum(sizes)) + text


def unpack_lengths(data: bytes, most: int) -> tuple[int, int]:
    """(bytes of the header, bytes of the blobs). ``most`` is what the blobs may have.

    Raises
    ------
    FrameError : beyond the limits.
    """
    header, blobs = _LENGTHS.unpack(data)
    if not 2 <= header <= MOST_HEADER or blobs > most:
        raise FrameError(
            "a frame is too large, or none", got=f"{header:,} + {blobs:,} bytes; the limit is {most:,}"
        )
    return header, blobs


def unpack(text: bytes, data: Blob) -> Frame:
    """The frame of these two parts.

    Raises
    ------
    FrameError : the header is no JSON object, or its sizes are not those of the blobs.
    """
    try:
        header = json.loads(text)
        sizes = header.pop("sizes", [])
        if not all(type(size) is int and size >= 0 for size in sizes) or sum(sizes) != len(data):
            raise ValueError(f"blobs of {sizes}, {len(data)} bytes")
    except (ValueError, TypeError, AttributeError, RecursionError) as fault:
        raise FrameError("the header of a frame is not in its form", got=str(fault)[:200]) from fault
    view, blobs, at = memoryview(data), [], 0
    for size in sizes:
        blobs.append(view[at : at + size])
        at += size
    return Frame(header, tuple(blobs))


async def read_frame(reader: asyncio.StreamReader, most: int) -> Frame | None:
    """The next frame; None where the other end has closed the pipe between two frames.

    Raises
    ------
    FrameError : cut off, too large, or no frame.
    """
    try:
        lengths = await reader.readexactly(_LENGTHS.size)
    except asyncio.IncompleteReadError as cut:
        if not cut.partial:
            return None
        raise _cut(len(cut.partial), _LENGTHS.size) from cut
    header, blobs = unpack_lengths(lengths, most)
    try:
        text = await reader.readexactly(header)
        return unpack(text, await reader.readexactly(blobs) if blobs else b"")
    except asyncio.IncompleteReadError as cut:
        raise _cut(len(cut.partial), cut.expected or 0) from cut


def write_frame(writer: asyncio.StreamWriter, header: dict[str, Any], blobs: Sequence[Blob] = ()) -> None:
    """Hand a frame to the pipe; what does not fit yet is kept and sent as the other end reads."""
    writer.writelines((pack(header, blobs), *blobs))  # in one piece: the reader is woken once


def receive_frame(pipe: int, most: int) -> Frame | None:
    """As ``read_frame``, for a process that has nothing else to do; ``pipe`` is a file descriptor."""
    lengths = _receive(pipe, _LENGTHS.size, start=True)
    if lengths is None:
        return None
    header, blobs = unpack_lengths(bytes(lengths), most)
    text = _receive(pipe, header)
    return unpack(bytes(text or b""), _receive(pipe, blobs) or b"")


def send_frame(pipe: int, header: dict[str, Any], blobs: Sequence[Blob] = ()) -> None:
    """As ``write_frame``; returns when the pipe has taken all."""
    parts = deque(memoryview(part) for part in (pack(header, blobs), *blobs) if len(part))
    while parts:
        sent = os.writev(pipe, list(islice(parts, _MOST_PARTS)))
        while parts and sent >= len(parts[0]):
            sent -= len(parts.popleft())
        if sent:
            parts[0] = parts[0][sent:]


def widen(pipe: int) -> None:
    """Ask for ``PIPE_BYTES``, where the system knows such a thing and grants it."""
    if sys.platform == "linux":
        import fcntl  # noqa: PLC0415 - there is none on Windows

        with contextlib.suppress(OSError):  # an unprivileged user's share of pipes may be used up
            fcntl.fcntl(pipe, _SET_PIPE_SIZE, PIPE_BYTES)


def _receive(pipe: int, size: int, *, start: bool = False) -> bytearray | None:
    """Exactly ``size`` bytes; None where there are none at all and this is where a frame may ``start``."""
    data = bytearray(size)
    view, at = memoryview(data), 0
    while at < size:
        count = os.readv(pipe, [view[at:]])
        if not count:
            if start and not at:
                return None
            raise _cut(at, size)
        at += count
    return data


def _cut(there: int, wanted: int) -> FrameError:
    return FrameError("a frame is cut off", got=f"{there:,} of {wanted:,} bytes")
