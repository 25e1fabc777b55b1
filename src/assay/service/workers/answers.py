"""What workers say, read in the parent: a decoder has met strangers' bytes, so nothing of it is taken on trust."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

import assay.errors
from assay.decide.evidence import Evidence
from assay.decide.prints import Prints
from assay.errors import AssayError
from assay.runtime.screen_parts import Decoded, DecodePlan
from assay.service.workers.facts import Facts
from assay.service.workers.frames import Frame, FrameError


def decoded_of(frame: Frame, plan: DecodePlan) -> Decoded:
    """A decoder's answer, looked through: strangers' bytes may have made it say anything. Raises FrameError."""
    height, width = (int(v) for v in frame.header["size_hw"])
    error = frame.header["error"]
    if error is not None:
        return Decoded(error="".join(c if c.isprintable() else " " for c in str(error)[:500]))
    shapes = plan.shapes()
    sizes = [math.prod(shape) for shape in shapes]
    found = [len(blob) for blob in frame.blobs[: len(sizes)]]
    if found != sizes or len(frame.blobs) != len(sizes) + plan.prints or height < 1 or width < 1:
        raise FrameError("pixels that the plan does not ask for", got=f"{found} bytes, {height} x {width}")
    arrays = [np.frombuffer(blob, np.uint8) for blob in frame.blobs]
    if plan.prints:
        Prints.from_bytes(arrays[-1].tobytes())  # ValueError where they are none
    pixels = tuple(array.reshape(shape) for array, shape in zip(arrays, shapes, strict=False))
    return Decoded((height, width), pixels, arrays[-1] if plan.prints else None)


def evidence_of(frame: Frame, number: int) -> list[Evidence] | str:
    """An answerer's answer, or why it has none. Raises FrameError."""
    if (failed := frame.header.get("failed")) is not None:
        return str(failed)
    found = [Evidence.from_dict(one) for one in frame.header["evidence"]]
    if len(found) != number:
        raise FrameError("answers to other photos than were asked for", got=f"{len(found)} for {number}")
    return found


def facts_of(header: Mapping[str, Any]) -> Facts:
    """What an answerer says first: its facts, or an error of ``assay.errors``, which is raised."""
    if (told := header.get("error")) is None:
        return Facts.from_dict(header["ready"])
    kind = getattr(assay.errors, str(told["kind"]), AssayError)
    if not (isinstance(kind, type) and issubclass(kind, AssayError)):
        kind = AssayError
    raise kind(told["what"], got=told["got"], fix=told["fix"])
