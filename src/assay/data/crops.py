"""``cut_crops``: from boxes to a data set of target and background crops that ``assay train`` reads.

    OUT/pictures/0001-1.jpg   0001-b1.jpg ...     the first target and the first background of 0001.jpg
    OUT/labels.csv            path, label, source, x1, y1, x2, y2, role, box_label, group (and part, where known)
    OUT/crops.json            what was asked, how many were made, what could not be used

Where crops lie is ruled in ``crop_frames``. The group of a crop is the group of its source picture, else that picture
itself, so a split keeps the crops of one photo together. The same seed gives the same bytes.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from assay.configs import CropsConfig, ReadConfig
from assay.data.box_files import Box, BoxedPicture, BoxFile, Fault, read_boxes
from assay.data.crop_frames import Boxes, Frame, background_frames, clip, target_frame
from assay.data.crop_sources import take_over
from assay.data.names import in_order, some
from assay.data.whole_folder import require_free, whole_folder
from assay.errors import ConfigError, DatasetError, ImageError
from assay.image import encode_image, read_image, to_pillow
from assay.tables import suggest
from assay.types import Dataset

if TYPE_CHECKING:
    from numpy.typing import NDArray

TARGET, BACKGROUND = "target", "background"
_QUALITY = 95
_ENDINGS = {"jpeg": ".jpg", "png": ".png"}
_COLUMNS = ("path", "label", "source", "x1", "y1", "x2", "y2", "role", "box_label", "group")


@dataclass(frozen=True)
class Crops:
    """What was cut: ``folder`` holds ``counts`` (label -> crops) from ``pictures`` pictures.

    ``faults`` could not be used; ``notes`` are worth knowing. ``no_room`` counts backgrounds for which no place was
    free of boxes, ``too_small`` targets below the least size.
    """

    folder: Path
    counts: dict[str, int]
    pictures: int
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()
    no_room: int = 0
    too_small: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        told = [{"place": f.place, "what": f.what, "fix": f.fix} for f in self.faults]
        return {
            "out": str(self.folder),
            "n": sum(self.counts.values()),
            "labels": self.counts,
            "pictures": self.pictures,
            "no_room": self.no_room,
            "too_small": self.too_small,
            "faults": told,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class _Crop:
    """One crop, encoded, with its frame in the upright source picture."""

    data: bytes
    frame: Frame
    role: str
    label: str
    box_label: str | None


@dataclass
class _Yield:
    """What one picture gave."""

    crops: list[_Crop] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    no_room: int = 0
    too_small: int = 0


def cut_crops(
    boxes: str | Path,
    out: str | Path,
    config: CropsConfig | None = None,
    *,
    read: ReadConfig | None = None,
    sources: Dataset | None = None,
    progress: Callable[[int, int], object] | None = None,
    workers: int | None = None,
) -> Crops:
    """Cut the boxes of a file out of their pictures, with backgrounds beside them, into the new folder ``out``.

    Parameters
    ----------
    boxes : CSV, Parquet or JSON; see ``box_files``.
    config : see ``CropsConfig``. read : names of columns, and the folder that paths start from.
    sources : a data set of the source pictures, whose parts and groups the crops take over.
    progress : called with (pictures done, of how many).

    Raises
    ------
    ConfigError : an option or name cannot be used, or ``out`` is not empty.
    DatasetError : the file is broken, or nothing could be cut. AssayError : ``out`` cannot be written.
    """
    config, target = config or CropsConfig(), Path(out).expanduser()
    names = label_names(config)
    require_free(target)
    found = read_boxes(boxes, read)
    _check_boxes(found, config, Path(boxes).name)
    if sources is not None:
        take_over(found.pictures.values(), sources)
    cutter = _Cutter(found, config, names)
    with whole_folder(target) as folder:
        made = _write(folder, cutter, progress or (lambda _done, _all: None), workers)
        if not made.counts:
            raise _nothing_cut(made, Path(boxes).name)
        record = {"boxes": Path(boxes).name, "config": config.to_dict(), **made.to_dict()}
        record.pop("out")
        (folder / "crops.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return replace(made, folder=target)


def label_names(config: CropsConfig) -> dict[str, str]:
    """Role -> label, from ``NAME=target,NAME=background``. Raises ConfigError where it is not that."""
    names: dict[str, str] = {}
    for text in config.labels:
        name, _, role = text.rpartition("=")
        if role.strip() in (TARGET, BACKGROUND) and name.strip():
            names[role.strip()] = name.strip()
    if len(config.labels) != 2 or len(names) != 2 or len(set(names.values())) != 2:
        raise ConfigError(
            f"labels are {','.join(config.labels)!r}",
            fix="name both kinds: --labels 0=target,1=background",
        )
    if config.classes and config.labels == CropsConfig().labels:
        names[BACKGROUND] = BACKGROUND  # beside names of classes a bare 1 would say nothing
    return names


def _check_boxes(found: BoxFile, config: CropsConfig, name: str) -> None:
    boxes = [box for picture in found.pictures.values() for box in picture.boxes]
    if not boxes and not (config.background and found.pictures):
        first = f"{found.faults[0]}" if found.faults else None
        raise DatasetError(f"{name} has no box that can be used", got=first, fix="give at least one box")
    if boxes and config.units == "px" and all(max(box.xyxy) <= 1 for box in boxes):
        raise ConfigError(
            f"every box of {name} lies in the first pixel",
            got=f"{boxes[0].xyxy}",
            fix="if these are fractions of width and height, say --units fraction",
        )
    if config.units == "fraction" and any(max(box.xyxy) > 2 for box in boxes):
        odd = next(box for box in boxes if max(box.xyxy) > 2)
        raise ConfigError(
            f"{odd.place}: {odd.xyxy} are no fractions", fix="leave --units out, if these are pixels"
        )
    known = in_order(box.label for box in boxes if box.label)
    for wanted in config.targets:
        if wanted not in known:
            fix = suggest(wanted, known) if known else "leave --targets out: the boxes have no classes"
            raise ConfigError(f"no box is called {wanted!r}", fix=fix)


class _Cutter:
    """Cuts one picture at a time; called by several threads."""

    def __init__(self, found: BoxFile, config: CropsConfig, names: dict[str, str]) -> None:
        self.found, self.config, self.names = found, config, names
        self._sizes = [  # width and height of all targets, for pictures that have none themselves
            (b.xyxy[2] - b.xyxy[0], b.xyxy[3] - b.xyxy[1])
            for picture in found.pictures.values()
            for b in picture.boxes
            if self._is_target(b)
        ]

    def __call__(self, picture: BoxedPicture) -> _Yield:
        """The crops of one picture, and what could not be used."""
        made = _Yield()
        path = self.found.root / picture.path
        try:
            image = read_image(path)
        except ImageError as error:
            is_there = path.is_file()
            what = f"{picture.path} {'cannot be read' if is_there else 'does not exist'}"
            what += f": {error.got or error.what}" if is_there else ""
            fix = "replace it" if is_there else "correct the path, or name the pictures' folder with --root"
            made.faults.append(Fault(picture.place, what, fix))
            return made
        size_hw = (image.shape[0], image.shape[1])
        mark = f"{self.config.seed}\0{picture.path}".encode("utf-8", "surrogateescape")
        rng = np.random.default_rng(int.from_bytes(hashlib.blake2b(mark, digest_size=8).digest(), "big"))
        usable = [(box, xyxy) for box in picture.boxes if (xyxy := self._usable(box, size_hw, made))]
        frames = self._targets(usable, size_hw, rng, made)
        for box, frame in frames:
            label = box.label if self.config.classes else self.names[TARGET]
            made.crops.append(self._crop(image, frame, TARGET, label or "", box.label))
        blocks = Boxes(np.array([xyxy for _, xyxy in usable], np.float64))
        for frame in self._backgrounds([frame for _, frame in frames], blocks, size_hw, rng, made):
            made.crops.append(self._crop(image, frame, BACKGROUND, self.names[BACKGROUND], None))
        return made

    def _is_target(self, box: Box) -> bool:
        wanted = not self.config.targets or box.label in self.config.targets
        return wanted and not box.is_crowd

    def _usable(self, box: Box, size_hw: tuple[int, int], made: _Yield) -> tuple[float, ...] | None:
        """The box in pixels, cut off at the border; None where it lies outside."""
        height, width = size_hw
        scale = (width, height, width, height) if self.config.units == "fraction" else (1, 1, 1, 1)
        xyxy = tuple(v * s for v, s in zip(box.xyxy, scale, strict=True))
        inside = clip(xyxy, size_hw)
        shown = ", ".join(f"{v:g}" for v in xyxy)
        if inside[2] <= inside[0] or inside[3] <= inside[1]:
            what = f"the box ({shown}) lies outside the picture of {width} x {height} px"
            made.faults.append(Fault(box.place, what, "draw it again on the upright picture"))
            return None
        if max(abs(a - b) for a, b in zip(xyxy, inside, strict=True)) > 1:
            what = (
                f"the box ({shown}) reaches beyond the picture of {width} x {height} px; it is cut off there"
            )
            made.faults.append(Fault(box.place, what, "correct it, if that is not meant"))
        return inside

    def _targets(
        self,
        usable: Iterable[tuple[Box, tuple[float, ...]]],
        size_hw: tuple[int, int],
        rng: np.random.Generator,
        made: _Yield,
    ) -> list[tuple[Box, Frame]]:
        found = []
        for box, xyxy in usable:
            if not self._is_target(box):
                continue
            if self.config.classes and not box.label:
                made.faults.append(
                    Fault(box.place, "the box has no class", "fill it in, or leave --classes out")
                )
                continue
            frame = target_frame(xyxy, size_hw, self.config, rng)
            if min(frame[2] - frame[0], frame[3] - frame[1]) < self.config.min_size:
                made.too_small += 1
                continue
            found.append((box, frame))
        return found

    def _backgrounds(
        self,
        targets: list[Frame],
        blocks: Boxes,
        size_hw: tuple[int, int],
        rng: np.random.Generator,
        made: _Yield,
    ) -> list[Frame]:
        wanted = len(targets) if self.config.background is None else self.config.background
        sizes = [(y2 - y1, x2 - x1) for x1, y1, x2, y2 in targets] or self._sizes_elsewhere(
            size_hw, rng, wanted
        )
        if not wanted or not sizes:
            return []
        drawn = [sizes[int(i)] for i in rng.permutation(np.resize(np.arange(len(sizes)), wanted))]
        drawn = [hw for hw in drawn if min(*hw, *size_hw) >= self.config.min_size]
        found = background_frames(drawn, blocks, size_hw, self.config, rng)
        made.no_room += wanted - len(found)
        return found

    def _sizes_elsewhere(
        self, size_hw: tuple[int, int], rng: np.random.Generator, n: int
    ) -> list[tuple[int, int]]:
        """Sizes of targets of other pictures, framed as they would be here."""
        if not self._sizes:
            side = max(self.config.min_size, min(size_hw) // 3)
            return [(side, side)] * n
        found = []
        for i in rng.integers(0, len(self._sizes), n):
            wide, high = self._sizes[int(i)]
            if self.config.units == "fraction":
                wide, high = wide * size_hw[1], high * size_hw[0]
            x1, y1, x2, y2 = target_frame((0.0, 0.0, wide, high), (10**6, 10**6), self.config, rng)
            found.append((y2 - y1, x2 - x1))
        return found

    def _crop(
        self, image: NDArray[np.uint8], frame: Frame, role: str, label: str, box_label: str | None
    ) -> _Crop:
        x1, y1, x2, y2 = frame
        pixels = np.ascontiguousarray(image[y1:y2, x1:x2])
        if self.config.side is not None:
            scale = self.config.side / max(x2 - x1, y2 - y1)
            wh = (max(1, round((x2 - x1) * scale)), max(1, round((y2 - y1) * scale)))
            pixels = np.asarray(to_pillow(pixels).resize(wh, Image.Resampling.LANCZOS))
        return _Crop(encode_image(pixels, self.config.file_type, _QUALITY), frame, role, label, box_label)


def _write(
    folder: Path, cutter: _Cutter, progress: Callable[[int, int], object], workers: int | None
) -> Crops:
    pictures = list(cutter.found.pictures.values())
    columns = (*_COLUMNS, "part") if any(p.part for p in pictures) else _COLUMNS
    counts: Counter[str] = Counter()
    sides: dict[str, list[float]] = {TARGET: [], BACKGROUND: []}
    faults, no_room, too_small, used, taken = list(cutter.found.faults), 0, 0, 0, set[str]()
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n", extrasaction="ignore")
        table.writeheader()
        for done, (picture, made) in enumerate(_in_threads(pictures, cutter, workers), 1):
            faults += made.faults
            no_room, too_small = no_room + made.no_room, too_small + made.too_small
            used += bool(made.crops)
            stem = _free_stem(picture.path, taken) if made.crops else ""
            for name, crop in _named(stem, made.crops, _ENDINGS[cutter.config.file_type]):
                place = folder / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(crop.data)
                table.writerow(_row(name, picture, crop))
                counts[crop.label] += 1
                x1, y1, x2, y2 = crop.frame
                sides[crop.role].append(((x2 - x1) * (y2 - y1)) ** 0.5)
            progress(done, len(pictures))
    order = {name: counts[name] for name in in_order(counts)}
    notes = tuple(_notes(sides, no_room, too_small, cutter.config))
    return Crops(folder, order, used, tuple(faults), notes, no_room, too_small)


def _in_threads(
    pictures: list[BoxedPicture], cutter: _Cutter, workers: int | None
) -> Iterator[tuple[BoxedPicture, _Yield]]:
    """In order; a few pictures are under way at any time, so memory stays constant."""
    workers = workers or min(8, os.cpu_count() or 1)
    waiting: deque[tuple[BoxedPicture, Future[_Yield]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for picture in pictures:
                waiting.append((picture, pool.submit(cutter, picture)))
                if len(waiting) >= 2 * workers:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _free_stem(path: str, taken: set[str]) -> str:
    """``pictures/`` and the source's path without ending, made safe; a second one of the name gets ``~2``."""
    steps = [step for step in PurePosixPath(path).with_suffix("").parts if step not in ("/", "..", ".")]
    steps = steps[1:] if steps[:1] == ["pictures"] and len(steps) > 1 else steps
    wished = "/".join(step.replace(":", "_") for step in steps) or "picture"
    stem, number = wished, 1
    while stem.casefold() in taken:
        number += 1
        stem = f"{wished}~{number}"
    taken.add(stem.casefold())
    return f"pictures/{stem}"


