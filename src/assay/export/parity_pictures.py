"""Which pictures an export is checked on: the run's own, where they are still there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from assay.errors import ConfigError
from assay.export.provenance import read_record
from assay.export.verify import PICTURES, read_pixels, render_patterns
from assay.runtime.sources import Pictures

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.card import Card


def parity_pictures(
    named: str | Path | Iterable[str | Path] | None, folder: Path, record: Mapping[str, Any], card: Card
) -> tuple[NDArray[np.uint8], str]:
    """(pixels (n, S, S, C) uint8, what they are): those that were named, else the run's own, else patterns.

    Raises
    ------
    ConfigError : of the named pictures none can be read.
    """
    if named is not None:
        pixels = read_pixels(Pictures(named), card)
        if not len(pixels):
            raise ConfigError("none of the pictures can be read", fix="name other pictures to compare on")
        return pixels, "named pictures"
    for part in ("validation", "test", "train"):
        pixels = read_pixels(part_paths(folder, record, part), card)
        if len(pixels):
            return pixels, f"{part} part"
    return render_patterns(card, PICTURES), "rendered patterns: the run's pictures are gone"


def part_paths(folder: Path, record: Mapping[str, Any], part: str, most: int = PICTURES) -> Iterator[Path]:
    """Paths of one part of the run's split, spread over its rows, where the files are still there."""
    table = folder / "split.parquet"
    if not table.is_file():
        return
    try:
        columns = pq.read_table(table, columns=["path", "part"]).to_pydict()
    except (pa.ArrowException, OSError, KeyError):
        return
    paths = [path for path, of in zip(columns["path"], columns["part"], strict=True) if of == part]
    roots = _roots(folder, record, part)
    # neighbours are often one class: take from everywhere
    for i in np.linspace(0, len(paths) - 1, min(len(paths), most)).round().astype(int).tolist():
        path = paths[i]
        found = next((root / path for root in roots if (root / path).is_file()), None)
        if found is not None:
            yield found


def _roots(folder: Path, record: Mapping[str, Any], part: str) -> list[Path]:
    """Folders that the split's paths may start from."""
    measured = read_record(folder / "evaluation", f"{part}.json").get("root")
    read = record.get("recipe", {}).get("read", {}).get("root")
    data = record.get("data")
    named = [Path(str(place)).expanduser() for place in (measured, read, data) if place]
    return [*named, *(place.parent for place in named), Path()]
