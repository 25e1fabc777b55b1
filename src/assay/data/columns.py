"""From a user's table to the columns that ``types.Dataset`` names: path, label, labels, part, group, and what is in a
picture (``object_columns``).

Columns are found by option or by the names people use; all others are kept. Everything is done batch by batch
on Arrow arrays, so a table of any length passes through in constant memory; what is wrong is collected and
told at the end, all at once.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from assay.configs import ReadConfig
from assay.data.faults import Faults
from assay.data.names import PART_ALIASES, part_named, some
from assay.data.object_columns import (
    NAMES,
    SIZES,
    broken_objects,
    conform_objects,
    our_type,
    sound_objects,
)
from assay.errors import ConfigError, DatasetError
from assay.tables import suggest

ALIASES = {
    "path": (
        *("path", "image", "file", "filename", "file_name", "filepath", "file_path"),
        *("image_path", "img", "picture", "photo"),
    ),
    "label": ("label", "class", "category", "class_name", "label_name", "target"),
    "labels": ("labels", "classes", "categories", "tags"),
    "part": ("part", "split", "set", "subset"),
    "group": ("group", "group_id"),
}
"""Our column -> the names it is recognised by (in any case), the likeliest first."""


@dataclass(frozen=True)
class Columns:
    """Which column of the user's table is which of ours; None where there is none."""

    path: str
    label: str | None
    labels: str | None
    part: str | None
    group: str | None

    def sources(self) -> dict[str, str]:
        """Our name -> the user's name, for those that exist, in our order."""
        return {ours: theirs for ours in ALIASES if (theirs := getattr(self, ours)) is not None}


def asked_columns(config: ReadConfig) -> list[str | None]:
    """The names of columns that options give, in the order of ``ALIASES``."""
    return [getattr(config, f"{ours}_column") for ours in ALIASES]


def column_named(name: str) -> str | None:
    """Which of our columns a name is usually given to, or None."""
    plain = _plain(name)
    return next((ours for ours, names in ALIASES.items() if plain in names), None)


def _plain(name: str) -> str:
    return name.strip().casefold().replace(" ", "_")


def find_columns(names: list[str], config: ReadConfig, table: str) -> Columns:
    """Match the columns called ``names`` with ours.

    Raises
    ------
    ConfigError : an option names a column that is not there.
    DatasetError : no column looks like the paths, or none like the labels, objects or pixel masks.
    """
    found = {ours: _find(ours, names, getattr(config, f"{ours}_column")) for ours in ALIASES}
    wrong = {o: n for o, n in found.items() if n is not None and n not in names}
    if wrong:
        raise ConfigError(
            "; ".join(f"{table} has no column {name!r}" for name in wrong.values()),
            got=f"columns: {some(names, 20)}",
            fix="; ".join(f"--{ours}-column: {suggest(name, names)}" for ours, name in wrong.items()),
        )
    _settle_labels(found, config)
    says_nothing = (
        found["label"] is None and found["labels"] is None and not {"objects", "pixels"} & set(names)
    )
    if found["path"] is None or says_nothing:
        raise _no_column(found, names, table)
    twice = [name for name, n in Counter(v for v in found.values() if v).items() if n > 1]
    if twice:
        raise ConfigError(f"column {some(twice)} of {table} is to serve two purposes", fix="name two columns")
    return Columns(**found)  # type: ignore[arg-type]


def _find(ours: str, names: list[str], asked: str | None) -> str | None:
    if asked is not None:
        return asked
    known = {_plain(name): name for name in reversed(names)}
    return next((known[alias] for alias in ALIASES[ours] if alias in known), None)


def _settle_labels(found: dict[str, str | None], config: ReadConfig) -> None:
    """What the user named wins; else one label, with ``labels`` beside it only under that very name."""
    if config.labels_column is not None and config.label_column is None:
        found["label"] = None
    elif config.labels_column is None and (
        config.label_column is not None or (found["label"] is not None and found["labels"] != "labels")
    ):
        found["labels"] = None


