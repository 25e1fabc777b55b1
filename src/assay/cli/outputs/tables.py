"""CSV files of answers: a row a picture where a class is told, a row a thing where things are found."""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from assay.answer_fields import pixel_shares
from assay.answer_words import TAG, sentences
from assay.cli.outputs.part_file import OnePart, PartFile

if TYPE_CHECKING:
    from pathlib import Path

    from assay.card import Card
    from assay.types import Prediction


class CsvTable(OnePart, ABC):
    """What all tables share: rows under the names of their columns."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.rows: Any = csv.writer(_Encoded(self._file), lineterminator="\n")

    @property
    @abstractmethod
    def names(self) -> list[str]:
        """The names of the columns."""

    def open(self, at: Mapping[str, int] | None) -> None:
        """As ``ledger.Output``."""
        super().open(at)
        if at is None:
            self.rows.writerow(self.names)


class AnswerTable(CsvTable):
    """A row a picture: path, label, confidence, further classes, height, width, error.

    With ``abstain`` further columns: answer (the label, empty where it is held back), abstains (yes or no), reasons
    (unknown, unsure) and set (the classes that remain possible), the last two separated by |.
    """

    def __init__(self, path: str | Path, top: int, *, abstain: bool = False) -> None:
        super().__init__(path)
        self._top, self._abstain = top, abstain

    @property
    def names(self) -> list[str]:
        """As ``CsvTable``."""
        further = [f"{name}_{i}" for i in range(2, self._top + 1) for name in ("label", "confidence")]
        held = ["answer", "abstains", "reasons", "set"] if self._abstain else []
        return ["path", "label", "confidence", *further, *held, "height", "width", "error"]

    def write(self, prediction: Prediction) -> None:
        """As ``ledger.Output``."""
        best = [] if prediction.error is not None else prediction.top(self._top)
        cells = [cell for name, p in best for cell in (name, f"{p:.6f}")]
        cells += [""] * (2 * self._top - len(cells))
        size = ["", ""] if prediction.error is not None else [str(n) for n in prediction.size_hw]
        cells += _held_back(prediction) if self._abstain else []
        self.rows.writerow([prediction.path, *cells, *size, prediction.error or ""])


class ThingTable(CsvTable):
    """A row a thing; a picture without things, or one that could not be read, has one row.

    Columns, as far as the network tells them: path; label, confidence and tags of the picture; thing (from 1, the best
    first), thing_label, score, x1, y1, x2, y2 in pixels, track (its number through a video), mask_px; a step's name and
    NAME_confidence for each step that looks at things; pixels (NAME=SHARE, separated by |); height, width, error.
    """

    def __init__(
        self,
        path: str | Path,
        card: Card,
        steps: Sequence[str] = (),
        tag_score: float = TAG,
        *,
        tracks: bool = False,
    ) -> None:
        super().__init__(path)
        self._heads, self._steps, self._tag_score, self._tracks = card.heads, steps, tag_score, tracks

    @property
    def names(self) -> list[str]:
        """As ``CsvTable``."""
        heads = self._heads
        of_picture = ["label", "confidence"] * ("class" in heads) + ["tags"] * ("tags" in heads)
        pixels = ["pixels"] * ("pixels" in heads)
        return ["path", *of_picture, *self._of_things, *pixels, "height", "width", "error"]

    @property
    def _of_things(self) -> list[str]:
        if "boxes" not in self._heads:
            return []
        crops = [name for step in self._steps for name in (step, f"{step}_confidence")]
        track, mask = ["track"] * self._tracks, ["mask_px"] * ("masks" in self._heads)
        return ["thing", "thing_label", "score", "x1", "y1", "x2", "y2", *track, *mask, *crops]

    def write(self, prediction: Prediction) -> None:
        """As ``ledger.Output``."""
        if prediction.error is not None:
            empty = [""] * (len(self.names) - 2)
            self.rows.writerow([prediction.path, *empty, prediction.error])
            return
        before, behind = self._of_picture(prediction)
        count = 0 if prediction.boxes is None else len(prediction.boxes)
        things = [self._of_thing(prediction, i) for i in range(count)] or [[""] * len(self._of_things)]
        for cells in things:
            self.rows.writerow([*before, *cells, *behind])

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
        if self._tracks:
            cells.append("" if found.tracks is None or not found.tracks[i] else str(found.tracks[i]))
        if "masks" in self._heads:
            mask = found.masks[i]
            cells.append("" if mask is None else str(mask.area))
        for step in self._steps:
            cells += self._of_crop(prediction.crops[step][i] if step in prediction.crops else None)
        return cells

    def _of_crop(self, crop: Prediction | None) -> list[str]:
        if crop is None or crop.error is not None:
            return ["", ""]
        if crop.label is not None:
            return [crop.label, f"{crop.confidence:.6f}"]
        return ["; ".join(sentences(crop, tag_score=self._tag_score)), ""]


def _held_back(prediction: Prediction) -> list[str]:
    doubt = prediction.doubt
    if doubt is None:
        return [""] * 4
    answer = "" if doubt.abstains else str(prediction.label)
    return [answer, "yes" if doubt.abstains else "no", "|".join(doubt.reasons), "|".join(doubt.labels)]


class _Encoded:
    """Text for csv.writer."""

    def __init__(self, file: PartFile) -> None:
        self._file = file

    def write(self, text: str) -> None:
        self._file.text(text)
