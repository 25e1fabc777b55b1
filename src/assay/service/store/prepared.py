"""Statements of the way that every photo takes, worked out once for each kind of database.

SQLAlchemy works out a statement's cache key, its parameters and its result anew for each run, which takes longer than
SQLite takes for the work; and on PostgreSQL, pg8000 goes to the server three times for a statement that it has not
prepared. Here text and parameters are kept, and the driver is called directly; connection, transaction and the kinds of
errors stay SQLAlchemy's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sql

_TWICE = "23505"
"""PostgreSQL's code for a second row where one alone may stand (appendix A of its manual)."""


class _Text(NamedTuple):
    """A statement as the driver takes it; ``names`` of the parameters in order; ``values`` that the statement has."""

    words: str
    names: tuple[str, ...]
    values: dict[str, Any]


class Prepared:
    """Call ``rows`` for a query, or a change that returns rows; ``add`` for inserts, always of the same columns."""

    def __init__(self, statement: Any) -> None:
        self._statement = statement
        self._texts: dict[tuple[str, tuple[str, ...]], _Text] = {}

    def rows(self, connection: sql.Connection, **values: Any) -> list[tuple[Any, ...]]:
        """All rows that it finds."""
        return self._run(connection, [values], ())

    def add(self, connection: sql.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert these rows."""
        if rows:
            self._run(connection, rows, tuple(rows[0]))

    def _run(
        self, connection: sql.Connection, given: Sequence[Mapping[str, Any]], columns: tuple[str, ...]
    ) -> list[tuple[Any, ...]]:
        text = self._text(connection.dialect, columns)
        is_postgres = connection.dialect.name == "postgresql"
        with _told(connection):
            run = self._on_postgres if is_postgres else self._on_sqlite
            return [tuple(row) for one in given for row in run(connection, text, one)]

    def _on_postgres(self, connection: sql.Connection, text: _Text, one: Mapping[str, Any]) -> Sequence[Any]:
        held = connection.info.setdefault(
            "prepared", {}
        )  # of this connection to the server, and gone with it
        if text.words not in held:
            driver: Any = connection.connection.driver_connection
            held[text.words] = driver.prepare(text.words)
        found: Sequence[Any] = held[text.words].run(**{**text.values, **one})
        return found

    @staticmethod
    def _on_sqlite(connection: sql.Connection, text: _Text, one: Mapping[str, Any]) -> Sequence[Any]:
        cursor = connection.connection.cursor()
        try:
            cursor.execute(text.words, [one[n] if n in one else text.values[n] for n in text.names])
            return list(cursor.fetchall()) if cursor.description else []
        finally:
            cursor.close()

    def _text(self, dialect: sql.Dialect, columns: tuple[str, ...]) -> _Text:
        key = (dialect.name, columns)
        if key not in self._texts:
            kind: Any = type(dialect)
            spoken = kind(paramstyle="named") if dialect.name == "postgresql" else dialect
            compiled = self._statement.compile(dialect=spoken, column_keys=list(columns) or None)
            names = tuple(compiled.positiontup or ())
            self._texts[key] = _Text(str(compiled), names, dict(compiled.params))
        return self._texts[key]


@contextlib.contextmanager
def _told(connection: sql.Connection) -> Iterator[None]:
    """What the driver raises, as SQLAlchemy tells it."""
    driver: Any = connection.dialect.loaded_dbapi
    try:
        yield
    except driver.Error as error:
        known = error.args[0] if error.args else None
        if (
            isinstance(known, dict)
            and known.get("C") == _TWICE
            and not isinstance(error, driver.IntegrityError)
        ):
            error = driver.IntegrityError(known)
        told = sql.exc.DBAPIError.instance("", None, error, driver.Error, dialect=connection.dialect)
        raise told from error
