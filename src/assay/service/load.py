"""How much there is to do: a photo that would wait too long is refused at once, before a byte of it is read.

What the server manages is measured while it works. Refusing early keeps what was taken in quick; taking everything in
makes all of it late (goodput falls to nothing).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

_LEAST = 32
"""So many photos are always taken in, however slow the machine seems."""
_WINDOW_S = 5.0


class Load:
    """Photos a second while there is work, from the last seconds."""

    def __init__(self, max_wait_s: float) -> None:
        self._max_wait_s = max_wait_s
        self._done: deque[float] = deque()
        self._best = 0.0
        self._arriving = 0

    def arrive(self) -> Callable[[], None]:
        """One photo was let in and is on its way; call what this returns when it is in work, or never will be."""
        self._arriving += 1
        left = [1]

        def ended() -> None:
            self._arriving -= left[0]
            left[0] = 0

        return ended

    def done(self, seconds: float) -> None:
        """One photo was decided, so many seconds after it came."""
        del seconds
        now = time.monotonic()
        self._done.append(now)
        while self._done and self._done[0] < now - _WINDOW_S:
            self._done.popleft()
        span = now - self._done[0]
        if span > 0.5 and len(self._done) > 8:
            rate = (len(self._done) - 1) / span
            self._best = (
                max(rate, 0.98 * self._best) if rate > self._best else 0.995 * self._best + 0.005 * rate
            )

    def full_for(self, in_work: int) -> float:
        """Seconds until one more may come, when so many are in work besides those on their way; 0: now."""
        in_work += self._arriving
        if in_work < _LEAST:
            return 0.0
        rate = max(self._best, 1.0)
        over = in_work / rate - self._max_wait_s
        return max(1.0, over) if over > 0 else 0.0