def _no_column(found: dict[str, str | None], names: list[str], table: str) -> DatasetError:
    what, flags = [], []
    if found["path"] is None:
        what, flags = ["picture paths"], ["--path-column"]
    if found["label"] is None and found["labels"] is None:
        what, flags = [*what, "labels"], [*flags, "--label-column"]
    return DatasetError(
        f"{table} has no column with {' and none with '.join(what)} that Assay recognises",
        got=f"columns: {some(names, 20)}",
        fix=f"name it: {' NAME '.join(flags)} NAME",
    )


@dataclass
class Conform:
    """Turns record batches of the user's table into ours, and remembers what was wrong with them."""

    columns: Columns
    root: Path
    table: str
    rows: int = 0
    unknown_parts: Counter[str] = field(default_factory=Counter)
    no_path: list[int] = field(default_factory=list)
    has_pixel_classes: bool = False
    broken: list[int] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)
    _backslashes: bool | None = None

    def schema(self, theirs: pa.Schema) -> pa.Schema:
        """Our schema for the user's: the five names first, then the others under their own names."""
        sources = self.columns.sources()
        kinds = {"labels": pa.list_(pa.string())}
        fields = [
            pa.field(ours, kinds.get(ours, pa.string())) for ours in ("path", "label", *list(sources)[1:])
        ]
        fields = list({f.name: f for f in fields}.values())
        for f in theirs:
            if f.name not in sources.values():
                fields.append(pa.field(self._name(f), self._our_type(f) or f.type))
        return pa.schema(fields)

    def _our_type(self, theirs: pa.Field) -> pa.DataType | None:
        return our_type(theirs, has_pixel_classes=self.has_pixel_classes)

    def _name(self, theirs: pa.Field) -> str:
        """A further column's name: its own, unless that is ours and means something else here."""
        is_taken = theirs.name in ALIASES or (theirs.name in NAMES and self._our_type(theirs) is None)
        return f"source_{theirs.name}" if is_taken else str(theirs.name)

    def batch(self, theirs: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
        """One batch in our schema."""
        c = self.columns
        made = {"path": self._paths(_text(theirs[c.path]))}
        labels = None if c.labels is None else _many(theirs[c.labels])
        if labels is not None:
            made["labels"] = labels
        made["label"] = self._label(theirs, labels)
        if c.part is not None:
            made["part"] = self._parts(_text(theirs[c.part]))
        if c.group is not None:
            made["group"] = _text(theirs[c.group])
        for f in theirs.schema:
            if f.name not in c.sources().values():
                made[self._name(f)] = self._further(theirs[f.name], f)
        if "objects" in made:
            made["objects"] = self._sound(made)
        self.rows += theirs.num_rows
        return pa.record_batch([made[f.name] for f in schema], schema=schema)

    def _label(self, theirs: pa.RecordBatch, labels: pa.Array | None) -> pa.Array:
        if self.columns.label is not None:
            return _nfc(_text(theirs[self.columns.label]))
        return pa.nulls(theirs.num_rows, pa.string()) if labels is None else _only(labels)

    def _further(self, values: pa.Array, theirs: pa.Field) -> pa.Array:
        """A column that says what is in the pictures, in our type; any other one as it is."""
        kind = self._our_type(theirs)
        if kind is None:
            return values
        if theirs.name != "objects":
            return values.cast(kind)
        return conform_objects(values)

    def _sound(self, made: dict[str, pa.Array]) -> pa.Array:
        """The column ``objects`` of a batch without what cannot be used."""
        cells = made["objects"]
        if broken := broken_objects(cells):
            self.broken.extend(self.rows + row + 1 for row in broken)
            return cells
        sides = [made[n].to_pylist() if n in made else [None] * len(cells) for n in SIZES]
        places = range(self.rows + 1, self.rows + len(cells) + 1)
        sizes = list(zip(*sides, strict=True))
        sound = sound_objects(cells, sizes, [f"{self.table} row {row}" for row in places], self.faults)
        left, given = (pc.fill_null(pc.list_value_length(one), 0) for one in (sound, cells))
        is_partly = pc.and_(pc.greater(left, 0), pc.less(left, given))
        self.faults.partly_read.extend(made["path"].filter(is_partly).to_pylist())
        return sound

    def raise_faults(self) -> None:
        """Raises one DatasetError with everything that was wrong in the batches so far."""
        wrong, fixes = [], []
        if not self.rows:
            wrong, fixes = [f"{self.table} has no rows"], ["give it one row a picture"]
        if self.no_path:
            wrong.append(
                f"{len(self.no_path):,} rows of {self.table} have no path (row {some(map(str, self.no_path))})"
            )
            fixes.append("fill them or delete them")
        if self.broken:
            shown = some(map(str, self.broken))
            wrong.append(
                f"objects without a label or a box in {len(self.broken):,} rows of {self.table} (row {shown})"
            )
            fixes.append("give every object both, or leave it out")
        if self.unknown_parts:
            shown = some(f"{name!r} ({n:,} rows)" for name, n in self.unknown_parts.most_common())
            wrong.append(f"column {self.columns.part!r} of {self.table} names unknown parts: {shown}")
            nearest = suggest(next(iter(self.unknown_parts)), list(PART_ALIASES))
            fixes.append(f"{nearest} (or name another column with --part-column)")
        if wrong:
            raise DatasetError("; ".join(wrong), fix="; ".join(fixes))

    def _paths(self, paths: pa.Array) -> pa.Array:
        paths = pc.if_else(pc.equal(paths, ""), None, paths)
        if paths.null_count and len(self.no_path) < 100_000:
            rows = pc.indices_nonzero(pc.is_null(paths)).to_pylist()
            self.no_path.extend(self.rows + row + 1 for row in rows)
        if self._backslashes is None:
            # Windows wrote "train\\cat.jpg"; here a backslash may also be part of a name
            with_one = paths.filter(pc.fill_null(pc.match_substring(paths, "\\"), False))
            if len(with_one):
                self._backslashes = not (self.root / with_one[0].as_py()).exists()
        return pc.replace_substring(paths, "\\", "/") if self._backslashes else paths

    def _parts(self, parts: pa.Array) -> pa.Array:
        coded = parts.dictionary_encode()
        names = coded.dictionary.to_pylist()
        means = [None if not name.strip() else part_named(name) for name in names]
        unknown = {i: n for i, n in enumerate(names) if n.strip() and means[i] is None}
        if unknown:
            for row in pc.value_counts(coded.indices).to_pylist():
                if row["values"] in unknown:
                    self.unknown_parts[unknown[row["values"]]] += row["counts"]
        return pa.array(means, type=pa.string()).take(coded.indices)


def _text(values: pa.Array) -> pa.Array:
    """Any scalar column as strings: label 7 is "7"."""
    kind = values.type
    if pa.types.is_floating(kind):
        # a whole-number column with gaps is often stored as floats: 3.0 is the label "3"
        whole = pc.all(pc.equal(values, pc.round(values)), min_count=0).as_py()
        values = values.cast(pa.int64()) if whole else values
    if pa.types.is_binary(kind) or pa.types.is_nested(kind):
        raise pa.ArrowInvalid(f"a column of type {kind} cannot be read as text")
    return values.cast(pa.string())


def _nfc(labels: pa.Array) -> pa.Array:
    return pc.utf8_normalize(pc.if_else(pc.equal(labels, ""), None, labels), form="NFC")


def _many(values: pa.Array) -> pa.Array:
    """A column with several labels as list<string>: a list column, or text separated by | or ;."""
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        values = values.cast(pa.list_(values.type.value_type))
        inner = _nfc(_text(values.flatten()))
        offsets = pc.cumulative_sum(pc.fill_null(pc.list_value_length(values), 0))
        offsets = pa.concat_arrays([pa.array([0], type=pa.int32()), offsets.cast(pa.int32())])
        return pa.ListArray.from_arrays(offsets, inner, mask=pc.is_null(values))
    text = pc.replace_substring_regex(_nfc(_text(values)), r"\s*[|;]\s*", "|")
    text = pc.utf8_trim(pc.utf8_trim_whitespace(pc.replace_substring_regex(text, r"\|+", "|")), "|")
    return pc.split_pattern(pc.if_else(pc.equal(text, ""), None, text), "|")


def _only(labels: pa.Array) -> pa.Array:
    """The label of the rows that have just one."""
    single = pc.equal(pc.list_value_length(labels), 1)
    rows = pc.if_else(pc.fill_null(single, False), labels, pa.scalar([None], type=labels.type))
    return pc.list_element(rows, 0)
