"""What a comparison of networks says of its data."""

from __future__ import annotations

from typing import Any

from assay.train.machine import describe_machine
from assay.types import Dataset


def data_facts(dataset: Dataset, heads: tuple[str, ...]) -> dict[str, Any]:
    """Plain values for JSON; ``heads`` are those that the networks learn."""
    return {
        "name": dataset.name,
        "root": str(dataset.root),
        "split_hash": dataset.split_hash,
        "parts": dataset.parts,
        "classes": list(dataset.classes),
        **(_of_classes(dataset) if heads == ("class",) else _of_several(dataset, heads)),
        "machine": describe_machine(),
    }


def _of_classes(dataset: Dataset) -> dict[str, Any]:
    majority = {}
    for part in dataset.parts:
        targets = dataset.part(part).targets
        counts = [int((targets == k).sum()) for k in range(len(dataset.classes))]
        majority[part] = max(counts) / max(1, sum(counts))
    return {"majority": majority}


def _of_several(dataset: Dataset, heads: tuple[str, ...]) -> dict[str, Any]:
    return {
        "heads": list(heads),
        "object_classes": list(dataset.object_classes),
        "pixel_classes": list(dataset.pixel_classes),
    }
