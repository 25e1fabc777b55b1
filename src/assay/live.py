"""Sources that come when the world sends them: frames of a camera, or a list that another program still writes.

Their next one may be a second away, or a day, so nobody who holds answers may wait for it. A thread waits instead
(``Feed``); what came stands in a short queue, and the walk takes what is there. Ordinary sources need none of this.
"""

from __future__ import annotations

import io
import select
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from assay.photos import Source

_LOOK_S = 0.1
"""How often a wait for bytes looks whether it is to end."""
_END_S = 10.0
"""How long a walk that is left waits for its thread; a source that cannot be stopped keeps it for longer."""
_NONE: Any = object()

Wanted = Callable[[int], int]
"""How many sources came -> how many of them are to be taken now."""


def _nothing() -> None:
    """What ``stop`` does where no part has to be woken."""


def _never() -> bool:
    """What is waited for when nobody waits."""
    return False


class Live(Iterator["Source"]):
    """Live sources in order; walks know them by this class. ``next`` may wait for ever.

    Parameters
    ----------
    parts : sources part by part. A part that may wait has a method ``stop``, which ends its wait from another thread.
    wake : ends a wait for the next part.
    """

    def __init__(self, parts: Iterable[Iterable[Source]], wake: Callable[[], None] = _nothing) -> None:
        self._parts, self._wake = iter(parts), wake
        self._part: Iterator[Source] | None = None
        self._is_stopped = False

    def __next__(self) -> Source:
        while True:
            if self._part is None:
                self._part = iter(next(self._parts))
            # looked at behind the line above: ``stop`` has either seen this part, or been seen here
            found = _NONE if self._is_stopped else next(self._part, _NONE)
            if self._is_stopped:
                raise StopIteration
            if found is not _NONE:
                return found
            self._part = None

    def stop(self) -> None:
        """End the wait, from any thread: nothing comes any more."""
        self._is_stopped = True
        self._wake()
        if self._part is not None and hasattr(self._part, "stop"):
            self._part.stop()

    def close(self) -> None:
        """Let go of what is open, in the thread that called ``next``."""
        for one in (self._part, self._parts):
            close = getattr(one, "close", None)
            if close is not None:
                close()


class Stoppable(io.RawIOBase):
    """A stream of bytes that is at its end once it is stopped, also for somebody who waits for more of it.

    It asks the system whether bytes are there before it reads them. Streams in memory, and those of Windows, cannot be
    asked about; they are read straight away.

    Parameters
    ----------
    stream : open for reading, with nothing read ahead in its buffer; it is not closed with this.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream = stream
        self._is_stopped = False

    def stop(self) -> None:
        """End it, from any thread."""
        self._is_stopped = True

    def readable(self) -> bool:
        """As every stream that is read."""
        return True

    def readinto(self, room: Any) -> int:
        """As the library's: the number of bytes that were put into ``room``; 0 at the end."""
        while not self._is_stopped and not self._has_more():
            pass
        if self._is_stopped:
            return 0
        data = getattr(self._stream, "read1", self._stream.read)(len(room)) or b""
        room[: len(data)] = data
        return len(data)

    def _has_more(self) -> bool:
        try:
            return bool(select.select([self._stream], [], [], _LOOK_S)[0])
        except (OSError, ValueError, TypeError):
            return True


class Feed:
    """A thread that waits for live sources, for ``with``; leaving it stops them.

    Parameters
    ----------
    room : most sources that came and were not taken; the thread then waits, and so does whoever sends them.
    """

    def __init__(self, sources: Live, room: int) -> None:
        self._sources, self._room = sources, room
        self._there: deque[Source] = deque()
        lock = threading.Lock()
        # of whoever takes, and of the thread: neither is woken for what it does not wait for
        self._changed, self._freed = threading.Condition(lock), threading.Condition(lock)
        self._is_ready: Callable[[], bool] = _never
        self._fault: BaseException | None = None
        self._has_ended = self._is_left = False
        self._thread = threading.Thread(target=self._fill, name="assay-feed", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._is_left = True
            self._freed.notify_all()
        self._sources.stop()
        self._thread.join(_END_S)

    def take(self, wanted: Wanted) -> list[Source]:
        """What came, as much of it as is wanted; perhaps nothing. Never waits."""
        with self._changed:
            taken = [self._there.popleft() for _ in range(wanted(len(self._there)))]
            self._freed.notify_all()
        return taken

    def watch(self, work: Future[Any]) -> Future[Any]:
        """The same work; ``is_done`` hears of its end."""
        work.add_done_callback(self._nudge)
        return work

    def is_done(self, work: Sequence[Future[Any]], wanted: Wanted) -> bool:
        """Wait until the first piece of work is done (True), or there is something else to do (False).

        That is: some of what came is wanted, or no source comes any more and there is no work.
        """
        with self._changed:
            self._is_ready = lambda: bool(
                (work and work[0].done()) or wanted(len(self._there)) or (self._has_ended and not work)
            )
            self._changed.wait_for(self._is_ready)
            self._is_ready = _never
        return bool(work and work[0].done())

    def is_over(self) -> bool:
        """Whether all was taken and no more comes. Raises what the sources raised, as this is its place."""
        with self._changed:
            if self._there or not self._has_ended:
                return False
            if self._fault is not None:
                raise self._fault
            return True

    def wait(self) -> None:
        """Until there is something to take, or no more comes."""
        self.is_done((), lambda there: there)

    def _nudge(self, _work: Future[Any]) -> None:
        with self._changed:
            if self._is_ready():
                self._changed.notify_all()

    def _fill(self) -> None:
        fault: BaseException | None = None
        try:
            for source in self._sources:
                if not self._put(source):
                    break
                del source  # a frame is large, and the next one may be long in coming
            self._sources.close()
        except BaseException as error:  # whatever it is, it is raised where its turn comes
            fault = error
        with self._changed:
            self._fault, self._has_ended = fault, True
            self._changed.notify_all()

    def _put(self, source: Source) -> bool:
        """Wait for room; False where nobody takes any more."""
        with self._freed:
            self._freed.wait_for(lambda: len(self._there) < self._room or self._is_left)
            if not self._is_left:
                self._there.append(source)
                if self._is_ready():
                    self._changed.notify_all()
            return not self._is_left


@contextmanager
def taking(sources: Iterator[Source], most: int) -> Iterator[Callable[[], list[Source]]]:
    """A function that gives the next sources: ``most``, fewer at the end, and then none.

    Of live sources it gives those that came, at least one, and raises what they raise when all before is given.
    """
    if not isinstance(sources, Live):
        yield lambda: list(islice(sources, most))
        return
    with Feed(sources, most) as feed:

        def take() -> list[Source]:
            feed.wait()
            return [] if feed.is_over() else feed.take(lambda there: min(there, most))

        yield take


__all__ = ["Feed", "Live", "Stoppable", "taking"]
