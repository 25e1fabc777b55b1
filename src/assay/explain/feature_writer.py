"""Feature vectors to disk as they come: they never gather in memory. What the files look like: ``feature_files``."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from assay.data.arrow_cache import Sink
from assay.explain.feature_files import TEXTS, check_suffix
from assay.files import WholeFile, write_file

_GROUP_BYTES = 16 << 20


@dataclass(frozen=True)
class Rows:
    """A batch: (B, F) float32 vectors and B values of each other column (None where there is none)."""

    vectors: NDArray[np.float32]
    texts: dict[str, list[str | None]]
    confidence: list[float]


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
