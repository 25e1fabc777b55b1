"""The database behind the service: SQLite in a folder, or PostgreSQL by an address; the same words for both.

Writing goes through one thread (``Writer``): what waits at the same time shares one transaction, so that a disk that
is flushed 200 times a second keeps up with thousands of writes. A work is told done after its commit, never before.
Reading has connections of its own and waits for nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

import sqlalchemy as sql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from assay.errors import AssayError
from assay.service.store.engine import PATIENCE_S
from assay.service.store.prepared import Prepared

T = TypeVar("T")
Work = Callable[[sql.Connection], T]
"""What is done inside of a transaction. It may be done again, so it touches nothing but the connection."""

_MOST = 256
_LOCK = 7_241_106_412
"""PostgreSQL's advisory lock of the record: one chain, however many servers."""
_LOCKED = Prepared(sql.text("SELECT pg_advisory_xact_lock(:key)"))


class BusyError(AssayError):
    """The database did not take a write in time; nothing was changed."""


def is_postgres(connection: sql.Connection) -> bool:
    """Whether this is PostgreSQL; else it is SQLite."""
    return connection.dialect.name == "postgresql"


def lock_record(connection: sql.Connection) -> None:
    """Nobody else adds to the record until this transaction ends; on SQLite nobody writes at all anyway."""
    if is_postgres(connection):
        _LOCKED.rows(connection, key=_LOCK)


class Database:
    """Reading and writing. ``close`` ends the thread and all connections."""

    def __init__(self, engine: sql.Engine) -> None:
        self.engine = engine
        self._works: queue.SimpleQueue[tuple[Work[Any], Future[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_all, name="assay-writer", daemon=True)
        self._closed = False
        self._writing: sql.Connection | None = None
        self._thread.start()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sql.Connection]:
        """A connection for reading; from any thread."""
        with self.engine.connect() as connection:
            yield connection

    async def read(self, work: Work[T]) -> T:
        """Read in a thread, without holding up the loop."""
        return await asyncio.to_thread(self.read_now, work)

    def read_now(self, work: Work[T]) -> T:
        """Read on this thread."""
        try:
            with self.reading() as connection:
                return work(connection)
        except (DBAPIError, PoolTimeout, OSError) as error:
            if isinstance(error, DBAPIError) and not _may_pass(error):
                raise
            raise BusyError("the database does not answer", got=str(error).splitlines()[0][:200]) from error

    async def write(self, work: Work[T]) -> T:
        """Done and on the disk when this returns. Raises what ``work`` raises, or BusyError."""
        return await asyncio.wrap_future(self.submit(work))

    def write_now(self, work: Work[T]) -> T:
        """As ``write``, from a thread that may wait."""
        return self.submit(work).result()

    def submit(self, work: Work[T]) -> Future[T]:
        """As ``write``, for who waits otherwise."""
        future: Future[T] = Future()
        if self._closed:
            future.set_exception(BusyError("the database is closed"))
        else:
            self._works.put((work, future))
        return future

    def close(self) -> None:
        """Finish what waits, then close everything."""
        if not self._closed:
            self._closed = True
            self._works.put(None)
            self._thread.join()
            self._let_go()
            self.engine.dispose()

    def _write_all(self) -> None:
        while (first := self._works.get()) is not None:
            batch, last = [first], False
            while len(batch) < _MOST:
                try:
                    item = self._works.get_nowait()
                except queue.Empty:
                    break
                if item is None:
                    last = True
                    break
                batch.append(item)
            self._write_batch([item for item in batch if item[1].set_running_or_notify_cancel()])
            if last:
                return

    def _write_batch(self, batch: list[tuple[Work[Any], Future[Any]]]) -> None:
        """All in one transaction; where one of them fails, each in one of its own."""
        try:
            results = self._patiently([work for work, _ in batch])
        except Exception as error:
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            for item in batch:
                self._write_batch([item])
            return
        for (_, future), result in zip(batch, results, strict=True):
            future.set_result(result)

    def _let_go(self) -> None:
        """Of the writer's connection; the next write gets a new one, never the broken one again."""
        if self._writing is not None:
            with contextlib.suppress(Exception):
                self._writing.invalidate()
                self._writing.close()
            self._writing = None

    def _together(self, works: list[Work[Any]]) -> list[Any]:
        """All in one transaction, on a connection that is kept between them."""
        if self._writing is None:
            self._writing = self.engine.connect().execution_options(writes=True)
        try:
            with self._writing.begin():
                return [work(self._writing) for work in works]
        except AssayError:
            raise  # a work's own no; it was rolled back, and the connection is as good as before
        except BaseException:
            self._let_go()
            raise

    def _patiently(self, works: list[Work[Any]]) -> list[Any]:
        """Try again while the database is busy or away."""
        until, pause = time.monotonic() + PATIENCE_S, 0.01
        while True:
            try:
                return self._together(works)
            except (DBAPIError, PoolTimeout, OSError) as error:
                if isinstance(error, DBAPIError) and not _may_pass(error):
                    raise
                if time.monotonic() > until:
                    raise BusyError(
                        "the database did not take a write", got=str(error).splitlines()[0][:200]
                    ) from error
                time.sleep(pause)
                pause = min(1.0, 2 * pause)


def _may_pass(error: DBAPIError) -> bool:
    """Whether trying again may help: locked, away, or in another one's way."""
    told = str(error.orig).lower()
    words = (
        "locked",
        "busy",
        "deadlock",
        "serializ",
        "closed",
        "connect",
        "timed out",
        "starting up",
        "network",
        "terminat",
        "shutting",
    )
    return error.connection_invalidated or any(word in told for word in words)
