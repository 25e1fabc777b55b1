"""The things of many pictures in flat arrays, truth and detections side by side, and how much they overlap.

Everything that measures detectors starts here. A picture where nobody looked (``None``) is left out: neither are its
detections wrong, nor does it lack anything. For masks the same holds of a picture that has a thing with a box alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from assay import masks as mask_files
from assay.boxes import to_xywh
from assay.detections import Detections
from assay.errors import ConfigError, DatasetError
from assay.labels import ClassNames
from assay.masks import Mask
from assay.metrics.interval import Floats
from assay.objects import Objects

MEASURES = ("boxes", "masks")
_BLOCK = 500_000  # pairs looked at in one go: some 100 MB

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Pooled:
    """M things of all pictures, picture by picture.

    ``picture`` (M,) is a number from 0 to N - 1, ``label`` (M,) a position in the classes, ``place`` (M,) the
    position within the picture; ``boxes_xywh`` (M, 4) in pixels, no side below 0; ``masks`` are there where masks are
    measured; ``outlines`` are the masks that true things have where boxes are measured, for their sizes alone.
    """

    picture: Ints
    label: Ints
    place: Ints
    boxes_xywh: Floats
    masks: tuple[Mask, ...] = ()
    outlines: tuple[Mask | None, ...] = ()

    def __len__(self) -> int:
        return len(self.picture)

    @property
    def areas(self) -> Floats:
        """(M,) square pixels: of the thing's mask where it has one, else of its box; of what was found, of what is
        measured. COCO sizes a true thing by its outline for boxes too.
        """
        of_boxes = np.asarray(self.boxes_xywh[:, 2] * self.boxes_xywh[:, 3], np.float64)
        drawn = self.masks or self.outlines
        if not drawn:
            return of_boxes
        sizes = [box if mask is None else mask.area for box, mask in zip(of_boxes, drawn, strict=True)]
        return np.array(sizes, np.float64)


@dataclass(frozen=True, eq=False)
class Pool:
    """Truth and detections of N pictures.

    ``crowd`` (G,) marks truths that are regions of many things; ``scores`` (M,) are the detections'. ``rows`` (N,)
    says where each picture stood in the sequences that were given, so ``len(rows)`` is N, and ``given`` how many
    stood there.
    """

    truth: Pooled
    found: Pooled
    crowd: NDArray[np.bool_]
    scores: NDArray[np.float32]
    classes: ClassNames
    kind: str
    rows: Ints
    given: int

    @property
    def n(self) -> int:
        """Number of pictures that are measured."""
        return len(self.rows)

    @cached_property
    def positives(self) -> Floats:
        """(N, K) how many single things (no crowds) of each class a picture has."""
        n, k, single = self.n, len(self.classes), ~self.crowd
        cells = self.truth.picture[single] * k + self.truth.label[single]
        return np.bincount(cells, minlength=n * k).reshape(n, k).astype(np.float64)


def pool(
    truth: Sequence[Objects | None],
    found: Sequence[Detections],
    classes: ClassNames,
    *,
    kind: str = "boxes",
) -> Pool:
    """Gather the things of all labelled pictures; ``truth[i]`` and ``found[i]`` are of one picture.

    Raises
    ------
    ConfigError : the two differ in number, the kind is unknown, or a detection has no mask where masks are measured.
    DatasetError : a label is none of the classes.
    """
    if kind not in MEASURES:
        raise ConfigError(f"detections are measured by boxes or masks, not {kind!r}", fix='say kind="boxes"')
    if len(truth) != len(found):
        raise ConfigError(
            "truth and detections differ in number", got=f"{len(truth)} and {len(found)} pictures"
        )
    kept = [
        (i, objects, found[i])
        for i, objects in enumerate(truth)
        if objects is not None and (kind == "boxes" or None not in objects.masks)
    ]
    objects, detections = [one for _, one, _ in kept], [one for _, _, one in kept]
    crowds = [one.crowd for one in objects if one.crowd is not None]
    outlines = tuple(mask for one in objects for mask in one.masks) if kind == "boxes" else ()
    return Pool(
        replace(_things(objects, classes, kind, "truth"), outlines=outlines),
        _things(detections, classes, kind, "detections"),
        np.concatenate([np.zeros(0, bool), *crowds]),
        np.concatenate([np.zeros(0, np.float32), *(one.scores for one in detections)]),
        classes,
        kind,
        np.array([i for i, _, _ in kept], np.int64),
        len(truth),
    )


def _things(pictures: Sequence[Objects | Detections], classes: ClassNames, kind: str, name: str) -> Pooled:
    sizes = np.array([len(one) for one in pictures], np.int64)
    labels = np.concatenate([np.zeros(0, np.int64), *(one.labels for one in pictures)])
    if len(labels) and not (labels.min() >= 0 and labels.max() < len(classes)):
        raise DatasetError(
            f"the {name} have a label that is no class",
            got=f"labels {labels.min()} to {labels.max()}, {len(classes)} classes",
            fix="give the classes that truth and detections have in common",
        )
    masks: tuple[Mask, ...] = ()
    if kind == "masks":
        masks = tuple(mask for one in pictures for mask in one.masks if mask is not None)
        if len(masks) != len(labels):
            raise ConfigError(
                f"{len(labels) - len(masks):,} of {len(labels):,} detections have no mask",
                fix='measure boxes alone: kind="boxes"',
            )
    boxes_xywh = to_xywh(np.concatenate([np.zeros((0, 4)), *(one.boxes_xyxy for one in pictures)]))
    boxes_xywh[:, 2:] = np.maximum(boxes_xywh[:, 2:], 0.0)
    starts = np.cumsum(sizes) - sizes
    picture = np.repeat(np.arange(len(sizes)), sizes)
    return Pooled(picture, labels, np.arange(len(labels)) - starts[picture], boxes_xywh, masks)


@dataclass(frozen=True, eq=False)
class Pairs:
    """P pairs of a detection and a truth of one picture, as positions in the pool, with their overlap.

    They come in the order of the detections, and for each in the order of the truths.
    """

    found: Ints
    truth: Ints
    iou: Floats


def overlapping(pool: Pool, found: Ints, least: float, *, same_class: bool) -> Pairs:
    """The pairs of ``found`` (positions of detections) and truths that overlap by ``least`` or more.

    Overlap is intersection over union; with a crowd it is the share of the detection that lies in it (COCO's rule).
    """
    k = len(pool.classes)

    def keys(things: Pooled) -> Ints:
        return things.picture * k + things.label if same_class else things.picture

    mine, theirs = keys(pool.found)[found], keys(pool.truth)
    order = np.argsort(theirs, kind="stable")
    low, high = (np.searchsorted(theirs[order], mine, side) for side in ("left", "right"))
    blocks = [Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for part in _blocks(high - low):
        sizes = (high - low)[part]
        starts = np.cumsum(sizes) - sizes
        truth = order[np.arange(sizes.sum()) - np.repeat(starts - low[part], sizes)]
        pairs = _measured(pool, np.repeat(found[part], sizes), truth)
        kept = pairs.iou >= least
        blocks.append(Pairs(pairs.found[kept], pairs.truth[kept], pairs.iou[kept]))
    return Pairs(
        *(np.concatenate([getattr(one, name) for one in blocks]) for name in ("found", "truth", "iou"))
    )


def _blocks(sizes: Ints) -> Iterator[slice]:
    """Slices of the detections whose pairs fit into one block each; a detection is never cut."""
    ends = np.cumsum(sizes)
    start, done = 0, 0
    while start < len(sizes):
        stop = max(start + 1, int(np.searchsorted(ends, done + _BLOCK, "right")))
        yield slice(start, stop)
        start, done = stop, int(ends[stop - 1])


def _measured(pool: Pool, found: Ints, truth: Ints) -> Pairs:
    iou = _box_iou if pool.kind == "boxes" else _mask_iou
    return Pairs(found, truth, iou(pool, found, truth))


def _box_iou(pool: Pool, found: Ints, truth: Ints) -> Floats:
    """(P,) worked out from corner and sides, in COCO's order of operations: an overlap of exactly 0.5 stays one."""
    a, b = pool.found.boxes_xywh[found], pool.truth.boxes_xywh[truth]
    sides = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    shared = np.maximum(sides[:, 0], 0.0) * np.maximum(sides[:, 1], 0.0)
    own, other = a[:, 2] * a[:, 3], b[:, 2] * b[:, 3]
    whole = np.where(pool.crowd[truth], own, own + other - shared)
    found_iou: Floats = np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)
    return found_iou


def _mask_iou(pool: Pool, found: Ints, truth: Ints) -> Floats:
    """(P,) one call for each detection and its truths: run lengths are compared in the library."""
    iou = np.zeros(len(found))
    starts = np.flatnonzero(np.r_[True, found[1:] != found[:-1]]) if len(found) else np.zeros(0, np.int64)
    for start, stop in zip(starts, np.append(starts[1:], len(found)), strict=True):
        theirs = [pool.truth.masks[i] for i in truth[start:stop]]
        row = mask_files.iou([pool.found.masks[found[start]]], theirs, pool.crowd[truth[start:stop]])
        iou[start:stop] = row[0]
    return iou
