"""The parent's side of one worker process: it is started, asked, listened to, and killed when it is silent.

Everything a child says comes in frames through its pipe, so its end is noticed at once, as the end of that pipe.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from assay.errors import AssayError
from assay.service.workers.frames import Blob, Frame, FrameError, read_frame, widen, write_frame

SILENT_S = 1.8
"""Seconds without a sign of life after which a child hangs; it beats every half second."""
READY_S = 60.0
"""Seconds that a child may take to load."""

TIME, SILENT, CRASHED, NONSENSE, STOPPED = "time", "silent", "crashed", "nonsense", "stopped"
"""Why a child is gone: it took too long, hung, ended by itself or was killed by somebody, said what it must not say,
or the pool was stopped."""

_WORDS = {
    TIME: "ran out of time",
    SILENT: "hung",
    CRASHED: "crashed",
    NONSENSE: "crashed",
    STOPPED: "was stopped",
}
_REAP_S = 0.005
_STREAM_BYTES = 2**20

Read = Callable[[Frame], Any]


class LostError(AssayError):
    """The child is gone that had a request in hand; ``way`` says how.

    ``worked`` says whether the child was at work at this request, which may then be to blame, or another one was
    before it.
    """

    def __init__(self, way: str, *, worked: bool = True) -> None:
        super().__init__(_WORDS[way])
        self.way, self.worked = way, worked


@dataclass
class _Asked:
    """A request in a child's hands. ``begun`` is when its turn came; ``read`` takes the answer apart."""

    number: int
    read: Read
    answer: asyncio.Future[Any]
    limit_s: float
    begun: float


