"""Feature vectors on disk: Parquet, or numpy's own files, written as they come and read in blocks.

    X.parquet   columns path, label, part, group, prediction, confidence, vector (fixed-size list of float32);
                what made them is JSON under the file's metadata key ``assay``
    X.npy       vectors (N, F) float32; beside it X.csv with the other columns and X.json with what made them
    X.npz       vectors, one array for each other column, and ``about``: the JSON as text

No file needs pickle. All are written whole or not at all. Vectors never gather in memory; in Parquet nothing does.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from assay.errors import ConfigError, DatasetError

SUFFIXES = (".parquet", ".npy", ".npz")
TEXTS = ("path", "label", "part", "group", "prediction")
_BLOCK_BYTES = 16 << 20


def check_suffix(path: str | Path) -> Path:
    """``path`` where its ending is one that can be written. Raises ConfigError otherwise."""
    place = Path(path)
    if place.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"features go to {' or '.join(SUFFIXES)}", got=str(path), fix="end the name in one")
    return place


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
        with pq.ParquetFile(self.path, memory_map=False) as file:
            for group in range(file.num_row_groups):  # iter_batches keeps what it has read
                chunk = file.read_row_group(group, columns=["vector"], use_threads=False)["vector"]
                flat = chunk.combine_chunks().flatten().to_numpy().reshape(-1, self.dim)
                for start in range(0, len(flat), size):
                    yield flat[start : start + size]

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
    # opened here: np.load leaves a damaged file open
    with path.open("rb") as packed, np.load(packed, allow_pickle=False) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    columns: dict[str, Any] = {
        name: pa.array([str(v) or None for v in found[name]], type=pa.string()) for name in TEXTS
    }
    columns["confidence"] = pa.array(found["confidence"], type=pa.float32())
    return FeatureSet(path, json.loads(str(found["about"])), pa.table(columns), found["vectors"])
