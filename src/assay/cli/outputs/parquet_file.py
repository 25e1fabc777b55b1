"""Answers as a Parquet table, a row a picture, for those who go on with pandas, DuckDB or Arrow.

Columns: path, error, height, width, frame and time_s (of videos); label, confidence, probabilities (in the order of
the classes), tags, and things (label, score, box in pixels, track, mask as COCO's run lengths) and pixels (label,
share), as far as the network tells them. Where answers may be held back: answer (null where it is), abstains, reasons
and set. Where models work in sequence, each thing has steps: of each its label, confidence, and all it says as JSON.
The file's own notes hold the name and digest of the Bundle and the classes.
Parquet cannot be gone on with, so rows are kept as a chain of Arrow streams until the end.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from assay.answer_fields import pixel_shares
from assay.cli.outputs.part_file import PartFile
from assay.files import explain_write

if TYPE_CHECKING:
    from pathlib import Path

    from assay.card import Card
    from assay.types import Prediction

_CHUNK, _GROUP = 256, 16_384

_THING = [
    ("label", pa.string()),
    ("score", pa.float32()),
    ("box_xyxy", pa.list_(pa.float32(), 4)),
    ("track", pa.int64()),
    ("mask", pa.struct([("size", pa.list_(pa.int32(), 2)), ("counts", pa.string())])),
]
_STEP = pa.struct([("label", pa.string()), ("confidence", pa.float32()), ("json", pa.string())])
_DOUBT = [
    ("answer", pa.string()),
    ("abstains", pa.bool_()),
    ("reasons", pa.list_(pa.string())),
    ("set", pa.list_(pa.string())),
]
_SHARE = pa.struct([("label", pa.string()), ("share", pa.float32())])


class ParquetFile:
    """As ``ledger.Output``. ``digest`` is the Bundle's, ``steps`` are those that look at things."""

    def __init__(
        self, path: str | Path, card: Card, digest: str, *, abstain: bool = False, steps: Sequence[str] = ()
    ) -> None:
        self._file, self._whole = PartFile(path, ".arrow.part"), PartFile(path)
        self.path, self._heads = self._file.path, card.heads
        about = {"model": card.name, "digest": digest, "classes": list(card.classes)}
        schema = _schema(card, abstain=abstain, steps=steps)
        self._schema = schema.with_metadata({"assay": json.dumps(about)})
        self._rows: list[dict[str, Any]] = []

    @property
    def has_part(self) -> bool:
        """As ``ledger.Output``."""
        return self._file.part.exists()

    def open(self, at: Mapping[str, int] | None) -> None:
        """As ``ledger.Output``."""
        self._file.open(None if at is None else at["bytes"])

    def write(self, prediction: Prediction) -> None:
        """As ``ledger.Output``."""
        self._rows.append(_row(prediction, self._heads))
        if len(self._rows) == _CHUNK:
            self._spool()

    def _spool(self) -> None:
        if self._rows:
            held = io.BytesIO()
            batch = pa.RecordBatch.from_pylist(self._rows, self._schema)
            with pa.ipc.new_stream(held, self._schema) as stream:
                stream.write_batch(batch)
            self._file.write(held.getvalue())
            self._rows = []

    def position(self) -> dict[str, int]:
        """As ``ledger.Output``."""
        self._spool()
        return {"bytes": self._file.flush()}

    def finish(self) -> None:
        """As ``ledger.Output``."""
        self._spool()
        self._whole.open()
        try:
            with (
                self._file.read_back() as spool,
                pq.ParquetWriter(self._whole.part, self._schema, compression="zstd") as writer,
            ):
                for group in _groups(spool, self._schema):
                    writer.write_table(group, row_group_size=_GROUP)
        except OSError as error:
            raise explain_write(self.path, error) from error
        self._whole.finish()
        self._file.discard()

    def close(self) -> None:
        """As ``ledger.Output``."""
        self._file.close()
        self._whole.close()

    def discard(self) -> None:
        """As ``ledger.Output``."""
        self._file.discard()
        self._whole.discard()


