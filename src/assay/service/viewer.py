"""Photos as people see them: decoded in the sandbox, upright, small, encoded anew. Kept for a while in memory."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assay.service.workers.pool import Decoders

_MOST_BYTES = 64 * 1024 * 1024


class Viewer:
    """JPEG for the pages. Nothing of a sender's file but its pixels comes out."""

    def __init__(self, decoders: Decoders) -> None:
        self.decoders = decoders
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._bytes = 0

    async def render(self, data: bytes, side: int) -> bytes | None:
        """The photo with at most ``side`` px on its longer side; None where it cannot be read."""
        name = (hashlib.sha256(data).hexdigest(), side)
        if name in self._kept:
            self._kept.move_to_end(name)
            return self._kept[name]
        shown = await self.decoders.render(data, side)
        if shown is not None:
            self._kept[name] = shown
            self._bytes += len(shown)
            while self._bytes > _MOST_BYTES:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        return shown
