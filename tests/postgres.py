"""A PostgreSQL of the tests' own: Debian's package, a folder that goes again, one process for a test session."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_WHY = "no PostgreSQL on this machine (Debian: apt-get install postgresql)"


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    here = shutil.which("initdb")
    return None if here is None else Path(here).resolve().parent


@contextlib.contextmanager
def postgres_server(certificate: tuple[Path, Path] | None = None) -> Iterator[str]:
    """Its address, ``postgresql://...``; each test makes a database of its own in it.

    ``certificate`` and its key, files in PEM: the server speaks TLS.
    """
    programs = _programs()
    if programs is None:
        if os.environ.get("CI") == "true":
            pytest.fail(_WHY)
        pytest.skip(_WHY)
    with tempfile.TemporaryDirectory(prefix="assay-postgres-") as name:
        yield from _run(programs, Path(name), certificate)


def _run(programs: Path, folder: Path, certificate: tuple[Path, Path] | None) -> Iterator[str]:
    data = folder / "data"
    data.mkdir()
    as_user: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        folder.chmod(0o711)
        shutil.chown(data, "postgres", "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/"}
    make = [
        *as_user,
        str(programs / "initdb"),
        "-D",
        str(data),
        "-A",
        "trust",
        "-U",
        "assay",
        "-E",
        "UTF8",
        "--no-sync",
    ]
    subprocess.run(make, check=True, **quiet)
    options = ["-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={data}"]
    if certificate is not None:
        for name, file in zip(("ssl_cert_file", "ssl_key_file"), certificate, strict=True):
            place = Path(shutil.copy(file, data))
            place.chmod(0o600)
            if as_user:
                shutil.chown(place, "postgres", "postgres")
            options += ["-c", f"{name}={place}"]
        options += ["-c", "ssl=on"]
    server = subprocess.Popen([*as_user, str(programs / "postgres"), "-D", str(data), *options], **quiet)
    try:
        _wait(port)
        yield f"postgresql://assay@127.0.0.1:{port}/postgres"
    finally:
        pid = int((data / "postmaster.pid").read_text().split()[0])
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 3)  # SIGQUIT: at once
        server.wait(20)


def _wait(port: int) -> None:
    """Until it answers: it listens a while before, and says that it is starting up."""
    import pg8000

    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(OSError, pg8000.Error):
            pg8000.connect(user="assay", host="127.0.0.1", port=port, database="postgres").close()
            return
        time.sleep(0.1)
    raise TimeoutError("PostgreSQL did not start")


def new_database(server: str) -> str:
    """The address of an empty database."""
    import secrets

    import sqlalchemy as sql

    name = f"t{secrets.token_hex(6)}"
    engine = sql.create_engine(
        server.replace("postgresql://", "postgresql+pg8000://"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(sql.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return server.rsplit("/", 1)[0] + f"/{name}"
