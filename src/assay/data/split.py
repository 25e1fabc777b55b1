"""Train, validation and test: as the source says, or dealt anew, stratified, by group, and stable.

Parts that the user's folders or table name are kept. Where validation is missing beside train, it is carved out of
train; where nothing is named, all rows are dealt (see ``deal``). How it came about is written in
``Dataset.split``, and goes from there into the run, the report and the Bundle:

    by            "source", "hash" or "source+hash" (validation carved out of the source's train)
    salt          reproduces the split: SplitConfig(salt=...)
    validation, test    the wished shares
    group_column  the user's column whose values were kept together, or None
    counts        part -> number of pictures
    notes, warnings     sentences for people
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assay.configs import SplitConfig
from assay.data.deal import Shares, Tally, best_salt, deal, hash_keys
from assay.data.names import some
from assay.errors import ConfigError, DatasetError
from assay.types import PARTS, Dataset, class_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BATCH_ROWS = 1 << 16


def split_dataset(dataset: Dataset, config: SplitConfig | None = None, *, force: bool = False) -> Dataset:
    """Give every row a part, and write down how.

    ``force`` pools all rows and deals anew, whatever the source says.

    Raises
    ------
    ConfigError : validation and test leave nothing to train on.
    DatasetError : some rows name a part and some do not, or there are no rows.
    """
    config = config or SplitConfig()
    if config.validation + config.test > 0.95:
        raise ConfigError(
            f"validation {config.validation:g} and test {config.test:g} leave too little to train on",
            fix="let them add up to 0.95 at most",
        )
    if not len(dataset):
        raise DatasetError(f"{dataset.name} has no pictures to split")
    have = {} if force else dataset.parts
    if not have:
        return _deal(dataset, config, Shares(config.validation, config.test), None)
    if missing := dataset.table["part"].null_count:
        raise DatasetError(
            f"{missing:,} rows of {dataset.name} have no part and the others have",
            fix="fill the part column, or deal all rows anew with `assay split --force`",
        )
    if "train" in have and "validation" not in have and config.validation > 0:
        return _deal(dataset, config, Shares(config.validation, 0.0), "train")
    return _keep(dataset, have)


def count_classes(dataset: Dataset) -> NDArray[np.int64]:
    """(3, K) pictures of every class in train, validation and test. Rows without a part count nowhere."""
    counts = np.zeros((len(PARTS), len(dataset.classes)), np.int64)
    names = pa.array(list(dataset.classes), type=pa.string())
    for batch in _batches(dataset):
        owner, label = _labels(batch, names)
        part = class_codes(batch["part"], pa.array(PARTS))[owner]
        held = part >= 0
        np.add.at(counts, (part[held], label[held]), 1)
    return counts


def _keep(dataset: Dataset, have: dict[str, int]) -> Dataset:
    """The source's parts; a record of an earlier deal that came with them stays."""
    earlier = {k: v for k, v in dataset.split.items() if k not in ("counts", "notes")}
    absent = [part for part in PARTS if part not in have]
    notes = [f"the source names no {part} part" for part in absent]
    return replace(dataset, split={"by": "source", **earlier, "counts": have, "notes": notes})


def _deal(dataset: Dataset, config: SplitConfig, shares: Shares, pool: str | None) -> Dataset:
    """Deal all rows, or those of the part ``pool``; the others keep theirs."""
    grouped = config.by_group and _has_groups(dataset)
    salt = config.salt
    if salt is None:
        tally = Tally.empty(len(dataset), len(dataset.classes), shares)
        salt = best_salt(_pool(dataset, grouped, pool), tally)
    codes = np.concatenate(
        [_parts(dataset, batch, grouped, pool, salt, shares) for batch in _batches(dataset)]
    )
    column = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(PARTS))
    table = dataset.table
    if "part" in table.column_names:
        table = table.drop_columns(["part"])
    dealt = replace(dataset, table=table.add_column(2, "part", column))
    record: dict[str, Any] = {
        "by": "source+hash" if pool else "hash",
        "salt": salt,
        "validation": shares.validation,
        "test": shares.test,
        "group_column": _group_name(dataset) if grouped else None,
        "counts": dealt.parts,
        "notes": _notes(dealt, pool),
        "warnings": _warnings(dealt, shares, pool, grouped),
    }
    return replace(dealt, split=record)


