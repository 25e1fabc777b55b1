"""Many looks at once, by processes of our own.

Not ``multiprocessing``: its children run the user's script again unless that guards itself, or are forked from a
process that may hold locks of torch and of a progress bar. These children import this module and nothing else. A
decoder that crashes or is killed for its memory takes only its own process along: the picture is named, and the work
goes on. Their stderr leads nowhere, as libtiff writes there by itself. When the parent goes, so do they.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, NamedTuple, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from assay.audit.look import Look, look_at
from assay.audit.look_table import to_batch

JOB = 64
"""Pictures that a process is given at a time."""

_START = "from assay.audit.workers import serve; serve()"


class Job(NamedTuple):
    """Absolute paths, and the key of each (see ``look_table.SCHEMA``)."""

    paths: list[str]
    keys: NDArray[np.uint64]


def look_at_all(jobs: Iterable[Job], workers: int) -> Iterator[pa.RecordBatch]:
    """A batch of rows a job, in order. ``workers`` is the number of processes; 1: in this one."""
    if workers <= 1:
        yield from (_look_here(job) for job in jobs)
        return
    crew = _Crew()
    waiting: deque[Future[pa.RecordBatch]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for job in jobs:
                waiting.append(pool.submit(crew.look, job))
                if len(waiting) >= 3 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            crew.close()
            pool.shutdown(cancel_futures=True)


def _look_here(job: Job) -> pa.RecordBatch:
    return to_batch([look_at(Path(path)) for path in job.paths], job.keys)


class _GoneError(Exception):
    """The process died at its work."""


class _Crew:
    """A process for each thread that asks."""

    def __init__(self) -> None:
        self._own = threading.local()
        self._all: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()
        self._closed = False

    def look(self, job: Job) -> pa.RecordBatch:
        try:
            return self._ask(job)
        except _GoneError:
            if self._closed:
                raise
        if len(job.paths) == 1:
            crashed = Look(
                fault="unreadable", reason="the decoder crashed", size=Path(job.paths[0]).stat().st_size
            )
            return to_batch([crashed], job.keys)
        alone = [self.look(Job([path], job.keys[i : i + 1])) for i, path in enumerate(job.paths)]
        return pa.Table.from_batches(alone).combine_chunks().to_batches()[0]

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            self._closed = True
            for process in self._all:
                process.kill()
        for process in self._all:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            process.wait()

    def _ask(self, job: Job) -> pa.RecordBatch:
        process = self._process()
        give, take = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
        try:
            give.write(json.dumps([job.paths, job.keys.tolist()]).encode() + b"\n")
            give.flush()
            size = int.from_bytes(take.read(8), "little")
            answer = take.read(size)
        except (OSError, ValueError) as error:
            raise self._lost() from error
        if not size or len(answer) < size:
            raise self._lost()
        return pa.ipc.open_stream(answer).read_next_batch()

    def _lost(self) -> _GoneError:
        self._own.process = None
        return _GoneError()

    def _process(self) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] | None = getattr(self._own, "process", None)
        if process is None:
            process = self._own.process = self._start()
        return process

    def _start(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed:
                raise _GoneError
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
                start_new_session=True,  # Ctrl-C is the parent's to answer
            )
            self._all.append(process)
        return process


def serve() -> None:
    """The life of such a process: a line of paths in, a length and an Arrow stream out, until the input ends."""
    out = sys.stdout.buffer
    for line in sys.stdin.buffer:
        paths, keys = json.loads(line)
        sink = pa.BufferOutputStream()
        batch = _look_here(Job(paths, np.array(keys, np.uint64)))
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        answer = sink.getvalue()
        out.write(answer.size.to_bytes(8, "little"))
        out.write(answer)
        out.flush()
