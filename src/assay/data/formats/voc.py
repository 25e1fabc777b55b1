"""Pascal VOC: an XML file of boxes for each picture, as labelImg, CVAT and Roboflow write it, too.

Everingham et al., "The Pascal Visual Object Classes (VOC) Challenge", IJCV 2010, and its development kit. The
layouts are in ``voc_layout``; which pixel the numbers count from is ruled in ``voc_objects``, and stands in the
metadata of the table as ``first_pixel`` (with a note where it is not VOC's own); writing is in ``voc_write``.

The picture belongs to an XML file by its name, as ``<filename>`` and ``<path>`` often name another. Its size is
taken from the picture; a ``<size>`` that says another one is told, one of 0 is passed over. ``difficult`` becomes
a column of that name, a list of bool with one an object, where one is set; ``truncated``, ``pose`` and parts of
objects are not kept. Masks of classes (``SegmentationClass``) fill the column ``pixels`` (``voc_pixels``); masks of
things (``SegmentationObject``) are not read. A picture without a file is unlabelled, unless
``ReadConfig.missing_labels`` says "background"; so is one of whose objects none can be used. Classes are in the
order of ``labelmap.txt`` where it is there, else in natural order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from assay.configs import ReadConfig
from assay.data.faults import Faults
from assay.data.formats.voc_layout import Entry, Files, Home, find_homes
from assay.data.formats.voc_objects import VocFile, read_file
from assay.data.formats.voc_pixels import add_pixels, has_masks_of_things
from assay.data.formats.voc_write import HOLDS, LABEL_MAP, LABEL_MAP_HEAD, write_folder
from assay.data.names import in_order, is_hidden, nfc, some
from assay.data.object_rows import ObjectRow, dataset_of, in_threads, picture_size, refuse_options, told_place
from assay.errors import AssayError, ConfigError, DatasetError, ImageError
from assay.labels import ClassNames
from assay.types import PARTS, Dataset

_BACKGROUND = "background"


class Voc:
    """The data format ``voc``."""

    suffixes = ("",)

    def holds(self, path: Path) -> frozenset[str]:  # noqa: ARG002 - the same everywhere
        """Boxes, pictures without any or not looked at; parts. No masks, no crowds. Masks of classes are read alone."""
        return HOLDS

    def detect(self, path: Path) -> bool:
        """A folder in one of the layouts of ``voc_layout``."""
        try:
            return bool(find_homes(path))
        except OSError:
            return False
        except ConfigError:
            return True

    def read(self, path: Path, config: ReadConfig) -> Dataset:
        """Rows in the order of the lists, else by part and natural name.

        Raises
        ------
        DatasetError : there are no such folders, or no pictures in them.
        ConfigError : an option for tables is given, the path is no folder, or holds several data sets.
        """
        refuse_options(path, config, "a VOC data set")
        if config.root is not None:
            raise ConfigError(f"{path} is a VOC data set: --root is for tables", fix="leave out --root")
        homes, faults = find_homes(path), Faults()
        if not homes:
            raise _no_homes(path)
        held = [Files(home, path, faults) for home in homes]
        entries = [entry for files in held for entry in files.entries()]
        if not entries:
            raise _no_pictures(path, homes, faults)
        if all(entry.part for entry in entries):
            entries.sort(key=lambda entry: PARTS.index(entry.part or ""))
        labels = [_read(entry, path, faults) for entry in entries]
        notes = _counting(labels)
        rows = list(_rows(entries, labels, notes["first_pixel"], config, path, faults))
        seen = {entry.picture for entry in entries}
        out = sum(len(files.unambiguous - seen) for files in held if files.home.lists is not None)
        if out:
            notes["notes"].append(f"pictures that are in no list of ImageSets/Main are left out: {out:,}")
        classes = _classes(homes[0], rows)
        rows, pixel_classes = add_pixels(rows, entries, homes, path, _listed(homes[0]), faults)
        if has_masks_of_things(homes):
            notes["notes"].append(
                "SegmentationObject/ is not read with VOC's boxes: --format mask-png reads masks of things"
            )
        name = path.resolve().name or "dataset"
        return dataset_of(rows, classes, path, name, {**notes, **faults.notes()}, pixel_classes)

    def write(
        self, dataset: Dataset, path: Path, progress: Callable[[int, int], object] | None = None
    ) -> None:
        """``Annotations/``, ``JPEGImages/`` and ``ImageSets/Main/`` in a new folder ``path``; see ``voc_write``."""
        write_folder(dataset, path, progress)


def _read(entry: Entry, root: Path, faults: Faults) -> VocFile | None:
    return None if entry.labels is None else read_file(entry.labels, told_place(entry.labels, root), faults)


def _counting(labels: Sequence[VocFile | None]) -> dict[str, Any]:
    """``first_pixel``, and the notes of the table with a sentence where that is not 1."""
    first = next((found for file in labels if file is not None and (found := file.from_zero())), None)
    if first is None:
        return {"first_pixel": 1, "notes": []}
    what = (
        f"{first.place}: a corner is 0, so boxes are read as edges counted from 0, not as VOC's pixels from 1"
    )
    return {"first_pixel": 0, "notes": [what]}


def _rows(
    entries: Sequence[Entry],
    labels: Sequence[VocFile | None],
    first_pixel: int,
    config: ReadConfig,
    root: Path,
    faults: Faults,
) -> Iterator[ObjectRow]:
    sizes = in_threads(picture_size, [entry.picture for entry in entries])
    for entry, file, found in zip(entries, labels, sizes, strict=True):
        size = None if isinstance(found, ImageError) else found
        row = ObjectRow(entry.picture, entry.part, size)
        if file is None or entry.labels is None:
            cell: list[dict[str, Any]] | None = [] if config.missing_labels == "background" else None
            yield replace(row, objects=cell, has_file=False)
            continue
        if size is not None and file.size_hw not in (None, size):
            _tell_size(told_place(entry.labels, root), file, size, faults)
        if file.is_faulty and not file.objects:
            yield replace(row, size_hw=size or file.size_hw)
            continue
        first = 1 if file.is_ours else first_pixel
        objects = [
            {"label": o.label, "box": o.box(first), "mask": None, "crowd": False} for o in file.objects
        ]
        flags = {"difficult": [o.is_difficult for o in file.objects]}
        row = replace(row, size_hw=size or file.size_hw, objects=objects)
        yield replace(row, flags=flags, is_partly=file.is_faulty)


def _tell_size(place: str, file: VocFile, size_hw: tuple[int, int], faults: Faults) -> None:
    said = file.size_hw or (0, 0)
    fix = "correct <size>, and look whether the boxes fit"
    if said == size_hw[::-1]:
        fix = "if the boxes were drawn before the picture was turned upright (EXIF), draw them again"
    what = f"<size> is {said[1]} x {said[0]}, and the upright picture is {size_hw[1]} x {size_hw[0]}"
    faults.add(place, what, fix)


def _classes(home: Home, rows: Sequence[ObjectRow]) -> ClassNames:
    """The names in ``labelmap.txt``, then those that it lacks."""
    found = in_order({thing["label"] for row in rows for thing in row.objects or ()})
    listed = dict.fromkeys(_listed(home))
    if _BACKGROUND not in found:
        listed.pop(_BACKGROUND, None)  # CVAT lists it, for masks
    return ClassNames([*listed, *(name for name in found if name not in listed)])


def _listed(home: Home) -> list[str]:
    """The names in ``labelmap.txt``, in its order."""
    folder = home.labels if home.labels == home.pictures else home.labels.parent
    return list(dict.fromkeys(_label_map(folder / LABEL_MAP)))


def _label_map(file: Path) -> Iterator[str]:
    try:
        lines = file.read_bytes().decode("utf-8-sig").splitlines()
    except FileNotFoundError:
        return
    except UnicodeDecodeError as error:
        raise DatasetError(f"{file} is not UTF-8", fix="save it as UTF-8, or remove it") from error
    for line in lines:
        name = nfc((line.rsplit(":", 3)[0] if line.count(":") >= 3 else line).strip())
        if name and not line.startswith(LABEL_MAP_HEAD[:7]):
            yield name


def _no_homes(path: Path) -> AssayError:
    if not path.is_dir():
        return ConfigError(f"{path} is not a folder", fix="name the folder with Annotations/ and JPEGImages/")
    held = some(sorted(p.name for p in path.iterdir() if not is_hidden(p.name)))
    fix = (
        "put .xml files into Annotations/ and pictures into JPEGImages/, or both side by side into one folder"
    )
    what = "has no VOC labels" if held else "is empty"
    return DatasetError(f"{path} {what}", got=held or None, fix=fix)


def _no_pictures(path: Path, homes: Sequence[Home], faults: Faults) -> DatasetError:
    looked = some(str(home.pictures) for home in homes)
    first = f"; {faults.kept_out[0]}" if faults.kept_out else ""
    return DatasetError(
        f"{path} has no pictures",
        got=f"looked in {looked}{first}",
        fix="put the pictures there, with the names of the labels",
    )


FORMAT = Voc()
