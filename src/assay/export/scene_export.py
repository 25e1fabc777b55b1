"""What of a network of several heads goes into its Bundle: the heads that are wanted, and one kind of boxes.

While it learns, a network answers for boxes twice (``models.box_head``). A Bundle holds one of the two: by default the
answers that are suppressed afterwards, outside of the graph, which find more; with ``nms_free`` those of the
twin, which need no suppression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from assay.configs import HEADS
from assay.errors import ConfigError, ExportError
from assay.export.departure import why_it_departs
from assay.export.onnx import scene_to_onnx
from assay.export.scene_verify import SceneParity, answers_of, measure_scene_parity, require_scene_parity
from assay.models.multitask import MultiTask
from assay.preprocess import Preprocess
from assay.runtime.golden import pack_golden
from assay.tables import suggest
from assay.types import NO_CLASSES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.card import Card


@dataclass(frozen=True)
class SceneExport:
    """A network as it goes into the Bundle, with the card that fits it; ``notes`` are told to the user."""

    model: nn.Module
    card: Card
    notes: tuple[str, ...] = ()

    def to_graph(self) -> bytes:
        """The ONNX graph. Raises ExportError where there is none for this kind of network."""
        return scene_to_onnx(self.model, channels=self.card.channels, size=self.card.preprocess.size)

    def verify(self, engine: Any, pixels: NDArray[np.uint8], *, source: str, tolerance: float) -> SceneParity:
        """How far the graph is from the network, on (n, S, S, C) uint8. Raises ExportError beyond the tolerance."""
        parity = measure_scene_parity(
            self.model, engine, pixels, self.card, source=source, tolerance=tolerance
        )
        require_scene_parity(parity, lambda: self._why(engine, pixels, tolerance))
        return parity

    def _why(self, engine: Any, pixels: NDArray[np.uint8], tolerance: float) -> str | None:
        preprocess = Preprocess(self.card.preprocess)
        return why_it_departs(
            self.model,
            engine.graph,
            preprocess.normalise(pixels),
            self.card,
            preprocess,
            answer=lambda x: answers_of(self.model, x),
            found=engine.scene,
            tolerance=tolerance,
        )

    def golden(self, pixels: NDArray[np.uint8]) -> bytes:
        """The member with these pictures (n, S, S, C) and the network's answers."""
        return pack_golden(pixels, answers_of(self.model, Preprocess(self.card.preprocess).normalise(pixels)))


def scene_export(
    model: nn.Module, card: Card, *, heads: Sequence[str] | None = None, nms_free: bool = False
) -> SceneExport:
    """The network with the ``heads`` that are wanted, all when not given.

    Raises
    ------
    ConfigError : a head that the network does not have; masks without boxes; ``nms_free`` without boxes.
    ExportError : a network that no Bundle can hold; heads of a network that is not one of Assay's own.
    """
    _require_exportable(model, card)
    wanted = _wanted(card, heads)
    if nms_free and "boxes" not in wanted:
        raise ConfigError("--nms-free is about boxes, and none are exported", fix="leave it out")
    dropped = [head for head in card.heads if head not in wanted]
    if not isinstance(model, MultiTask):
        if dropped or nms_free:
            raise ExportError(
                f"{card.model.get('model')} cannot be taken apart",
                got="--nms-free" if nms_free else f"--heads {','.join(wanted)}",
                fix="export it whole, or train one of Assay's own networks (csp-nano, csp-small, csp-base)",
            )
        return _with_licence(model, card)
    if "boxes" in wanted:
        dropped.append("one-to-many" if nms_free else "one-to-one")
    card, notes = _told(card, nms_free=nms_free)
    return SceneExport(model.without(*dropped) if dropped else model, _without(card, wanted), notes)


def _told(card: Card, *, nms_free: bool) -> tuple[Card, tuple[str, ...]]:
    """The card with the score of the answers that are exported, and what the user should know of it."""
    thresholds = dict(card.thresholds)
    own = thresholds.pop("nms_free", None)
    if not nms_free or "boxes" not in thresholds:
        return replace(card, thresholds=thresholds), ()
    note = (
        "the measurements on the card are those of the other answers; `assay evaluate` measures this Bundle"
    )
    if own is None:
        thresholds["boxes"] = {**thresholds["boxes"], "picked_on": "boxes with suppression"}
        note = f"the score from which things are told ({thresholds['boxes'].get('score', 0):.2f}) and {note}"
    else:
        thresholds["boxes"] = own
    return replace(card, thresholds=thresholds), (note,)


def _require_exportable(model: nn.Module, card: Card) -> None:
    if not getattr(model, "exportable", True):
        raise ExportError(
            f"{card.model.get('model')} cannot be exported",
            got=str(getattr(model, "why_not_exportable", "")) or None,
            fix="`assay predict RUN PHOTOS` answers from the run itself; csp-nano, -small and -base can be exported",
        )


def _with_licence(model: nn.Module, card: Card) -> SceneExport:
    """What must be known of another library's network goes along, and is told."""
    note = getattr(model, "licence_note", None)
    if note is None:
        return SceneExport(model, card)
    origin = "; ".join(part for part in (card.licence.get("origin"), note) if part)
    return SceneExport(model, replace(card, licence={**card.licence, "origin": origin}), (note,))


def _wanted(card: Card, heads: Sequence[str] | None) -> tuple[str, ...]:
    """In the order of ``HEADS``."""
    if heads is None:
        return card.heads
    if not heads:
        raise ConfigError("no heads are named", fix=f"choose from {', '.join(card.heads)}")
    for head in heads:
        if head not in card.heads:
            raise ConfigError(
                f"this network has no head {head!r}",
                got=", ".join(card.heads),
                fix=suggest(head, list(card.heads)),
            )
    if "masks" in heads and "boxes" not in heads:
        raise ConfigError("masks belong to boxes", got=", ".join(heads), fix="name boxes too")
    return tuple(head for head in HEADS if head in heads)


def _without(card: Card, heads: Sequence[str]) -> Card:
    """The card of what is left: no names, thresholds or temperature of what is not told."""
    gone = {"boxes": "boxes" not in heads, "tags": "tags" not in heads}
    if tuple(heads) != card.heads:
        card = replace(card, metrics={part: _measured(told, heads) for part, told in card.metrics.items()})
    return replace(
        card,
        model={**card.model, "heads": heads},
        classes=card.classes if {"class", "tags"} & set(heads) else NO_CLASSES,
        object_classes=card.object_classes if "boxes" in heads else NO_CLASSES,
        pixel_classes=card.pixel_classes if "pixels" in heads else NO_CLASSES,
        temperature=card.temperature if "class" in heads else 1.0,
        thresholds={name: value for name, value in card.thresholds.items() if not gone.get(name, False)},
    )


def _measured(told: dict[str, Any], heads: Sequence[str]) -> dict[str, Any]:
    """A part's numbers of these heads alone: not of those that went, nor of all of them as a whole."""
    kept = {name: value for name, value in told.get("metrics", {}).items() if _head_of(name) in heads}
    return {**told, "metrics": kept}


def _head_of(metric: str) -> str:
    """``boxes`` of ``boxes.ap50``; numbers of the class have no head before their name."""
    head, dot, _ = metric.partition(".")
    return head if dot else "class"


__all__ = ["SceneExport", "scene_export"]
