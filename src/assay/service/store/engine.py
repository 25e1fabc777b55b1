"""The way to a database: SQLite in a folder, or PostgreSQL by an address, with TLS as its address says."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import sqlalchemy as sql

from assay.errors import ConfigError

DATABASE = "ASSAY_DATABASE"
"""The address may stand in the environment, where other users of the machine do not see its password."""
PATIENCE_S = 30.0
"""How long a write waits while the database is busy, or is tried again while it is away."""
SILENT_S = 15
"""After which a database that does not answer is given up."""
MODES = ("disable", "prefer", "require", "verify-ca", "verify-full")
"""Of TLS, as in PostgreSQL's own addresses (its manual, section "SSL Support" of libpq)."""


def open_engine(address: str | None, folder: Path) -> sql.Engine:
    """An engine for an address (``postgresql://user:word@host/name``), or for SQLite in ``folder``.

    Parameters
    ----------
    address : may end in ``?sslmode=verify-full``, one of ``MODES``, and ``&sslrootcert=FILE``. When not
        given ("prefer"), TLS is spoken where the server does, whoever it is. ``unix_sock`` names a socket's file.

    Raises
    ------
    ConfigError : an address of another kind, or with options that are not known.
    """
    if address is None:
        return _sqlite(folder / "assay.db")
    url = _url(address)
    if url.get_backend_name() == "sqlite":
        return _sqlite(Path(url.database or folder / "assay.db"))
    return _postgres(url)


def _url(address: str) -> sql.URL:
    try:
        url = sql.make_url(address)
    except sql.exc.ArgumentError as error:
        raise ConfigError(
            "--database is no address",
            got=f"an address of {len(address)} letters",
            fix="write postgresql://user:password@host/name",
        ) from error
    if url.get_backend_name() not in ("postgresql", "sqlite"):
        raise ConfigError(
            f"no database of kind {url.get_backend_name()!r}",
            fix="use postgresql://..., or SQLite by leaving it out",
        )
    return url


def _sqlite(path: Path) -> sql.Engine:
    engine = sql.create_engine(
        f"sqlite:///{path}", connect_args={"timeout": PATIENCE_S, "check_same_thread": False}
    )

    @sql.event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={PATIENCE_S * 1000:.0f}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @sql.event.listens_for(engine, "begin")
    def begin(connection: sql.Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgres(url: sql.URL) -> sql.Engine:
    options = {name: str(value) for name, value in url.query.items()}
    mode, root = options.pop("sslmode", "prefer"), options.pop("sslrootcert", None)
    socket = options.pop("unix_sock", None)
    if options:
        raise ConfigError(
            f"--database has an option {next(iter(options))!r}",
            fix="those that are known: sslmode, sslrootcert, unix_sock",
        )
    return sql.create_engine(
        url.set(drivername="postgresql+pg8000", query={}),
        connect_args={"timeout": SILENT_S, "ssl_context": _tls(mode, root), "unix_sock": socket},
        pool_size=8,
        max_overflow=8,
        pool_pre_ping=True,
        pool_timeout=10,
    )


def _tls(mode: str, root: str | None) -> ssl.SSLContext | bool | None:
    """What pg8000 takes: None is "prefer", False no TLS. ``root``: a file of certificates, not those of the system."""
    if mode not in MODES:
        raise ConfigError(f"--database has sslmode={mode}", fix=f"write one of {', '.join(MODES)}")
    if mode in ("disable", "prefer"):
        if root is not None:
            raise ConfigError(f"sslrootcert has no use with sslmode={mode}", fix="write sslmode=verify-full")
        return False if mode == "disable" else None
    try:
        context = ssl.create_default_context(cafile=root)
    except (OSError, ssl.SSLError) as error:
        told = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"sslrootcert={root} cannot be read", got=told, fix="name a file of certificates"
        ) from error
    context.check_hostname = mode == "verify-full"
    if mode == "require" and root is None:
        context.verify_mode = ssl.CERT_NONE
    return context
