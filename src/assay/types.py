"""The values that travel between rooms: Sample, Dataset, Prediction, and the Predictor protocol.

Rows of a data set live in an Arrow table (memory-mapped where it is large), so a million pictures open in
seconds. Everything here is numpy and Arrow; no torch. Arrow is imported by the methods that need it: a
Prediction does not, and answering one photo shall start at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from assay.errors import ConfigError
from assay.labels import ClassNames
from assay.objects import Objects

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray
    from PIL.Image import Image

    from assay.detections import Detections
    from assay.masks import Mask
    from assay.photos import Photo

PARTS = ("train", "validation", "test")
"""The names of the parts of a data set. Folder and table aliases (val, dev, testing, ...) are mapped to these."""


NO_CLASSES = ClassNames([])


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture and what is known about it.

    ``label`` is a class index, or None where the picture is unlabelled; ``labels`` holds all indices of a
    row with several labels (tags), None where nobody looked for them. ``objects`` are the things in it, None where
    nobody looked; ``pixels`` is the file that names the class of every pixel. ``size_hw`` is the upright picture's
    size, where the data set says it. ``extra`` keeps every other column of the table.
    """

    path: Path
    label: int | None = None
    labels: tuple[int, ...] | None = None
    part: str | None = None
    group: str | None = None
    objects: Objects | None = None
    pixels: Path | None = None
    size_hw: tuple[int, int] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def class_codes(labels: pa.Array, names: pa.Array) -> NDArray[np.int64]:
    """(N,) position of each label (strings, plain or dictionary-encoded) in ``names``, -1 for null and unknown."""
    import pyarrow as pa  # noqa: PLC0415 - see the top
    import pyarrow.compute as pc  # noqa: PLC0415

    if pa.types.is_dictionary(labels.type):
        places = np.append(class_codes(labels.dictionary, names), -1)
        codes: NDArray[np.int64] = places[np.asarray(pc.fill_null(labels.indices, len(places) - 1))]
        return codes
    found = pc.index_in(labels.cast(pa.string()), value_set=names)
    return np.asarray(pc.fill_null(found, -1)).astype(np.int64)


