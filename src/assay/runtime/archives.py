"""Photos inside of ZIP and TAR files, without unpacking anything.

Nothing is ever written, so a name that climbs out of the archive (``../x.jpg``) can do no harm while reading; it is
refused all the same, because annotated copies are written under these names. Sizes that an archive states are not
believed: no more than the limit of one picture is read of a member.
"""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tarfile import HeaderError
from typing import BinaryIO, Self

from assay.data.names import is_hidden, is_picture, natural_key
from assay.errors import ConfigError, ImageError
from assay.image import DEFAULT_LIMITS
from assay.photos import Photo
from assay.runtime.sources import faulty

_FIX = "copy the archive again from its source"
_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
)
"""What the standard library's readers raise on damaged, encrypted and foreign archives."""

TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


def is_zip(path: str | Path) -> bool:
    """Whether a file is a ZIP archive, by its name and its content."""
    return str(path).lower().endswith(".zip") and zipfile.is_zipfile(path)


def is_tar(path: str | Path) -> bool:
    """Whether a file is called as TAR archives are."""
    return str(path).lower().endswith(TAR_ENDINGS)


def walk_zip(path: str | Path) -> Iterator[Photo]:
    """The pictures of a ZIP archive in natural order; members are read in the threads that decode them.

    Its table of contents is kept in memory: about half a kilobyte a member.

    Raises
    ------
    ConfigError : the archive cannot be opened, or holds no picture.
    """
    try:
        archive = zipfile.ZipFile(path)
    except _FAULTS as error:
        raise ConfigError(f"{path} cannot be opened", got=str(error)[:200], fix=_FIX) from error
    # not closed here: members are read later, by threads; it goes with the last of its photos
    members = [one for one in archive.infolist() if not one.is_dir() and _is_wanted(one.filename)]
    _require_some(path, len(members), len(archive.infolist()))
    try:
        members.sort(key=lambda one: natural_key(one.filename))
    except ValueError:  # a name of thousands of digits
        members.sort(key=lambda one: one.filename)
    for member in members:
        yield Photo(_name(path, member.filename), partial(_read_zip, archive, path, member))


def _read_zip(archive: zipfile.ZipFile, path: str | Path, member: zipfile.ZipInfo) -> bytes:
    name = _name(path, member.filename)
    _refuse_climbing(name, member.filename)
    if member.flag_bits & 1:
        raise ImageError(f"{name} is encrypted", fix="unpack the archive with its password first")
    try:
        with archive.open(member) as file:
            return _limited(name, file.read(DEFAULT_LIMITS.max_bytes + 1))
    except _FAULTS as error:
        raise ImageError(f"{name} cannot be read", got=str(error)[:200], fix=_FIX) from error


def walk_tar(path: str | Path, stream: BinaryIO | None = None) -> Iterator[Photo]:
    """The pictures of a TAR archive in its own order, read as a stream in constant memory.

    An archive that is cut off gives what came before, and then one Photo that tells so.

    Parameters
    ----------
    path : the file, or what to call the ``stream``.

    Raises
    ------
    ConfigError : it cannot be opened, or holds no picture.
    """
    try:
        archive = tarfile.open(None if stream else path, "r|*", stream, tarinfo=_Header)  # noqa: SIM115
    except _FAULTS as error:
        raise ConfigError(f"{path} cannot be opened", got=str(error)[:200], fix=_FIX) from error
    seen = found = 0
    with archive:
        while True:
            try:
                member = archive.next()
                if member is None:
                    fault = getattr(archive, _FAULT, None)
                    if fault is not None and not isinstance(fault, tarfile.EOFHeaderError):  # type: ignore[attr-defined]
                        yield _cut_off(path, fault)
                        return
                    break
                archive.members.clear()  # type: ignore[attr-defined]  # else every member is remembered
                seen += 1
                if member.isreg() and _is_wanted(member.name):
                    found += 1
                    yield _tar_photo(archive, path, member)
            except _FAULTS as error:
                yield _cut_off(path, error)
                return
    _require_some(path, found, seen)


_FAULT = "assay_fault"


class _Header(tarfile.TarInfo):
    """Remembers why the last header could not be read: the library takes a damaged one for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        """As the library's."""
        try:
            return super().fromtarfile(tarfile)
        except HeaderError as error:
            setattr(tarfile, _FAULT, error)
            raise


def _tar_photo(archive: tarfile.TarFile, path: str | Path, member: tarfile.TarInfo) -> Photo:
    """Its bytes are taken at once, for a stream does not go back."""
    name = _name(path, member.name)
    if member.size > DEFAULT_LIMITS.max_bytes:
        return Photo(name, partial(_limited, name, b"", member.size))
    file = archive.extractfile(member)
    data = file.read() if file is not None else b""
    if len(data) < member.size:
        raise EOFError("the archive ends inside of a picture")
    return Photo(name, partial(_checked, name, member.name, data))


def _checked(name: str, member: str, data: bytes) -> bytes:
    _refuse_climbing(name, member)
    return data


def _cut_off(path: str | Path, error: BaseException) -> Photo:
    fault = ImageError(f"{path} is damaged or cut off from here on", got=str(error)[:200], fix=_FIX)
    return faulty(f"{path}/...", fault)


def _limited(name: str, data: bytes, size: int | None = None) -> bytes:
    if (len(data) if size is None else size) > DEFAULT_LIMITS.max_bytes:
        raise ImageError(
            f"{name} is too large a file",
            got=f"more than {DEFAULT_LIMITS.max_bytes:,} bytes",
            fix="save it smaller",
        )
    return data


def _is_wanted(member: str) -> bool:
    parts = member.replace("\\", "/").split("/")
    return is_picture(parts[-1]) and not any(
        is_hidden(part) for part in parts[:-1] if part not in (".", "..")
    )


def _name(path: str | Path, member: str) -> str:
    return f"{path}/{member}"


def _refuse_climbing(name: str, member: str) -> None:
    parts = member.replace("\\", "/").split("/")
    if ".." in parts or parts[0] == "" or parts[0].endswith(":") or "\0" in member:
        raise ImageError(f"{name} has a name that leads out of the archive", got=repr(member)[:200])


def _require_some(path: str | Path, pictures: int, members: int) -> None:
    if not pictures:
        raise ConfigError(
            f"there are no pictures in {path}",
            got=f"{members} other members" if members else "an empty archive",
            fix="name another archive",
        )
