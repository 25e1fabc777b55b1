"""A worker process' side of its pipes: frames come in, answers and a steady beat go out.

What the process prints goes nowhere, as libraries print by themselves and the pipe is for frames alone. Where the pipe
ends, the parent is gone, and so goes the process.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from typing import Any

from assay.service.workers.frames import Blob, Frame, pack, receive_frame, send_frame

BEAT_S = 0.5
"""Seconds between two signs of life."""

_BEAT = pack({"beat": True})
_STACK_BYTES = 256 * 1024


class Lifeline:
    """The two pipes, standard input and output; from here on they have no other use in this process."""

    def __init__(self) -> None:
        self._taken, self._given = os.dup(0), os.dup(1)
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 0)
        os.dup2(nowhere, 1)
        os.close(nowhere)
        self._lock = threading.Lock()

    def receive(self, most: int) -> Frame:
        """The next frame, whose blobs have at most ``most`` bytes; does not return where there will be none.

        Raises
        ------
        FrameError : it is none.
        """
        frame = receive_frame(self._taken, most)
        if frame is None:
            os._exit(0)
        return frame

    def send(self, header: dict[str, Any], blobs: Sequence[Blob] = ()) -> None:
        """A frame for the parent; does not return where nobody reads any more."""
        with self._lock:
            try:
                send_frame(self._given, header, blobs)
            except BrokenPipeError:
                os._exit(0)

    def beat(self) -> None:
        """Start the thread that tells the parent, every ``BEAT_S``, that this process can still run."""
        before = threading.stack_size(_STACK_BYTES)
        try:
            threading.Thread(target=self._beat, name="assay-beat", daemon=True).start()
        finally:
            threading.stack_size(before)

    def _beat(self) -> None:
        while True:
            time.sleep(BEAT_S)
            with contextlib.suppress(MemoryError), self._lock:
                try:
                    os.write(self._given, _BEAT)
                except BrokenPipeError:
                    os._exit(0)
