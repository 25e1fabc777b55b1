"""Boxes and masks through other formats and back: what comes home, to how many pixels.

``tiny-coco`` (852 things with masks) and ``ccp`` (boxes of nine super-classes, the class of every pixel) are written
and read along chains of formats by ``assay convert``'s own function, and what arrives is compared with what set out:
boxes by their greatest difference in pixels, masks and pixel masks bit for bit. What a format has no place for is told
by the conversion. Mask PNG holds one thing a pixel and no boxes: masks that overlap another one lose the pixels that
they share, and boxes become hulls, so there the masks that touch no other one are counted apart.

    python -m benchmarks.data.make_ccp --without-tag-only --out runs/data/ccp-masks-only
    python -m benchmarks.round_trips
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assay.data.convert import convert_dataset
from assay.data.read import read_dataset
from assay.objects import Objects
from assay.pixel_masks import read_pixels
from assay.types import Dataset, Sample
from benchmarks.machine import RESULTS, SHARED, append_line, stamp

CHAINS: dict[str, tuple[tuple[str, ...], ...]] = {
    "tiny-coco": (
        ("coco",),
        ("yolo", "coco"),
        ("voc", "coco"),
        ("mask-png", "coco"),
        ("yolo", "voc", "coco"),
        ("yolo", "mask-png", "coco"),
        ("mask-png", "yolo", "coco"),
    ),
    "ccp": (
        ("coco",),
        ("yolo", "coco"),
        ("voc", "coco"),
        ("coco", "yolo", "voc"),
        ("mask-png",),
    ),
}
Line = dict[str, Any]


def paired(a: Objects, names_a: Sequence[str], b: Objects, names_b: Sequence[str]) -> list[tuple[int, int]]:
    """Positions in ``a`` and ``b`` of things that are one: equal class, the nearest boxes first."""
    if not len(a) or not len(b):
        return []
    far = np.abs(a.boxes_xyxy[:, None] - b.boxes_xyxy[None]).max(2)
    other = (
        np.array([names_a[i] for i in a.labels])[:, None] != np.array([names_b[i] for i in b.labels])[None]
    )
    far = np.where(other, np.inf, far)
    pairs, left_a, left_b = [], set(range(len(a))), set(range(len(b)))
    for flat in np.argsort(far, axis=None, kind="stable"):
        i, j = divmod(int(flat), len(b))
        if np.isfinite(far[i, j]) and i in left_a and j in left_b:
            pairs.append((i, j))
            left_a.remove(i)
            left_b.remove(j)
    return pairs


def compare(start: Dataset, end: Dataset) -> Line:
    """What of ``start`` is in ``end``, and how far from where it was."""
    there = {sample.path.stem: sample for sample in end}
    samples = [(sample, there[sample.path.stem]) for sample in start if sample.path.stem in there]
    told: Line = {"pictures": len(samples), "of_pictures": len(start)}
    if any(s.pixels for _, s in samples):
        same = [_same_pixels(a, start, b, end) for a, b in samples if a.pixels and b.pixels]
        told |= {"pixel_masks": len(same), "pixel_masks_same": sum(same)}
    if any(s.objects is not None for _, s in samples):
        told |= _things(samples, start, end)
    return told


def _things(samples: list[tuple[Sample, Sample]], start: Dataset, end: Dataset) -> Line:
    farthest, things, masks, same, alone, alone_same = 0.0, 0, 0, 0, 0, 0
    for a, b in samples:
        if a.objects is None or b.objects is None:
            continue
        is_alone = _alone(a.objects)
        for i, j in paired(a.objects, start.object_classes, b.objects, end.object_classes):
            things += 1
            farthest = max(farthest, float(np.abs(a.objects.boxes_xyxy[i] - b.objects.boxes_xyxy[j]).max()))
            mine, theirs = a.objects.masks[i], b.objects.masks[j]
            if mine is not None and theirs is not None:
                is_same = bool(np.array_equal(mine.to_array(), theirs.to_array()))
                masks, same = masks + 1, same + is_same
                alone, alone_same = alone + is_alone[i], alone_same + (is_alone[i] and is_same)
    return {
        "things": things,
        "of_things": sum(len(s.objects or ()) for s in start),
        "boxes_px": farthest,
        "masks": masks,
        "masks_same": same,
        "masks_alone": alone,
        "masks_alone_same": alone_same,
    }


def _alone(objects: Objects) -> list[bool]:
    """(N,) whether a mask shares no pixel with another one; crowds do not count."""
    arrays = [None if mask is None else mask.to_array() for mask in objects.masks]
    crowd = np.zeros(len(objects), bool) if objects.crowd is None else objects.crowd
    count = sum(
        (
            array.astype(np.int16)
            for array, many in zip(arrays, crowd, strict=True)
            if array is not None and not many
        ),
        start=np.zeros((1, 1), np.int16),
    )
    return [array is not None and not (count[array] > 1).any() for array in arrays]


def _same_pixels(a: Sample, start: Dataset, b: Sample, end: Dataset) -> bool:
    """Bit for bit, class names taken together: numbers may differ."""
    assert a.pixels is not None
    assert b.pixels is not None
    mine, theirs = read_pixels(a.pixels), read_pixels(b.pixels)
    number = np.arange(256)
    for place, name in enumerate(end.pixel_classes):
        number[place] = start.pixel_classes.position(name)
    return bool(np.array_equal(mine, number[theirs]))


def walk(source: Path, chain: Sequence[str], room: Path) -> Line:
    """Through every format of ``chain``, one after another; the result line."""
    begun, at, left_out = time.perf_counter(), source, list[str]()
    for step, to in enumerate(chain):
        out = room / f"{step}-{to}"
        left_out += convert_dataset(at, out, to).left_out
        at = out
    told = compare(read_dataset(source), read_dataset(at))
    return {**told, "left_out": left_out, "seconds": round(time.perf_counter() - begun, 2)}


def table(lines: list[Line]) -> list[str]:
    """One row a chain; the newest line of each counts."""
    rows = ["| data | by way of | pictures | things | boxes, greatest difference, px | masks, bit for bit |"]
    rows.append("|---|---|---|---|---|---|")
    for line in {(line["data"], line["chain"]): line for line in lines}.values():
        things, boxes, masks = "no place", "no place", "no place"
        if line.get("things"):
            things = f"{line['things']:,} of {line['of_things']:,}"
            boxes = f"{line['boxes_px']:.2g}" if line["boxes_px"] else "0"
        if "mask-png" in line["chain"] and line.get("things"):
            boxes = f"hulls of masks: {boxes}"
        if line.get("masks"):
            masks = f"{line['masks_same']:,} of {line['masks']:,}"
            if line["masks_same"] < line["masks"]:
                masks += f"; {line['masks_alone_same']:,} of {line['masks_alone']:,} that touch no other"
        elif "pixel_masks" in line:
            masks = f"{line['pixel_masks_same']:,} of {line['pixel_masks']:,} pixel masks"
        pictures = f"{line['pictures']:,} of {line['of_pictures']:,}"
        rows.append(f"| {line['data']} | {line['chain']} | {pictures} | {things} | {boxes} | {masks} |")
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("runs/data"), help="what make_ccp wrote")
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--results", type=Path, default=RESULTS / "round_trips.jsonl")
    args = parser.parse_args()
    sources = {
        "tiny-coco": args.shared / "tiny-coco",
        "ccp": args.data / "ccp-masks-only" / "ccp.parquet",
    }
    found = []
    for name, source in sources.items():
        if not source.exists():
            print(f"{name}: skipped, {source} is missing")
            continue
        for chain in CHAINS[name]:
            with tempfile.TemporaryDirectory() as room:
                line = {
                    "data": name,
                    "chain": " > ".join(chain),
                    **walk(source, chain, Path(room)),
                    **stamp(),
                }
            append_line(args.results, line)
            found.append(line)
    print("\n".join(table(found)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
