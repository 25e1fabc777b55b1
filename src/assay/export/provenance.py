"""What a Bundle's card says beyond the network: where it came from, how good it is, under which licence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import assay
from assay.errors import ExportError
from assay.types import PARTS

if TYPE_CHECKING:
    from assay.card import Card

_RECORDED = ("data", "dataset", "command", "split", "split_hash", "parts", "machine", "versions", "weights")
_RESULT = ("resolved", "chosen", "started", "minutes")
_MEASURED = ("metrics", "n", "split_hash", "dataset", "interval")
_APACHE = "https://www.apache.org/licenses/LICENSE-2.0"


def read_record(folder: Path, name: str = "run.json") -> dict[str, Any]:
    """A JSON file of the run, or nothing where there is none. Raises ExportError when it is damaged."""
    file = folder / name
    if not file.is_file():
        return {}
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ExportError(
            f"{file} cannot be read", got=str(error)[:200], fix="evaluate or train again"
        ) from error
    return values if isinstance(values, dict) else {}


def complete_card(card: Card, folder: Path, record: Mapping[str, Any]) -> Card:
    """The run's card with provenance, metrics by part and licence filled in; what it says already stays."""
    found = {name: record[name] for name in (*_RECORDED, *_RESULT) if name in record}
    if isinstance(train := _inside(record, "recipe", "train"), Mapping) and "seed" in train:
        found["seed"] = train["seed"]
    if "data" in found:  # a Bundle travels: it names the data, not where somebody's folders are
        found["data"] = Path(str(found["data"])).name
    found["exported_with"] = assay.__version__
    return replace(
        card,
        provenance={**found, **card.provenance},
        metrics={**_metrics(folder), **card.metrics},
        licence=dict(card.licence) or _licence(card),
    )


def licence_text(card: Card) -> str:
    """The member LICENSE: what the card says of the weights, and the licence itself where it is Apache-2.0."""
    licence = card.licence
    head = f"Weights of {card.name}: {licence.get('weights', 'unknown')}\n{licence.get('origin', '')}\n"
    return f"{head}\n{_apache_text()}" if licence.get("weights") == "Apache-2.0" else head


def _metrics(folder: Path) -> dict[str, Any]:
    """Part -> what was measured on it, without the tables that belong into the report."""
    found = {}
    for part in PARTS:
        if values := read_record(folder / "evaluation", f"{part}.json"):
            found[part] = {name: values[name] for name in _MEASURED if name in values}
    return found


def _licence(card: Card) -> dict[str, Any]:
    start = card.model.get("weights")
    if start:
        return {
            "weights": "as the start weights",
            "origin": f"trained from {Path(str(start)).name}, whose licence holds for what was learnt from it",
        }
    if card.model.get("pretrained"):
        return {
            "weights": "as the start weights",
            "origin": f"trained from the weights that timm publishes for {card.model['model']}; "
            "see their model card for the licence",
        }
    return {"weights": "Apache-2.0", "origin": "trained from scratch with Assay"}


def _apache_text() -> str:
    """The licence's text as it came with the package; its address where a packager left it out."""
    try:
        files = metadata.distribution("assay-vision").files or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "LICENSE":
            return file.read_text(encoding="utf-8")
    return f"Apache License, Version 2.0: {_APACHE}\n"


def _inside(values: Any, *names: str) -> Any:
    for name in names:
        values = values.get(name) if isinstance(values, Mapping) else None
    return values
