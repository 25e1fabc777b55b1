"""Feature vectors on disk: Parquet, or numpy's own files, written as they come and read in blocks.

    X.parquet   columns path, label, part, group, prediction, confidence, vector (fixed-size list of float32);
                what made them is JSON under the file's metadata key ``assay``
    X.npy       vectors (N, F) float32; beside it X.csv with the other columns and X.json with what made them
    X.npz       vectors, one array for each other column, and ``about``: the JSON as text

No file needs pickle. All are written whole or not at all, in memory that does not grow with N.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from assay.data.arrow_cache import Sink
from assay.errors import ConfigError, DatasetError
from assay.files import WholeFile, write_file

SUFFIXES = (".parquet", ".npy", ".npz")
TEXTS = ("path", "label", "part", "group", "prediction")
_GROUP_BYTES = 16 << 20
_BLOCK_BYTES = 16 << 20


@dataclass(frozen=True)
class Rows:
    """A batch: (B, F) float32 vectors and B values of each other column (None where there is none)."""

    vectors: NDArray[np.float32]
    texts: dict[str, list[str | None]]
    confidence: list[float]


def check_suffix(path: str | Path) -> Path:
    """``path`` where its ending is one that can be written. Raises ConfigError otherwise."""
    place = Path(path)
    if place.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"features go to {' or '.join(SUFFIXES)}", got=str(path), fix="end the name in one")
    return place


class FeatureWriter:
    """For ``with``: ``write(rows)`` as they come, ``about`` when all are known. Nothing appears on an error.

    Parameters
    ----------
    path : ends in .parquet, .npy or .npz.
    about : what made the vectors; entries may be added until the block ends.

    Raises
    ------
    ConfigError : another ending. AssayError : the disk is full, or the place cannot be written.
    """

    def __init__(self, path: str | Path, about: dict[str, Any]) -> None:
        self.path, self.about = check_suffix(path), about
        self.n, self.dim = 0, 0
        self._waiting: list[Rows] = []
        self._held = 0
        self._sink: _ParquetSink | _NumpySink = (
            _ParquetSink(self.path) if self.path.suffix.lower() == ".parquet" else _NumpySink(self.path)
        )

    def __enter__(self) -> Self:
        self._sink.open()
        return self

    def write(self, rows: Rows) -> None:
        """Add a batch; all batches have the same F."""
        if self.n and rows.vectors.shape[1] != self.dim:
            raise ValueError(f"vectors of {rows.vectors.shape[1]} and of {self.dim} numbers")
        self.n, self.dim = self.n + len(rows.vectors), rows.vectors.shape[1]
        self._waiting.append(rows)
        self._held += rows.vectors.nbytes
        if self._held > _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._sink.add(_joined(self._waiting))
        self._waiting, self._held = [], 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._flush()
                self._sink.finish({**self.about, "n": self.n, "dim": self.dim})
        except BaseException as fault:
            self._sink.close(type(fault), fault, fault.__traceback__)
            raise
        self._sink.close(kind, error, trace)


def _joined(batches: list[Rows]) -> Rows:
    texts = {name: [value for rows in batches for value in rows.texts[name]] for name in TEXTS}
    return Rows(
        np.concatenate([rows.vectors for rows in batches]),
        texts,
        [value for rows in batches for value in rows.confidence],
    )


class _ParquetSink:
    def __init__(self, path: Path) -> None:
        self._file = WholeFile(path)
        self._writer: Any = None

    def open(self) -> None:
        self._file.__enter__()

    def add(self, rows: Rows) -> None:
        table = _arrow(rows)
        if self._writer is None:
            self._writer = pq.ParquetWriter(Sink(self._file), table.schema, compression="zstd")
        self._writer.write_table(table, row_group_size=len(table))

    def finish(self, about: dict[str, Any]) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(Sink(self._file), _arrow(_NOTHING).schema)
        self._writer.add_key_value_metadata({"assay": json.dumps(about, ensure_ascii=False)})
        self._writer.close()

    def close(self, *fault: Any) -> None:
        self._file.__exit__(*fault)


_NOTHING = Rows(np.zeros((0, 1), np.float32), {name: [] for name in TEXTS}, [])


def _arrow(rows: Rows) -> pa.Table:
    flat = pa.array(rows.vectors.reshape(-1), type=pa.float32())
    columns: dict[str, Any] = {name: pa.array(rows.texts[name], type=pa.string()) for name in TEXTS}
    columns["confidence"] = pa.array(np.asarray(rows.confidence, np.float32))
    columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, rows.vectors.shape[1])
    return pa.table(columns)


class _NumpySink:
    """Vectors wait in a temporary file: numpy's header names their number, which is known at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._spool: IO[bytes] | None = None
        self._columns: dict[str, list[str | None]] = {name: [] for name in TEXTS}
        self._confidence: list[float] = []

    def open(self) -> None:
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()

    def add(self, rows: Rows) -> None:
        assert self._spool is not None
        self._spool.write(np.ascontiguousarray(rows.vectors).data)
        for name in TEXTS:
            self._columns[name] += rows.texts[name]
        self._confidence += rows.confidence

    def finish(self, about: dict[str, Any]) -> None:
        if self._path.suffix.lower() == ".npz":
            self._finish_npz(about)
            return
        write_file(self._path.with_suffix(".csv"), self._csv())
        write_file(self._path.with_suffix(".json"), json.dumps(about, ensure_ascii=False, indent=1).encode())
        with WholeFile(self._path) as file:
            self._copy(Sink(file), about)

    def _finish_npz(self, about: dict[str, Any]) -> None:
        arrays: dict[str, Any] = {
            name: np.array([v or "" for v in values], dtype=np.str_) for name, values in self._columns.items()
        }
        arrays |= {"confidence": np.asarray(self._confidence, np.float32)}
        arrays |= {"about": np.array(json.dumps(about, ensure_ascii=False))}
        with WholeFile(self._path) as file, zipfile.ZipFile(Sink(file), "w") as packed:
            with packed.open("vectors.npy", "w", force_zip64=True) as member:
                self._copy(member, about)
            for name, array in arrays.items():
                plain = io.BytesIO()
                np.save(plain, array, allow_pickle=False)
                packed.writestr(f"{name}.npy", plain.getvalue(), zipfile.ZIP_DEFLATED)

    def _copy(self, target: Any, about: dict[str, Any]) -> None:
        assert self._spool is not None
        shape = (about["n"], about["dim"])
        np.lib.format.write_array_header_1_0(target, {"descr": "<f4", "fortran_order": False, "shape": shape})
        self._spool.seek(0)
        shutil.copyfileobj(self._spool, target, 1 << 20)

    def _csv(self) -> bytes:
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow([*TEXTS, "confidence"])
        for i, sure in enumerate(self._confidence):
            rows.writerow([*(self._columns[name][i] or "" for name in TEXTS), f"{sure:.6f}"])
        return text.getvalue().encode("utf-8", "backslashreplace")

    def close(self, *_fault: Any) -> None:
        if self._spool is not None:
            self._spool.close()


