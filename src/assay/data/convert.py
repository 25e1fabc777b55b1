"""``convert_dataset``: from any format that is read to any that is written, telling what is lost on the way.

Three things can be lost. What was wrong in the source was kept out when it was read (``faults``). Kinds of labels that
the target has no place for (tags, masks, crowds) are left out here, before it is written (``fit``): a writer refuses
them, as nobody who merely writes should find them gone. So are further columns, which writers pass over. Single things
that do not fit in though their kind has a place, such as masks that overlap (mask-png) or a box far outside its picture
(yolo), are cut to what fits, or their picture is left out (``fitting``). All of it is told; ``strict`` writes nothing
then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from assay.configs import ReadConfig
from assay.data.check_rows import reading_notes
from assay.data.faults import Fault, faults_of
from assay.data.fitting import Fits, Fitted
from assay.data.formats import Format
from assay.data.names import some
from assay.data.read import load_format, read_dataset
from assay.data.write import write_dataset
from assay.errors import ConfigError, DatasetError
from assay.objects import objects_type
from assay.types import Dataset
from assay.verb_configs import ConvertConfig

Row = dict[str, Any]
Cells = list[list[Row] | None]
Rule = Callable[[Row], Row | None]

_OTHER_FORMAT = "write coco or a .parquet table, which hold everything"


@dataclass(frozen=True)
class Conversion:
    """What was written to ``out``: numbers of pictures, things and masks, pictures by part, names of classes.

    ``faults`` are the first things that were wrong in the source, ``fault_count`` is the number of all; ``left_out``
    are sentences about what the target cannot hold, ``changed`` about things that were cut to what it can, and
    ``pictures_left_out`` the paths of pictures that went whole; ``notes`` are about how the source was read,
    and how the target is written where that may surprise.
    """

    out: Path
    to: str
    pictures: int
    objects: int
    masks: int
    parts: dict[str, int]
    classes: tuple[str, ...]
    faults: tuple[Fault, ...] = ()
    fault_count: int = 0
    left_out: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    pictures_left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "out": str(self.out),
            "to": self.to,
            "n": self.pictures,
            "objects": self.objects,
            "masks": self.masks,
            "parts": self.parts,
            "classes": list(self.classes),
            "fault_count": self.fault_count,
            "faults": [{"place": f.place, "what": f.what, "fix": f.fix} for f in self.faults],
            "left_out": list(self.left_out),
            "changed": list(self.changed),
            "pictures_left_out": list(self.pictures_left_out),
            "notes": list(self.notes),
        }


def convert_dataset(
    source: str | Path,
    out: str | Path,
    to: str,
    config: ConvertConfig | None = None,
    *,
    read: ReadConfig | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Conversion:
    """Read ``source`` and write it to ``out`` in the format called ``to``.

    Parameters
    ----------
    to : a name of ``assay.tables.FORMATS``.
    config : see ``ConvertConfig``. read : the source's format, names of its columns, the folder of its pictures.
    progress : called with (pictures done, of how many) by the formats that copy pictures.

    Raises
    ------
    ConfigError : a format or option is unknown, or ``out`` is taken.
    DatasetError : the source is broken, nothing of it has a place in the target, or ``strict`` and something has none.
        Nothing is written then.
    """
    config, target = config or ConvertConfig(), Path(out).expanduser()
    wanted = load_format(to)
    _require_other_place(Path(source).expanduser(), target)
    dataset = read_dataset(source, read)
    faults, count = faults_of(dataset)
    kept, left_out = fit(dataset, wanted, target, to)
    fitted = wanted.fit(kept) if isinstance(wanted, Fits) else Fitted(kept)
    kept, left_out, changed = fitted.dataset, [*left_out, *fitted.what_is_left_out], fitted.what_changed
    if not len(kept):
        raise DatasetError(
            f"{dataset.name} has nothing that {to} can hold", got="; ".join(left_out), fix=_OTHER_FORMAT
        )
    if config.strict and (left_out or changed or count):
        raise _strictly(dataset, to, faults, count, [*left_out, *changed])
    write_dataset(kept, target, to, progress)
    things = [thing for cell in _cells(kept) for thing in cell or ()]
    classes = (*kept.classes, *kept.object_classes, *kept.pixel_classes)
    return Conversion(
        out=target,
        to=to,
        pictures=len(kept),
        objects=len(things),
        masks=sum(thing["mask"] is not None for thing in things),
        parts=kept.parts,
        classes=tuple(dict.fromkeys(classes)),
        faults=tuple(faults),
        fault_count=count,
        left_out=tuple(left_out),
        changed=tuple(changed),
        pictures_left_out=tuple(fitted.pictures_left_out),
        notes=(*reading_notes(dataset, "notes"), *fitted.notes),
    )


def _require_other_place(source: Path, out: Path) -> None:
    if out.exists() and source.exists() and out.samefile(source):
        raise ConfigError(f"{out} is the data set that is read", fix="name another place")


def _strictly(
    dataset: Dataset, to: str, faults: list[Fault], count: int, left_out: list[str]
) -> DatasetError:
    told = [*left_out, *(str(fault) for fault in faults[:10])]
    if count > 10:
        told.append(f"and {count - 10:,} more faults of the source")
    lines = "".join(f"\n  - {line}" for line in told)
    return DatasetError(
        f"{dataset.name} cannot be written as {to} without a loss:{lines}",
        fix="leave out --strict, mend the source, or choose another format",
    )


def fit(dataset: Dataset, wanted: Format, target: Path, to: str) -> tuple[Dataset, list[str]]:
    """(what ``wanted`` can hold of the data set, sentences about the rest).

    Raises
    ------
    DatasetError : nothing is left that would teach anything.
    """
    holds, told = wanted.holds(target), []
    for column in ("label", "labels", "pixels", "part", "group"):
        if column not in holds and (count := _filled(dataset, column)):
            told.append(f"{_NOUNS[column]} of {count:,} pictures: {to} has no place for them")
            dataset = _without(dataset, column)
    dataset, columns = _fit_columns(dataset, holds, to)
    dataset, further = _fit_objects(dataset, holds, to)
    further = [*columns, *further]
    if not any(_filled(dataset, column) for column in ("label", "labels", "objects", "pixels")):
        got = "; ".join([*told, *further]) or "pictures without labels"
        raise DatasetError(f"{dataset.name} has nothing that {to} can hold", got=got, fix=_other_way(holds))
    return dataset, [*told, *further]


_NOUNS = {"label": "classes", "labels": "tags", "pixels": "pixel masks", "part": "parts", "group": "groups"}


def _other_way(holds: frozenset[str]) -> str:
    if "label" in holds:
        return "`assay crops` cuts boxes into a data set of classes; a .parquet table holds everything"
    return "name a data set with boxes or masks, or write a .parquet table"


def _filled(dataset: Dataset, column: str) -> int:
    """Rows that say something in a column."""
    if column not in dataset.table.column_names:
        return 0
    return len(dataset) - int(dataset.table[column].null_count)


def _without(dataset: Dataset, column: str) -> Dataset:
    """Labels become null, as every data set has that column; others go. The classes go with the last that used them."""
    table = dataset.table
    at = table.column_names.index(column)
    if column == "label":
        table = table.set_column(at, "label", pa.nulls(len(table), pa.string()))
    else:
        table = table.remove_column(at)
    dataset = replace(dataset, table=table, split={} if column == "part" else dataset.split)
    if column in ("label", "labels") and not (_filled(dataset, "label") or _filled(dataset, "labels")):
        return replace(dataset, classes=type(dataset.classes)([]))
    return replace(dataset, pixel_classes=type(dataset.classes)([])) if column == "pixels" else dataset


_OURS = frozenset(
    ("path", "label", "labels", "part", "group", "objects", "pixels", "height_px", "width_px", "image_id")
)
"""Columns that are looked at one by one, and those that no picture misses: its size, and COCO's number of it."""