def _groups(spool: BinaryIO, schema: pa.Schema) -> Iterator[pa.Table]:
    """Tables of ``_GROUP`` rows, the last one of what is left: the same wherever the walk was broken."""
    waiting: list[pa.RecordBatch] = []
    while spool.peek(1):  # type: ignore[attr-defined]
        waiting += list(pa.ipc.open_stream(spool))
        while sum(map(len, waiting)) >= _GROUP:
            table = pa.Table.from_batches(waiting, schema)
            yield table.slice(0, _GROUP).combine_chunks()
            waiting = table.slice(_GROUP).combine_chunks().to_batches()
    if waiting:
        yield pa.Table.from_batches(waiting, schema).combine_chunks()


def _schema(card: Card, *, abstain: bool, steps: Sequence[str]) -> pa.Schema:
    fields = [("path", pa.string()), ("error", pa.string()), ("height", pa.int32()), ("width", pa.int32())]
    fields += [("frame", pa.int64()), ("time_s", pa.float64())]
    if "class" in card.heads:
        fields += [("label", pa.string()), ("confidence", pa.float32())]
        fields += [("probabilities", pa.list_(pa.float32(), len(card.classes)))]
    fields += _DOUBT * abstain
    fields += [("tags", pa.list_(pa.float32(), len(card.classes)))] * ("tags" in card.heads)
    of_steps = [("steps", pa.struct([(name, _STEP) for name in steps]))] * bool(steps)
    fields += [("things", pa.list_(pa.struct([*_THING, *of_steps])))] * ("boxes" in card.heads)
    fields += [("pixels", pa.list_(_SHARE))] * ("pixels" in card.heads)
    return pa.schema(fields)


def _row(prediction: Prediction, heads: tuple[str, ...]) -> dict[str, Any]:
    facts = prediction.facts
    row: dict[str, Any] = {"path": _text(prediction.path)}
    row |= {"error": _text(prediction.error), "frame": facts.get("frame"), "time_s": facts.get("time_s")}
    if prediction.error is not None:
        return row
    row["height"], row["width"] = prediction.size_hw
    if "class" in heads:
        row |= {"label": prediction.label, "confidence": prediction.confidence}
        row["probabilities"] = prediction.probs.tolist()
    if (doubt := prediction.doubt) is not None:
        row |= {"answer": None if doubt.abstains else prediction.label, "abstains": doubt.abstains}
        row |= {"reasons": list(doubt.reasons), "set": list(doubt.labels)}
    if prediction.tags is not None:
        row["tags"] = prediction.tags.tolist()
    if prediction.boxes is not None:
        row["things"] = _things(prediction)
    if prediction.pixels is not None:
        names = prediction.pixel_classes
        row["pixels"] = [{"label": names[i], "share": share} for i, share in pixel_shares(prediction)]
    return row


def _text(told: str | None) -> str | None:
    """Names that are no valid Unicode escaped."""
    return None if told is None else told.encode("utf-8", "backslashreplace").decode()


def _things(prediction: Prediction) -> list[dict[str, Any]]:
    found = prediction.boxes
    assert found is not None
    return [
        {
            "label": prediction.object_classes[int(found.labels[i])],
            "score": float(found.scores[i]),
            "box_xyxy": found.boxes_xyxy[i].tolist(),
            "track": None if found.tracks is None else int(found.tracks[i]),
            "mask": None if (mask := found.masks[i]) is None else mask.to_coco(),
            "steps": {name: _step(answers[i]) for name, answers in prediction.crops.items()},
        }
        for i in range(len(found))
    ]


def _step(crop: Prediction | None) -> dict[str, Any] | None:
    if crop is None:
        return None
    confidence = None if crop.label is None else crop.confidence
    return {"label": crop.label, "confidence": confidence, "json": crop.to_json()}
