"""Addresses of databases: what is understood, what is not, and how a server is known by its certificate."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sql
from tests.postgres import postgres_server

from assay.errors import ConfigError
from assay.service.store.engine import open_engine

if TYPE_CHECKING:
    from pathlib import Path

SECURE = sql.text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("nothing", "is no address"),
        ("mysql://a/b", "no database of kind 'mysql'"),
        ("postgresql://a/b?sslmode=strict", "has sslmode=strict"),
        ("postgresql://a/b?ssl=true", "has an option 'ssl'"),
        ("postgresql://a/b?sslmode=verify-full&sslrootcert=/none.pem", "/none.pem cannot be read"),
    ],
)
def test_what_is_no_address_is_told(address: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words) as told:
        open_engine(address, tmp_path)
    assert told.value.fix


def made_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """(certificate, key) of a server of this name, signed by itself."""
    if shutil.which("openssl") is None:
        why = "no openssl on this machine (Debian: apt-get install openssl)"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        f"/CN={name}",
    ]
    names = ["-addext", f"subjectAltName=DNS:{name}", "-out", str(certificate), "-keyout", str(key)]
    subprocess.run([*command, *names], check=True, capture_output=True)
    return certificate, key


def test_a_server_is_known_by_its_certificate(tmp_path: Path) -> None:
    certificate, key = made_certificate(tmp_path, "localhost")
    stranger, _ = made_certificate(tmp_path, "stranger")

    def is_secure(address: str, options: str) -> bool:
        engine = open_engine(address + options, tmp_path)
        try:
            with engine.connect() as connection:
                return bool(connection.execute(SECURE).scalar())
        finally:
            engine.dispose()

    with postgres_server((certificate, key)) as address:
        by_name = address.replace("127.0.0.1", "localhost")
        assert is_secure(address, "")
        assert not is_secure(address, "?sslmode=disable")
        assert is_secure(address, "?sslmode=require")
        assert is_secure(address, f"?sslmode=verify-ca&sslrootcert={certificate}")
        assert is_secure(by_name, f"?sslmode=verify-full&sslrootcert={certificate}")
        for where, root in ((by_name, stranger), (address, certificate)):
            with pytest.raises((ssl.SSLError, sql.exc.DBAPIError), match="certificate verify failed"):
                is_secure(where, f"?sslmode=verify-full&sslrootcert={root}")
    with postgres_server() as address:
        assert not is_secure(address, "")
        with pytest.raises(sql.exc.DBAPIError, match="refuses SSL"):
            is_secure(address, "?sslmode=require")