def _fit_columns(dataset: Dataset, holds: frozenset[str], to: str) -> tuple[Dataset, list[str]]:
    """Without the further columns that ``to`` has no place for; told where they say something."""
    table, told = dataset.table, list[str]()
    further = [] if "columns" in holds else [name for name in table.column_names if name not in _OURS]
    if "difficult" in further and table["difficult"].type == pa.list_(pa.bool_()):  # as ``voc`` reads it
        further.remove("difficult")
        if "difficult" not in holds:
            marked = pc.sum(pc.list_flatten(table["difficult"])).as_py()
            table = table.drop_columns("difficult")
            told += [f"marks of {marked:,} things as difficult: {to} has no place for them"] if marked else []
    if said := [name for name in further if _filled(dataset, name)]:
        told.append(f"further columns ({some(said, 5)}): {to} has no place for them")
    return replace(dataset, table=table.drop_columns(further)), told


def _cells(dataset: Dataset) -> Cells:
    """The column ``objects`` as Python values; (N,) None where there is none."""
    if "objects" not in dataset.table.column_names:
        return [None] * len(dataset)
    found: Cells = dataset.table["objects"].to_pylist()
    return found


def _fit_objects(dataset: Dataset, holds: frozenset[str], to: str) -> tuple[Dataset, list[str]]:
    if not _filled(dataset, "objects"):
        if "objects" in dataset.table.column_names:
            dataset = _without(dataset, "objects")
        return dataset, []
    if not holds & {"boxes", "masks"}:
        count = sum(len(cell or ()) for cell in _cells(dataset))
        return _without(dataset, "objects"), [f"{count:,} boxes and masks: {to} has no place for them"]
    cells, told = _cells(dataset), list[str]()
    for rule, sentence in _rules(holds):
        counted = sum(rule(thing) is not thing for cell in cells for thing in cell or ())
        if counted:
            told.append(sentence.format(n=f"{counted:,}", to=to))
            cells = [_fit_cell(cell, rule) for cell in cells]
    if told:
        at = dataset.table.column_names.index("objects")
        table = dataset.table.set_column(at, "objects", pa.array(cells, objects_type()))
        dataset = replace(dataset, table=table)
    dataset, further = _fit_rows(dataset, holds, to)
    return dataset, told + further


