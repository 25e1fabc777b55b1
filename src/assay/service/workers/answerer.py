"""The process that holds a policy's networks: pixels in, evidence out. It never sees the bytes of a photo.

One batch is worked at while the next comes in. What it says first are its ``Facts``, or why it cannot start.

    python -m assay.service.workers.answerer POLICY --engine onnxruntime --precision fp32 --threads 1 --parent PID
"""

from __future__ import annotations

import argparse
import os
import queue
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.errors import AssayError
from assay.runtime.screen_parts import Decoded, DecodePlan, answer_decoded, decode_plan
from assay.service.workers.facts import Facts
from assay.service.workers.frames import Frame, FrameError
from assay.service.workers.lifeline import Lifeline
from assay.service.workers.sandbox import die_with, forbid_new_privileges

if TYPE_CHECKING:
    from assay.runtime.screening import Screener

MOST_PIXELS = 1024 * 1024 * 1024
"""Bytes of one batch."""


def main() -> None:
    """Answer batches until the parent is gone."""
    given = _arguments()
    die_with(given.parent)
    forbid_new_privileges()
    lifeline = Lifeline()
    try:
        screener = _load(given)
        facts = _facts(screener)
    except AssayError as error:
        told = {"kind": type(error).__name__, "what": error.what, "got": error.got, "fix": error.fix}
        lifeline.send({"error": told})
        return
    lifeline.send({"ready": facts.to_dict()})
    lifeline.beat()
    waiting: queue.Queue[Frame] = queue.Queue(1)
    threading.Thread(target=_take, args=(lifeline, waiting), name="assay-take", daemon=True).start()
    while True:
        asked = waiting.get()
        number, told = asked.header["n"], answer(screener, facts.plan, asked, lanes=given.threads)
        try:
            lifeline.send({"n": number, **told})
        except FrameError as error:  # masks of many torn things may be larger than a frame
            lifeline.send({"n": number, "failed": error.what})
        del asked


def answer(screener: Screener, plan: DecodePlan, asked: Frame, *, lanes: int) -> dict[str, Any]:
    """The evidence of a batch, or in one line why there is none; a network that fails fails for the whole batch."""
    try:
        decoded, names, digests = _batch(plan, asked)
        wants_masks = bool(asked.header.get("masks"))
        found = answer_decoded(screener, decoded, names, digests, lanes=lanes, masks=wants_masks)
        return {"evidence": [one.to_dict() for one in found]}
    except (
        Exception
    ) as error:  # engines and their libraries raise all kinds, and one photo must not end the process
        words = str(error) if isinstance(error, AssayError) else f"{type(error).__name__}: {error}"
        return {"failed": "; ".join(part.strip() for part in words.splitlines() if part.strip())[:500]}


def _batch(plan: DecodePlan, asked: Frame) -> tuple[list[Decoded], list[str], list[str]]:
    """(decoded photos, names, digests) of a request; the blobs are the pixels of one photo after the other."""
    shapes, header = plan.shapes(), asked.header
    if len(asked.blobs) != len(shapes) * len(header["names"]):
        raise FrameError("a batch with other pixels than its photos have")
    decoded = []
    for place, size_hw in enumerate(header["sizes_hw"]):
        blobs = asked.blobs[place * len(shapes) : (place + 1) * len(shapes)]
        pixels = [
            np.frombuffer(blob, np.uint8).reshape(shape) for blob, shape in zip(blobs, shapes, strict=True)
        ]
        decoded.append(Decoded(tuple(size_hw), tuple(pixels)))
    return decoded, header["names"], header["digests"]


def _take(lifeline: Lifeline, waiting: queue.Queue[Frame]) -> None:
    """In a thread of its own: the next batch, while one is worked at."""
    while True:
        try:
            waiting.put(lifeline.receive(MOST_PIXELS))
        except BaseException:
            os._exit(1)  # nothing can be understood any more: the parent starts another process


def _load(given: argparse.Namespace) -> Screener:
    from assay.runtime.screening import load_screener  # noqa: PLC0415 - so that mistakes of usage are told at once

    return load_screener(given.policy, engine=given.engine, precision=given.precision)


def _facts(screener: Screener) -> Facts:
    return Facts(
        policy=screener.policy.digest,
        thresholds=screener.budgets.digest,
        models=screener.digests,
        engines={one.name: screener.model(one).engine.name for one in screener.policy},
        classes=screener.classes,
        masks=tuple(
            one.name
            for one in screener.policy
            if one.head == "boxes" and "masks" in screener.model(one).card.heads
        ),
        plan=decode_plan(screener),
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="assay.service.workers.answerer", allow_abbrev=False)
    parser.add_argument("policy", help="the policy's file")
    parser.add_argument("--engine", default="onnxruntime")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int, default=1, help="threads that compute at once")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="process that started this one")
    return parser.parse_args()


if __name__ == "__main__":
    main()
