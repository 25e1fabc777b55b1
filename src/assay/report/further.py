"""The sections that rest on something computed after a run: map, look-alikes, explanations, abstaining.

Each is there or not; what is not there is told in a line with the command that makes it, and what fails is told with
its reason.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from assay.errors import AssayError
from assay.report.abstain_section import abstain_section
from assay.report.explain_section import explain_section
from assay.report.map_section import map_section, neighbour_section
from assay.report.material import Material


def further(material: Material, failed: Sequence[str] = ()) -> dict[str, Any]:
    """The values ``map``, ``alike``, ``explain``, ``abstain``, with ``notes`` and ``missing`` for the page."""
    notes = [*material.notes, *failed]
    folder, e = material.folder, material.evaluation
    if folder is None:
        return {"map": None, "alike": None, "explain": None, "abstain": None, "notes": notes, "missing": []}
    found = {
        "map": _section("map of the pictures", lambda: map_section(folder), notes),
        "alike": _section("look-alikes of mistakes", lambda: neighbour_section(folder), notes),
        "explain": _section("explanations", lambda: explain_section(folder), notes),
        "abstain": None if e is None else _section("abstaining", lambda: abstain_section(folder, e), notes),
    }
    return {**found, "notes": notes, "missing": _missing(found, folder, material, failed)}


def _section(
    name: str, build: Callable[[], dict[str, Any] | None], notes: list[str]
) -> dict[str, Any] | None:
    """A section, or None and a note where its files are damaged."""
    try:
        return build()
    except ImportError as error:  # a part may need torch to be read
        notes.append(f"{name}: this needs {error.name}, which is not installed")
        return None
    except (AssayError, OSError, ValueError, KeyError, TypeError, IndexError) as error:
        told = str(error).splitlines()[0] if str(error) else ""
        notes.append(f"{name}: {told if isinstance(error, AssayError) else f'{type(error).__name__} {told}'}")
        return None


def _missing(
    found: dict[str, Any], folder: Path, material: Material, failed: Sequence[str]
) -> list[dict[str, str]]:
    """What a command would add to the page. Nothing for a run that has not finished."""
    if not (folder / "card.json").is_file() or not (folder / "model.safetensors").is_file():
        return []
    name, lines = shlex.quote(str(folder)), []
    wanted = [
        told
        for key, part, told in _TITLES
        if found[key] is None and not any(text.startswith(part) for text in failed)
    ]
    if wanted:
        lines.append({"what": " and ".join(wanted), "command": f"assay report {name}"})
    if found["explain"] is not None and not found["explain"].get(
        "filters"
    ):  # these take minutes of their own
        lines.append(
            {"what": "what its early layers answer to", "command": f"assay explain {name} --filters"}
        )
    if found["abstain"] is None and material.evaluation is not None:
        lines.append({"what": "when it should rather say nothing", "command": f"assay calibrate {name}"})
    return lines


_TITLES = (
    ("map", "map of the pictures", "which pictures look alike to it"),
    ("explain", "explanations", "where in a picture it looked"),
)
