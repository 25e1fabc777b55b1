"""Enrolled photos as one file: arrays as safetensors, what people said as JSON in its metadata.

Nothing in it can run. A digest over all of it stands in the metadata, so a changed byte is noticed; it is no signature.
The photos themselves are not in the file: small grey copies are, from which nobody can print a label, but by which
a person can be recognised. Treat it like the photos.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from assay.decide.frames import SIDE
from assay.decide.match import LISTS
from assay.decide.reference import Enrolled, Reference, Rows
from assay.decide.views import VIEWS
from assay.errors import PolicyError
from assay.files import write_file

FORMAT = 1
PRINTS = 1
"""Counts up when prints or views change: prints of two kinds cannot be compared."""
_KEY = "assay.references"
_ARRAYS = (
    "frames",
    "frame_counts",
    "bits",
    "row_frames",
    "row_views",
    "row_counts",
    "embeddings",
    "embedded",
)
_FIX = "enrol the photos again: assay enrol POLICY PHOTOS --as fake"

Arrays = dict[str, NDArray[Any]]


def write_references(path: str | Path, photos: Sequence[Enrolled], network: str | None) -> None:
    """Write them all, whole or not at all. Raises AssayError where the place cannot be written."""
    write_file(path, pack_references(photos, network))


def read_enrolled(path: str | Path) -> tuple[list[Enrolled], str | None]:
    """What ``write_references`` wrote, and the network of the embeddings.

    Raises
    ------
    PolicyError : no such file, or it is damaged or of another format.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise PolicyError(
            f"the references {path} cannot be read",
            got=error.strerror or str(error),
            fix="enrol photos first: assay enrol POLICY PHOTOS --as fake",
        ) from error
    try:
        return unpack_references(data)
    except PolicyError as error:
        raise PolicyError(f"{path}: {error.what}", got=error.got, fix=error.fix) from error
    except (SafetensorError, ValueError, KeyError, TypeError, IndexError) as error:
        told = f"{type(error).__name__}: {error}"[:200]
        raise PolicyError(f"{path} holds no references, or is damaged", got=told, fix=_FIX) from error


def pack_references(photos: Sequence[Enrolled], network: str | None) -> bytes:
    """The bytes of the file."""
    arrays = _arrays(photos)
    said = [[one.reference.photo, one.reference.list, one.reference.item] for one in photos]
    plain = {"format": FORMAT, "prints": PRINTS, "network": network, "references": said}
    plain["digest"] = _digest(arrays, plain)
    return bytes(save_arrays(arrays, {_KEY: json.dumps(plain, ensure_ascii=False)}))


def unpack_references(data: bytes) -> tuple[list[Enrolled], str | None]:
    """The inverse of ``pack_references``.

    Raises
    ------
    PolicyError : another format, or a byte has changed. SafetensorError, ValueError, KeyError, TypeError : another kind
        of file.
    """
    length = int.from_bytes(data[:8], "little")
    if not 0 < length <= len(data) - 8:
        raise ValueError("no safetensors file")
    plain = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][_KEY])
    if (plain["format"], plain["prints"]) != (FORMAT, PRINTS):
        told = f"format {plain['format']} with prints {plain['prints']}"
        raise PolicyError(
            "it is of another version", got=f"{told}; this program reads {FORMAT} with {PRINTS}", fix=_FIX
        )
    arrays = load_arrays(data)
    digest = plain.pop("digest")
    if set(arrays) != set(_ARRAYS) or digest != _digest(arrays, plain):
        raise PolicyError(
            "it is damaged", got="its digest is another one", fix="copy it again from its source"
        )
    return _photos(arrays, plain["references"]), plain["network"]


def _arrays(photos: Sequence[Enrolled]) -> Arrays:
    width = max((len(one.embedding) for one in photos if one.embedding is not None), default=0)
    none = np.zeros(width, np.float16)
    return {
        "frames": np.concatenate([np.empty((0, SIDE, SIDE), np.uint8), *(one.frames for one in photos)]),
        "frame_counts": np.array([len(one.frames) for one in photos], np.int32),
        "bits": np.concatenate([np.empty((0, 4), np.uint64), *(one.rows.bits for one in photos)]),
        "row_frames": np.concatenate([np.empty(0, np.int16), *(one.rows.frames for one in photos)]),
        "row_views": np.concatenate([np.empty(0, np.int16), *(one.rows.views for one in photos)]),
        "row_counts": np.array([len(one.rows.bits) for one in photos], np.int32),
        "embeddings": np.array(
            [none if one.embedding is None else one.embedding for one in photos], np.float16
        ).reshape(len(photos), width),
        "embedded": np.array([one.embedding is not None for one in photos], np.uint8),
    }


def _photos(arrays: Arrays, said: list[list[Any]]) -> list[Enrolled]:
    frame_ends, row_ends = (np.cumsum(arrays[name]) for name in ("frame_counts", "row_counts"))
    _require_fit(arrays, said, frame_ends, row_ends)
    found = []
    for number, (photo, name, item) in enumerate(said):
        if name not in LISTS or not isinstance(photo, str) or not isinstance(item, str | None):
            raise ValueError(f"photo {number} is of no list")
        own = slice(frame_ends[number] - arrays["frame_counts"][number], frame_ends[number])
        rows = slice(row_ends[number] - arrays["row_counts"][number], row_ends[number])
        found.append(
            Enrolled(
                Reference(photo, name, item),
                arrays["frames"][own],
                Rows(arrays["bits"][rows], arrays["row_frames"][rows], arrays["row_views"][rows]),
                arrays["embeddings"][number] if arrays["embedded"][number] else None,
            )
        )
    return found


def _require_fit(arrays: Arrays, said: list[list[Any]], frame_ends: Any, row_ends: Any) -> None:
    """Raises ValueError: numbers of photos, frames and prints that do not fit each other, or of another kind."""
    many, rows = len(said), len(arrays["bits"])
    fits = all(len(arrays[name]) == many for name in ("frame_counts", "row_counts", "embeddings", "embedded"))
    fits = fits and len(arrays["row_frames"]) == len(arrays["row_views"]) == rows
    fits = fits and arrays["frames"].shape[1:] == (SIDE, SIDE) and arrays["bits"].shape[1:] == (4,)
    kinds = {
        "frames": np.uint8,
        "bits": np.uint64,
        "row_frames": np.int16,
        "row_views": np.int16,
        "embeddings": np.float16,
    }
    fits = fits and all(arrays[name].dtype == kind for name, kind in kinds.items())
    if not fits or [*frame_ends[-1:], *row_ends[-1:]] != ([len(arrays["frames"]), rows] if many else []):
        raise ValueError("its arrays do not fit each other")
    if (arrays["frame_counts"] < 1).any() or (arrays["row_counts"] < 0).any():
        raise ValueError("a photo without frames")
    if rows and not (arrays["row_views"].min() >= 0 and arrays["row_views"].max() < len(VIEWS)):
        raise ValueError("a view that is not known")
    counts = np.repeat(arrays["frame_counts"], arrays["row_counts"])
    if (arrays["row_frames"] < 0).any() or (arrays["row_frames"] >= counts).any():
        raise ValueError("a print of a frame that is not there")


def _digest(arrays: Arrays, plain: dict[str, Any]) -> str:
    found = hashlib.sha256(json.dumps(plain, sort_keys=True, ensure_ascii=False).encode())
    for name in _ARRAYS:
        found.update(np.ascontiguousarray(arrays[name]).data)
    return found.hexdigest()