class Child:
    """One process. Requests are answered in the order they were given.

    ``on_change`` is called whenever it has answered one, or is gone.
    """

    def __init__(self, process: subprocess.Popen[bytes], most: int) -> None:
        self.process, self.most = process, most
        self.in_hand: deque[_Asked] = deque()
        self.heard = time.monotonic()
        self.answered = 0
        self.gone = asyncio.Event()
        self.on_change: Callable[[], None] = lambda: None
        self._way: str | None = None
        self._count = 0
        self._transports: list[asyncio.BaseTransport] = []
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._listener: asyncio.Task[None]

    @classmethod
    async def start(
        cls, command: Sequence[str], environment: Mapping[str, str], most: int, *, quiet: bool
    ) -> tuple[Child, Frame]:
        """The child when it is ready, and the first frame that it sent.

        Parameters
        ----------
        command : what follows the interpreter's path; the parent's process id is added.
        environment : all of its environment variables.
        most : bytes that the blobs of an answer may have.
        quiet : what it writes to its standard error goes nowhere.

        Raises
        ------
        AssayError : it ended or was silent before it was ready.
        """
        process = subprocess.Popen(
            [sys.executable, "-P", *command, "--parent", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None,
            env={**environment, "PYTHONPATH": os.pathsep.join(str(Path(p).resolve()) for p in sys.path if p)},
            cwd=Path(sys.executable).anchor,
            start_new_session=True,  # Ctrl-C is the parent's to answer
        )
        child = cls(process, most)
        try:
            async with asyncio.timeout(READY_S):
                first = await child._greeting()
        except BaseException as error:
            await child._close()
            if isinstance(error, TimeoutError):
                raise AssayError("it was not ready in time", got=f"{READY_S:g} s") from error
            raise
        child.heard = time.monotonic()
        child._listener = asyncio.create_task(child._listen())
        return child, first

    def ask(
        self, header: dict[str, Any], blobs: Sequence[Blob], limit_s: float, read: Read
    ) -> asyncio.Future[Any]:
        """What ``read`` makes of the answer, some time later.

        Parameters
        ----------
        limit_s : seconds from when its turn comes, after which the child is killed.
        read : raises FrameError for an answer that is none; the child is killed then.

        Raises
        ------
        LostError : from the future, where the child went before it answered.
        """
        self._count += 1
        answer = asyncio.get_running_loop().create_future()
        self.in_hand.append(_Asked(self._count, read, answer, limit_s, time.monotonic()))
        write_frame(self._writer, {"n": self._count, **header}, blobs)
        return answer

    def check(self, now: float, again_in_s: float) -> None:
        """Kill it where a request takes too long, or nothing was heard for too long.

        ``again_in_s`` is when the next look is due: a limit that runs out before is over now.
        """
        if self.in_hand and now + again_in_s - self.in_hand[0].begun > self.in_hand[0].limit_s:
            self.kill(TIME)
        elif self.is_silent(now) and not (self.in_hand and _is_running(self.process.pid)):
            self.kill(SILENT)

    def is_silent(self, now: float) -> bool:
        """Whether nothing was heard for too long."""
        return now - self.heard > SILENT_S

    @property
    def way(self) -> str:
        """Why it is gone, or will be."""
        return self._way or CRASHED

    @property
    def is_leaving(self) -> bool:
        """Whether it must not be asked any more: it was killed, or is gone."""
        return self._way is not None or self.gone.is_set()

    def kill(self, way: str) -> None:
        """End it now; what it has in hand is lost for this reason, at once: large processes take a while to end."""
        self._way = self._way or way
        self.process.kill()
        self._lose()

    async def end(self) -> None:
        """Kill it and wait until nothing of it is left."""
        self.kill(STOPPED)
        await self._listener

    async def _greeting(self) -> Frame:
        """Take hold of its pipes, and wait for its first words."""
        loop = asyncio.get_running_loop()
        given, taken = cast("IO[bytes]", self.process.stdin), cast("IO[bytes]", self.process.stdout)
        widen(given.fileno())
        widen(taken.fileno())
        self._reader = asyncio.StreamReader(_STREAM_BYTES)
        reading, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(self._reader), taken)
        self._transports.append(reading)
        unread = asyncio.StreamReader()  # the protocol of streams wants one, though nothing comes this way
        writing, protocol = await loop.connect_write_pipe(lambda: asyncio.StreamReaderProtocol(unread), given)
        self._transports.append(writing)
        self._writer = asyncio.StreamWriter(writing, protocol, None, loop)
        while (frame := await read_frame(self._reader, self.most)) is not None:
            if "beat" not in frame.header:
                return frame
        raise AssayError("it ended before it was ready", got=f"exit status {await self._reaped()}")

    async def _listen(self) -> None:
        """Take what it says until it is gone, then tell those who wait."""
        try:
            while (frame := await read_frame(self._reader, self.most)) is not None:
                self.heard = time.monotonic()
                if "n" in frame.header and not self.is_leaving:
                    self._settle(frame)
        except FrameError:
            self.kill(NONSENSE)
        finally:
            self._way = self._way or CRASHED
            self._lose()
            try:
                await self._close()
            finally:
                self.gone.set()
                self.on_change()

    def _lose(self) -> None:
        """Tell those who wait that there will be no answer."""
        for place, asked in enumerate(self.in_hand):
            if not asked.answer.done():
                asked.answer.set_exception(LostError(self.way, worked=place == 0))
        self.in_hand.clear()

    def _settle(self, frame: Frame) -> None:
        """An answer has come: to the oldest request. Raises FrameError where it is none to that one."""
        if not self.in_hand or frame.header["n"] != self.in_hand[0].number:
            raise FrameError("an answer to nothing that was asked", got=str(frame.header["n"])[:40])
        try:
            found = self.in_hand[0].read(frame)
        except (KeyError, TypeError, ValueError, AssayError) as fault:
            raise FrameError("an answer in another form than was asked for", got=repr(fault)[:200]) from fault
        asked = self.in_hand.popleft()
        if self.in_hand:
            self.in_hand[0].begun = self.heard
        if not asked.answer.done():  # whoever asked may have given up
            asked.answer.set_result(found)
        self.answered += 1
        self.on_change()

    async def _close(self) -> None:
        """Kill it, reap it, close both pipes; all of it, also where the task that does so is cancelled."""
        self.process.kill()
        try:
            await self._reaped()
        finally:
            for transport in self._transports:
                if not transport.is_closing():  # else it has met the end of its pipe by itself
                    transport.abort() if isinstance(transport, asyncio.WriteTransport) else transport.close()
            for pipe in (self.process.stdout, self.process.stdin)[len(self._transports) :]:
                cast("IO[bytes]", pipe).close()
        await asyncio.sleep(0)  # transports close their pipes in the next round of the loop

    async def _reaped(self) -> int:
        """Its exit status, when it has ended."""
        try:
            while (status := self.process.poll()) is None:
                await asyncio.sleep(_REAP_S)
        except asyncio.CancelledError:
            self.process.kill()
            self.process.wait()
            raise
        return status


def _is_running(pid: int) -> bool:
    """Whether its main thread computes: a codec that keeps the interpreter's lock is no process that hangs."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state in (b"R", b"D")
