"""The process that looks at what strangers send: bytes in, pixels out, and nothing else within its reach.

It is started with an empty environment, in the root folder, with two pipes. It knows no policy, network, database or
key. When everything is loaded it gives up the rest (``sandbox``), and only then reads its first photo.

    python -m assay.service.workers.decoder --parent PID
"""

from __future__ import annotations

import argparse
import gc
import json
import os
from functools import lru_cache
from typing import Any

import numpy as np

from assay.image import ImageLimits
from assay.runtime.rendition import render_jpeg
from assay.runtime.screen_parts import SERVICE_LIMITS, DecodePlan, decode
from assay.service.workers.frames import Blob
from assay.service.workers.lifeline import Lifeline
from assay.service.workers.sandbox import DECODER_BYTES, confine, die_with
from assay.service.workers.warm_up import warm_up


def main() -> None:
    """Decode photos until the parent is gone."""
    given = _arguments()
    die_with(given.parent)
    limits = ImageLimits(given.pixels, given.bytes)
    lifeline = Lifeline()
    warm_up()
    gc.collect()
    gc.freeze()  # what is loaded stays: the collector need not look through it again
    lifeline.beat()
    lifeline.send({"ready": confine(given.memory).to_dict()})
    while True:
        asked = lifeline.receive(limits.max_bytes)
        header, blobs = answer(asked.header, asked.blobs[0], limits)
        del asked
        lifeline.send(header, blobs)
        del blobs


def answer(
    asked: dict[str, Any], photo: memoryview, limits: ImageLimits
) -> tuple[dict[str, Any], list[Blob]]:
    """What goes back of one photo: the pixels for each preprocessing, then the prints; or a picture for people."""
    if "side" in asked:
        return _rendered(asked, photo, limits)
    found = decode(bytes(photo), _plan(asked["plan"]), limits)
    blobs: list[Blob] = [np.ascontiguousarray(pixels).reshape(-1).data for pixels in found.pixels]
    if found.prints is not None:
        blobs.append(found.prints.data)
    return {"n": asked["n"], "size_hw": found.size_hw, "error": found.error}, blobs


def _rendered(
    asked: dict[str, Any], photo: memoryview, limits: ImageLimits
) -> tuple[dict[str, Any], list[Blob]]:
    """A picture for people, or no blob where the photo cannot be read."""
    try:
        shown: list[Blob] = [memoryview(render_jpeg(bytes(photo), int(asked["side"]), limits))]
    except Exception:  # whatever a codec throws at bytes of strangers: there is nothing to show
        shown = []
    return {"n": asked["n"]}, shown


@lru_cache(maxsize=8)
def _plan(text: str) -> DecodePlan:
    return DecodePlan.from_dict(json.loads(text))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="assay.service.workers.decoder", allow_abbrev=False)
    parser.add_argument("--parent", type=int, default=os.getppid(), help="process that started this one")
    parser.add_argument(
        "--pixels", type=int, default=SERVICE_LIMITS.max_pixels, help="most pixels of a photo"
    )
    parser.add_argument("--bytes", type=int, default=SERVICE_LIMITS.max_bytes, help="most bytes of a photo")
    parser.add_argument("--memory", type=int, default=DECODER_BYTES, help="most bytes of this process")
    return parser.parse_args()


if __name__ == "__main__":
    main()
