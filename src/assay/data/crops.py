"""``cut_crops``: from boxes, or the objects of a data set, to a data set of target and background crops that
``assay train`` reads.

    OUT/pictures/0001-1.jpg   0001-b1.jpg ...     the first target and the first background of 0001.jpg
    OUT/labels.csv            path, label, source, x1, y1, x2, y2, role, box_label, group (and part, where known)
    OUT/crops.json            what was asked, how many were made, what could not be used

Where crops lie is ruled in ``crop_frames``. The group of a crop is the group of its source picture, else that picture
itself, so a split keeps the crops of one photo together. The same seed gives the same bytes.
"""

from __future__ import annotations

import csv
import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from assay.configs import ReadConfig
from assay.cores import usable_cores
from assay.data.box_files import BoxedPicture, BoxFile, Fault, read_boxes
from assay.data.crop_cutter import BACKGROUND, LEFT, TARGET, Crop, Cutter, Yield
from assay.data.crop_objects import boxed_of, is_data_set
from assay.data.crop_sources import take_over
from assay.data.names import in_order, some
from assay.data.read import read_dataset
from assay.data.safe_stems import free_stem
from assay.data.whole_folder import require_free, whole_folder
from assay.errors import ConfigError, DatasetError
from assay.tables import suggest
from assay.types import Dataset
from assay.verb_configs import CropsConfig

_ENDINGS = {"jpeg": ".jpg", "png": ".png"}
_COLUMNS = ("path", "label", "source", "x1", "y1", "x2", "y2", "role", "box_label", "group")


@dataclass(frozen=True)
class Crops:
    """What was cut: ``folder`` holds ``counts`` (label -> crops) from ``pictures`` pictures.

    ``faults`` could not be used; ``notes`` are worth knowing. ``no_room`` counts backgrounds for which no place was
    free of boxes, ``too_small`` targets below the least size, ``no_mask`` things without one where crops are masked,
    ``not_known`` pictures that give no background, as nobody looked or not all that is there is known.
    """

    folder: Path
    counts: dict[str, int]
    pictures: int
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()
    no_room: int = 0
    too_small: int = 0
    no_mask: int = 0
    not_known: int = 0

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
            "no_mask": self.no_mask,
            "not_known": self.not_known,
            "faults": told,
            "notes": list(self.notes),
        }


def cut_crops(
    boxes: str | Path | Dataset,
    out: str | Path,
    config: CropsConfig | None = None,
    *,
    read: ReadConfig | None = None,
    sources: Dataset | None = None,
    progress: Callable[[int, int], object] | None = None,
    workers: int | None = None,
) -> Crops:
    """Cut boxes out of their pictures, with backgrounds beside them, into the new folder ``out``.

    Parameters
    ----------
    boxes : a file of boxes, CSV, Parquet or JSON (see ``box_files``); or a data set with boxes: its folder, its file
        with ``read.format``, or a Dataset.
    config : see ``CropsConfig``. read : names of columns, the folder that paths start from, the format of a data set.
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
    found, name, is_data_set = _read(boxes, read or ReadConfig(), config)
    if is_data_set and config.max_overlap is None:
        config = replace(config, max_overlap=0.0)
    _check_boxes(found, config, name)
    if sources is not None:
        take_over(found.pictures.values(), sources)
    cutter = Cutter(found, config, names)
    with whole_folder(target) as folder:
        made = _write(folder, cutter, progress or (lambda _done, _all: None), workers)
        if not made.counts:
            raise _nothing_cut(made, name)
        record = {"boxes": name, "config": config.to_dict(), **made.to_dict()}
        record.pop("out")
        (folder / "crops.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return replace(made, folder=target)


def _read(boxes: str | Path | Dataset, read: ReadConfig, config: CropsConfig) -> tuple[BoxFile, str, bool]:
    """(pictures with boxes, the name of where they are from, whether that is a data set)."""
    if isinstance(boxes, Dataset):
        return boxed_of(boxes), boxes.name, True
    place = Path(boxes).expanduser()
    # a file of boxes has no masks, so who wants them means COCO's file as a data set
    if is_data_set(place, read) or (config.masked != "no" and place.suffix.lower() == ".json"):
        if config.units != "px":
            raise ConfigError("--units is for files of boxes", fix="leave it out: a data set counts pixels")
        return boxed_of(read_dataset(place, read)), place.name, True
    return read_boxes(place, read), place.name, False


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


def _write(
    folder: Path, cutter: Cutter, progress: Callable[[int, int], object], workers: int | None
) -> Crops:
    pictures = list(cutter.found.pictures.values())
    columns = (*_COLUMNS, "part") if any(p.part for p in pictures) else _COLUMNS
    counts: Counter[str] = Counter()
    sides: dict[str, list[float]] = {TARGET: [], BACKGROUND: []}
    faults, left, used, taken = list(cutter.found.faults), Counter[str](), 0, set[str]()
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n", extrasaction="ignore")
        table.writeheader()
        for done, (picture, made) in enumerate(_in_threads(pictures, cutter, workers), 1):
            faults += made.faults
            left.update(made.left)
            used += bool(made.crops)
            stem = f"pictures/{free_stem(picture.path, taken, 'pictures')}" if made.crops else ""
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
    notes = tuple(_notes(sides, left, cutter.config))
    return Crops(folder, order, used, tuple(faults), notes, **{name: left[name] for name in LEFT})


def _in_threads(
    pictures: list[BoxedPicture], cutter: Cutter, workers: int | None
) -> Iterator[tuple[BoxedPicture, Yield]]:
    """In order; a few pictures are under way at any time, so memory stays constant."""
    workers = workers or min(8, usable_cores())
    waiting: deque[tuple[BoxedPicture, Future[Yield]]] = deque()
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


def _named(stem: str, crops: Iterable[Crop], ending: str) -> Iterator[tuple[str, Crop]]:
    numbers: Counter[str] = Counter()
    for crop in crops:
        numbers[crop.role] += 1
        yield f"{stem}-{'b' if crop.role == BACKGROUND else ''}{numbers[crop.role]}{ending}", crop


def _row(name: str, picture: BoxedPicture, crop: Crop) -> dict[str, Any]:
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


def _notes(sides: dict[str, list[float]], left: Counter[str], config: CropsConfig) -> Iterator[str]:
    if n := left["too_small"]:
        least = config.min_size
        yield f"{n:,} boxes are under {least} px wide or high and were not cut; lower --min-size to keep them"
    if n := left["no_mask"]:
        yield f"{n:,} things have no mask and were not cut: --masked shows things along their masks"
    if n := left["not_known"]:
        yield f"{n:,} pictures give no background: nobody looked there, or not all that is in them is known"
    if n := left["no_room"]:
        most = 0.1 if config.max_overlap is None else config.max_overlap
        yield f"{n:,} backgrounds found no room beside the boxes; a larger --max-overlap than {most:g} finds more"
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
