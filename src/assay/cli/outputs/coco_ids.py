"""The numbers of pictures and classes in the user's own COCO file, so that COCO's tools score answers against it.

Classes are matched by name, pictures by file name: by the whole path from one of the folders that are known, then by
the end of it from two names on, and at last by the bare name, where it is that of one picture alone.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from assay.data.coco_json import Told, coco_images, coco_names
from assay.data.json_file import read_json_file
from assay.data.names import nfc, some
from assay.errors import ConfigError, DatasetError
from assay.labels import ClassNames
from assay.tables import suggest


@dataclass(frozen=True)
class CocoIds:
    """``categories`` are the numbers of the network's classes, in their order; ``paths`` and ``names`` give the number
    of a picture by its file name there and by the last part of that, where one picture alone is called so. ``folders``
    are where file names may start.
    """

    path: Path
    categories: tuple[int, ...]
    paths: Mapping[str, int]
    names: Mapping[str, int]
    folders: tuple[Path, ...] = ()

    def image(self, name: str, *, is_file: bool = True) -> int | None:
        """The number of the picture that is called so in answers; None where there is none, or more than one."""
        for candidate in self._candidates(name, is_file=is_file):
            if candidate in self.paths:
                return self.paths[candidate]
        return self.names.get(nfc(PurePosixPath(name.replace("\\", "/")).name))

    def _candidates(self, name: str, *, is_file: bool) -> Iterator[str]:
        own = _plain(name)
        yield own
        if is_file:
            place = Path(os.path.realpath(name))
            yield _plain(place.as_posix())
            for folder in self.folders:
                if place.is_relative_to(folder):
                    yield _plain(place.relative_to(folder).as_posix())
            own = _plain(place.as_posix())
        parts = own.split("/")
        for start in range(1, len(parts) - 1):
            yield "/".join(parts[start:])


def read_ids(path: str | Path, classes: ClassNames, folders: Iterable[str | Path] = ()) -> CocoIds:
    """The numbers in a COCO file; ``folders`` are those that pictures were named by.

    Raises
    ------
    ConfigError : the file cannot be read or is no JSON, it lists no pictures, a number is none, or a class of the
        network is missing there or there twice.
    """
    place = Path(path)
    told = _told(place)
    if not isinstance(told, dict) or not isinstance(told.get("images"), list):
        raise ConfigError(
            f"--coco-ids {path} lists no images", fix="name the COCO file that the answers are scored against"
        )
    paths: list[tuple[str, int]] = []
    for image in coco_images(told, place.name, lambda *_: None):  # one without a name is nobody's picture
        paths.append((_plain(image.file_name), _number(image.id, image.place)))
    homes = (place.parent, *(folder for folder in map(Path, folders) if folder.is_dir()))
    return CocoIds(
        place,
        _categories(told, path, classes),
        _single(paths),
        _single((PurePosixPath(name).name, key) for name, key in paths),
        tuple(dict.fromkeys(Path(os.path.realpath(home)) for home in homes)),
    )


def digest_of(path: str | Path) -> str:
    """SHA-256 of the file. Raises ConfigError where it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read", got=error.strerror, fix="check the path") from error


def _told(place: Path) -> Any:
    try:
        return read_json_file(place)
    except DatasetError as error:  # of an option, not of the pictures
        raise ConfigError(f"--coco-ids: {error.what}", got=error.got, fix=error.fix) from error


def _categories(told: Told, path: str | Path, classes: ClassNames) -> tuple[int, ...]:
    names = coco_names(told)
    counted = Counter(names.values())
    missing = [name for name in classes if nfc(name) not in counted]
    if missing:
        raise ConfigError(
            f"{path} has no category for {len(missing):,} of the network's {len(classes):,} classes",
            got=some(missing, 8),
            fix=suggest(missing[0], list(counted)) if counted else "add a list of categories to it",
        )
    if twice := [name for name in classes if counted[nfc(name)] > 1]:
        raise ConfigError(
            f"{path} has two categories of one name", got=some(twice, 8), fix="give each a name of its own"
        )
    numbers = {name: key for key, name in names.items()}
    return tuple(_number(numbers[nfc(name)], f"{path}, category {name}") for name in classes)


def _number(key: Any, place: str) -> int:
    if isinstance(key, bool) or not isinstance(key, int):
        raise ConfigError(f"{place}: its id is no whole number", got=repr(key)[:60], fix="number it anew")
    return key


def _single(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Without names that stand for more than one number."""
    found: dict[str, set[int]] = {}
    for name, key in pairs:
        found.setdefault(name, set()).add(key)
    return {name: next(iter(keys)) for name, keys in found.items() if len(keys) == 1}


def _plain(name: str) -> str:
    """In NFC and with ``/``, without ``./``."""
    return nfc(PurePosixPath(name.replace("\\", "/")).as_posix())


def left_out_words(ids: CocoIds, target: str | Path, count: int, first: Sequence[str]) -> str:
    """What is told of pictures without a number."""
    one = count == 1
    return (
        f"{count:,} picture{'s' * (not one)} {'has' if one else 'have'} no image of {'its' if one else 'their'} own in "
        f"{ids.path} (compared by file name) and {'is' if one else 'are'} left out of {target}"
        + (f": {some(first, 10)}" if first else "")
    )
