"""``write_cutouts``: things cut out of their pictures, as files; goes on where it was broken off.

    OUT/street/7-1.png  7-3.png    the first and third thing of street/7.jpg (.jpg where the background is not nothing)
    OUT/cutouts.csv                path, label, source, number, x1, y1, x2, y2 (the mask's hull in the picture), score
    OUT/cutouts.jsonl              what was asked, then a line a picture as it is done: what a second run goes on from

A picture's line is written when all its files are there, each whole. So the same command again does what is missing
and nothing twice; another one does not write into the folder.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from PIL import Image

from assay.cores import usable_cores
from assay.data.cutout_photos import Photo, Shape
from assay.data.cutouts import Background, cut_out
from assay.data.faults import Fault
from assay.data.names import in_order
from assay.data.safe_stems import free_stem
from assay.errors import AssayError, ConfigError, ImageError
from assay.files import write_file
from assay.image import encode_image, read_image
from assay.verb_configs import CutoutConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOG, TABLE = "cutouts.jsonl", "cutouts.csv"
_COLUMNS = ("path", "label", "source", "number", "x1", "y1", "x2", "y2", "score")
_QUALITY = 95

Record = dict[str, Any]


@dataclass(frozen=True)
class Cutouts:
    """What was cut: ``folder`` holds ``counts`` (label -> cut-outs) of ``photos`` pictures.

    ``bare`` counts things that have a box alone, ``crowds`` regions of many things, ``small`` things below the least
    size; none of these is cut. ``faults`` are pictures that could not be read; ``resumed`` counts those done before.
    """

    folder: Path
    counts: dict[str, int]
    photos: int
    bare: int = 0
    crowds: int = 0
    small: int = 0
    faults: tuple[Fault, ...] = ()
    resumed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "out": str(self.folder),
            "n": sum(self.counts.values()),
            "labels": self.counts,
            "pictures": self.photos,
            "boxes_alone": self.bare,
            "crowds": self.crowds,
            "too_small": self.small,
            "resumed": self.resumed,
            "faults": [{"place": f.place, "what": f.what, "fix": f.fix} for f in self.faults],
        }


def write_cutouts(
    photos: Iterable[Photo],
    out: str | Path,
    config: CutoutConfig | None = None,
    *,
    asked: Mapping[str, Any] | None = None,
    total: int | None = None,
    progress: Callable[[int, int], object] | None = None,
    workers: int | None = None,
) -> Cutouts:
    """Cut out every shape of ``photos`` into the folder ``out``.

    Parameters
    ----------
    config : background, softness, margin; see ``CutoutConfig``. Its classes were chosen with the photos.
    asked : what makes this the same request as an earlier one: the source and its hash.
    total : how many photos there are, for ``progress``, which is called with (photos done, of how many).

    Raises
    ------
    ConfigError : ``out`` is a file, or holds something else. AssayError : the disk is full, or cannot be written.
    """
    config, folder = config or CutoutConfig(), Path(out).expanduser()
    log = _Log(folder, {**(asked or {}), **config.to_dict()})
    cutter = _Cutter(config)
    tell = progress or (lambda _done, _all: None)
    records, faults, resumed, taken = list[Record](), list[Fault](), 0, set[str]()
    with log:
        for done, (photo, stem, made) in enumerate(_in_threads(photos, cutter, log, taken, workers), 1):
            earlier = log.done.get(photo.key)
            if earlier is not None:
                records.append(earlier)
                resumed += 1
            elif isinstance(made, Fault):
                faults.append(made)
            elif made is not None:
                records.append(_write_photo(folder, photo, stem, made, log))
            if total is not None:
                tell(done, total)
    write_file(folder / TABLE, _table(records))
    return _summary(folder, records, faults, resumed)


@dataclass
class _Made:
    """The encoded cut-outs of one photo, and how many things were too small."""

    files: list[tuple[Shape, bytes, tuple[int, ...]]]
    small: int = 0


class _Cutter:
    """Cuts one photo at a time; called by several threads."""

    def __init__(self, config: CutoutConfig) -> None:
        self.config = config
        self.ending = ".png" if config.background == "transparent" else ".jpg"

    def __call__(self, photo: Photo) -> _Made | Fault:
        """The cut-outs of one photo, or why there are none."""
        if photo.error is not None:
            return Fault(photo.name, photo.error, "replace the picture, or leave it out")
        try:
            shapes = photo.shapes()
            image = read_image(photo.path) if shapes else None
        except ImageError as error:
            return Fault(photo.name, error.got or error.what, error.fix or "replace it")
        made = _Made([])
        for shape in shapes if image is not None else ():
            mask = shape.mask()
            hull = _hull(mask)
            if min(hull[2] - hull[0], hull[3] - hull[1]) < self.config.min_size:
                made.small += 1
                continue
            try:
                made.files.append((shape, self._encoded(cast("NDArray[np.uint8]", image), mask), hull))
            except AssayError as error:
                return Fault(
                    f"{photo.name} thing {shape.number}", f"{error.what} ({error.got})", error.fix or ""
                )
        return made

    def _encoded(self, image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> bytes:
        config = self.config
        cut = cut_out(
            image,
            mask,
            background=cast("Background", config.background),
            feather_px=config.soft,
            margin=None if config.whole else config.margin,
        )
        if cut.shape[2] == 3:
            return encode_image(cut, "JPEG", _QUALITY)
        target = BytesIO()
        Image.fromarray(cut).save(target, "PNG")
        return target.getvalue()


def _hull(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    """x1, y1, x2, y2 of what is true; without area where nothing is."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


