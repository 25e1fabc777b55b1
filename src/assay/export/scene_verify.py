"""Does an exported network of several heads say what the checkpoint says? Its numbers, and what is read from them.

Two checks on the same pictures. *Tensors*: no value of an output may be further away than the tolerance allows, a share
of the greatest value of that output. *Answers*: both are decoded as a Bundle decodes them, and compared: class, boxes
(matched one to one), masks and the class of every pixel. The first finds a wrong translation, the second a right one
under a wrong name, and what the tolerance lets through.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from assay.boxes import iou
from assay.detections import Detections
from assay.errors import ExportError
from assay.export.verify import told_why
from assay.masks import iou as mask_iou
from assay.pipeline_scene import EVERY_SCORE
from assay.postprocess_boxes import IOU_THRESHOLD, MOST_BOXES, Frame
from assay.postprocess_scene import SceneAnswer, read_scene
from assay.preprocess import Preprocess

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.card import Card

    Named = Mapping[str, NDArray[Any]]

_CHUNK = 8
_SAME = 0.95
"""IoU from which two boxes are one."""


@dataclass(frozen=True)
class SceneParity:
    """How far an export is from its checkpoint.

    ``outputs`` has the greatest absolute ``difference`` of each output and its ``scale``, the greatest value (at least
    1): their quotient is held to ``tolerance``. ``agreement`` has the share of equal answers of each part that is told:
    class (of pictures), boxes (that both found, with the same class), masks (IoU of all of them together), pixels.
    These shares may lack as much as ``tolerance``. Boxes and classes that are a toss-up count as equal: two scores that
    differ by less than the outputs do. ``boxes`` is the number that was compared.
    """

    pictures: int
    source: str
    outputs: Mapping[str, Mapping[str, float]]
    agreement: Mapping[str, float]
    boxes: int
    tolerance: float

    @property
    def departs(self) -> str | None:
        """The output or the answer that is not the checkpoint's, with its numbers; None where all are."""
        for name, found in self.outputs.items():
            share = found["difference"] / found["scale"]
            if not share <= self.tolerance:
                return (
                    f"{name} differs by up to {found['difference']:.3g} ({share:.2g} of its scale, "
                    f"allowed {self.tolerance:g})"
                )
        for name, share in self.agreement.items():
            if not share >= 1 - self.tolerance:
                return f"only {share:.2%} of {name} agree, though the outputs do within {self.tolerance:g}"
        return None

    @property
    def holds(self) -> bool:
        """Whether nothing departs."""
        return self.departs is None

    @property
    def sentence(self) -> str:
        """What a person is told."""
        parts = [f"{share:.1%} of {name}" for name, share in self.agreement.items()]
        worst = max(found["difference"] / found["scale"] for found in self.outputs.values())
        told = f"{', '.join(parts)} agree, " if parts else ""
        return (
            f"compared on {self.pictures} pictures ({self.source}): {told}"
            f"outputs differ by at most {worst:.2g} of their scale"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the card."""
        return {
            "pictures": self.pictures,
            "source": self.source,
            "outputs": {name: dict(found) for name, found in self.outputs.items()},
            "agreement": dict(self.agreement),
            "boxes": self.boxes,
            "tolerance": self.tolerance,
        }


def measure_scene_parity(
    model: nn.Module, engine: Any, pixels: NDArray[np.uint8], card: Card, *, source: str, tolerance: float
) -> SceneParity:
    """Answer (n, S, S, C) uint8 with both, in batches of 1 and of several, and compare."""
    preprocess, tally = Preprocess(card.preprocess), _Tally(card)
    bounds = [0, 1, *range(1 + _CHUNK, len(pixels), _CHUNK), len(pixels)] if len(pixels) > 1 else [0, 1]
    for start, stop in pairwise(bounds):
        x = preprocess.normalise(pixels[start:stop])
        tally.add(answers_of(model, x), engine.scene(x))
    return SceneParity(
        pictures=len(pixels),
        source=source,
        outputs={
            name: {"difference": tally.gaps[name], "scale": max(1.0, tally.scales[name])}
            for name in tally.scales
        },
        agreement={name: same / of if of else 1.0 for name, (same, of) in tally.counts.items()},
        boxes=int(tally.counts["boxes"][1]) if "boxes" in tally.counts else 0,
        tolerance=tolerance,
    )


def require_scene_parity(parity: SceneParity, why: Callable[[], str | None] | None = None) -> None:
    """Refuse an export that differs. Raises ExportError with the output that departs, and with what ``why`` finds."""
    if parity.holds:
        return
    raise ExportError(
        "the export does not answer as the checkpoint does, so nothing was written",
        got=f"on {parity.pictures} pictures ({parity.source}) {parity.departs}{told_why(why)}",
        fix="report this with the name of the network; --tolerance allows more where you know why",
    )


def answers_of(model: nn.Module, x: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """(B, C, S, S) float32 -> every output of a torch network by its name."""
    with torch.inference_mode():
        return {name: value.float().numpy() for name, value in model(torch.from_numpy(x)).named().items()}


@dataclass
class _Tally:
    """Differences and agreements, batch by batch: all outputs of all pictures would not fit into memory."""

    card: Card
    gaps: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    scales: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    counts: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def add(self, expected: Named, found: Named) -> None:
        """One batch of both."""
        if expected.keys() != found.keys():
            raise ExportError(
                "the exported network has other outputs than the checkpoint, so nothing was written",
                got=f"{', '.join(found)}; the checkpoint has {', '.join(expected)}",
                fix="report this with the name of the network",
            )
        apart = {name: np.abs(found[name] - value) for name, value in expected.items()}
        for name, value in expected.items():
            # a NaN in either must not be lost in a comparison
            self.gaps[name] = float(np.maximum(self.gaps[name], apart[name].max(initial=0)))
            self.scales[name] = max(self.scales[name], float(np.abs(value).max(initial=0)))
        if not all(np.isfinite(value).all() for named in (expected, found) for value in named.values()):
            return  # the gaps tell it; nothing can be read from it
        for i in range(len(next(iter(expected.values())))):
            a, b = ({name: value[i] for name, value in named.items()} for named in (expected, found))
            self._compare(a, b, {name: float(value[i].max(initial=0)) for name, value in apart.items()})

    def _compare(self, expected: Named, found: Named, gaps: Mapping[str, float]) -> None:
        """One picture: what is read from both, in pixels of the network's input."""
        side = self.card.preprocess.size
        options = {"temperature": self.card.temperature, "least_score": EVERY_SCORE}
        a, b = (read_scene(named, Frame((side, side)), side, **options) for named in (expected, found))  # type: ignore[arg-type]
        if a.probs is not None and b.probs is not None:
            best = np.sort(expected["class_logits"])
            is_tie = len(best) > 1 and best[-1] - best[-2] <= 2 * gaps["class_logits"]
            self._count("class", a.probs.argmax() == b.probs.argmax() or is_tie, 1)
        if a.boxes is not None and b.boxes is not None:
            gap = max((v for name, v in gaps.items() if name.endswith("_class_logits")), default=0.0)
            self._compare_boxes(a.boxes, b.boxes, gap)
        self._compare_pixels(a, b)

    def _compare_pixels(self, a: SceneAnswer, b: SceneAnswer) -> None:
        if a.pixels is not None and b.pixels is not None:
            self._count("pixels", float((a.pixels == b.pixels).sum()), a.pixels.size)

    def _compare_boxes(self, a: Detections, b: Detections, gap: float) -> None:
        """A logit that differs by ``gap`` moves a score by a quarter of it at most."""
        same, pairs = _partners(a, b)
        lost = _count_lost(a, b, same, gap / 4) + _count_lost(b, a, same.T, gap / 4)
        self._count("boxes", len(a) + len(b) - lost, len(a) + len(b))
        masks = [(a.masks[i], b.masks[j]) for i, j in pairs]
        for one, other in masks:
            if one is not None and other is not None:
                total, share = one.area + other.area, float(mask_iou([one], [other])[0, 0])
                union = total / (1 + share) if total else 0.0
                self._count("masks", share * union, union)

    def _count(self, name: str, same: float, of: float) -> None:
        self.counts[name] = self.counts.get(name, np.zeros(2)) + np.array([same, of], np.float64)


def _partners(a: Detections, b: Detections) -> tuple[NDArray[np.float64], list[tuple[int, int]]]:
    """(N, M) IoU of boxes of the same class, 0 for others; and pairs of which each box is in one at most."""
    same = iou(a.boxes_xyxy, b.boxes_xyxy) * (a.labels[:, None] == b.labels[None, :])
    pairs, free = [], np.ones(len(b), bool)
    for i, row in enumerate(same):
        if len(row) and (row * free).max() >= _SAME:
            j = int((row * free).argmax())
            free[j] = False
            pairs.append((i, j))
    return same, pairs


def _count_lost(own: Detections, others: Detections, same: NDArray[np.float64], gap: float) -> int:
    """Of ``own``: how many have no partner, and no excuse. One has an excuse where its score is at the edge of what is
    told, or where it could be suppressed by another one, or not, by a hair.
    """
    edge = EVERY_SCORE if len(others) < MOST_BOXES else float(others.scores[-1])
    best = same.max(axis=1, initial=0.0)
    is_lost = (best < _SAME) & (own.scores > edge + gap) & (best < IOU_THRESHOLD - 0.01)
    return int(is_lost.sum())
