"""Answers as files: a CSV table, and copies of the pictures with what was found written below them."""

from __future__ import annotations

import csv
import glob
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from assay.errors import ConfigError
from assay.files import WholeFile, write_file

if TYPE_CHECKING:
    from assay.types import Prediction


class AnswerTable:
    """A CSV file, a row a picture: path, label, confidence, further classes, height, width, error.

    With ``abstain`` further columns: answer (the label, empty where it is held back), abstains (yes or no), reasons
    (unknown, unsure) and set (the classes that remain possible), the last two separated by |.

    For ``with``; the file appears when the block ends without an error. Raises as ``WholeFile``.
    """

    def __init__(self, path: str | Path, top: int, *, abstain: bool = False) -> None:
        self._file = WholeFile(path)
        self._top, self._abstain = top, abstain
        self._rows = csv.writer(EncodedFile(self._file), lineterminator="\n")

    def __enter__(self) -> Self:
        self._file.__enter__()
        further = [f"{name}_{i}" for i in range(2, self._top + 1) for name in ("label", "confidence")]
        held = ["answer", "abstains", "reasons", "set"] if self._abstain else []
        self._rows.writerow(["path", "label", "confidence", *further, *held, "height", "width", "error"])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def write(self, prediction: Prediction) -> None:
        """Add one row."""
        best = [] if prediction.error is not None else prediction.top(self._top)
        cells = [cell for name, p in best for cell in (name, f"{p:.6f}")]
        cells += [""] * (2 * self._top - len(cells))
        size = ["", ""] if prediction.error is not None else [str(n) for n in prediction.size_hw]
        cells += _held_back(prediction) if self._abstain else []
        self._rows.writerow([prediction.path, *cells, *size, prediction.error or ""])


def _held_back(prediction: Prediction) -> list[str]:
    doubt = prediction.doubt
    if doubt is None:
        return [""] * 4
    answer = "" if doubt.abstains else str(prediction.label)
    return [answer, "yes" if doubt.abstains else "no", "|".join(doubt.reasons), "|".join(doubt.labels)]


class EncodedFile:
    """Text for csv.writer, UTF-8 in the file; names that are no valid Unicode escaped."""

    def __init__(self, file: WholeFile) -> None:
        self._file = file

    def write(self, text: str) -> None:
        """Append text."""
        self._file.write(text.encode("utf-8", "backslashreplace"))


def _behind(name: str) -> Iterable[Path]:
    """What a name leads to: a file, a folder, or the matches of a pattern."""
    if Path(name).exists():
        return [Path(name)]
    return [Path(match) for match in glob.iglob(name, recursive=True)]  # noqa: PTH207 - absolute ones as well


_MARK = "Assay: a copy with answers"
"""Comment of the JPEG files that are written here."""


def _is_copy(place: Path) -> bool:
    """Whether a file that is there is a copy of an earlier run."""
    from PIL import Image  # noqa: PLC0415

    try:
        with Image.open(place) as picture:
            return bool(picture.info.get("comment") == _MARK.encode())
    except (OSError, ValueError, SyntaxError):
        return False


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
        self._roots = [Path(name) for name in names if name != "-" and Path(name).is_dir()]
        here = self._folder.resolve()
        homes = {place.resolve().parent for place in named if not place.is_dir()}
        within = [place for place in named if place.is_dir() and here.is_relative_to(place.resolve())]
        if within or here in homes:
            raise ConfigError(
                f"--out {folder} lies in {within[0] if within else folder}, where the pictures come from",
                fix="choose another folder",
            )
        self._taken: set[Path] = set()

    def write(self, prediction: Prediction) -> None:
        """Write one copy; a picture that could not be read has none."""
        if prediction.error is not None:
            return
        import numpy as np  # noqa: PLC0415

        from assay.image import encode_image  # noqa: PLC0415

        target = self._target(Path(prediction.path))
        if target.exists() and not _is_copy(target):
            raise ConfigError(f"--out would overwrite {target}", fix="choose another folder")
        write_file(target, encode_image(np.asarray(prediction.plot()), "JPEG", comment=_MARK))

    def _target(self, source: Path) -> Path:
        """A name of its own for every picture: 1.jpg, 1.png.jpg, 1-2.jpg."""
        root = next((root for root in self._roots if source.is_relative_to(root)), source.parent)
        name = source.relative_to(root)
        if name.suffix.lower() not in (".jpg", ".jpeg"):
            name = name.with_name(name.name + ".jpg")
        free, i = name, 1
        while free in self._taken:
            i += 1
            free = name.with_name(f"{name.stem}-{i}{name.suffix}")
        self._taken.add(free)
        return self._folder / free
