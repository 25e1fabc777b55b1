"""What was learnt, kept on disk under a key of data and config, so that a broken-off or repeated audit has it again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.audit.examination import Examination
from assay.errors import AssayError
from assay.files import write_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

_VERSION = 2
"""Another number makes all that was kept by earlier versions worthless."""
_NAMES = ("features", "probs", "folds")
_MARK = "vectors.json"


def key_of(examination: Examination, rows: Ints) -> str:
    """24 hex digits. Equal keys: the same pictures, labels, groups and options, so the same vectors."""
    config = examination.config
    asked: dict[str, Any] = {
        name: getattr(config, name) for name in ("embedding", "minutes", "folds", "near_bits", "seed")
    }
    named = config.embedding or ""
    for place in (named, named.partition(":")[2]):
        if place and Path(place).expanduser().exists():
            asked["changed"] = _changed(Path(place).expanduser())
    told = json.dumps([_VERSION, examination.dataset.split_hash, asked], sort_keys=True)
    digest = hashlib.blake2b(told.encode(), digest_size=12)
    digest.update(rows.tobytes())
    digest.update(np.ascontiguousarray(examination.facts.column("digest")[rows]).tobytes())
    return digest.hexdigest()


def _changed(path: Path) -> int:
    """When a network last changed: the file, or the weights of a run folder."""
    weights = path / "model.safetensors"
    return (weights if weights.is_file() else path).stat().st_mtime_ns


def save_arrays(
    folder: Path, arrays: Mapping[str, NDArray[Any]], how: str, *, no_longer: Sequence[str] = ()
) -> None:
    """The arrays first, the sentence last: where it is, all is. Files that are ``no_longer`` needed are removed.

    Raises
    ------
    AssayError : the disk is full or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in _NAMES:
            np.save(folder / f"{name}.npy", arrays[name], allow_pickle=False)
        write_file(folder / _MARK, json.dumps({"how": how}).encode())
        for name in no_longer:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise AssayError(
            f"{folder} could not be written", got=error.strerror or str(error), fix="free some space"
        ) from error


def load_arrays(folder: Path, count: int) -> tuple[dict[str, NDArray[Any]], str] | None:
    """(the arrays, mapped, how they were made), or None where there are none of ``count`` rows."""
    try:
        how = str(json.loads((folder / _MARK).read_text("utf-8"))["how"])
        held = {n: np.load(folder / f"{n}.npy", mmap_mode="r", allow_pickle=False) for n in _NAMES}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (held, how) if all(len(values) == count for values in held.values()) else None
