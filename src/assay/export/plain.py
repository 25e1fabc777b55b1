"""A run's network for other programs: ONNX, OpenVINO's IR, or a program of torch.export, with its card beside it.

A Bundle is what Assay itself answers from. These files are for those who deploy by other means: the network alone, that
takes prepared pictures, and ``FILE.json``, the card, which says how pictures are prepared and which class is which.
Each is checked against the checkpoint before it is written, as a Bundle is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch

from assay.card import Card
from assay.errors import BundleError, ConfigError, ExportError
from assay.export.departure import relative_gap
from assay.export.onnx import Wrapped, wrapped
from assay.export.parity_pictures import parity_pictures
from assay.export.provenance import complete_card, read_record
from assay.export.scene_verify import answers_of
from assay.files import write_file
from assay.pipeline_scene import told_from
from assay.preprocess import Preprocess
from assay.runtime.engines.engine import EMBEDDING, INPUT, LOGITS, first_line
from assay.runtime.precisions import GOLDEN_TOLERANCE
from assay.tables import EXPORTERS

_HALF = 0.02
"""Greatest difference with weights of 16 bits, as a share of an output's scale."""
_LEAST_SCORE = 0.01
"""With suppression inside of the graph; less would make it slow."""

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Named = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Plain:
    """What an exporter of ``assay.tables.EXPORTERS`` gets.

    ``graph`` is the ONNX graph, whose batch is fixed where ``batch`` is a number; ``network`` the torch module behind
    it with tensors as outputs. ``half`` asks for weights of 16 bits, where the format has them.
    """

    network: Wrapped
    graph: bytes
    card: Card
    out: Path
    batch: int | None
    half: bool


@dataclass(frozen=True)
class Written:
    """Files that an exporter would write, in memory, and the same network answering: pictures -> named outputs."""

    files: dict[Path, bytes]
    answer: Callable[[NDArray[np.float32]], Named]


@dataclass(frozen=True)
class PlainReport:
    """What was written, and the greatest difference to the checkpoint as a share of the outputs' scale."""

    format: str
    files: tuple[Path, ...]
    outputs: tuple[str, ...]
    difference: float
    pictures: int
    source: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**values, "files": [str(path) for path in self.files], "seconds": round(self.seconds, 2)}


def export_plain(
    run: str | Path | Any,
    out: str | Path,
    *,
    format: str,  # noqa: A002
    batch: int | None = None,
    nms: bool = False,
    half: bool = False,
    heads: Sequence[str] | None = None,
    nms_free: bool = False,
    pictures: Any = None,
    tolerance: float = GOLDEN_TOLERANCE,
) -> PlainReport:
    """Write a finished run's network for other programs.

    Parameters
    ----------
    run : a run folder, or what ``train`` returned.
    out : the file; its ending is that of the format.
    format : a name of ``assay.tables.EXPORTERS``: "onnx", "openvino", "torch-export".
    batch : a fixed number of pictures; any number when not given.
    nms : ONNX and OpenVINO: decoding and suppression of boxes inside of the graph.
    half : OpenVINO: weights of 16 bits.
    heads, nms_free, pictures, tolerance : as ``export``.

    Raises
    ------
    ConfigError : an unknown format, no finished run, options that do not go together.
    ExportError : the network cannot be translated, or does not answer as the checkpoint does. Nothing is written.
    """
    from assay.export.export import job_of  # noqa: PLC0415 - what a run becomes, the same for all formats
    from assay.train.predictor import load_run  # noqa: PLC0415 - accelerate and more

    begun, folder, out = time.monotonic(), Path(getattr(run, "folder", run)), Path(out)
    write = EXPORTERS.load(format)
    _check(out, format, batch, nms=nms, half=half)
    checkpoint = load_run(folder)
    model: Any = checkpoint.model.float().eval().cpu()
    model.to(memory_format=torch.contiguous_format)
    record = read_record(folder)
    job = job_of(model, complete_card(checkpoint.card, folder, record), heads, nms_free)
    card, graph = job.card, job.to_graph()
    pixels, source = parity_pictures(pictures, folder, record, card)
    x = Preprocess(card.preprocess).normalise(pixels)
    network = wrapped(job.model, card)
    asked = Plain(network, graph if batch is None else fix_batch(graph, batch), card, out, batch, half)
    written, allowed = write(asked), max(tolerance, _HALF) if half else tolerance
    difference = _compare(written, lambda part: _expected(job.model, card, part), x, batch, allowed)
    if nms:
        from assay.export.suppressed import require_same_things, with_suppression  # noqa: PLC0415

        score = max(_LEAST_SCORE, told_from(card))
        graph = with_suppression(graph, card.preprocess.size, score)
        asked = replace(asked, graph=graph if batch is None else fix_batch(graph, batch))
        plain, written = written, write(asked)
        for part in _parts(x, batch):
            found, raw = (_answered(one, part) for one in (written, plain))
            require_same_things(found, raw, card.preprocess.size, score, allowed)
    graph = asked.graph
    card = replace(card, parity={**card.parity, format: {"difference": difference, "pictures": len(x)}})
    beside = out.with_name(f"{out.name}.json")  # x.onnx and x.xml may lie side by side
    _require_own(beside)
    # the file that was asked for comes last: until then nobody takes the others for a whole
    files = {beside: (card.to_json() + "\n").encode(), **dict(reversed(written.files.items()))}
    for path, data in files.items():
        write_file(path, data)
    names = tuple(end.name for end in onnx.load_model_from_string(graph).graph.output)
    told = (*written.files, beside)
    return PlainReport(format, told, names, difference, len(x), source, time.monotonic() - begun)


