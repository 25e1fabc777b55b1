"""The names of the classes in pixel masks, from a file beside them: the name of value 0 first.

Looked for in this order: ``classes.txt``, ``class_names.txt`` and ``labels.txt`` (a line a name), ``classes.csv`` and
``class_dict.csv`` (a column ``name``, perhaps a column ``id``; else in the order of the rows), and any JSON file with
a list ``labels``. The first one found counts.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from assay.data.json_file import has_lists, read_json_file
from assay.data.names import natural_key, nfc, some
from assay.errors import DatasetError
from assay.labels import ClassNames
from assay.pixel_masks import IGNORE, MOST_CLASSES

THINGS_FILE = "things.txt"
"""The classes that things are of, a line a name: written with ``instances/``, read where it is there."""

_LISTS = ("classes.txt", "class_names.txt", "labels.txt")
_TABLES = ("classes.csv", "class_dict.csv")
_NAME_COLUMNS = ("name", "class", "class_name", "label", "label_name")
_ID_COLUMNS = ("id", "index", "value", "number", "class_id", "label_id")


def read_class_names(folders: Iterable[Path]) -> tuple[ClassNames, str] | None:
    """(the names, the file that they are from), or None where no file beside the masks tells them.

    Raises
    ------
    DatasetError : the file is broken: a name is empty or occurs twice, an id is no number, there are over 255.
    """
    for path in _files(list(dict.fromkeys(folders))):
        names = _read(path)
        if names is None:
            continue
        if len(names) > MOST_CLASSES:
            raise DatasetError(
                f"{path.name} names {len(names)} classes",
                got=some(names, 3),
                fix=f"a pixel mask holds at most {MOST_CLASSES}, numbered from 0; {IGNORE} means: not known",
            )
        return _checked(names, path), path.name
    return None


def read_thing_names(folders: Iterable[Path], names: ClassNames) -> ClassNames | None:
    """The names in ``things.txt``; None where there is none.

    Raises
    ------
    DatasetError : the file is empty or broken, or names a class that ``names`` does not have.
    """
    path = next((p for folder in folders if (p := folder / THINGS_FILE).is_file()), None)
    if path is None:
        return None
    found = _checked(_lines(path), path)
    unknown = [name for name in found if name not in names]
    if unknown:
        got = f"{some(unknown, 3)}; the values are {some(names, 5)}"
        raise DatasetError(
            f"{path.name} names classes that no value has", got=got, fix="use the names of classes.txt"
        )
    return found


def _checked(names: list[str], path: Path) -> ClassNames:
    try:
        return ClassNames(names)
    except DatasetError as error:
        raise DatasetError(f"{path.name}: {error.what}", fix=error.fix) from None


def numbered(count: int) -> ClassNames:
    """``class 0``, ``class 1``, ...: for masks without names."""
    return ClassNames(f"class {i}" for i in range(count))


def _files(folders: list[Path]) -> Iterator[Path]:
    for names in (_LISTS, _TABLES):
        yield from (p for name in names for folder in folders if (p := folder / name).is_file())
    for folder in folders:
        yield from sorted(folder.glob("*.json"), key=lambda p: natural_key(p.name))


def _read(path: Path) -> list[str] | None:
    if path.suffix == ".txt":
        return _lines(path)
    if path.suffix == ".csv":
        return _column(path)
    if not has_lists(path, "labels"):
        return None
    told = read_json_file(path)
    labels = told.get("labels") if isinstance(told, dict) else None
    if isinstance(labels, list) and labels and all(isinstance(label, str) for label in labels):
        return [nfc(label.strip()) for label in labels]
    return None


def _lines(path: Path) -> list[str]:
    names = [nfc(line.strip()) for line in _text(path).rstrip().splitlines()]
    if not names:
        raise DatasetError(f"{path.name} is empty", fix="write a name a line, that of value 0 first")
    return names


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise DatasetError(
            f"{path.name} is not UTF-8 text", got="another encoding", fix="save it as UTF-8"
        ) from None


def _column(path: Path) -> list[str]:
    """Names in the order of their ids, or of the rows; an id that nobody named becomes ``class N``."""
    rows = list(csv.DictReader(io.StringIO(_text(path)), skipinitialspace=True))
    columns = {str(name).strip().casefold(): name for name in (rows[0] if rows else {})}
    name_of = next((columns[n] for n in _NAME_COLUMNS if n in columns), None)
    id_of = next((columns[n] for n in _ID_COLUMNS if n in columns), None)
    if name_of is None:
        got = f"columns: {some(columns)}" if columns else "no rows"
        raise DatasetError(f"{path.name} has no column with names", got=got, fix="call it `name`")
    names = [nfc((row[name_of] or "").strip()) for row in rows]
    if id_of is None:
        return names
    ids = [(row[id_of] or "").strip() for row in rows]
    bad = [text for text in ids if not text.isdecimal() or int(text) > IGNORE]
    if bad or len(set(ids)) != len(ids):
        got = f"{some(bad, 3)}" if bad else "an id twice"
        raise DatasetError(
            f"column {id_of!r} of {path.name} is to number the classes", got=got, fix="use 0 to 254"
        )
    numbers = {int(text): name for text, name in zip(ids, names, strict=True) if int(text) != IGNORE}
    return [numbers.get(i, f"class {i}") for i in range(max(numbers, default=-1) + 1)]
