"""Worker processes that die of marked photos: ``python tests/poisoned_workers.py decoder|answerer|fainting ...``.

A decoder goes by the first byte of the file, an answerer by the first pixel of what was decoded; one that faints dies
as soon as it is ready.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assay.errors import ModelError
from assay.service.workers import answerer, decoder
from assay.service.workers.lifeline import Lifeline

SPINS, RAISES, DIES, SLEEPS = 250, 251, 252, 253
HERE = Path(__file__).resolve()


def poison(mark: int) -> None:
    if mark == SPINS:
        re.match("(a+)+$", "a" * 60 + "b")  # for ever, and no other thread may run
    if mark == RAISES:
        raise ModelError("the network chokes on this photo")
    if mark == DIES:
        os.kill(os.getpid(), signal.SIGKILL)
    if mark == SLEEPS:
        time.sleep(3600)


def poisoned_decode(decode: Callable[..., Any]) -> Callable[..., Any]:
    def decoding(data: bytes, *rest: Any) -> Any:
        if data[:1] == bytes([DIES]):
            os._exit(7)  # it may send no signal any more
        poison(data[0])
        return decode(data, *rest)

    return decoding


def poisoned_answers(answer: Callable[..., Any]) -> Callable[..., Any]:
    def answering(screener: Any, decoded: Any, *rest: Any, **options: Any) -> Any:
        for one in decoded:
            poison(int(one.pixels[0].flat[0]))
        return answer(screener, decoded, *rest, **options)

    return answering


if __name__ == "__main__":
    kind = sys.argv.pop(1)
    if kind == "fainting":
        Lifeline.receive = lambda *_: os._exit(7)
    if kind in ("decoder", "fainting"):
        decoder.decode = poisoned_decode(decoder.decode)
        decoder.main()
    else:
        answerer.answer_decoded = poisoned_answers(answerer.answer_decoded)
        answerer.main()
