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


class StoreError(AssayError):
    """The store is full, or does not answer; trying again later may help."""


class Objects(Protocol):
    """Bytes by their digest. All may be called from any thread; each raises StoreError.

    ``is_near`` says that ``has`` answers at once, so that nobody needs a thread to ask.
    """

    is_near: bool

    def put(self, digest: str, data: bytes) -> None:
        """Keep them; safe when this returns."""
        ...

    def has(self, digest: str) -> bool:
        """Whether they are there."""
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
        return Folder(folder / "photos", is_near=True)
    if "://" not in address:
        return Folder(Path(address))
    return Cloud(address)


class Folder:
    """256 folders by the first two signs of the digest, made when the store is opened, so that ``put`` makes none."""

    def __init__(self, root: Path, *, is_near: bool = False) -> None:
        self._root, self.is_near = root, is_near
        try:
            for number in range(256):
                (root / f"{number:02x}").mkdir(parents=True, exist_ok=True)
            _flush_folder(root)
        except OSError as error:
            raise AssayError(f"photos cannot be kept in {root}", got=error.strerror or str(error)) from error

    def put(self, digest: str, data: bytes) -> None:
        """As ``Objects``.

        The bytes are flushed before they get their name, so a name never stands for half a photo, nor takes the place
        of another one's that is safe; who finds the name there flushes it too, as its ``put`` may not have come so far.
        """
        place = self._place(digest)
        beside = place.with_name(f".{digest[:16]}.{secrets.token_hex(4)}.part")
        try:
            if not place.exists():
                with beside.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                beside.replace(place)
            _flush_folder(place.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            raise StoreError("the photo could not be kept", got=error.strerror or str(error)) from error

    def has(self, digest: str) -> bool:
        """As ``Objects``."""
        return self._place(digest).exists()

    def get(self, digest: str) -> bytes:
        """As ``Objects``."""
        try:
            return self._place(digest).read_bytes()
        except FileNotFoundError as error:
            raise ObjectMissingError("the photo's bytes are gone") from error
        except OSError as error:
            raise StoreError("the photo could not be read", got=error.strerror or str(error)) from error

    def delete(self, digest: str) -> None:
        """As ``Objects``."""
        self._place(digest).unlink(missing_ok=True)

    def _place(self, digest: str) -> Path:
        return self._root / digest[:2] / digest


def _flush_folder(folder: Path) -> None:
    """The name of a new file is safe only once its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Cloud:
    """A bucket. Keys and region come from the environment, as for every S3 client (AWS_ACCESS_KEY_ID and so on)."""

    is_near = False

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
                got=_first_line(error),
                fix="write s3://bucket/prefix, and give keys and region in the environment",
            ) from error

    def put(self, digest: str, data: bytes) -> None:
        """As ``Objects``."""
        try:
            self._lib.put(self._store, _name(digest), data)
        except Exception as error:
            raise StoreError("the photo could not be kept", got=_first_line(error)) from error

    def has(self, digest: str) -> bool:
        """As ``Objects``."""
        try:
            self._lib.head(self._store, _name(digest))
        except FileNotFoundError:
            return False
        except Exception as error:
            raise StoreError("the store of photos does not answer", got=_first_line(error)) from error
        return True

    def get(self, digest: str) -> bytes:
        """As ``Objects``."""
        try:
            return bytes(self._lib.get(self._store, _name(digest)).bytes())
        except FileNotFoundError as error:
            raise ObjectMissingError("the photo's bytes are gone") from error
        except Exception as error:
            raise StoreError("the photo could not be read", got=_first_line(error)) from error

    def delete(self, digest: str) -> None:
        """As ``Objects``."""
        try:
            self._lib.delete(self._store, _name(digest))
        except FileNotFoundError:
            return
        except Exception as error:
            raise StoreError("the photo could not be deleted", got=_first_line(error)) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _name(digest: str) -> str:
    return f"{digest[:2]}/{digest}"
