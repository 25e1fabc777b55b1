"""What a person points at -> paths of pictures: files, folders, patterns, or a list on standard input.

Everything that was named is checked before the first picture is read, so that a typing error is told at once.
Folders are walked in natural order (2.jpg before 10.jpg); only the names of one folder at a time are in memory. What
turns out bad on the way, a folder that may not be looked into, a link in a circle, a broken archive, is one Photo that
tells so, and the walk goes on.
"""

from __future__ import annotations

import glob
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from assay.data.names import is_hidden, is_picture, natural_key
from assay.errors import AssayError, ConfigError, ImageError
from assay.live import Live, Stoppable
from assay.photos import Photo, Source

STDIN = "-"
_BLOCK = 1 << 16


class Pictures:
    """The paths behind some names, in order; can be walked again and again, but for a list on stdin.

    Parameters
    ----------
    names : a file (taken whatever its ending), a folder (its pictures, folders below included, hidden ones
        not), a pattern such as ``photos/**/*.jpg``, or ``-`` for paths on ``stdin``, one a line or
        separated by NUL bytes.
    stdin : where ``-`` reads, with nothing read ahead; standard input when not given.
    containers : opens what holds many pictures (``containers.Containers``): archives, tables, videos, addresses, also
        those of a list on stdin. Without it they are taken for the picture files that they are not, and a folder that
        cannot be read is raised: all that comes is paths.

    Raises
    ------
    ConfigError : no such path or no match, a folder without pictures, something that is no file, nothing at all. While
        walking: the one container that was named cannot be read; any folder that cannot be, without ``containers``.
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
        self._tell = _raised if containers is None else faulty
        self._sources = [self._checked(name) for name in self._names]

    def __iter__(self) -> Iterator[Any]:
        """Paths and Photos. They are ``Live`` where a camera or standard input is among them."""
        stdin = Stoppable(self._stdin or sys.stdin.buffer) if STDIN in self._sources else None
        if stdin is not None:
            return Live(self._parts(BufferedReader(stdin, _BLOCK)), stdin.stop)
        if any(not isinstance(one, str | list) and one.is_live for one in self._sources):
            return Live(self._parts(None))
        return self._walk()

    def count(self) -> int | None:
        """How many there are; None where standard input, an archive or a camera will tell."""
        total = 0
        for source in self._sources:
            if source == STDIN:
                return None
            if isinstance(source, str | list):
                total += sum(1 for _ in _expand(source, self._tell))
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
                n -= sum(1 for _ in islice(_expand(source, self._tell), n))
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
        if container is None:
            return _check(name)
        if self._is_one:
            container.check()
        return container

    @property
    def _is_one(self) -> bool:
        """Whether one name alone was given: when it cannot be read there is nothing to go on with."""
        return len(self._names) == 1

    def _walk(self) -> Iterator[Any]:
        for part in self._parts(None):
            yield from part

    def _parts(self, stdin: BufferedReader | None) -> Iterator[Iterable[Any]]:
        for name, source in zip(self._names, self._sources, strict=True):
            if source == STDIN:
                assert stdin is not None
                yield from self._parts_of(stdin)
            elif isinstance(source, str | list):
                yield _expand(source, self._tell)
            else:
                yield _Told(name, source, must=self._is_one)

    def _parts_of(self, stream: BufferedReader) -> Iterator[Iterable[Any]]:
        """What came on standard input, or what its lines name; a bad line is a picture that cannot be read."""
        held = None if self._containers is None else self._containers.sniff(stream)
        if held is not None:
            yield _Told("stdin", held, must=self._is_one)
            return
        for line in _read_list(stream):
            found = None if self._containers is None else self._containers.listed(line)
            yield [line] if found is None else _Told(line, found)


class _Told(Iterator[Source]):
    """The pictures of a container; what keeps it from being read is one Photo that tells so.

    With ``must`` it is raised where no picture came before.
    """

    def __init__(self, name: str, pictures: Iterable[Source], *, must: bool = False) -> None:
        self._name, self._walk, self._must = name, iter(pictures), must

    def __next__(self) -> Source:
        try:
            found = next(self._walk)
        except AssayError as fault:
            if self._must:
                raise
            self._walk = iter(())
            return faulty(self._name, fault)
        self._must = False
        return found

    def stop(self) -> None:
        """As ``Live.stop``, where the container may wait."""
        if hasattr(self._walk, "stop"):
            self._walk.stop()

    def close(self) -> None:
        """As that of a generator."""
        if hasattr(self._walk, "close"):
            self._walk.close()


class Container(Protocol):
    """What holds many pictures."""

    @property
    def is_live(self) -> bool:
        """Whether its next picture may be long in coming; its iterator then has a ``stop``, as a part of ``Live``."""
        ...

    def __iter__(self) -> Iterator[Photo]:
        """Its pictures, each time from the start. Raises ConfigError where none can be read."""
        ...

    def check(self) -> None:
        """Raises ConfigError where it can be seen at once that it cannot be read."""
        ...

    def count(self) -> int | None:
        """How many there are, where that is known without reading them all."""
        ...


class Containers(Protocol):
    """Opens containers: see ``assay.runtime.containers``."""

    def open(self, name: str) -> Container | None:
        """The container of this name; None where it is none."""
        ...

    def listed(self, name: str) -> Iterable[Photo] | None:
        """As ``open``, for a name in a list: what cannot be opened is one Photo that tells so."""
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
    def tell(path: str, fault: AssayError) -> Photo:
        return (_raised if path == name else faulty)(path, fault)

    if next(_walk(name, (), tell), None) is None:
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
    return [path for path in found if _is(Path.is_file, path, True)] if "**" in pattern else found


def _is(kind: Callable[[Path], bool], path: str, otherwise: bool) -> bool:
    """Whether a path is of a kind; ``otherwise`` where the system does not say, for reading it tells what is wrong."""
    try:
        return kind(Path(path))
    except OSError:
        return otherwise


Tell = Callable[[str, AssayError], Photo]
"""What is done about a part of a walk that cannot be read: (its name, what is wrong) -> a Photo, or it is raised."""


def faulty(name: str, fault: AssayError) -> Photo:
    """A Photo that stands where pictures should be, and tells what is wrong when it is read."""

    def read() -> bytes:
        raise ImageError(fault.what, got=fault.got, fix=fault.fix)

    return Photo(name, read)


def _raised(_name: str, fault: AssayError) -> Photo:
    raise fault


def _expand(source: str | list[str], tell: Tell) -> Iterator[Source]:
    for path in [source] if isinstance(source, str) else source:
        if _is(Path.is_dir, path, False):
            yield from _walk(path, (), tell)
        else:
            yield path


def _walk(folder: str, above: tuple[tuple[int, int], ...], tell: Tell) -> Iterator[Source]:
    """Pictures of a folder and the folders below; a link back to a folder above is not followed."""
    try:
        here, entries = _listing(folder)
    except ConfigError as fault:
        yield tell(folder, fault)
        return
    if here in above:
        return
    for entry in entries:
        try:
            is_folder = entry.is_dir()
            is_wanted = not is_folder and is_picture(entry.name) and entry.is_file()
        except OSError as error:  # a link to itself, or to where nobody may look
            if not is_hidden(entry.name):
                yield tell(entry.path, _unreadable(f"{entry.path} cannot be read", error))
            continue
        if is_wanted:
            yield entry.path
        elif is_folder and not is_hidden(entry.name):
            yield from _walk(entry.path, (*above, here), tell)


def _listing(folder: str) -> tuple[tuple[int, int], list[os.DirEntry[str]]]:
    """(what tells this folder from others, what is in it in natural order). Raises ConfigError."""
    try:
        status = Path(folder).stat()
        with os.scandir(folder) as listing:
            return (status.st_dev, status.st_ino), sorted(listing, key=lambda entry: natural_key(entry.name))
    except OSError as error:
        raise _unreadable(f"the folder {folder} cannot be read", error) from error


def _unreadable(what: str, error: OSError) -> ConfigError:
    return ConfigError(what, got=error.strerror or str(error), fix="check its permissions")


def _read_list(stream: BufferedReader) -> Iterator[str]:
    """Paths on standard input, as they come in, one a line; ``find -print0`` is understood too."""
    rest = b""
    while block := stream.read1(_BLOCK):
        *whole, rest = re.split(rb"[\n\0]", rest + block)
        yield from _paths(whole)
    yield from _paths([rest])


def _paths(lines: Iterable[bytes]) -> Iterator[str]:
    return (os.fsdecode(path) for line in lines if (path := line.rstrip(b"\r")))
