"""A number of worker processes of one kind, kept at that number: who is free is asked, who dies is replaced."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from assay.errors import AssayError
from assay.service.workers.child import STOPPED, Child, LostError, Read
from assay.service.workers.frames import Blob

TICK_S = 0.1
"""Seconds between two looks at every child."""
CALM_S = 5.0
"""A child that lived so long, or that answered anything, did not die at once."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0
"""Before a child is replaced that died at once; doubled each time."""

_ROUNDS = 10  # of the event loop, in which pipes are read and those who listen go on
_LOG = logging.getLogger(__name__)


class Crew:
    """The processes of one pool.

    Parameters
    ----------
    noun : what a process is called in messages ("decoder").
    number : of processes.
    room : requests that a process may have in hand: the one it works at, and those that wait in its pipe.
    start_child : gives a child that is ready; raises AssayError.
    """

    def __init__(
        self, noun: str, number: int, room: int, start_child: Callable[[], Awaitable[Child]]
    ) -> None:
        if number < 1:
            raise AssayError(f"{number} {noun}s", fix="give at least 1")
        self._noun, self._number, self._room, self._start_child = noun, number, room, start_child
        self._children: list[Child] = []
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = True

    async def start(self) -> None:
        """Returns when all are ready. Raises AssayError where one cannot start; none is left then."""
        self._stopped = False
        begun = [asyncio.ensure_future(self._start_child()) for _ in range(self._number)]
        try:
            await asyncio.gather(*begun)
        except BaseException:
            self._stopped = True
            for task in begun:
                task.cancel()
            ended = await asyncio.gather(*begun, return_exceptions=True)
            await asyncio.gather(*(child.end() for child in ended if isinstance(child, Child)))
            raise
        children = [task.result() for task in begun]
        self._tasks = [asyncio.create_task(self._seat(child)) for child in children]
        self._tasks.append(asyncio.create_task(self._watch()))
        for child in children:
            self._admit(child)

    async def stop(self) -> None:
        """End all; whoever waits gets LostError."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await asyncio.gather(*(child.end() for child in self._children))
        self._children = []
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(LostError(STOPPED))

    @property
    def alive(self) -> int:
        """Children that are ready and were heard of lately."""
        now = time.monotonic()
        return sum(not child.is_leaving and not child.is_silent(now) for child in self._children)

    @property
    def pids(self) -> list[int]:
        """Process ids of the children, for tests and for the operator's page."""
        return [child.process.pid for child in self._children]

    async def ask(self, header: dict[str, Any], blobs: Sequence[Blob], limit_s: float, read: Read) -> Any:
        """As ``Child.ask``, by whoever is free first; in the order of asking.

        Raises
        ------
        LostError : the child is gone, or the crew was stopped.
        """
        if self._stopped:
            raise LostError(STOPPED)
        child = None if self._waiting else self._free()
        if child is None:
            child = await self._next_free()
        return await child.ask(header, blobs, limit_s, read)

    def _free(self) -> Child | None:
        free = [one for one in self._children if len(one.in_hand) < self._room and not one.is_leaving]
        return min(free, key=lambda one: len(one.in_hand), default=None)

    async def _next_free(self) -> Child:
        """Wait for one's turn. A place in the queue is kept until a child was found."""
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            while True:
                await place
                if self._stopped:
                    raise LostError(STOPPED)
                child = self._free()
                if child is not None:
                    return child
                again = asyncio.get_running_loop().create_future()
                self._waiting[self._waiting.index(place)] = again
                place = again
        finally:
            self._waiting.remove(place)
            self._wake()

    def _wake(self) -> None:
        """Let as many of those who wait go on as there is room; called whenever that may have changed."""
        room = sum(self._room - len(one.in_hand) for one in self._children if not one.is_leaving)
        for place, _ in zip(self._waiting, range(room), strict=False):
            if not place.done():
                place.set_result(None)

    def _admit(self, child: Child) -> None:
        child.on_change = self._wake
        self._children.append(child)
        self._wake()

    async def _seat(self, child: Child) -> None:
        """Keep one place taken: wait for the end of its child, start another."""
        failures = 0
        while True:
            begun = time.monotonic()
            await child.gone.wait()
            self._children.remove(child)
            lasted = child.answered or time.monotonic() - begun > CALM_S
            failures = 0 if lasted else failures + 1
            _LOG.warning("%s %d is gone: %s", self._noun, child.process.pid, child.way)
            while True:
                if failures:
                    await asyncio.sleep(min(FIRST_PAUSE_S * 2 ** (failures - 1), LONGEST_PAUSE_S))
                try:
                    child = await self._start_child()
                    break
                except (AssayError, OSError) as error:
                    failures += 1
                    _LOG.error("no %s could be started: %s", self._noun, " ".join(str(error).split()))
            self._admit(child)

    async def _watch(self) -> None:
        """Look at every child, again and again."""
        last = time.monotonic()
        while True:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            if now - last > 2 * TICK_S:  # this loop stood still: what was said meanwhile is heard first
                for _ in range(_ROUNDS):
                    await asyncio.sleep(0)
            last = now
            for child in self._children:
                child.check(now, TICK_S)
