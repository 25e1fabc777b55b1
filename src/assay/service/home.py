"""The service's own folder: its secrets, the anchors of the record and, without other settings, photos and database.

A lock keeps a second server out, for SQLite and a folder belong to one server.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from assay.errors import AssayError, ConfigError
from assay.files import explain_write, write_file

ENDING = ".service"
"""Beside the policy: shop.yaml has its service in shop.service/."""


@dataclass
class Home:
    """An opened folder. ``key`` is the record's, ``session_key`` signs cookies."""

    folder: Path
    key: bytes
    session_key: bytes
    _lock: IO[str] | None = None
    last_anchor: int = 0

    def close(self) -> None:
        """Let another server in."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def copies(self) -> Path:
        """Where live policies have their own copies of their files."""
        return self.folder / "policies"

    @property
    def anchors_path(self) -> Path:
        """Lines of number and code of entries of the record."""
        return self.folder / "record.anchors"

    def anchor(self, seq: int, mac: str) -> None:
        """Remember an entry of the record outside of the database."""
        with self.anchors_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([seq, mac]) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.last_anchor = seq

    def anchors(self) -> dict[int, str]:
        """All that was remembered."""
        return read_anchors(self.anchors_path)


def home_of(policy: Path) -> Path:
    """Where the service of a policy lives when no folder is named."""
    return policy.with_suffix(ENDING)


def open_home(folder: Path, *, lock: bool = True) -> Home:
    """Open a folder, or make it, with new secrets that only its owner may read.

    Raises
    ------
    ConfigError : another server uses it.
    AssayError : it cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        held = _locked(folder) if lock else None
        return Home(folder, _secret(folder / "record.key"), _secret(folder / "session.key"), held)
    except OSError as error:
        raise explain_write(folder, error) from error


def _locked(folder: Path) -> IO[str]:
    file = (folder / "lock").open("w", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ConfigError(
            f"another server works in {folder}",
            fix="stop it, or name another folder with --folder; several servers share a PostgreSQL database",
        ) from error
    return file


def _secret(path: Path) -> bytes:
    """32 bytes; made when they are not there, and readable by the owner alone."""
    if not path.exists():
        write_file(path, secrets.token_bytes(32))
        path.chmod(0o600)
    found = path.read_bytes()
    if len(found) != 32:
        raise AssayError(
            f"{path} is no key",
            got=f"{len(found)} bytes",
            fix="put the right file back: without it the record cannot be verified",
        )
    return found


def read_anchors(path: Path) -> dict[int, str]:
    """Number -> code; a last line that was cut off by a kill is left out.

    Raises
    ------
    AssayError : a line in the middle is none.
    """
    if not path.exists():
        return {}
    lines = path.read_text("utf-8").splitlines()
    found: dict[int, str] = {}
    for number, line in enumerate(lines, 1):
        try:
            seq, mac = json.loads(line)
        except ValueError as error:
            if number == len(lines):
                break
            raise AssayError(f"{path} line {number} is no anchor", got=line[:80]) from error
        found[int(seq)] = str(mac)
    return found
