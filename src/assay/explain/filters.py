"""What the early filters of a network answer to, as pictures for a general reader.

For the first stages the pieces of the user's own pictures that excite some channels most (Zeiler and Fergus 2014,
section 4.1), cut as large as what such a channel really uses: not its theoretical field, but the square that holds
most of the gradient (Luo et al. 2016, the effective receptive field). And one picture, stage by stage: what the network
keeps of it. Written: ``filters.json``, ``first-layer.png``, ``stage-1.png`` ..., ``kept.png``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.errors import DatasetError, ModelError
from assay.explain.first_layer import describe_first_layer, find_first_layer
from assay.explain.overlay import Pixels, coloured, sheet
from assay.explain.pictures import Picture, given_pictures, prepare, run_pictures, spread
from assay.explain.target import frozen
from assay.files import write_file
from assay.image import encode_image
from assay.preprocess import Preprocess, scaled
from assay.train.predictor import CheckpointPredictor, load_classifier

STAGES, CHANNELS, PATCHES = 3, 8, 6
"""Stages looked at, channels of each, pieces of pictures for each channel."""
FILTERS = 48
"""Most patterns of the first layer."""
HELD = 0.8
"""Share of the gradient that the square of a channel holds."""
_LARGE = 2
"""Pieces are cut from pictures this many times larger than the network sees them."""

Progress = Callable[[str, int, int], None]
_EXPECTED = ("edges and colours", "textures and repeated patterns", "parts of things")
"""What textbooks let one expect of the stages; the pieces show whether it is so."""


@dataclass(frozen=True)
class Stage:
    """A stage of the network: ``field_px`` is the side of what a channel really uses, ``channels`` say what excites it.

    ``file`` is the sheet: a row a channel, the strongest piece first.
    """

    title: str
    sentence: str
    shape: tuple[int, ...]
    field_px: int
    file: str | None = None
    channels: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Filters:
    """What ``look_at_filters`` found; files are names in ``folder``."""

    folder: Path
    model: str
    pictures: int
    first: str
    first_file: str | None
    stages: list[Stage]
    kept: str
    kept_file: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "folder"}
        return {"format": 1, **plain, "stages": [{**vars(s), "shape": list(s.shape)} for s in self.stages]}


def look_at_filters(
    run: str | Path,
    pictures: Sequence[str | Path] | None = None,
    *,
    out: str | Path | None = None,
    most: int = 96,
    progress: Progress | None = None,
) -> Filters:
    """Draw what the early filters of a run answer to, from at most ``most`` pictures (of its validation part).

    Raises
    ------
    ConfigError : no such run or picture. DatasetError : there are no pictures, or none can be read.
    """
    predictor = load_classifier(run)
    folder = Path(out) if out is not None else predictor.folder / "explain"
    own = given_pictures(pictures) if pictures is not None else run_pictures(predictor.folder)[0]
    shown, x = prepare(spread(own, most), predictor)
    if not shown:
        raise DatasetError("none of the pictures can be read", fix="run `assay check` on them")
    look = _Look(predictor, folder, shown, x)
    first = find_first_layer(predictor.model, x)
    first_file = None
    if first is not None:
        strips = [first.pictures(FILTERS)[i : i + 12] for i in range(0, min(FILTERS, len(first.weights)), 12)]
        first_file = look.save("first-layer.png", [("", row) for row in strips], side=72)
    maps = look.maps()
    stages = []
    for i, stage in enumerate(maps[:STAGES]):
        stages.append(look.stage(i, stage))
        if progress is not None:
            progress("filters", i + 1, min(STAGES, len(maps)))
    kept, kept_file = look.kept(maps)
    found = Filters(
        folder,
        str(predictor.card.model.get("model", "")),
        len(shown),
        describe_first_layer(first),
        first_file,
        stages,
        kept,
        kept_file,
    )
    write_file(folder / "filters.json", json.dumps(found.to_dict(), indent=1, ensure_ascii=False).encode())
    return found


class _Look:
    """One network and the pictures it is looked at with."""

    def __init__(
        self, predictor: CheckpointPredictor, folder: Path, pictures: list[Picture], x: Tensor
    ) -> None:
        self.predictor, self.folder, self.pictures, self.x = predictor, folder, pictures, x
        self.side = int(x.shape[2])
        self._large: dict[int, Pixels] = {}

    def save(self, name: str, rows: Sequence[tuple[str, Sequence[Pixels]]], side: int = 96) -> str:
        """A sheet as PNG; its name."""
        write_file(self.folder / name, encode_image(np.asarray(sheet(rows, [], side)), "PNG"))
        return name

    def maps(self) -> list[Tensor]:
        """The maps of each stage (N, C, h, w), those that lie in space; none where the network gives none."""
        found: list[list[Tensor]] = []
        try:
            with frozen(self.predictor.model), torch.inference_mode():
                found = [self.predictor.model.features(part) for part in self.x.split(16)]
        except (NotImplementedError, ModelError):
            return []
        return [torch.cat([part[i] for part in found]).float() for i in range(len(found[0]))]

    def stage(self, number: int, maps: Tensor) -> Stage:
        """What excites the channels of one stage."""
        shape = tuple(int(n) for n in maps.shape[1:])
        title = f"Stage {number + 1}"
        if shape[2] == 1:
            rows = (
                "This network reads rows, so its states belong to whole rows of the picture, and there are no "
                "pieces to cut out. Below is what it keeps of one picture, row by row."
            )
            return Stage("Rows, not pieces", rows, shape, self.side)
        field_px = self._field(number)
        flat = maps.flatten(2)  # N C h*w
        best, where = flat.max(2)  # N C
        channels = []
        sheet_rows = []
        for channel in _vivid(best):
            order = best[:, channel].argsort(descending=True)[:PATCHES].tolist()
            sheet_rows.append(
                (
                    f"channel {channel}",
                    [self._piece(i, int(where[i, channel]), shape, field_px) for i in order],
                )
            )
            channels.append({"channel": channel, "sentence": self._told(order)})
        words = (
            f"Each row is one channel and the pieces of your pictures that excite it most, {field_px} px a side. "
            f"Textbooks let one expect {_EXPECTED[number]} here: see whether it is so."
        )
        return Stage(
            title, words, shape, field_px, self.save(f"stage-{number + 1}.png", sheet_rows), channels
        )

    def _told(self, order: list[int]) -> str:
        """The class that most of the strongest pieces come from; nothing where there is no such class."""
        names = Counter(self.pictures[i].label or self.pictures[i].answer for i in order)
        name, count = names.most_common(1)[0]
        if name is None:
            return ""
        if count >= max(3, len(order) * 2 // 3):
            return f"mostly from {name} ({count} of {len(order)})"
        return ""

    def _field(self, number: int) -> int:
        """Side in px of the square around a cell that holds ``HELD`` of the gradient at the picture."""
        x = self.x[:4].detach().clone().requires_grad_()
        with frozen(self.predictor.model), torch.enable_grad():
            maps = self.predictor.model.features(x)[number]
            h, w = maps.shape[2] // 2, maps.shape[3] // 2
            gradient = torch.autograd.grad(maps[:, :, h, w].abs().sum(), x, allow_unused=True)[0]
        if gradient is None:
            return self.side
        energy = gradient.abs().sum((0, 1)).double()
        at = [
            (2 * cell + 1) * self.side / (2 * n) - 0.5 for cell, n in ((h, maps.shape[2]), (w, maps.shape[3]))
        ]
        rows, columns = ((torch.arange(self.side, dtype=torch.float64) - centre).abs() for centre in at)
        away = torch.maximum(rows.unsqueeze(1), columns.unsqueeze(0)).flatten()  # distance in squares
        order = away.argsort()
        held = energy.cpu().flatten()[order].cumsum(0)
        if float(held[-1]) <= 0:
            return self.side
        reach = float(away[order][int((held < HELD * held[-1]).sum())])
        return int(min(self.side, max(3, round(2 * reach + 1))))

    def _piece(self, picture: int, cell: int, shape: tuple[int, ...], field_px: int) -> Pixels:
        """The piece of a picture around a cell of the map, (field, field, 3), enlarged."""
        if picture not in self._large:
            preprocess = Preprocess(scaled(self.predictor.card.preprocess, _LARGE * self.side))
            pixels = preprocess.read(self.pictures[picture].path)[0]
            self._large[picture] = np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
        pixels, size = self._large[picture], _LARGE * field_px
        row, column = divmod(cell, shape[2])
        starts = [
            int(np.clip(round((2 * at + 1) * len(pixels) / (2 * n) - size / 2), 0, len(pixels) - size))
            for at, n in ((row, shape[1]), (column, shape[2]))
        ]
        return pixels[starts[0] : starts[0] + size, starts[1] : starts[1] + size]

    def kept(self, maps: list[Tensor]) -> tuple[str, str | None]:
        """One picture stage by stage: a sentence and the name of the sheet."""
        if not maps:
            return (
                "This network does not give its inner maps, so what it keeps of a picture cannot be shown.",
                None,
            )
        pixels = Preprocess(self.predictor.card.preprocess).read(self.pictures[0].path)[0]
        rows: list[tuple[str, list[Pixels]]] = [("the picture\nas the network\nsees it", [pixels])]
        for number, stage in enumerate(maps, 1):
            shape = tuple(int(n) for n in stage.shape[1:])
            caption = f"stage {number}\n{shape[0]} maps of\n{shape[1]} x {shape[2]} cells"
            rows.append((caption, _loudest(stage[0].cpu().numpy())))
        words = (
            "One picture on its way through the network: at each stage the eight maps that answer most, bright where "
            "they do. Detail is lost from stage to stage; what is left is where something that matters is."
        )
        if maps[0].shape[3] == 1:
            words = (
                "One picture on its way through a network that reads rows: a stripe is one row of the picture, a "
                "column one number that the network remembers after that row."
            )
        return words, self.save("kept.png", rows)


def _vivid(best: Tensor) -> list[int]:
    """The most selective channels of best (N, C): their best pictures lie furthest above their usual ones."""
    spread = best.std(0, correction=0) if len(best) > 1 else best[0].abs()
    top = best.topk(min(PATCHES, len(best)), dim=0).values.mean(0) - best.mean(0)
    vivid = torch.where(spread > 1e-6, top / (spread + 1e-6), torch.full_like(spread, -1.0))
    return [int(i) for i in vivid.topk(min(CHANNELS, best.shape[1])).indices]


def _loudest(maps: NDArray[np.float32]) -> list[Pixels]:
    """(C, h, w) -> the eight of the largest spread as coloured pictures; of rows, all states as one picture."""
    if maps.shape[2] == 1:
        states = maps[:, :, 0].T  # h C
        return [_shade(states)]
    order = np.argsort(-maps.reshape(len(maps), -1).std(1), kind="stable")[:CHANNELS]
    return [_shade(maps[i]) for i in order]


def _shade(values: NDArray[np.float32]) -> Pixels:
    low, high = float(values.min()), float(values.max())
    unit = (values - low) / (high - low) if high > low else np.zeros_like(values)
    return np.asarray(coloured(unit).round(), dtype=np.uint8)