@dataclass(frozen=True)
class Dataset:
    """Pictures with labels, as rows of an Arrow table.

    Columns of ``table``: ``path`` (string, POSIX, relative to ``root`` or absolute), ``label`` (string or
    null), ``part`` (one of PARTS or null), ``group`` (string or null); optionally ``labels``
    (list of string), ``objects`` (``objects.objects_type()``), ``pixels`` (path of a mask picture, as ``path``),
    ``height_px`` and ``width_px`` (int32, of the upright picture) and any other column of the user's. All of these
    names may be absent but ``path`` and ``label``. Null always says that nobody looked, an empty list that there is
    nothing.

    ``classes`` are those of ``label`` and ``labels``, ``object_classes`` those of ``objects``, ``pixel_classes`` those
    of the values in ``pixels``, from 0 up; each is the same for every part of one data set. ``split`` says how the
    parts came about (the record that ``split_dataset`` writes, or ``{"by": "source"}`` where the user gave parts).
    """

    table: pa.Table
    classes: ClassNames
    root: Path
    name: str = "dataset"
    split: Mapping[str, Any] = field(default_factory=dict)
    object_classes: ClassNames = NO_CLASSES
    pixel_classes: ClassNames = NO_CLASSES

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[Sample]:
        for batch in self.table.to_batches(max_chunksize=4096):
            for row in batch.to_pylist():
                yield self._sample(row)

    def __getitem__(self, i: int) -> Sample:
        if not -len(self) <= i < len(self):
            raise IndexError(f"sample {i} of {len(self)}")
        return self._sample(self.table.slice(i % len(self), 1).to_pylist()[0])

    def _sample(self, row: dict[str, Any]) -> Sample:
        label, labels = row.pop("label", None), row.pop("labels", None)
        things, pixels = row.pop("objects", None), row.pop("pixels", None)
        height, width = row.pop("height_px", None), row.pop("width_px", None)
        size_hw = None if height is None or width is None else (int(height), int(width))
        return Sample(
            path=self.root / row.pop("path"),
            label=None if label is None else self.classes.position(label),
            labels=None if labels is None else tuple(self.classes.position(name) for name in labels),
            part=row.pop("part", None),
            group=row.pop("group", None),
            objects=None if things is None else Objects.from_rows(things, self.object_classes, size_hw),
            pixels=None if pixels is None else self.root / pixels,
            size_hw=size_hw,
            extra=row,
        )

    @property
    def parts(self) -> dict[str, int]:
        """Part -> number of pictures, for the parts that occur, in the order of PARTS."""
        import pyarrow.compute as pc  # noqa: PLC0415 - see the top

        if "part" not in self.table.column_names:
            return {}
        counts = {row["values"]: row["counts"] for row in pc.value_counts(self.table["part"]).to_pylist()}
        return {part: counts[part] for part in PARTS if part in counts}

    def part(self, name: str) -> Dataset:
        """The rows of one part.

        Raises
        ------
        ConfigError : the data set has no such part.
        """
        import pyarrow.compute as pc  # noqa: PLC0415 - see the top

        if name not in self.parts:
            have = ", ".join(f"{part} ({n})" for part, n in self.parts.items()) or "no parts"
            raise ConfigError(
                f"{self.name} has no part {name!r}",
                got=have,
                fix="name one of these parts, or run `assay split`",
            )
        return self.select(pc.equal(self.table["part"], name))

    def select(self, mask: pa.ChunkedArray | pa.Array | NDArray[np.bool_]) -> Dataset:
        """The rows where ``mask`` is true; classes and split stay."""
        import pyarrow as pa  # noqa: PLC0415 - see the top

        return replace(
            self, table=self.table.filter(pa.array(mask) if isinstance(mask, np.ndarray) else mask)
        )

    def take(self, rows: NDArray[np.int64] | list[int]) -> Dataset:
        """The rows with these numbers, in this order; classes and split stay."""
        import pyarrow as pa  # noqa: PLC0415 - see the top

        return replace(self, table=self.table.take(pa.array(rows, type=pa.int64())))

    @cached_property
    def targets(self) -> NDArray[np.int64]:
        """(N,) class index of every row, -1 where it is unlabelled."""
        import pyarrow as pa  # noqa: PLC0415 - see the top

        names = pa.array(list(self.classes), type=pa.string())
        found = [class_codes(chunk, names) for chunk in self.table["label"].chunks]
        return np.concatenate([np.empty(0, np.int64), *found])

    @cached_property
    def split_hash(self) -> str:
        """16 hex digits over what every row says (path, label, part, group) and the order of the classes.

        Where rows say what is in pictures, tags, objects and the names of pixel masks count too, and so do the orders
        of the classes of objects and pixels. The order of rows changes nothing: row digests are added up. Constant
        memory.
        """
        total, held = 0, self.table.column_names
        columns = [c for c in ("path", "label", "part", "group") if c in held]
        orders = self.classes.digest
        if "objects" in held or "pixels" in held:
            columns += [c for c in ("labels", "objects", "pixels") if c in held]
            orders += self.object_classes.digest + self.pixel_classes.digest
        for batch in self.table.select(columns).to_batches(max_chunksize=4096):
            for row in zip(*(batch.column(c).to_pylist() for c in columns), strict=True):
                text = "\0".join("" if value is None else str(value) for value in row)
                total += int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
        seed = f"{total % 2**64:016x}{orders}{','.join(columns)}"
        return hashlib.blake2b(seed.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Doubt:
    """Whether an answer should be held back, by thresholds that were fitted with a promise (``assay.decide``).

    ``reasons`` are of "unsure" (the probability is below the threshold) and "unknown" (the picture is unlike those
    that the network knows). ``labels`` are the classes that remain possible, the most probable first (the conformal
    set). ``known`` is the share of known pictures that look at least as strange as this one; NaN: not measured.
    """

    reasons: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    known: float = float("nan")

    @property
    def abstains(self) -> bool:
        """Whether the answer is held back."""
        return bool(self.reasons)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        known = None if np.isnan(self.known) else round(self.known, 6)
        return {
            "abstains": self.abstains,
            "reasons": list(self.reasons),
            "labels": list(self.labels),
            "known": known,
        }


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a network says of one picture; a part is None where the network has no head for it.

    ``probs`` (K,) float32 are calibrated probabilities in the order of ``classes``, empty where no class is told.
    ``tags`` (K,) float32 are those of each class to apply, several at once. ``boxes`` are the things that were found,
    the best first, with their masks, labelled in ``object_classes``. ``pixels`` (H, W) uint8 are positions in
    ``pixel_classes``. ``size_hw`` is the upright picture's size in pixels, and all boxes, masks and pixels are of it.
    ``doubt`` is there when it was asked for. ``error`` is set, and everything else empty, when the picture could not
    be read: one broken picture is one line, not a stop.

    ``crops`` is there where models work in sequence (a pipeline file): the name of a step -> what its model says of
    each of ``boxes``, in their order, None for those it was not asked about. A crop's own Prediction is in pixels of
    the crop, whose upper left corner lies at ``origin_xy`` of the picture that it was cut from. ``photo`` is there
    where the picture is no file of its own: what its bytes can be had from. ``embedding`` (F,) float32 is there when it
    was asked for: the features before the last layer.
    """

    path: str
    classes: ClassNames
    probs: NDArray[np.float32]
    size_hw: tuple[int, int] = (0, 0)
    error: str | None = None
    doubt: Doubt | None = None
    tags: NDArray[np.float32] | None = None
    boxes: Detections | None = None
    pixels: NDArray[np.uint8] | None = None
    object_classes: ClassNames = NO_CLASSES
    pixel_classes: ClassNames = NO_CLASSES
    crops: Mapping[str, tuple[Prediction | None, ...]] = field(default_factory=dict)
    origin_xy: tuple[int, int] = (0, 0)
    photo: Photo | None = None
    embedding: NDArray[np.float32] | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What the source tells beside the picture, such as the second of a video's frame."""
        return {} if self.photo is None else dict(self.photo.facts)

    @property
    def index(self) -> int:
        """Index of the most probable class; -1 when the picture could not be read, or no class is told."""
        return int(self.probs.argmax()) if self.error is None and len(self.probs) else -1

    @property
    def label(self) -> str | None:
        """Name of the most probable class; None when the picture could not be read, or no class is told."""
        return self.classes[self.index] if self.index >= 0 else None

    @property
    def confidence(self) -> float:
        """Calibrated probability of ``label``; NaN where there is none."""
        return float(self.probs.max()) if self.index >= 0 else float("nan")

    @property
    def masks(self) -> tuple[Mask | None, ...]:
        """The masks of ``boxes``, in their order, at the picture's full size; None for a thing that has a box alone."""
        return () if self.boxes is None else self.boxes.masks

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The ``k`` most probable classes with their probabilities, best first."""
        order = np.argsort(-self.probs, kind="stable")[:k]
        return [(self.classes[int(i)], float(self.probs[i])) for i in order]

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        """Plain values for JSON: what ``answer_fields`` tells of each part; or path and error."""
        from assay.answer_fields import fields_of  # noqa: PLC0415 - masks and their library, for those who ask

        return fields_of(self, k)

    def to_json(self, k: int = 5) -> str:
        """``to_dict`` as one line of JSON."""
        return json.dumps(self.to_dict(k), ensure_ascii=False)

    def to_coco(self, image_id: int, category_ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """COCO's list of results for this picture; empty where it has no boxes.

        Parameters
        ----------
        image_id : the picture's number in that file.
        category_ids : the number there of each of ``object_classes``; 1, 2, 3, ... when not given.

        Raises
        ------
        ConfigError : not one number for each class.
        """
        from assay.answer_fields import coco_results  # noqa: PLC0415 - as above

        return coco_results(self, image_id, category_ids)

    def to_supervision(self) -> Any:
        """``boxes`` as ``supervision.Detections``, with the names of classes in ``data["class_name"]``.

        Raises
        ------
        ConfigError : the package ``supervision`` is not installed, or the network finds no things.
        """
        from assay.answer_fields import supervision_detections  # noqa: PLC0415 - as above

        return supervision_detections(self)

    def plot(self, picture: NDArray[np.uint8] | None = None) -> Image:
        """The upright picture with its label, boxes, masks and pixels drawn on it, as a Pillow image.

        ``picture`` (H, W, 3) uint8 is needed where ``path`` names no such file: for an array, bytes, or a crop.
        """
        from assay.postprocess import annotate  # noqa: PLC0415 - drawing is rarely asked for

        return annotate(self, picture)


@runtime_checkable
class Predictor(Protocol):
    """Anything that can be evaluated: a checkpoint, a Bundle, a service."""

    @property
    def classes(self) -> ClassNames:
        """The classes, in the order of ``Prediction.probs``."""
        ...

    def predict(self, sources: Iterable[str | Path]) -> Iterator[Prediction]:
        """One Prediction a source, in order; a picture that cannot be read gives one with ``error``."""
        ...
