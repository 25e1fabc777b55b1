"""Where the bytes of photos lie, by their SHA-256: a folder, or an S3-compatible store through obstore.

In a folder a photo is on the disk, its name too, before ``put`` returns: a machine that loses power the moment after
has it all the same.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import Any, Protocol

from assay.errors import AssayError, ConfigError


class ObjectMissingError(AssayError):
    """No bytes under this digest."""


class Objects(Protocol):
    """Bytes by their digest. All three may be called from any thread."""

    def put(self, digest: str, data: bytes) -> None:
        """Keep them; safe when this returns. Raises AssayError."""
        ...

    def get(self, digest: str) -> bytes:
        """What was kept. Raises ObjectMissingError."""
        ...

    def delete(self, digest: str) -> None:
        """Forget them; nothing happens where there are none."""
        ...


def open_objects(address: str | None, folder: Path) -> Objects:
    """A folder, or the store of an address such as ``s3://bucket/photos``.

    Raises
    ------
    ConfigError : an address that cannot be understood, or obstore is not installed.
    """
    if address is None:
        return Folder(folder / "photos")
    if "://" not in address:
        return Folder(Path(address))
    return Cloud(address)


class Folder:
    """Two levels of folders by the first signs of the digest."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: set[Path] = set()

    def put(self, digest: str, data: bytes) -> None:
        """As ``Objects``."""
        place = self._place(digest)
        if place.exists():
            return
        folder = place.parent
        beside = folder / f".{digest[:16]}.{secrets.token_hex(4)}.part"
        try:
            if folder not in self._known:
                folder.mkdir(parents=True, exist_ok=True)
                _flush_folder(folder.parent)
                self._known.add(folder)
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(place)
            _flush_folder(folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            raise AssayError("the photo could not be kept", got=error.strerror or str(error)) from error

    def get(self, digest: str) -> bytes:
        """As ``Objects``."""
        try:
            return self._place(digest).read_bytes()
        except OSError as error:
            raise ObjectMissingError(
                "the photo's bytes are gone", got=error.strerror or str(error)
            ) from error

    def delete(self, digest: str) -> None:
        """As ``Objects``."""
        self._place(digest).unlink(missing_ok=True)

    def _place(self, digest: str) -> Path:
        return self._root / digest[:2] / digest[2:4] / digest


def _flush_folder(folder: Path) -> None:
    """The name of a new file is safe only once its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Cloud:
    """A bucket. Keys and region come from the environment, as for every S3 client (AWS_ACCESS_KEY_ID and so on)."""

    def __init__(self, address: str) -> None:
        try:
            import obstore  # noqa: PLC0415 - most shops have a folder
            from obstore.store import from_url  # noqa: PLC0415
        except ImportError as error:
            raise ConfigError(
                "an object store needs obstore", fix="install it: pip install 'assay-vision[serve]'"
            ) from error
        self._lib: Any = obstore
        try:
            self._store: Any = from_url(address)
        except Exception as error:  # obstore raises its own kinds for each service
            raise ConfigError(
                f"the object store {address} cannot be opened",
                got=str(error).splitlines()[0][:200],
                fix="write s3://bucket/prefix, and give keys and region in the environment",
            ) from error

    def put(self, digest: str, data: bytes) -> None:
        """As ``Objects``."""
        try:
            self._lib.put(self._store, _name(digest), data)
        except Exception as error:
            raise AssayError("the photo could not be kept", got=str(error).splitlines()[0][:200]) from error

    def get(self, digest: str) -> bytes:
        """As ``Objects``."""
        try:
            return bytes(self._lib.get(self._store, _name(digest)).bytes())
        except Exception as error:
            raise ObjectMissingError(
                "the photo's bytes are gone", got=str(error).splitlines()[0][:200]
            ) from error

    def delete(self, digest: str) -> None:
        """As ``Objects``."""
        with contextlib.suppress(FileNotFoundError):
            self._lib.delete(self._store, _name(digest))


def _name(digest: str) -> str:
    return f"{digest[:2]}/{digest}"
