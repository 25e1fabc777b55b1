"""Names for what is made of a picture: its own path without ending, below a new folder, and no two alike."""

from __future__ import annotations

from pathlib import PurePosixPath


def free_stem(path: str, taken: set[str], first: str = "") -> str:
    """The path without its ending, made safe; a second one of the name gets ``~2``. Case-blind.

    ``taken`` is kept by this function. A first step called ``first`` is left off: it would stand there twice.
    """
    steps = [step for step in PurePosixPath(path).with_suffix("").parts if step not in ("/", "..", ".")]
    steps = steps[1:] if first and steps[:1] == [first] and len(steps) > 1 else steps
    wished = "/".join(step.replace(":", "_") for step in steps) or "picture"
    stem, number = wished, 1
    while stem.casefold() in taken:
        number += 1
        stem = f"{wished}~{number}"
    taken.add(stem.casefold())
    return stem
