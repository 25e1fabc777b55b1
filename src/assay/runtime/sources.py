"""What a person points at -> paths of pictures: files, folders, patterns, or a list on standard input.

Everything that was named is checked before the first picture is read, so that a typing error is told at once.
Folders are walked in natural order (2.jpg before 10.jpg); only the names of one folder at a time are in memory.
"""

from __future__ import annotations

import glob
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from assay.data.names import is_hidden, is_picture, natural_key
from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.photos import Photo

STDIN = "-"


class Pictures:
    """The paths behind some names, in order; can be walked again and again, but for a list on stdin.

    Parameters
    ----------
    names : a file (taken whatever its ending), a folder (its pictures, folders below included, hidden ones
        not), a pattern such as ``photos/**/*.jpg``, or ``-`` for paths on ``stdin``, one a line or
        separated by NUL bytes.
    stdin : where ``-`` reads; standard input when not given.
    containers : opens what holds many pictures (``containers.Containers``): archives, tables, videos, addresses.
        Without it they are taken for the picture files that they are not.

    Raises
    ------
    ConfigError : no such path or no match, a folder without pictures, something that is no file, nothing at all.
    """

    def __init__(
        self,
        names: str | Path | Iterable[str | Path],
        stdin: BinaryIO | None = None,
        containers: Containers | None = None,
    ) -> None:
        listed = [names] if isinstance(names, str | Path) else names
        self._names = [os.fspath(name) for name in listed]
        self._stdin = stdin
        if not self._names:
            raise ConfigError("no pictures are named", fix="name files, folders or patterns, or - for a list")
        if self._names.count(STDIN) > 1:
            raise ConfigError(
                "- is named twice", got=" ".join(self._names), fix="standard input is read once"
            )
        self._containers = containers
        self._sources = [self._checked(name) for name in self._names]

    def __iter__(self) -> Iterator[Any]:
        for source in self._sources:
            if source == STDIN:
                yield from self._from_stdin(self._stdin or sys.stdin.buffer)
            elif isinstance(source, str | list):
                yield from _expand(source)
            else:
                yield from source

    def count(self) -> int | None:
        """How many there are; None where standard input, an archive or a camera will tell."""
        total = 0
        for source in self._sources:
            if source == STDIN:
                return None
            if isinstance(source, str | list):
                total += sum(1 for _ in _expand(source))
                continue
            there = source.count()
            if there is None:
                return None
            total += there
        return total

    def has_at_least(self, n: int) -> bool:
        """Whether there are so many; what is not known before it is read counts as many."""
        for source in self._sources:
            if source == STDIN:
                return True
            if isinstance(source, str | list):
                n -= sum(1 for _ in islice(_expand(source), n))
            elif (there := source.count()) is None:
                return True
            else:
                n -= there
            if n <= 0:
                return True
        return False

    @property
    def named(self) -> list[str]:
        """What the user named."""
        return list(self._names)

    def _checked(self, name: str) -> str | list[str] | Container:
        if name == STDIN:
            return name
        container = None if self._containers is None else self._containers.open(name)
        return _check(name) if container is None else container

    def _from_stdin(self, stream: BinaryIO) -> Iterator[Any]:
        held = None if self._containers is None else self._containers.sniff(stream)
        yield from _read_list(stream) if held is None else held


class Container(Protocol):
    """What holds many pictures."""

    def __iter__(self) -> Iterator[Photo]:
        """Its pictures, each time from the start."""
        ...

    def count(self) -> int | None:
        """How many there are, where that is known without reading them all."""
        ...


class Containers(Protocol):
    """Opens containers: see ``assay.runtime.containers``."""

    def open(self, name: str) -> Container | None:
        """The container of this name; None where it is none."""
        ...

    def sniff(self, stream: BinaryIO) -> Iterator[Photo] | None:
        """What is in a stream of bytes; None where it is no picture and no archive."""
        ...


def _check(name: str) -> str | list[str]:
    try:
        status = os.stat(name)  # noqa: PTH116 - Path("") is the current folder
    except (OSError, ValueError) as error:
        if matches := _matches(name):
            return matches
        kind = "nothing matches" if glob.has_magic(name) else "there is no picture or folder"
        got = None if isinstance(error, FileNotFoundError) else getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{kind} {name or repr(name)}", got=got, fix="check the path") from None
    if stat.S_ISDIR(status.st_mode):
        _check_folder(name)
    elif not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{name} is no regular file", fix="name picture files or folders")
    return name


def _check_folder(name: str) -> None:
    if next(_walk(name, ()), None) is None:
        other = sum(len(files) for _, _, files in os.walk(name))
        raise ConfigError(
            f"there are no pictures in {name}",
            got=f"{other} other files" if other else "an empty folder",
            fix="name another folder, or files of any ending one by one",
        )


def _matches(pattern: str) -> list[str]:
    """Sorted matches of a pattern; with ** the files alone, for it matches the folders above them too."""
    if not glob.has_magic(pattern) or "\0" in pattern:
        return []
    found = sorted(glob.glob(pattern, recursive=True), key=natural_key)  # noqa: PTH207 - keeps names as they were written
    return [path for path in found if Path(path).is_file()] if "**" in pattern else found


def _expand(source: str | list[str]) -> Iterator[str]:
    for path in [source] if isinstance(source, str) else source:
        if Path(path).is_dir():
            yield from _walk(path, ())
        else:
            yield path


def _walk(folder: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
    """Pictures of a folder and the folders below; a link back to a folder above is not followed."""
    try:
        status = Path(folder).stat()
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: natural_key(entry.name))
    except OSError as error:
        raise ConfigError(
            f"the folder {folder} cannot be read",
            got=error.strerror or str(error),
            fix="check its permissions",
        ) from error
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for entry in entries:
        if entry.is_dir():
            if not is_hidden(entry.name):
                yield from _walk(entry.path, (*above, here))
        elif is_picture(entry.name) and entry.is_file():
            yield entry.path


def _read_list(stream: BinaryIO) -> Iterator[str]:
    """Paths on standard input, as they come in; ``find -print0`` is understood too."""
    for line in stream:
        for path in line.rstrip(b"\r\n").split(b"\0"):
            if path:
                yield os.fsdecode(path)
