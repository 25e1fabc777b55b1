"""`export`: from a run folder to one Bundle, written only when it answers as the checkpoint does."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save

from assay.bundle import ABSTENTION, GOLDEN, GRAPH, WEIGHTS, Card, pack_bundle, unpack_bundle
from assay.decide.stored import from_parts, read_parts
from assay.errors import BundleError, ConfigError, ExportError
from assay.export.departure import why_it_departs
from assay.export.gate import MOST_LOSS, Gate
from assay.export.onnx import OPSET, to_onnx
from assay.export.parity_pictures import parity_pictures
from assay.export.provenance import complete_card, licence_text, read_record
from assay.export.verify import (
    Parity,
    measure_parity,
    render_patterns,
    require_parity,
)
from assay.export.ways import Progress, WaysAsked, faster_ways
from assay.files import write_file
from assay.preprocess import Preprocess
from assay.runtime.engines.engine import LOGITS
from assay.runtime.engines.onnxruntime import OnnxRuntimeEngine
from assay.runtime.golden import check_golden, pack_golden
from assay.runtime.precisions import GOLDEN_TOLERANCE as TOLERANCE

if TYPE_CHECKING:
    from assay.export.scene_export import SceneExport
    from assay.export.scene_verify import SceneParity
    from assay.models.build import Classifier
    from assay.runtime.engines.engine import Engine

_GOLDEN = 4


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how well it agrees with the checkpoint; ``notes`` are sentences for the user.

    ``gates`` are the faster ways that were measured; those that did not pass are not used, and say why (``fault``).
    """

    path: Path
    size_bytes: int
    digest: str
    parity: Parity | SceneParity
    card: Card
    seconds: float
    notes: tuple[str, ...] = ()
    gates: tuple[Gate, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "path": str(self.path),
            "size_bytes": self.size_bytes,
            "sha256": self.digest,
            "classes": len(self.card.classes),
            **self._of_scene(),
            "opset": OPSET,
            "parity": self.parity.to_dict(),
            "decode": self.card.preprocess.decode,
            "gates": {gate.way: gate.to_dict() for gate in self.gates},
            "notes": list(self.notes),
            "seconds": round(self.seconds, 2),
        }

    def _of_scene(self) -> dict[str, Any]:
        if self.card.task != "scene":
            return {}
        return {
            "heads": list(self.card.heads),
            "object_classes": len(self.card.object_classes),
            "pixel_classes": len(self.card.pixel_classes),
        }


def export(
    run: str | Path | Any,
    out: str | Path,
    *,
    pictures: str | Path | Iterable[str | Path] | None = None,
    tolerance: float = TOLERANCE,
    heads: Sequence[str] | None = None,
    nms_free: bool = False,
    decode: str = "auto",
    precisions: Sequence[str] = (),
    most_loss: float = MOST_LOSS,
    on_progress: Progress | None = None,
) -> ExportReport:
    """Pack a finished run into one Bundle for prediction without torch.

    Parameters
    ----------
    run : a run folder, or what ``train`` returned.
    out : the Bundle's file.
    pictures : what to compare checkpoint and export on: files, folders, patterns. By default up to 64
        pictures of the run's validation part, or rendered patterns where those are gone.
    tolerance : greatest difference of a logit (of a value of any output, where there are several heads), as a share of
        the greatest one (at least 1).
    heads : which of a network's heads go into the Bundle, e.g. ``("class", "boxes")``; all when not given.
    nms_free : boxes as one answer a thing, which needs no suppression; by default the other answers, which do.
    decode : how the Bundle decodes JPEG files: "exact", "scaled" (smaller from the start, which is faster), or "auto":
        scaled where no score falls by more than half a point on the run's held-out pictures, and these are enough to
        rule out two points.
    precisions : what the Bundle may answer in besides fp32, of "int8" and "bf16"; each is measured on the held-out
        pictures, and the export is refused where it costs too much.
    most_loss : points that a score may fall for a faster way.
    on_progress : called with (what is done, pictures done, pictures in all).

    Raises
    ------
    ConfigError : no finished run, pictures that are not there, ``out`` is a folder, tolerance not above 0; heads that
        the network does not have.
    ExportError : the network cannot be translated, or does not answer as the checkpoint does. Nothing is written.
    AssayError : the disk is full, or the place cannot be written. Nothing is written.
    """
    from assay.train.predictor import load_run  # noqa: PLC0415 - accelerate and more, after the checks below

    begun = time.monotonic()
    folder, out = Path(getattr(run, "folder", run)), Path(out)
    _check_request(out, tolerance)
    asked = WaysAsked(decode, tuple(precisions), most_loss, on_progress or _say_nothing)
    checkpoint = load_run(folder)
    # the plain layout: channels_last weights would be exported with transposes around every layer
    model: Any = checkpoint.model.float().eval().cpu()
    model.to(memory_format=torch.contiguous_format)
    record = read_record(folder)
    card = complete_card(checkpoint.card, folder, record)
    job = job_of(model, card, heads, nms_free)
    card = job.card
    pixels, source = parity_pictures(pictures, folder, record, card)
    graph = job.to_graph()
    engine = _open_engine(graph)
    parity = job.verify(engine, pixels, source=source, tolerance=tolerance)
    card = replace(card, parity={**card.parity, "onnx": {**parity.to_dict(), "opset": OPSET}})
    card, thresholds = _thresholds(card, folder)
    # rendered patterns, not the user's photos: a Bundle may be handed to anybody
    golden = job.golden(render_patterns(card, _GOLDEN))
    ways = faster_ways(asked, card, graph, golden, engine, folder, record)
    members = {GRAPH: graph, GOLDEN: golden, **thresholds, **ways.members}
    data, digest = _pack(job.model, ways.card, members, engine)
    write_file(out, data)
    seconds = time.monotonic() - begun
    warnings = [gate.warning for gate in ways.gates if gate.warning is not None]
    notes = (*job.notes, *_of_promise(card, ways.card), *warnings)
    return ExportReport(out, len(data), digest, parity, ways.card, seconds, notes, ways.gates)


