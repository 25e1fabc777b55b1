"""Bring a database to the tables of this program, through Alembic; one server at a time does it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sql

from assay.errors import ConfigError
from assay.service.store.database import lock_record
from assay.service.store.schema import META

NEWEST = "0001"
"""The last file of ``migrations/versions``."""


def migrate(engine: sql.Engine) -> None:
    """Make the tables, or bring older ones forward; nothing happens where they are the newest.

    Raises
    ------
    ConfigError : the database was made by a newer program, or cannot be reached.
    """
    with _told(), engine.connect() as raw:
        connection = raw.execution_options(writes=True)
        with connection.begin():
            lock_record(connection)
            found = _version(connection)
            if found != NEWEST:
                _forward(connection, found)


def require_newest(engine: sql.Engine) -> None:
    """For those who only look: nothing is changed.

    Raises
    ------
    ConfigError : the tables are of an earlier or a newer program, or there are none; the database cannot be reached.
    """
    with _told(), engine.connect() as connection:
        found = _version(connection)
    if found is None:
        raise ConfigError("the database holds no service", fix="check --database and --folder")
    if found != NEWEST:
        raise _of_another(found)


@contextmanager
def _told() -> Iterator[None]:
    """What goes wrong with a database, in words."""
    try:
        yield
    except sql.exc.OperationalError as error:
        raise ConfigError(
            "the database cannot be opened",
            got=str(error.orig).splitlines()[0][:200],
            fix="check --database, and that the server runs",
        ) from error
    except (
        sql.exc.InterfaceError,
        OSError,
    ) as error:  # the second: a certificate that does not hold, for one
        raise ConfigError(
            "the database cannot be reached",
            got=str(getattr(error, "orig", error)).splitlines()[0][:200],
            fix="check --database with its sslmode and sslrootcert, and that the server runs",
        ) from error


def _version(connection: sql.Connection) -> str | None:
    """Which migration was the last; None for an empty database."""
    if not sql.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sql.text("SELECT version_num FROM alembic_version")).scalar()


def _forward(connection: sql.Connection, found: str | None) -> None:
    from alembic import command  # noqa: PLC0415 - only a database that is behind needs it
    from alembic.util.exc import CommandError  # noqa: PLC0415

    try:
        command.upgrade(alembic_config(connection), "head")
    except CommandError as error:
        raise _of_another(found) from error


def _of_another(found: str | None) -> ConfigError:
    return ConfigError(
        "the database was made by another version of Assay",
        got=f"its tables are of version {found}, this program knows {NEWEST}",
        fix="an earlier one is brought forward when `assay serve` starts; a newer one needs a newer program",
    )


def alembic_config(connection: sql.Connection) -> Any:
    """Alembic's settings, without a file."""
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    return config


def differences(engine: sql.Engine) -> list[Any]:
    """What the migrations leave otherwise than ``schema`` says; nothing, if they are whole."""
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415 - for tests
    from alembic.migration import MigrationContext  # noqa: PLC0415

    with engine.connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), META))
