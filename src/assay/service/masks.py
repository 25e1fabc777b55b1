"""Masks of the things in a photo, by the network that decides now: drawn when a person asks for them, and not kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from assay.decide.evidence import Evidence
from assay.errors import AssayError

if TYPE_CHECKING:
    from assay.service.live import Live
    from assay.service.workers.pool import Decoders

LONGEST = 1024
"""The longer side, in px, of the picture that masks are drawn in: as large as people are shown it."""


async def masks_of(live: Live, decoders: Decoders, data: bytes) -> dict[str, Any]:
    """``things``: each as in a decision, with its ``mask`` where the network draws one, as COCO's run lengths.

    Places are told in px of ``size_hw``, the upright photo at a longer side of at most ``LONGEST``.

    Raises
    ------
    AssayError : no network of the policy draws masks, the photo cannot be read, or the network failed.
    """
    if not live.facts.masks:
        raise AssayError(
            "no network of the policy draws masks",
            fix="answer a question by a Bundle that has the head masks",
        )
    whole = await decoders.decode(data, live.facts.plan)
    if whole.error is not None:
        raise AssayError("the photo cannot be read", got=whole.error)
    share = min(1.0, LONGEST / max(whole.size_hw))
    height, width = (max(1, round(side * share)) for side in whole.size_hw)
    small = replace(whole, size_hw=(height, width))
    (found,) = await live.answerers.answer([small], ["masks"], ["0" * 64], masks=True)
    if not isinstance(found, Evidence) or found.error is not None:
        raise AssayError("the masks could not be drawn", fix="try again")
    return {"size_hw": [height, width], "things": [thing.to_dict() for thing in found.things]}
