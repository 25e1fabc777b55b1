"""The columns of a table that say what is in its pictures: ``objects``, ``pixels``, ``height_px``, ``width_px``.

They are taken by these very names, as nobody calls them so by chance, and only where their types fit: a column
``objects`` of numbers is the user's own and stays one, under the name ``source_objects``. Values in ``pixels`` mean
nothing without the names of the classes, which Assay's own Parquet files carry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assay.data.faults import Faults
from assay.errors import DatasetError
from assay.masks import Mask, checked_mask
from assay.objects import objects_type

if TYPE_CHECKING:
    from numpy.typing import NDArray

Sizes = Sequence[tuple[int | None, int | None]]
"""Height and width of the picture of every row, None where the table does not say."""

SIZES = ("height_px", "width_px")
NAMES = ("objects", "pixels", *SIZES)


def our_type(column: pa.Field, *, has_pixel_classes: bool) -> pa.DataType | None:
    """The type that a column of the user's gets when it is one of ours; None where it is not."""
    if column.name == "objects":
        return objects_type() if _holds_objects(column.type) else None
    if column.name == "pixels":
        return pa.string() if has_pixel_classes and _is_text(column.type) else None
    if column.name in SIZES:
        is_number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
        return pa.int32() if is_number or _is_text(column.type) else None
    return None


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _holds_objects(kind: pa.DataType) -> bool:
    """Whether a list of structs has at least a label and a box in each."""
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)) or not pa.types.is_struct(
        kind.value_type
    ):
        return False
    inner = kind.value_type
    return {"label", "box"} <= {inner.field(i).name for i in range(inner.num_fields)}


def conform_objects(cells: pa.Array) -> pa.Array:
    """The column ``objects`` in our type, labels in NFC; what is missing of a struct (mask, crowd) is null.

    Raises
    ------
    ArrowInvalid : a box has not four numbers.
    """
    wanted, inner = objects_type(), objects_type().value_type
    rows = cells.cast(pa.list_(cells.type.value_type)).flatten()
    given = {cells.type.value_type.field(i).name for i in range(cells.type.value_type.num_fields)}
    columns = [
        pc.struct_field(rows, f.name).cast(f.type) if f.name in given else pa.nulls(len(rows), f.type)
        for f in inner
    ]
    columns[0] = pc.utf8_normalize(columns[0], form="NFC")
    lengths = pc.fill_null(pc.list_value_length(cells), 0).cast(pa.int32())
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths)])
    structs = pa.StructArray.from_arrays(columns, fields=list(inner))
    return pa.ListArray.from_arrays(offsets, structs, type=wanted, mask=pc.is_null(cells))


def broken_objects(cells: pa.Array) -> list[int]:
    """Rows in which an object has no label, or no box of four numbers."""
    rows, parents = cells.flatten(), pc.list_parent_indices(cells)
    boxes = pc.struct_field(rows, "box")
    numbers = pc.is_null(boxes.flatten())
    label = pc.struct_field(rows, "label")
    bad = pc.or_(pc.or_(pc.is_null(label), pc.equal(pc.fill_null(label, ""), "")), pc.is_null(boxes))
    found = set(parents.filter(bad).to_pylist())
    if pc.any(numbers, min_count=0).as_py():
        places = [i for i, box in enumerate(boxes.to_pylist()) if box is not None and None in box]
        found |= set(parents.take(pa.array(places, pa.int64())).to_pylist())
    return sorted(found)


def sound_objects(cells: pa.Array, sizes: Sizes, places: Sequence[str], faults: Faults) -> pa.Array:
    """The column without boxes that are none, and without masks that are not of their picture; told to ``faults``.

    ``cells`` is of ``conform_objects`` and has no ``broken_objects``; ``places`` are the rows in messages. The box of a
    mask that cannot be used is kept. A row that loses all its objects is unlabelled: it is not one without any.
    """
    things = cells.flatten()
    boxes = pc.struct_field(things, "box").flatten().to_numpy(zero_copy_only=False).reshape(-1, 4)
    is_box = np.isfinite(boxes).all(axis=1) & (boxes[:, :2] < boxes[:, 2:]).all(axis=1)
    rows = pc.list_parent_indices(cells).to_numpy()
    counts = np.bincount(rows, minlength=len(cells))
    for i in np.flatnonzero(~is_box).tolist():
        fix = "write corners x1, y1, x2, y2 in pixels, the smaller ones first, or leave it out"
        shown = ", ".join(f"{value:g}" for value in boxes[i].tolist())
        faults.add(_place(i, rows, places), f"({shown}) is no box with an area", fix)
    masks = pc.struct_field(things, "mask")
    is_wrong = _wrong_masks(masks, is_box, rows, sizes, places, faults)
    if is_box.all() and not is_wrong.any():
        return cells
    columns = [pc.struct_field(things, f.name) for f in cells.type.value_type]
    columns[2] = pc.if_else(pa.array(is_wrong), pa.scalar(None, pa.string()), masks)
    kept = pa.StructArray.from_arrays(columns, fields=list(cells.type.value_type)).filter(pa.array(is_box))
    left = np.bincount(rows[is_box], minlength=len(cells))
    is_null = pc.is_null(cells).to_numpy(zero_copy_only=False) | ((counts > 0) & (left == 0))
    offsets = pa.array(np.concatenate([[0], np.cumsum(left)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, kept, type=cells.type, mask=pa.array(is_null))


def _wrong_masks(
    masks: pa.Array,
    is_box: NDArray[np.bool_],
    rows: NDArray[np.int64],
    sizes: Sizes,
    places: Sequence[str],
    faults: Faults,
) -> NDArray[np.bool_]:
    """(N,) whether the mask of a thing that is kept cannot be used; told to ``faults``."""
    is_wrong = np.zeros(len(masks), bool)
    if masks.null_count == len(masks):
        return is_wrong
    for i, counts in enumerate(masks.to_pylist()):
        if counts is None or not is_box[i]:
            continue
        height, width = sizes[rows[i]]
        try:
            if height is None or width is None:
                fix = "fill in height_px and width_px of its row"
                raise DatasetError("its picture has no size, so its mask cannot be drawn", fix=fix)
            checked_mask(Mask((height, width), counts))
        except DatasetError as error:
            is_wrong[i] = True
            got = f" ({error.got})" if error.got else ""
            what = f"{error.what}{got}; its box is kept"
            faults.add(_place(i, rows, places), what, error.fix or "draw it again")
    return is_wrong


def _place(i: int, rows: NDArray[np.int64], places: Sequence[str]) -> str:
    """How a message names the thing ``i``: its row, and which one of the row it is."""
    return f"{places[rows[i]]} object {i - int(np.searchsorted(rows, rows[i])) + 1}"


def labels_of_objects(cells: pa.ChunkedArray) -> set[str]:
    """The classes that occur among the objects."""
    names: set[str] = set()
    for chunk in cells.chunks:
        names.update(pc.unique(pc.struct_field(chunk.flatten(), "label")).to_pylist())
    return {name for name in names if name}
