"""What the pages about two runs say of each of them."""

from __future__ import annotations

import shlex

from assay.trials.pair import Side


def about(side: Side) -> str:
    """The network and its size, as far as the run's record tells."""
    recipe = (side.run.get("recipe") or {}).get("model") or {}
    parameters = side.run.get("parameters")
    known = [recipe.get("model"), f"{parameters:,} parameters" if isinstance(parameters, int) else None]
    return ", ".join(text for text in known if text)


def command_line(side: Side) -> str:
    """The command that made it; empty where none is recorded."""
    command = side.run.get("command")
    return shlex.join(map(str, command)) if isinstance(command, list) else ""
