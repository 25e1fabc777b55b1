"""Answers of networks that tell more than a class: lines of text, a table with a row a thing, COCO's JSON."""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from assay.answer_fields import pixel_shares
from assay.answer_words import TAG, sentences
from assay.cli.answers import EncodedFile
from assay.cli.terminal import paint, printable
from assay.errors import ConfigError
from assay.files import WholeFile

if TYPE_CHECKING:
    from assay.card import Card
    from assay.types import Prediction


class Sayer(Protocol):
    """A predictor of scenes: of a Bundle, a pipeline file or a run folder."""

    @property
    def card(self) -> Card:
        """What it tells, and under which names."""
        ...

    def predict(
        self,
        sources: Iterable[str | Path],
        *,
        least_score: float | None = None,
        masks: bool = True,
        pixels: bool = True,
        batch: int | None = None,
        workers: int | None = None,
    ) -> Iterator[Prediction]:
        """One Prediction a source, in order."""
        ...


def scene_writers(
    args: argparse.Namespace, predictor: Sayer, stack: contextlib.ExitStack
) -> list[Callable[[Prediction], None]]:
    """Who writes each answer as text and into files, which appear when ``stack`` is left without an error.

    Raises
    ------
    ConfigError : ``--coco`` of a network that finds no things. AssayError : as ``WholeFile``.
    """
    card = predictor.card
    writers = [] if args.json else [_text(args.top or 1, _tag_score(card))]
    if args.csv is not None:
        steps = _crop_steps(predictor)
        writers.append(stack.enter_context(ThingTable(args.csv, card, steps, _tag_score(card))).write)
    if args.coco is not None:
        writers.append(stack.enter_context(CocoFile(args.coco, card)).write)
    return writers


def _text(top: int, tag_score: float) -> Callable[[Prediction], None]:
    def write(prediction: Prediction) -> None:
        if prediction.error is not None:
            sys.stdout.flush()  # both may go to one file: keep the order
            print(f"{paint('error:', 'red', sys.stderr)} {printable(prediction.error)}", file=sys.stderr)
            return
        told = "; ".join(sentences(prediction, top, tag_score))
        print(f"{printable(prediction.path)}  {printable(told)}", flush=True)

    return write


class ThingTable:
    """A CSV file, a row a thing; a picture without things, or one that could not be read, has one row.

    Columns, as far as the network tells them: path; label, confidence and tags of the picture; thing (from 1, the best
    first), thing_label, score, x1, y1, x2, y2 in pixels, mask_px; a step's name and NAME_confidence for each step that
    looks at things; pixels (NAME=SHARE, separated by |); height, width, error.

    For ``with``; the file appears when the block ends without an error. Raises as ``WholeFile``.
    """

    def __init__(
        self, path: str | Path, card: Card, steps: Sequence[str] = (), tag_score: float = TAG
    ) -> None:
        self._file, self._heads, self._steps, self._tag_score = (
            WholeFile(path),
            card.heads,
            steps,
            tag_score,
        )
        self._rows = csv.writer(EncodedFile(self._file), lineterminator="\n")

    def __enter__(self) -> Self:
        self._file.__enter__()
        self._rows.writerow(self._names())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def _names(self) -> list[str]:
        heads = self._heads
        of_picture = ["label", "confidence"] * ("class" in heads) + ["tags"] * ("tags" in heads)
        return [
            "path",
            *of_picture,
            *self._thing_names,
            *["pixels"] * ("pixels" in heads),
            "height",
            "width",
            "error",
        ]

    @property
    def _thing_names(self) -> list[str]:
        if "boxes" not in self._heads:
            return []
        crops = [name for step in self._steps for name in (step, f"{step}_confidence")]
        mask = ["mask_px"] * ("masks" in self._heads)
        return ["thing", "thing_label", "score", "x1", "y1", "x2", "y2", *mask, *crops]

    def write(self, prediction: Prediction) -> None:
        """Add the rows of one picture."""
        if prediction.error is not None:
            empty = [""] * (len(self._names()) - 2)
            self._rows.writerow([prediction.path, *empty, prediction.error])
            return
        before, behind = self._of_picture(prediction)
        count = 0 if prediction.boxes is None else len(prediction.boxes)
        things = [self._of_thing(prediction, i) for i in range(count)] or [[""] * len(self._thing_names)]
        for cells in things:
            self._rows.writerow([*before, *cells, *behind])

    def _of_picture(self, prediction: Prediction) -> tuple[list[str], list[str]]:
        """The cells before and behind those of a thing."""
        before = [prediction.path]
        if "class" in self._heads:
            before += [str(prediction.label), f"{prediction.confidence:.6f}"]
        if prediction.tags is not None:
            rows = zip(prediction.classes, prediction.tags, strict=True)
            before.append("|".join(name for name, p in rows if p >= self._tag_score))
        shares = [f"{prediction.pixel_classes[i]}={share:.6f}" for i, share in pixel_shares(prediction)]
        pixels = ["|".join(shares)] * ("pixels" in self._heads)
        return before, [*pixels, *map(str, prediction.size_hw), ""]

    def _of_thing(self, prediction: Prediction, i: int) -> list[str]:
        found = prediction.boxes
        assert found is not None
        cells = [str(i + 1), prediction.object_classes[int(found.labels[i])], f"{found.scores[i]:.6f}"]
        cells += [f"{v:.2f}" for v in found.boxes_xyxy[i]]
        if "masks" in self._heads:
            mask = found.masks[i]
            cells.append("" if mask is None else str(mask.area))
        for step in self._steps:
            crop = prediction.crops[step][i] if step in prediction.crops else None
            if crop is None or crop.error is not None:
                cells += ["", ""]
            elif crop.label is not None:
                cells += [crop.label, f"{crop.confidence:.6f}"]
            else:
                cells += ["; ".join(sentences(crop, tag_score=self._tag_score)), ""]
        return cells