def _named(stem: str, crops: Iterable[_Crop], ending: str) -> Iterator[tuple[str, _Crop]]:
    numbers: Counter[str] = Counter()
    for crop in crops:
        numbers[crop.role] += 1
        yield f"{stem}-{'b' if crop.role == BACKGROUND else ''}{numbers[crop.role]}{ending}", crop


def _row(name: str, picture: BoxedPicture, crop: _Crop) -> dict[str, Any]:
    corners = dict(zip(("x1", "y1", "x2", "y2"), crop.frame, strict=True))
    return {
        "path": name,
        "label": crop.label,
        "source": picture.path,
        **corners,
        "role": crop.role,
        "box_label": crop.box_label or "",
        "group": picture.group or picture.path,
        "part": picture.part or "",
    }


def _notes(sides: dict[str, list[float]], no_room: int, too_small: int, config: CropsConfig) -> Iterator[str]:
    if too_small:
        least = config.min_size
        yield f"{too_small:,} boxes are under {least} px wide or high and were not cut; lower --min-size to keep them"
    if no_room:
        yield (
            f"{no_room:,} backgrounds found no room beside the boxes; a larger --max-overlap than "
            f"{config.max_overlap:g} finds more"
        )
    if sides[TARGET] and sides[BACKGROUND] and config.side is None:
        target, background = (float(np.median(sides[role])) for role in (TARGET, BACKGROUND))
        if max(target, background) > 1.25 * min(target, background):
            yield (
                f"targets are {target:.0f} px wide and high in the middle, backgrounds {background:.0f} px: size "
                "alone may tell them apart; --side 128 makes crops alike"
            )


def _nothing_cut(made: Crops, name: str) -> DatasetError:
    got = some([*(str(fault) for fault in made.faults), *made.notes], 3) or None
    fix = made.faults[0].fix if made.faults else "lower --min-size, or give --background N"
    return DatasetError(f"nothing could be cut from {name}", got=got, fix=fix)
