"""The text of a policy with its networks in other places, everything else, comments too, as it was written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import PolicyError

if TYPE_CHECKING:
    from assay.decide.policy import Policy

Place = tuple[str, ...]
"""Keys from the top of the file down to a value."""


def policy_text(policy: Policy, models: Mapping[str, Path], folder: Path) -> str:
    """The policy's text as a file in ``folder``: question -> its Bundle, and the enrolled photos where they were.

    Raises
    ------
    PolicyError : the text cannot be changed without changing something else, as where two questions share an anchor.
    """
    if policy.path is None:
        raise PolicyError(f"the policy {policy.name} is no file")
    changes: dict[Place, str] = {
        ("questions", name, "model"): _relative(place, folder) for name, place in models.items()
    }
    if policy.references_path is not None:
        changes["matching", "references"] = _relative(policy.references_path, folder)
    text = policy.path.read_text("utf-8")
    changed = replaced(text, changes)
    if changed is None:
        raise PolicyError(
            f"{policy.path}: the places of its networks cannot be changed without changing more",
            fix="write the path of each model out, without anchors",
        )
    return changed


def replaced(text: str, changes: Mapping[Place, str]) -> str | None:
    """The YAML text with other values at these places; None where that would change more, or not enough."""
    import yaml  # noqa: PLC0415 - 20 ms

    root = yaml.compose(text, Loader=yaml.SafeLoader)
    spans: dict[tuple[int, int], str] = {}
    wanted: Any = yaml.safe_load(text)
    for place, value in changes.items():
        node = _node(root, place)
        if node is None:
            return None
        spans[node.start_mark.index, node.end_mark.index] = _quoted(value)
        inside = wanted
        for key in place[:-1]:
            inside = inside[key]
        inside[place[-1]] = value
    for (start, end), value in sorted(spans.items(), reverse=True):
        text = text[:start] + value + text[end:]
    try:
        return text if yaml.safe_load(text) == wanted else None
    except yaml.YAMLError:  # an anchor went with the value that carried it
        return None


def _node(root: Any, place: Place) -> Any:
    """The scalar at a place; None where there is none."""
    for key in place:
        pairs = root.value if root is not None and root.id == "mapping" else []
        root = next((value for name, value in pairs if str(name.value) == key), None)
    return root if root is not None and root.id == "scalar" else None


def _quoted(value: str) -> str:
    """In single quotes, in which YAML knows no escape but the doubled quote."""
    return "'" + value.replace("'", "''") + "'"


def _relative(place: Path, folder: Path) -> str:
    return Path(os.path.relpath(place.absolute(), folder.absolute())).as_posix()