def _parts(
    dataset: Dataset, batch: pa.RecordBatch, grouped: bool, pool: str | None, salt: int, shares: Shares
) -> NDArray[np.int8]:
    codes = deal(_hashes(dataset, batch, grouped), salt, shares)
    if pool is not None:
        old = class_codes(batch["part"], pa.array(PARTS)).astype(np.int8)
        codes = np.where(old == PARTS.index(pool), codes, old)
    return codes


def _pool(
    dataset: Dataset, grouped: bool, pool: str | None
) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]]:
    """(hashes, owner, label) of the rows to deal, batch by batch."""
    names = pa.array(list(dataset.classes), type=pa.string())
    for whole in _batches(dataset):
        batch = whole if pool is None else whole.filter(pc.equal(whole["part"], pool))
        if batch.num_rows:
            yield _hashes(dataset, batch, grouped), *_labels(batch, names)


def _batches(dataset: Dataset) -> Iterator[pa.RecordBatch]:
    wanted = [c for c in ("path", "label", "labels", "part", "group") if c in dataset.table.column_names]
    yield from dataset.table.select(wanted).to_batches(max_chunksize=_BATCH_ROWS)


def _hashes(dataset: Dataset, batch: pa.RecordBatch, grouped: bool) -> NDArray[np.uint64]:
    """The group's hash where there is one, else that of the path below the root."""
    root = dataset.root.absolute().as_posix().rstrip("/") + "/"
    paths = batch["path"]
    below = pc.starts_with(paths, root)
    if pc.any(below).as_py():
        paths = pc.if_else(below, pc.utf8_slice_codeunits(paths, len(root)), paths)
    return hash_keys(pc.coalesce(batch["group"].cast(pa.string()), paths) if grouped else paths)


def _labels(batch: pa.RecordBatch, names: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(owner, label): class ``label[j]`` is one of row ``owner[j]``; rows may have none or several."""
    if "labels" in batch.schema.names:
        lists = batch["labels"]
        owner, label = np.asarray(pc.list_parent_indices(lists)), class_codes(pc.list_flatten(lists), names)
        if batch["label"].null_count < batch.num_rows:  # a class beside its tags, which may hold it too
            single = class_codes(batch["label"], names)
            rows = np.arange(len(single))
            new = np.flatnonzero(~np.isin(rows * len(names) + single, owner * len(names) + label))
            owner, label = np.append(owner, rows[new]), np.append(label, single[new])
            order = np.argsort(owner, kind="stable")
            owner, label = owner[order], label[order]
    else:
        owner, label = np.arange(batch.num_rows), class_codes(batch["label"], names)
    held = label >= 0
    return owner[held].astype(np.int64), label[held]


def _has_groups(dataset: Dataset) -> bool:
    return "group" in dataset.table.column_names and dataset.table["group"].null_count < len(dataset)


def _group_name(dataset: Dataset) -> str:
    notes = json.loads((dataset.table.schema.metadata or {}).get(b"assay", b"{}"))
    return str(notes.get("columns", {}).get("group", "group"))


def _notes(dealt: Dataset, pool: str | None) -> list[str]:
    notes = [f"validation was carved out of the source's {pool}"] if pool else []
    return notes + [f"there is no {part} part" for part in PARTS if part not in dealt.parts]


def _warnings(dealt: Dataset, shares: Shares, pool: str | None, grouped: bool) -> list[str]:
    """Classes that a part lacks, and parts that came out far from the wished share."""
    found, counts = [], count_classes(dealt)
    rows = dict(dealt.parts)
    total = sum(rows.values()) - (rows.get("test", 0) if pool else 0)
    for i, part in enumerate(PARTS):
        wished = shares.wished[i]
        if wished <= 0:
            continue
        lacking = [dealt.classes[int(k)] for k in np.flatnonzero((counts[i] == 0) & (counts.sum(axis=0) > 0))]
        if lacking:
            found.append(f"{len(lacking):,} classes have no picture in {part}: {some(lacking)}")
        got = rows.get(part, 0) / max(1, total)
        if abs(got - wished) > max(0.03, 0.15 * wished):
            why = "groups are large" if grouped else "there are few pictures"
            found.append(f"{part} holds {got:.1%} of the pictures instead of {wished:.1%}: {why}")
    return found
