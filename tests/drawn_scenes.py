"""Drawn pictures with everything that can be known of them: class, tags, boxes, masks, pixels. For tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from assay.data.write import write_dataset
from assay.labels import ClassNames
from assay.masks import encode
from assay.objects import objects_type
from assay.pixel_masks import encode_pixels
from assay.types import Dataset

KINDS = ("disc", "square")
COLOURS = ((220, 60, 60), (60, 80, 220))
SIDE = 64


def draw_scene(seed: int) -> tuple[np.ndarray, list[dict], np.ndarray]:
    """(image (H, W, 3), rows of the column ``objects``, pixel classes (H, W)): one to three things on grey noise."""
    rng = np.random.default_rng(seed)
    image = rng.normal(120, 12, (SIDE, SIDE, 3))
    pixels, things = np.zeros((SIDE, SIDE), np.uint8), []
    y, x = np.mgrid[:SIDE, :SIDE]
    for corner in rng.permutation(4)[: rng.integers(1, 4)]:
        kind, size = int(rng.integers(2)), int(rng.integers(14, 26))
        left, top = (int(v) for v in np.array([corner % 2, corner // 2]) * 32 + rng.integers(0, 6, 2))
        mask = (x >= left) & (x < left + size) & (y >= top) & (y < top + size)
        if kind == 0:
            mask &= (x + 0.5 - left - size / 2) ** 2 + (y + 0.5 - top - size / 2) ** 2 <= (size / 2) ** 2
        image[mask] = COLOURS[kind]
        pixels[mask] = kind + 1
        box = [float(left), float(top), float(left + size), float(top + size)]
        things.append({"label": KINDS[kind], "box": box, "mask": encode(mask).counts, "crowd": False})
    return np.clip(image, 0, 255).astype(np.uint8), things, pixels


def write_scenes(folder: Path, n: int = 24, *, tags_only: int = 0) -> Path:
    """A Parquet table of ``n`` pictures with all labels, and of ``tags_only`` more with tags alone."""
    (folder / "masks").mkdir(parents=True)
    rows: dict[str, list] = {name: [] for name in ("path", "label", "labels", "objects", "pixels", "part")}
    for i in range(n + tags_only):
        image, things, pixels = draw_scene(i)
        Image.fromarray(image).save(folder / f"{i:03}.png")
        (folder / "masks" / f"{i:03}.png").write_bytes(encode_pixels(pixels))
        rows["path"].append(f"{i:03}.png")
        full = i < n
        rows["label"].append(("one", "more")[len(things) > 1] if full else None)
        rows["labels"].append(sorted({t["label"] for t in things}))
        rows["objects"].append(things if full else None)
        rows["pixels"].append(f"masks/{i:03}.png" if full else None)
        rows["part"].append("train" if i % 4 < 2 or not full else "validation" if i % 4 == 2 else "test")
    size = pa.array([SIDE] * len(rows["path"]), pa.int32())
    table = pa.table(
        {
            "path": rows["path"],
            "label": pa.array(rows["label"], pa.string()),
            "labels": pa.array(rows["labels"], pa.list_(pa.string())),
            "objects": pa.array(rows["objects"], objects_type()),
            "pixels": pa.array(rows["pixels"], pa.string()),
            "part": rows["part"],
            "height_px": size,
            "width_px": size,
        }
    )
    dataset = Dataset(
        table,
        ClassNames(["one", "more", *KINDS]),
        folder,
        "drawn",
        object_classes=ClassNames(KINDS),
        pixel_classes=ClassNames(["background", *KINDS]),
    )
    write_dataset(dataset, folder / "drawn.parquet")
    return folder / "drawn.parquet"