@dataclass(frozen=True)
class FeatureSet:
    """Vectors on disk. ``rows`` is an Arrow table of every column but the vectors, in their order.

    ``about`` says what made them: network, layer, pool, digests, n, dim, and how many pictures were left out.
    """

    path: Path
    about: dict[str, Any]
    rows: pa.Table
    _whole: NDArray[np.float32] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    @property
    def dim(self) -> int:
        """F, the length of a vector."""
        return int(self.about["dim"])

    def column(self, name: str) -> list[Any]:
        """One of path, label, part, group, prediction, confidence as a list; None where a row has no value."""
        values: list[Any] = self.rows[name].to_pylist()
        return values

    def place(self, row: int) -> Path:
        """Where the picture of a row lies."""
        return Path(self.about.get("root") or "") / str(self.rows["path"][row].as_py())

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """(b, F) float32 pieces in order, some megabytes each; for .npz the whole in one."""
        size = max(1, _BLOCK_BYTES // (4 * max(1, self.dim)))
        if self._whole is not None:
            for start in range(0, len(self), size):
                yield np.asarray(self._whole[start : start + size], dtype=np.float32)
            return
        for batch in pq.ParquetFile(self.path).iter_batches(batch_size=size, columns=["vector"]):
            yield batch.column(0).flatten().to_numpy().reshape(-1, self.dim)

    def vectors(self) -> NDArray[np.float32]:
        """(N, F) float32, all in memory."""
        return np.concatenate([np.empty((0, self.dim), np.float32), *self.blocks()])


def read_features(path: str | Path) -> FeatureSet:
    """Open what ``assay features`` wrote.

    Raises
    ------
    ConfigError : there is no such file, or it has another ending.
    DatasetError : it is damaged, or was not written by ``assay features``.
    """
    place = check_suffix(path)
    if not place.is_file():
        raise ConfigError(
            f"{path} does not exist", fix="write it with `assay features MODEL DATA --out FILE`"
        )
    read = {".parquet": _read_parquet, ".npy": _read_npy, ".npz": _read_npz}[place.suffix.lower()]
    try:
        found = read(place)
        fits = len(found) == found.about["n"] and found.dim > 0
        fits = fits and (found._whole is None or found._whole.shape == (len(found), found.dim))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        got = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise DatasetError(f"{path} is no features file", got=got, fix=_FIX) from error
    if not fits:
        raise DatasetError(f"{path} is damaged", got="vectors and rows do not fit each other", fix=_FIX)
    return found


_FIX = "write it again with `assay features`"


def _read_parquet(path: Path) -> FeatureSet:
    notes = pq.read_metadata(path).metadata or {}
    about = json.loads(notes[b"assay"])
    return FeatureSet(path, about, pq.read_table(path, columns=[*TEXTS, "confidence"]))


def _read_npy(path: Path) -> FeatureSet:
    about = json.loads(path.with_suffix(".json").read_text("utf-8"))
    kinds = {**dict.fromkeys(TEXTS, pa.string()), "confidence": pa.float32()}
    options = pacsv.ConvertOptions(column_types=kinds, strings_can_be_null=True, null_values=[""])
    quoted = pacsv.ParseOptions(newlines_in_values=True)
    rows = pacsv.read_csv(path.with_suffix(".csv"), convert_options=options, parse_options=quoted)
    return FeatureSet(path, about, rows, np.load(path, mmap_mode="r", allow_pickle=False))


def _read_npz(path: Path) -> FeatureSet:
    with np.load(path, allow_pickle=False) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    columns: dict[str, Any] = {
        name: pa.array([str(v) or None for v in found[name]], type=pa.string()) for name in TEXTS
    }
    columns["confidence"] = pa.array(found["confidence"], type=pa.float32())
    return FeatureSet(path, json.loads(str(found["about"])), pa.table(columns), found["vectors"])
