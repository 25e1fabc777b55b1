"""Copies of the pictures with what was found drawn on them; or one video of annotated frames."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from assay.drawing import draw_answer
from assay.errors import ConfigError, ImageError
from assay.files import write_file
from assay.image import encode_image
from assay.postprocess import picture_of

if TYPE_CHECKING:
    from assay.runtime.video_out import VideoFile
    from assay.types import Prediction

_MARK = "Assay: a copy with answers"
"""Comment of the JPEG files that are written here."""


class AnnotatedPictures:
    """Copies in a folder, JPEG, under the names that the pictures have below the folders that were named.

    Parameters
    ----------
    folder : where they go; made when the first is written.
    names : what the user named. ``folder`` may not be where one of these pictures lies, nor inside of a named folder,
        as it would be read while it is written. Of what is there already, copies of an earlier run alone, which carry
        a comment, are written over.

    Raises
    ------
    ConfigError : ``folder`` is a file, or is one of the named folders or inside of one.
    AssayError : the disk is full or the place cannot be written.
    """

    def __init__(self, folder: str | Path, names: Sequence[str]) -> None:
        self._folder = Path(folder)
        if self._folder.exists() and not self._folder.is_dir():
            raise ConfigError(f"--out {folder} is a file", fix="name a folder for the annotated pictures")
        named = [place for name in names if name != "-" for place in _behind(name)]
        folders = [Path(name) for name in names if name != "-" and Path(name).is_dir()]
        parents = [Path(name).parent for name in names if Path(name).is_file()]
        self._ranks = {root: i for i, root in enumerate(dict.fromkeys([*folders, *parents]))}
        here = self._folder.resolve()
        homes = {place.resolve().parent for place in named if not place.is_dir()}
        within = [place for place in named if place.is_dir() and here.is_relative_to(place.resolve())]
        if within or here in homes:
            raise ConfigError(
                f"--out {folder} lies in {within[0] if within else folder}, where the pictures come from",
                fix="choose another folder",
            )
        self._taken: set[int] = set()

    def write(self, prediction: Prediction) -> None:
        """Write one copy; a picture that could not be read has none."""
        target = self.target(prediction.path)  # also for a broken one: names are dealt as when going on
        if prediction.error is not None:
            return
        if target.exists() and not _is_copy(target):
            raise ConfigError(f"--out would overwrite {target}", fix="choose another folder")
        write_file(target, encode_image(np.asarray(prediction.plot()), "JPEG", comment=_MARK))

    def target(self, source: str) -> Path:
        """A name of its own for every picture: 1.jpg, 1.png.jpg, 1-2.jpg."""
        place = Path(source)
        roots = sorted(
            (root for root in (place, *place.parents) if root in self._ranks), key=self._ranks.__getitem__
        )
        inside = [name for name in (place.relative_to(root) for root in roots) if ".." not in name.parts]
        name = inside[0] if inside else Path(place.name)  # nothing is ever written beside the folder
        if name.suffix.lower() not in (".jpg", ".jpeg"):
            name = name.with_name(name.name + ".jpg")
        free, i = name, 1
        while hash(free) in self._taken:
            i += 1
            free = name.with_name(f"{name.stem}-{i}{name.suffix}")
        self._taken.add(hash(free))  # eight bytes each: there may be a million
        return self._folder / free


def _behind(name: str) -> Iterable[Path]:
    """What a name leads to: a file, a folder, or the matches of a pattern."""
    if Path(name).exists():
        return [Path(name)]
    return [Path(match) for match in glob.iglob(name, recursive=True)]  # noqa: PTH207 - absolute ones as well


def _is_copy(place: Path) -> bool:
    """Whether a file that is there is a copy of an earlier run."""
    from PIL import Image  # noqa: PLC0415

    try:
        with Image.open(place) as picture:
            return bool(picture.info.get("comment") == _MARK.encode())
    except (OSError, ValueError, SyntaxError):
        return False


class AnnotatedVideo:
    """The frames of a video with what was found drawn on them, in the order in which they come."""

    def __init__(self, file: VideoFile) -> None:
        self._file = file

    def write(self, prediction: Prediction) -> None:
        """Append one frame; one that could not be read is left out."""
        if prediction.error is not None:
            return
        try:
            frame = picture_of(prediction)
        except ImageError:
            return
        # what is drawn below a picture differs in height from frame to frame, unless it is a class alone
        is_class = prediction.boxes is None and prediction.pixels is None and prediction.tags is None
        drawn = prediction.plot(frame) if is_class else draw_answer(frame, prediction)
        self._file.write(np.asarray(drawn))