def _fit_cell(cell: list[Row] | None, rule: Rule) -> list[Row] | None:
    """A picture that loses all its things is not one without any: it is not labelled any more."""
    if not cell:
        return cell
    return [kept for thing in cell if (kept := rule(thing)) is not None] or None


_COMPLETE = "what is left of their pictures now counts as all that is there"


def _rules(holds: frozenset[str]) -> Iterator[tuple[Rule, str]]:
    """What becomes of a thing where the target cannot hold it as it is: another one, or None."""
    if "crowd" not in holds:
        yield (
            _unless_crowd,
            f"{{n}} regions of many things (crowds): {{to}} has no word for them; {_COMPLETE}",
        )
    if "masks" not in holds:
        yield _box_alone, "masks of {n} things: {to} has no place for them; their boxes are kept"
    if "boxes" not in holds:
        yield _if_masked, f"{{n}} boxes without a mask: {{to}} holds masks alone; {_COMPLETE}"


def _unless_crowd(thing: Row) -> Row | None:
    return None if thing["crowd"] else thing


def _box_alone(thing: Row) -> Row | None:
    return thing if thing["mask"] is None else {**thing, "mask": None}


def _if_masked(thing: Row) -> Row | None:
    return None if thing["mask"] is None else thing


def _fit_rows(dataset: Dataset, holds: frozenset[str], to: str) -> tuple[Dataset, list[str]]:
    """Leave out pictures that would be taken for something that they are not."""
    told = []
    for name, sentence in (
        ("unlabelled", "{n} pictures without labels: {to} would call them empty"),
        ("empty", "{n} empty pictures: {to} cannot tell them from those without labels"),
    ):
        objects = dataset.table["objects"]
        is_empty = pc.fill_null(pc.equal(pc.list_value_length(objects), 0), False)
        found = is_empty if name == "empty" else pc.is_null(objects)
        count = pc.sum(found).as_py() or 0
        if name not in holds and count:
            told.append(sentence.format(n=f"{count:,}", to=to))
            dataset = dataset.select(pc.invert(found))
    return dataset, told
