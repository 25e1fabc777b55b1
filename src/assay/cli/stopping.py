"""How a walk over pictures is stopped by Ctrl-C or SIGTERM: never in the middle of an answer.

A walk that can be gone on with leaves its files as they are. One that cannot (a camera, standard input, a video that is
written, things that are followed) ends where it is: its files are made whole, for nothing else could do that later.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Sequence
from types import FrameType, TracebackType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopping:
    """While entered, both signals raise KeyboardInterrupt; within ``whole`` at its end."""

    def __init__(self) -> None:
        self._is_busy = self._is_asked = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        """What is begun here is finished before KeyboardInterrupt is raised."""
        self._is_busy = True
        try:
            yield
        finally:
            self._is_busy = False
        if self._is_asked:
            raise KeyboardInterrupt

    def _ask(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if not self._is_busy or self._is_asked:  # the second time at once, whatever is half done
            raise KeyboardInterrupt
        self._is_asked = True


def is_seen_once(names: Sequence[str]) -> bool:
    """Whether pictures of these names come only once: from standard input, or from a camera."""
    return any(name == "-" or name.startswith("camera:") for name in names)
