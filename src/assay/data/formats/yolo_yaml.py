"""``data.yaml``: the names of the classes and where the pictures of each part are.

    path: ../shop            # the folder that the others start from; the yaml's own where it is not said
    train: images/train      # a folder, a list of folders, or a .txt with a picture a line
    val: images/val
    names: {0: cup, 1: plate}     # or a list

Values are taken as they are written, so a class may be called ``no`` or ``007`` (YAML itself would make ``False``
and 7 of them). Without any part, the pictures of ``images/`` are taken, as ones that are not split. Where Assay has
written ``assay_parts``, a part that is not listed there and leads to the pictures of another one, or to ``images``
where none is listed, only stands in for tools that ask for ``train`` and ``val``, and is none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.data.faults import Faults
from assay.data.names import PART_ALIASES, nfc, part_named, some
from assay.errors import DatasetError
from assay.labels import ClassNames

FILE_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
"""What such a file is called where a folder was named, the likeliest first."""

ENDINGS = (".yaml", ".yml")

_NAMES = re.compile(rb"^\s*names\s*:", re.MULTILINE)
_PLACES = re.compile(rb"^\s*(train|val|test|nc)\s*:", re.MULTILINE)
_LOOKED_AT = 1 << 16

OUR_PARTS = "assay_parts"
"""Key of the parts that are real, where others stand in for tools that ask for ``train`` and ``val``."""

_EMPTY = ("", "~", "null")


@dataclass(frozen=True)
class YoloSet:
    """What a ``data.yaml`` says. ``places``: (part, folder or list of pictures), all of which exist."""

    file: Path
    root: Path
    names: ClassNames
    places: list[tuple[str | None, Path]]


def find_yaml(path: Path) -> Path | None:
    """The ``data.yaml`` at ``path``: the file itself, or one in the folder."""
    if path.is_file():
        return path if path.suffix.lower() in ENDINGS else None
    return next((path / name for name in FILE_NAMES if (path / name).is_file()), None)


def is_yolo(file: Path) -> bool:
    """Whether the beginning of a yaml file names classes and parts."""
    with file.open("rb") as opened:
        start = opened.read(_LOOKED_AT)
    return bool(_NAMES.search(start) and _PLACES.search(start))


def read_yaml(file: Path, root: Path | None = None) -> YoloSet:
    """What the file says; ``root`` takes the place of its ``path``.

    Raises
    ------
    DatasetError : the file is broken, its classes are not clear, or a place that it names does not exist.
    """
    told, faults = _parse(file), Faults()
    if "kpt_shape" in told:
        faults.refuse(
            file.name, "kpt_shape: a set of key points, which Assay does not read", "name a set of boxes"
        )
    names = _names(told, file, faults)
    bases = _bases(told, file, root)
    base = next((folder for folder in bases if _exists(folder)), file.parent)
    places: list[tuple[str | None, Path]] = [
        (part, place) for part, entry in _entries(told) for place in _place(entry, bases, file, faults)
    ]
    if not places and not faults.refused:
        if (base / "images").is_dir():
            places = [(None, base / "images")]
        else:
            what = "no train, val or test, and no folder images/ beside it"
            faults.refuse(file.name, what, "say where the pictures are: train: images/train")
    faults.raise_refused(file.name)
    return YoloSet(file, base, names, places)


def names_in(file: Path) -> list[str]:
    """The classes that a yaml file names, in their order; nothing where they are not clear.

    Raises
    ------
    DatasetError : the file is no yaml.
    """
    return list(_names(_parse(file), file, Faults()))


def _parse(file: Path) -> dict[str, Any]:
    import yaml  # noqa: PLC0415 - loaded by those who read YOLO

    try:
        # not yaml.safe_load: this loader builds even less, lists, maps and plain text
        told = yaml.load(file.read_bytes().decode("utf-8-sig"), yaml.BaseLoader)
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{file.name} is not UTF-8",
            got=f"a byte of another encoding at {error.start:,}",
            fix="save it as UTF-8",
        ) from error
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark is not None else ""
        raise DatasetError(
            f"{file.name}{line} is not YAML",
            got=getattr(error, "problem", None) or str(error).splitlines()[0],
            fix="correct the line; a tab may not indent, and a name with a colon needs quotes",
        ) from error
    if not told:
        raise DatasetError(f"{file.name} is empty", fix="write names, train and val into it")
    if not isinstance(told, dict):
        kind = "a list" if isinstance(told, list) else "text"
        raise DatasetError(
            f"{file.name} has no names of classes", got=kind, fix="write it as `names: [cup, plate]`"
        )
    return {key: value for key, value in told.items() if isinstance(key, str)}


def _names(told: dict[str, Any], file: Path, faults: Faults) -> ClassNames:
    named = told.get("names")
    if isinstance(named, dict):
        numbers = list(named)
        if sorted(numbers, key=str) != sorted(map(str, range(len(named)))):
            what = f"names is not numbered from 0 to {len(named) - 1}: {some(map(str, numbers), 8)}"
            faults.refuse(file.name, what, "number the classes from 0, without a gap")
            return ClassNames([])
        named = [named[str(i)] for i in range(len(named))]
    if not isinstance(named, list) or not named or not all(isinstance(name, str) for name in named):
        got = "no names" if not named else "names is no list of texts"
        faults.refuse(file.name, got, "write the classes in their order: `names: [cup, plate]`")
        return ClassNames([])
    names = [nfc(name.strip()) for name in named]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or "" in names:
        what = "a name is empty" if "" in names else f"names has {some(twice)} more than once"
        faults.refuse(file.name, what, "give every class a name of its own")
        return ClassNames([])
    count = told.get("nc", "")
    if count not in ("", str(len(names))):
        shown = count if isinstance(count, str) else "no number"
        faults.refuse(file.name, f"nc is {shown} and names has {len(names)}", "let them agree, or remove nc")
    return ClassNames(names)


def _bases(told: dict[str, Any], file: Path, root: Path | None) -> list[Path]:
    """The folders that places may start from: ``root``, or what the file says in ``path`` and then its own folder."""
    if root is not None:
        return [root]
    said = told.get("path")
    if not isinstance(said, str) or said in (*_EMPTY, ".", "./"):
        return [file.parent]
    return [file.parent / Path(said.replace("\\", "/")).expanduser(), file.parent]


def _entries(told: dict[str, Any]) -> list[tuple[str, str]]:
    """(part, what is said of it), one by one; a part that is left empty is none."""
    found = []
    for key in sorted(told, key=lambda name: list(PART_ALIASES).index(name) if name in PART_ALIASES else -1):
        if key in PART_ALIASES and (part := part_named(key)):
            said = told[key] if isinstance(told[key], list) else [told[key]]
            found += [(part, one) for one in said if isinstance(one, str) and one not in _EMPTY]
    return _real(found, told[OUR_PARTS]) if isinstance(told.get(OUR_PARTS), list) else found


def _real(entries: list[tuple[str, str]], listed: list[Any]) -> list[tuple[str, str]]:
    """Without entries that only stand in; where somebody has since changed one, what is written there counts."""
    parts = {part_named(name) for name in listed if isinstance(name, str)}
    taken = {one for part, one in entries if part in parts} or {"images"}
    is_ours = all(part in parts or one in taken for part, one in entries)
    return [(part, one) for part, one in entries if part in parts or not is_ours]


def _place(entry: str, bases: list[Path], file: Path, faults: Faults) -> list[Path]:
    """Where an entry leads, [] where nowhere; also without the ``../`` that Roboflow writes (``../train/images``)."""
    said = entry.replace("\\", "/")
    tried = [base / way for base in bases for way in dict.fromkeys((said, said.removeprefix("../")))]
    found = next((place for place in tried if _exists(place)), None)
    if found is not None:
        return [found]
    shown = " and ".join(dict.fromkeys(str(place) for place in tried))
    fix = "correct `path` or this line, or name the folder that the lines start from with --root"
    faults.refuse(file.name, f"{entry} does not exist; looked for {shown}", fix)
    return []


def _exists(place: Path) -> bool:
    try:
        return place.exists()
    except OSError:  # a name that is too long for one
        return False