class _Log:
    """``cutouts.jsonl``: read where it is there, and written a line at a time.

    Raises
    ------
    ConfigError : the folder is a file, is not empty, or was asked for something else.
    """

    def __init__(self, folder: Path, asked: Mapping[str, Any]) -> None:
        self.folder, self.done = folder, dict[str, Record]()
        self._asked = json.loads(json.dumps(dict(asked), default=str))
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder} is a file", fix="name a folder for the cut-outs")
        if (folder / LOG).is_file():
            self._read()
        elif folder.is_dir() and any(folder.iterdir()):
            raise ConfigError(f"{folder} is not empty", fix="name a new folder: nothing is overwritten")

    def _read(self) -> None:
        lines = (self.folder / LOG).read_bytes().decode("utf-8", "replace").splitlines()
        told = [record for line in lines if (record := _record_in(line)) is not None]
        if not told or told[0].get("asked") != self._asked:
            raise ConfigError(
                f"{self.folder} holds cut-outs of another request",
                got=_difference(told[0].get("asked") if told else None, self._asked),
                fix="name a new folder, or give the command as it was to go on with it",
            )
        for record in told[1:]:
            files = [self.folder / cutout["path"] for cutout in record.get("cutouts", ())]
            if "picture" in record and all(file.is_file() for file in files):
                self.done[record["picture"]] = record

    def __enter__(self) -> None:
        first = [{"asked": self._asked}, *self.done.values()]
        text = "".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in first)
        write_file(self.folder / LOG, text.encode("utf-8", "backslashreplace"))
        self._file = (self.folder / LOG).open("ab")

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, record: Record) -> None:
        """A photo is done."""
        line = f"{json.dumps(record, ensure_ascii=False)}\n"
        self._file.write(line.encode("utf-8", "backslashreplace"))
        self._file.flush()


def _record_in(line: str) -> Record | None:
    """The record of a line; None of one that was broken off."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _difference(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> str:
    if before is None:
        return f"{LOG} cannot be read"
    other = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return "; ".join(f"{name} was {before.get(name)}, is {now.get(name)}" for name in other[:3])


def _in_threads(
    photos: Iterable[Photo], cutter: _Cutter, log: _Log, taken: set[str], workers: int | None
) -> Iterator[tuple[Photo, str, _Made | Fault | None]]:
    """(photo, its name without ending, what came of it), in order; None for one that was done before."""
    workers = workers or min(8, usable_cores())
    waiting: deque[tuple[Photo, str, Future[_Made | Fault] | None]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for photo in photos:
                stem = free_stem(photo.name, taken)
                future = None if photo.key in log.done else pool.submit(cutter, photo)
                waiting.append((photo, stem, future))
                if len(waiting) >= 2 * workers:
                    yield _finished(waiting.popleft())
            while waiting:
                yield _finished(waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)


def _finished(
    one: tuple[Photo, str, Future[_Made | Fault] | None],
) -> tuple[Photo, str, _Made | Fault | None]:
    photo, stem, future = one
    return photo, stem, None if future is None else future.result()


def _write_photo(folder: Path, photo: Photo, stem: str, made: _Made, log: _Log) -> Record:
    ending, told = ".png", list[Record]()
    for shape, data, hull in made.files:
        ending = ".png" if data.startswith(b"\x89PNG") else ".jpg"
        path = f"{stem}-{shape.number}{ending}"
        write_file(folder / path, data)
        score = None if shape.score is None else round(shape.score, 6)
        told.append(
            {"path": path, "label": shape.label, "number": shape.number, "box": list(hull), "score": score}
        )
    record = {
        "picture": photo.key,
        "source": photo.name,
        "cutouts": told,
        "bare": photo.bare,
        "crowds": photo.crowds,
        "small": made.small,
    }
    log.add(record)
    return record


def _table(records: Iterable[Record]) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for record in records:
        for cutout in record["cutouts"]:
            score = "" if cutout["score"] is None else cutout["score"]
            rows.writerow(
                [cutout["path"], cutout["label"], record["source"], cutout["number"], *cutout["box"], score]
            )
    return text.getvalue().encode("utf-8", "backslashreplace")


def _summary(folder: Path, records: list[Record], faults: list[Fault], resumed: int) -> Cutouts:
    counts = Counter(cutout["label"] for record in records for cutout in record["cutouts"])
    sums = {name: sum(record[name] for record in records) for name in ("bare", "crowds", "small")}
    return Cutouts(
        folder=folder,
        counts={name: counts[name] for name in in_order(counts)},
        photos=len(records),
        faults=tuple(faults),
        resumed=resumed,
        **sums,
    )