def _of_promise(before: Card, after: Card) -> list[str]:
    """What to know where answers are held back by thresholds, and pictures are now decoded in another way."""
    if "abstention" not in after.thresholds or before.preprocess.decode == after.preprocess.decode:
        return []
    told = "what is held back was promised on pictures that were decoded whole"
    return [f"{told}; --decode exact keeps the promise to the letter"]


@dataclass(frozen=True)
class _ClassExport:
    """A classifier as it goes into a Bundle; ``scene_export.SceneExport`` is its counterpart."""

    model: Classifier
    card: Card
    notes: tuple[str, ...] = ()

    def to_graph(self) -> bytes:
        return to_onnx(self.model, channels=self.card.channels, size=self.card.preprocess.size)

    def verify(self, engine: Any, pixels: NDArray[np.uint8], *, source: str, tolerance: float) -> Parity:
        parity = measure_parity(self.model, engine, pixels, self.card, source=source, tolerance=tolerance)
        require_parity(parity, lambda: self._why(engine, pixels, tolerance))
        return parity

    def _why(self, engine: Any, pixels: NDArray[np.uint8], tolerance: float) -> str | None:
        preprocess = Preprocess(self.card.preprocess)

        def answer(x: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
            with torch.inference_mode():
                return {LOGITS: self.model(torch.from_numpy(x)).float().numpy()}

        return why_it_departs(
            self.model,
            engine.graph,
            preprocess.normalise(pixels),
            self.card,
            preprocess,
            answer=answer,
            found=lambda x: {LOGITS: engine(x)},
            tolerance=tolerance,
        )

    def golden(self, pixels: NDArray[np.uint8]) -> bytes:
        x = torch.from_numpy(Preprocess(self.card.preprocess).normalise(pixels))
        with torch.inference_mode():
            return pack_golden(pixels, self.model(x).float().numpy())


def _say_nothing(_what: str, _done: int, _total: int) -> None:
    pass


def job_of(model: Any, card: Card, heads: Sequence[str] | None, nms_free: bool) -> _ClassExport | SceneExport:
    """What goes into the Bundle. Raises ConfigError and ExportError as ``scene_export``."""
    if card.task == "scene":
        from assay.export.scene_export import scene_export  # noqa: PLC0415 - of half of all runs

        return scene_export(model, card, heads=heads, nms_free=nms_free)
    if nms_free or (heads is not None and tuple(heads) != ("class",)):
        raise ConfigError(
            "this network tells the class of a picture alone: it has no heads to choose from",
            got="--nms-free" if nms_free else f"--heads {','.join(heads or ())}",
            fix="leave it out",
        )
    return _ClassExport(model, card)


def _check_request(out: Path, tolerance: float) -> None:
    if out.is_dir():
        raise ConfigError(f"{out} is a folder", fix=f"name a file, e.g. {out / 'model.bundle'}")
    if not tolerance > 0:
        raise ConfigError(f"tolerance is {tolerance}", fix="give a number above 0, e.g. 0.001")


def _open_engine(graph: bytes) -> OnnxRuntimeEngine:
    try:
        return OnnxRuntimeEngine(graph)
    except BundleError as error:
        raise ExportError(
            "the exported network cannot be run, so nothing was written", got=f"{error.what}: {error.got}"
        ) from error


def _thresholds(card: Card, folder: Path) -> tuple[Card, dict[str, bytes]]:
    """The run's thresholds: (the card with their plain part, the member that belongs to them).

    Raises
    ------
    BundleError : they are damaged, or of other classes.
    """
    parts = None if card.task == "scene" else read_parts(folder)
    if parts is None:
        return card, {}
    from_parts(*parts, card.classes)
    return replace(card, thresholds={**card.thresholds, "abstention": parts[0]}), {ABSTENTION: parts[1]}


def _pack(model: Any, card: Card, members: Mapping[str, bytes], engine: Engine) -> tuple[bytes, str]:
    """(bytes, digest) of the Bundle, read back and checked as ``load`` will."""
    weights = {name: value.detach().contiguous() for name, value in model.state_dict().items()}
    own = {
        WEIGHTS: save({name: value.clone() for name, value in weights.items()}),
        "LICENSE": licence_text(card).encode(),
    }
    data = pack_bundle(card, {**own, **members})
    bundle = unpack_bundle(data)
    try:
        check_golden(bundle.member(GOLDEN), engine, bundle.card)
    except BundleError as error:
        raise ExportError(
            "the export does not answer the golden pictures as the checkpoint does, so nothing was written",
            got=error.got,
            fix="report this with the name of the network; --tolerance allows more where you know why",
        ) from error
    return data, bundle.digest