class CocoFile:
    """COCO's JSON of what was found: images, categories, and annotations with a score; masks as run lengths.

    The annotations are what COCO's tools take as results, and the whole is what they and Assay read as a data set. A
    picture that could not be read is left out, for nobody looked at it. File names start at the file's folder where
    the picture lies below it.

    For ``with``; the file appears when the block ends without an error. Raises as ``WholeFile``, and ConfigError where
    the network finds no things.
    """

    def __init__(self, path: str | Path, card: Card) -> None:
        if "boxes" not in card.heads:
            raise ConfigError(
                "--coco is for networks that find things",
                got=f"a network that tells {', '.join(card.heads)}",
                fix="use --json or --csv",
            )
        self._file, self._card = WholeFile(path), card
        self._folder = Path(os.path.realpath(Path(path).parent))
        self._images: list[dict[str, Any]] = []
        self._count = 0

    def __enter__(self) -> Self:
        self._file.__enter__()
        info = {"description": f"found by {self._card.name}"}
        rows = [{"id": i, "name": name} for i, name in enumerate(self._card.object_classes, 1)]
        self._say(
            f'{{"info": {_json_of(info)}, "licenses": [], "categories": {_json_of(rows)}, "annotations": ['
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._say('\n], "images": [\n' + ",\n".join(map(_json_of, self._images)) + "\n]}\n")
        self._file.__exit__(kind, error, trace)

    def write(self, prediction: Prediction) -> None:
        """Add one picture and its things."""
        if prediction.error is not None:
            return
        key = len(self._images) + 1
        place = Path(os.path.realpath(prediction.path))
        name = place.relative_to(self._folder) if place.is_relative_to(self._folder) else place
        height, width = prediction.size_hw
        self._images.append({"id": key, "file_name": name.as_posix(), "height": height, "width": width})
        for row, mask in zip(prediction.to_coco(key), prediction.masks, strict=True):
            self._count += 1
            area = row["bbox"][2] * row["bbox"][3] if mask is None else mask.area
            shape = {"area": area, "segmentation": row.get("segmentation", []), "iscrowd": 0}
            self._say((",\n" if self._count > 1 else "\n") + _json_of({"id": self._count, **row, **shape}))

    def _say(self, text: str) -> None:
        self._file.write(text.encode("utf-8", "backslashreplace"))


def _json_of(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _tag_score(card: Card) -> float:
    return float(card.thresholds.get("tags", {}).get("score", TAG))


def _crop_steps(predictor: Any) -> list[str]:
    """The names of the steps that look at things of the whole picture."""
    steps = getattr(predictor, "steps", ())
    whole = {step.name for step in steps if step.crops_of is None}
    return [step.name for step in steps if step.crops_of in whole]
