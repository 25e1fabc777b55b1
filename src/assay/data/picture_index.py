"""Pictures below a folder, found by their path, their name or their name without ending.

Lists of boxes often name a picture by its number alone ("0001"). Folders of masks hold pictures of the same names,
so they are passed over.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from assay.data.names import is_hidden, is_picture, nfc, some

_NOT_PHOTOS = frozenset(
    {"mask", "masks", "annotations", "annotation", "segmentation", "segmentations", "labels"}
)


class PictureIndex:
    """Names of the pictures below ``root``; the folder is walked when a plain path does not exist."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, name: str) -> tuple[str | None, str]:
        """(path relative to the root, "") or (None, why there is none)."""
        name = nfc(name.replace("\\", "/"))
        if (self.root / name).is_file():
            return name, ""
        held = self._by_name.get(name) or self._by_name.get(name.rpartition("/")[2]) or []
        if len(held) == 1:
            return held[0], ""
        if held:
            return None, f"{len(held)} pictures have this name: {some(held, 3)}"
        return None, f"no picture of this name lies below {self.root.name or self.root}/"

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for folder, below, files in os.walk(self.root):
            below[:] = sorted(n for n in below if not is_hidden(n) and n.casefold() not in _NOT_PHOTOS)
            start = Path(folder).relative_to(self.root)
            for file in sorted(files):
                if is_picture(file):
                    path = (start / file).as_posix()
                    for key in {nfc(file), nfc(Path(file).stem)}:
                        found.setdefault(key, []).append(path)
        return found
