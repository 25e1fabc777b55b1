"""`export`: from a run folder to one Bundle, written only when it answers as the checkpoint does."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from assay.export.onnx import OPSET, to_onnx
from assay.export.provenance import complete_card, licence_text, read_record
from assay.export.verify import (
    PICTURES,
    Parity,
    measure_parity,
    read_pixels,
    render_patterns,
    require_parity,
)
from assay.files import write_file
from assay.preprocess import Preprocess
from assay.runtime.engines.onnxruntime import OnnxRuntimeEngine
from assay.runtime.golden import check_golden, pack_golden

if TYPE_CHECKING:
    from assay.export.scene_export import SceneExport
    from assay.export.scene_verify import SceneParity
    from assay.models.build import Classifier

TOLERANCE = 1e-3
"""Greatest difference of a logit, as a share of the greatest logit, between checkpoint and export."""

_GOLDEN = 4


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how well it agrees with the checkpoint; ``notes`` are sentences for the user."""

    path: Path
    size_bytes: int
    digest: str
    parity: Parity | SceneParity
    card: Card
    seconds: float
    notes: tuple[str, ...] = ()

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
            "seconds": round(self.seconds, 2),
        }

    def _of_scene(self) -> dict[str, Any]:
        if self.card.task != "scene":
            return {}
        return {
            "heads": list(self.card.heads),
            "object_classes": len(self.card.object_classes),
            "pixel_classes": len(self.card.pixel_classes),
            "notes": list(self.notes),
        }


def export(
    run: str | Path | Any,
    out: str | Path,
    *,
    pictures: str | Path | Iterable[str | Path] | None = None,
    tolerance: float = TOLERANCE,
    heads: Sequence[str] | None = None,
    nms_free: bool = False,
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
    checkpoint = load_run(folder)
    # the plain layout: channels_last weights would be exported with transposes around every layer
    model: Any = checkpoint.model.float().eval().cpu()
    model.to(memory_format=torch.contiguous_format)
    record = read_record(folder)
    card = complete_card(checkpoint.card, folder, record)
    job = _job(model, card, heads, nms_free)
    card = job.card
    pixels, source = _pictures(pictures, folder, record, card)
    graph = job.to_graph()
    engine = _open_engine(graph)
    parity = job.verify(engine, pixels, source=source, tolerance=tolerance)
    card = replace(card, parity={**card.parity, "onnx": {**parity.to_dict(), "opset": OPSET}})
    card, thresholds = _thresholds(card, folder)
    data, digest = _pack(job, graph, engine, card, thresholds)
    write_file(out, data)
    return ExportReport(out, len(data), digest, parity, card, time.monotonic() - begun, job.notes)


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
        require_parity(parity)
        return parity

    def golden(self, pixels: NDArray[np.uint8]) -> bytes:
        x = torch.from_numpy(Preprocess(self.card.preprocess).normalise(pixels))
        with torch.inference_mode():
            return pack_golden(pixels, self.model(x).float().numpy())


def _job(model: Any, card: Card, heads: Sequence[str] | None, nms_free: bool) -> _ClassExport | SceneExport:
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


def _pack(
    job: _ClassExport | SceneExport,
    graph: bytes,
    engine: OnnxRuntimeEngine,
    card: Card,
    further: Mapping[str, bytes],
) -> tuple[bytes, str]:
    """(bytes, digest) of the Bundle, read back and checked as ``load`` will."""
    weights = {name: value.detach().contiguous() for name, value in job.model.state_dict().items()}
    members = {
        WEIGHTS: save({name: value.clone() for name, value in weights.items()}),
        GRAPH: graph,
        # rendered patterns, not the user's photos: a Bundle may be handed to anybody
        GOLDEN: job.golden(render_patterns(card, _GOLDEN)),
        "LICENSE": licence_text(card).encode(),
        **further,
    }
    data = pack_bundle(card, members)
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


def _pictures(
    named: str | Path | Iterable[str | Path] | None, folder: Path, record: Mapping[str, Any], card: Card
) -> tuple[NDArray[np.uint8], str]:
    """(pixels (n, S, S, C), what they are)."""
    if named is not None:
        from assay.runtime.sources import Pictures  # noqa: PLC0415

        pixels = read_pixels(Pictures(named), card)
        if not len(pixels):
            raise ConfigError("none of the pictures can be read", fix="name other pictures to compare on")
        return pixels, "named pictures"
    for part in ("validation", "test", "train"):
        pixels = read_pixels(_part_paths(folder, record, part), card)
        if len(pixels):
            return pixels, f"{part} part"
    return render_patterns(card, PICTURES), "rendered patterns: the run's pictures are gone"


def _part_paths(folder: Path, record: Mapping[str, Any], part: str) -> Iterator[Path]:
    """Paths of one part of the run's split, spread over its rows, where the files are still there."""
    table = folder / "split.parquet"
    if not table.is_file():
        return
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        columns = pq.read_table(table, columns=["path", "part"]).to_pydict()
    except (pa.ArrowException, OSError, KeyError):
        return
    paths = [path for path, of in zip(columns["path"], columns["part"], strict=True) if of == part]
    roots = _roots(folder, record, part)
    step = max(1, len(paths) // PICTURES)  # neighbours are often one class: take from everywhere
    for path in paths[::step]:
        found = next((root / path for root in roots if (root / path).is_file()), None)
        if found is not None:
            yield found


def _roots(folder: Path, record: Mapping[str, Any], part: str) -> list[Path]:
    """Folders that the split's paths may start from."""
    measured = read_record(folder / "evaluation", f"{part}.json").get("root")
    read = record.get("recipe", {}).get("read", {}).get("root")
    data = record.get("data")
    named = [Path(str(place)).expanduser() for place in (measured, read, data) if place]
    return [*named, *(place.parent for place in named), Path()]
