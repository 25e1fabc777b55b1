"""Looks as rows of an Arrow table: the columns of the facts, and what is worked out for many pictures at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from assay.audit.fingerprint import SIDE, prints, to_grey
from assay.audit.look import Look

if TYPE_CHECKING:
    from numpy.typing import NDArray

THUMB_SHAPE = (SIDE, SIDE, 3)
THUMB_BYTES = SIDE * SIDE * 3

SCHEMA = pa.schema(
    [
        pa.field("key", pa.uint64(), nullable=False),
        ("fault", pa.string()),
        ("reason", pa.string()),
        ("bytes", pa.int64()),
        ("format", pa.string()),
        ("suffix_format", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("orientation", pa.int8()),
        ("mode", pa.string()),
        ("frames", pa.int32()),
        ("jpeg_quality", pa.float32()),
        ("subsampling", pa.string()),
        ("has_exif", pa.bool_()),
        ("camera", pa.string()),
        ("taken", pa.string()),
        ("software", pa.string()),
        ("brightness", pa.float32()),
        ("contrast", pa.float32()),
        ("sharpness", pa.float32()),
        ("colourfulness", pa.float32()),
        ("zero_tail", pa.bool_()),
        ("digest", pa.binary(16)),
        ("print", pa.uint64()),
        ("print_flipped", pa.uint64()),
    ]
)
"""Of the facts. ``key`` stands for the path, size and time of change of the file that was looked at."""

SHARD_SCHEMA = SCHEMA.append(pa.field("thumb", pa.binary(THUMB_BYTES)))


def to_batch(looks: Sequence[Look], keys: NDArray[np.uint64]) -> pa.RecordBatch:
    """(N,) looks and (N,) keys -> N rows of SHARD_SCHEMA."""
    thumbs = np.stack([look.thumb for look in looks])
    seen = np.array([look.fault is None for look in looks])
    columns: dict[str, Any] = {
        "key": keys,
        "bytes": [look.size for look in looks],
        "thumb": _fixed(thumbs.reshape(len(looks), THUMB_BYTES)),
        **_worked_out(thumbs, seen),
    }
    for name in SHARD_SCHEMA.names:
        if name not in columns:
            columns[name] = [getattr(look, name) for look in looks]
    arrays = [
        values if isinstance(values, pa.Array) else pa.array(values, type=SHARD_SCHEMA.field(name).type)
        for name, values in ((name, columns[name]) for name in SHARD_SCHEMA.names)
    ]
    return pa.record_batch(arrays, schema=SHARD_SCHEMA)


def _worked_out(thumbs: NDArray[np.uint8], seen: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    grey = to_grey(thumbs)
    plain, flipped = prints(grey)
    return {
        "brightness": np.where(seen, grey.mean(axis=(1, 2)), np.nan).astype(np.float32),
        "colourfulness": np.where(seen, _colourfulness(thumbs), np.nan).astype(np.float32),
        "print": plain,
        "print_flipped": flipped,
    }


def _colourfulness(thumbs: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Hasler and Suesstrunk, Measuring Colourfulness in Natural Images, 2003, section 6; 0 for grey."""
    red, green, blue = np.moveaxis(thumbs.reshape(len(thumbs), -1, 3).astype(np.float32), 2, 0)
    first, second = red - green, (red + green) / 2 - blue
    spread = np.hypot(first.std(axis=1), second.std(axis=1))
    strength: NDArray[np.float32] = spread + 0.3 * np.hypot(first.mean(axis=1), second.mean(axis=1))
    return strength


def _fixed(rows: NDArray[np.uint8]) -> pa.Array:
    buffers = [None, pa.py_buffer(np.ascontiguousarray(rows))]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(rows.shape[1]), len(rows), buffers)


def thumbs_of(column: pa.Array) -> NDArray[np.uint8]:
    """(N, 32, 32, 3) view on a column of thumbs that has no nulls."""
    start = column.offset * THUMB_BYTES
    flat = np.frombuffer(column.buffers()[1], np.uint8, len(column) * THUMB_BYTES, start)
    return flat.reshape(len(column), *THUMB_SHAPE)