def fix_batch(graph: bytes, batch: int) -> bytes:
    """The graph for exactly so many pictures."""
    model = onnx.load_model_from_string(graph)
    for end in (*model.graph.input, *model.graph.output):
        first = end.type.tensor_type.shape.dim[0]
        if first.dim_param != "things":
            first.dim_value = batch
    return bytes(model.SerializeToString(deterministic=True))


def write_onnx(asked: Plain) -> Written:
    """One ONNX file."""
    return Written({asked.out: asked.graph}, lambda x: run_onnx(asked.graph, x))


def run_onnx(graph: bytes, x: NDArray[np.float32]) -> Named:
    """Every output of a graph by its name, by ONNX Runtime as any program would use it."""
    from assay.no_telemetry import forbid_telemetry  # noqa: PLC0415

    forbid_telemetry()
    import onnxruntime  # noqa: PLC0415 - after the switch

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = [end.name for end in session.get_outputs()]
    return dict(zip(names, session.run(names, {INPUT: x}), strict=True))


def _check(out: Path, format: str, batch: int | None, *, nms: bool, half: bool) -> None:  # noqa: A002
    ending = {"onnx": ".onnx", "openvino": ".xml", "torch-export": ".pt2"}.get(format)
    if out.is_dir() or (ending is not None and out.suffix.lower() != ending):
        raise ConfigError(
            f"{out} does not end with {ending}", fix=f"e.g. --out {out.stem or 'model'}{ending}"
        )
    if batch is not None and batch < 1:
        raise ConfigError(f"batch is {batch}", fix="give at least 1, or leave it out for any number")
    if nms and format == "torch-export":
        raise ConfigError(
            "a program of torch.export has no suppression", got="--nms", fix="choose onnx or openvino"
        )
    if half and format != "openvino":
        raise ConfigError(
            "weights of 16 bits are written for OpenVINO alone",
            got=f"--format {format}",
            fix="ONNX Runtime computes in fp16 more slowly than in fp32 on processors",
        )


def _expected(model: Any, card: Card, x: NDArray[np.float32]) -> Named:
    if card.task == "scene":
        return dict(answers_of(model, x))
    with torch.inference_mode():
        pictures = torch.from_numpy(x)
        embedding = model.embed(pictures)
        return {LOGITS: model.head(embedding).float().numpy(), EMBEDDING: embedding.float().numpy()}


def _parts(x: NDArray[np.float32], batch: int | None) -> list[NDArray[np.float32]]:
    """The pictures in batches that the file takes: of one and of several, or of exactly ``batch``, filled up."""
    if batch is None:
        return [x[:1], *(x[at : at + 8] for at in range(1, len(x), 8))]
    whole = np.resize(x, (-(-len(x) // batch) * batch, *x.shape[1:]))
    return [whole[at : at + batch] for at in range(0, len(whole), batch)]


def _answered(written: Written, x: NDArray[np.float32]) -> Named:
    try:
        return written.answer(x)
    except Exception as error:  # the libraries' exceptions share no public base class
        raise ExportError(
            "the exported file cannot be run, so nothing was written",
            got=first_line(error),
            fix="report this with the name of the network",
        ) from error


def _compare(
    written: Written,
    expected: Callable[[NDArray[np.float32]], Named],
    x: NDArray[np.float32],
    batch: int | None,
    allowed: float,
) -> float:
    """The greatest difference of an output, as a share of its scale. Raises ExportError where it is too great."""
    shares: dict[str, float] = {}
    for part in _parts(x, batch):
        found, wanted = _answered(written, part), expected(part)
        if found.keys() != wanted.keys():
            raise ExportError(
                "the exported file has other outputs than the checkpoint, so nothing was written",
                got=f"{', '.join(found)}; the checkpoint has {', '.join(wanted)}",
                fix="report this with the name of the network",
            )
        for name, value in wanted.items():
            # a NaN must not be lost in a comparison
            shares[name] = float(np.maximum(shares.get(name, 0.0), relative_gap(found[name], value)))
    for name, share in shares.items():
        if not share <= allowed:
            raise ExportError(
                "the export does not answer as the checkpoint does, so nothing was written",
                got=f"{name} differs by {share:.2g} of its scale, allowed {allowed:g}",
                fix="report this with the name of the network; --tolerance allows more where you know why",
            )
    return max(shares.values())


def _require_own(path: Path) -> None:
    """Raise ConfigError where a file lies that is no card: it would be lost."""
    if not path.exists():
        return
    try:
        Card.load(path)
    except BundleError as error:
        raise ConfigError(
            f"{path} is there already and is no card of Assay's", fix="choose another name with --out"
        ) from error
