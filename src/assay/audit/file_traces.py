"""What a file shows of its source without its content: families of numbers and words for each picture.

Words become columns of 0 and 1, one for each of the commonest values. A number that is missing (no JPEG has no
quality) becomes -1, which no real value is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.audit.class_names import plain_name
from assay.audit.examination import Examination
from assay.audit.rows import paths_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

_MOST_VALUES = 12


@dataclass(frozen=True)
class Family:
    """``words`` name it in a sentence. ``seen``: a network could see it in the pixels. ``content``: what the picture
    shows may explain it.
    """

    name: str
    words: str
    seen: bool = True
    content: bool = False


FAMILIES = (
    Family("size", "the size in pixels"),
    Family("shape", "the shape of the picture"),
    Family("format", "the file format"),
    Family("compression", "the compression"),
    Family("bytes", "the number of bytes a pixel", content=True),
    Family("camera", "what the camera wrote", seen=False),
    Family("name", "the way files are named", seen=False),
    Family("light", "brightness and colour strength", content=True),
)


@dataclass(frozen=True)
class Trace:
    """One column of a family: ``values`` (M,) float32, in ``unit``. Of a column that tells the presence of one word,
    ``word`` is that word (empty: that there is none); None for a number.
    """

    name: str
    unit: str
    values: NDArray[np.float32]
    word: str | None = None


def traces_of(examination: Examination, rows: Ints, family: Family) -> list[Trace]:
    """The columns of a family for these rows, those that vary."""
    facts = _Facts(examination, rows)
    made = list(getattr(facts, f"of_{family.name}")())
    return [trace for trace in made if len(trace.values) and np.ptp(trace.values) > 0]


class _Facts:
    """The families, one method each."""

    def __init__(self, examination: Examination, rows: Ints) -> None:
        self._examination, self._rows = examination, rows

    def _number(self, name: str) -> NDArray[np.float32]:
        return np.nan_to_num(self._examination.facts.column(name)[self._rows].astype(np.float32), nan=-1.0)

    def _texts(self, name: str) -> NDArray[Any]:
        column: NDArray[Any] = self._examination.facts.column(name)[self._rows]
        return column

    def of_size(self) -> Iterator[Trace]:
        width, height = self._number("width"), self._number("height")
        yield Trace("width", " px", width)
        yield Trace("height", " px", height)
        yield Trace("short side", " px", np.minimum(width, height))
        yield Trace("long side", " px", np.maximum(width, height))

    def of_shape(self) -> Iterator[Trace]:
        ratio = self._number("width") / np.maximum(self._number("height"), np.float32(1))
        yield Trace("width / height", "", ratio.astype(np.float32))

    def of_format(self) -> Iterator[Trace]:
        yield from _words("format", self._texts("format"))
        yield from _words("colour mode", self._texts("mode"))

    def of_compression(self) -> Iterator[Trace]:
        yield Trace("JPEG quality", "", np.round(self._number("jpeg_quality")))
        yield from _words("colour sampling", self._texts("subsampling"))

    def of_bytes(self) -> Iterator[Trace]:
        pixels = self._number("width") * self._number("height")
        yield Trace("bytes a pixel", "", (self._number("bytes") / np.maximum(pixels, 1)).astype(np.float32))

    def of_camera(self) -> Iterator[Trace]:
        has = np.array(["camera data" if told else None for told in self._texts("has_exif")], dtype=object)
        yield from _words("file", has)
        yield from _words("camera", self._texts("camera"))
        yield from _words("software", self._texts("software"))
        yield Trace("orientation tag", "", self._number("orientation"))

    def of_name(self) -> Iterator[Trace]:
        """Names with letters and digits in runs, and without the class: "IMG_0123.jpg" is "a_9.jpg"."""
        dataset = self._examination.dataset
        classes = [plain_name(name.rpartition("/")[2]) for name in dataset.classes]
        paths = paths_of(dataset, self._rows)
        targets = dataset.targets[self._rows]
        shapes = [name_shape(path, classes[int(t)]) for path, t in zip(paths, targets, strict=True)]
        yield from _words("file name", np.array(shapes, dtype=object))

    def of_light(self) -> Iterator[Trace]:
        for name in ("brightness", "contrast", "colourfulness"):
            yield Trace(name, "", self._number(name))


def name_shape(path: str, label: str) -> str:
    """The pattern of a file name: runs of letters are "a", of digits "9"; the name of the class is nothing."""
    stem, ending = PurePosixPath(path).stem, PurePosixPath(path).suffix.lower()
    if label and label in plain_name(stem):
        return f"(class){ending}"
    if re.fullmatch(r"[0-9a-fA-F]{8,}(-[0-9a-fA-F]{4,})*", stem):
        return f"(hex){ending}"
    return re.sub(r"\d+", "9", re.sub(r"[^\W\d_]+", "a", stem)) + ending


def _words(name: str, values: NDArray[Any]) -> Iterator[Trace]:
    found, counts = np.unique([str(v) if v else "" for v in values], return_counts=True)
    coded = np.array([str(v) if v else "" for v in values])
    for value in found[np.argsort(-counts, kind="stable")][:_MOST_VALUES]:
        yield Trace(name, "", (coded == value).astype(np.float32), str(value))
