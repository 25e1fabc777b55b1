"""Lists of classes beside the labels of one part that contradict the data set's own: the silent error of this format.

A YOLO label is a number. labelImg writes ``classes.txt`` into each folder of labels, and tools that export parts one by
one write a ``data.yaml`` for each. Where such a list has another order, the same number is another class in that part.
Nobody can tell from the labels, so it is told and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from assay.data.faults import Faults
from assay.data.formats.yolo_yaml import FILE_NAMES, YoloSet, names_in
from assay.data.names import nfc, part_named
from assay.data.object_rows import told_place
from assay.errors import DatasetError

_LISTS = ("classes.txt", "obj.names")


def tell_orders(told: YoloSet, label_folders: Sequence[Path], faults: Faults) -> None:
    """Tell of every list in a part's own folders whose classes differ from ``told.names``.

    A list that only ends earlier is none: tools list the classes that they have seen.
    """
    ours = list(told.names)
    for file in _files(told, label_folders):
        theirs = _read(file)
        if not theirs or theirs == ours[: len(theirs)]:
            continue
        at = next((i for i, name in enumerate(theirs) if ours[i : i + 1] != [name]), 0)
        here = ours[at] if at < len(ours) else "none"
        how = "in another order than" if set(theirs) == set(ours) else "other classes than"
        what = f"class {at} is {theirs[at]} here and {here} in {told.file.name}: {how} there"
        fix = "if the labels beside it follow this list, give their numbers the order of data.yaml; else remove it"
        faults.add(told_place(file, told.root), what, fix)


def _files(told: YoloSet, label_folders: Sequence[Path]) -> Iterator[Path]:
    """The lists in the folders of a part: of its pictures, of its labels, and above them where that is the part's."""
    places = [place for part, place in told.places if part is not None and place.is_dir()]
    above = [p.parent for p in places if part_named(p.parent.name) is not None]
    for folder in dict.fromkeys([*places, *above, *label_folders]):
        if folder != told.file.parent:
            yield from (folder / name for name in (*_LISTS, *FILE_NAMES) if (folder / name).is_file())


def _read(file: Path) -> list[str]:
    """The names in the order of their numbers; nothing of a file that cannot be read: nobody asked for it."""
    try:
        if file.name in _LISTS:
            return [nfc(line.strip()) for line in file.read_text("utf-8-sig").splitlines() if line.strip()]
        return names_in(file)
    except (OSError, UnicodeDecodeError, DatasetError):
        return []
