"""From a folder or a table to a Dataset. The format is recognised by itself, or named.

An image folder is the most permissive reading of a folder, so it is asked last: a folder that holds one table
with paths and labels is a table.
"""

from __future__ import annotations

from pathlib import Path

from assay.configs import ReadConfig
from assay.data.formats import Format
from assay.data.json_file import read_json_file
from assay.errors import ConfigError
from assay.tables import FORMATS
from assay.types import Dataset

_LAST_RESORT = "image-folder"


def read_dataset(path: str | Path, config: ReadConfig | None = None) -> Dataset:
    """Read the data set at ``path``: a class-per-folder tree, a CSV or Parquet table, or a format of boxes and masks.

    Of class folders and tables nothing but names is read. Formats of boxes and masks also read the headers of pictures,
    for their sizes, and pixel masks whole. Pictures are looked at by ``check_dataset`` and by whoever needs pixels.

    Raises
    ------
    ConfigError : the path does not exist, the format is unknown, or an option names a missing column.
    DatasetError : the data set is empty or broken.
    """
    config = config or ReadConfig()
    where = Path(path).expanduser()
    if not where.exists():
        raise ConfigError(
            f"{path} does not exist", got=_nearest(where), fix="name a folder of pictures, or a table"
        )
    return recognise(where, config.format).read(where, config)


def recognise(path: Path, name: str | None = None) -> Format:
    """The format called ``name``, or the one that recognises ``path``.

    Raises
    ------
    ConfigError : no format, or more than one, recognises the path. DatasetError : it is a JSON file that is damaged.
    """
    if name is not None:
        return load_format(name)
    found = [n for n in FORMATS if n != _LAST_RESORT and load_format(n).detect(path)]
    if not found and load_format(_LAST_RESORT).detect(path):
        found = [_LAST_RESORT]
    if "table" in found:  # a table of labels beside a file of boxes: who wants the boxes names them
        found = ["table"]
    if set(found) == {"voc", "mask-png"}:  # boxes and masks of classes in one folder: voc reads both
        found = ["voc"]
    if len(found) == 1:
        return load_format(found[0])
    if found:
        raise ConfigError(f"{path} looks like {' and '.join(found)}", fix=f"name one: --format {found[0]}")
    if path.is_file() and path.suffix.lower() == ".json":
        read_json_file(path)  # one that was cut off has lost the keys it is known by, so this tells the line
    raise ConfigError(
        f"{path} is no data set that Assay knows",
        got=f"a file ending in {path.suffix!r}"
        if path.is_file()
        else "something that is neither file nor folder",
        fix="give a folder with one sub-folder a class, a .csv or .parquet table, or one of the formats "
        f"{', '.join(n for n in FORMATS if n not in (_LAST_RESORT, 'table'))}",
    )


def load_format(name: str) -> Format:
    """The format object of ``tables.FORMATS``. Raises ConfigError for an unknown name."""
    found: Format = FORMATS.load(name)
    return found


def _nearest(path: Path) -> str | None:
    """How far the path exists: the part of a long path that is misspelt is then easy to see."""
    for parent in path.absolute().parents:
        if parent.is_dir():
            return f"{parent} exists, but has no {path.absolute().relative_to(parent).parts[0]!r}"
    return None
