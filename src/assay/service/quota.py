"""Requests a minute of each key: a bucket that fills evenly (token bucket)."""

from __future__ import annotations

import time

_MOST = 10_000


class Quotas:
    """Buckets by key; ``take`` tells how long to wait, 0 where none has to."""

    def __init__(self, per_minute: int) -> None:
        self._default = per_minute
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, name: str, per_minute: int) -> float:
        """Take one request out of a key's bucket; seconds until there is one, if it is empty."""
        rate = per_minute or self._default
        if not rate:
            return 0.0
        now = time.monotonic()
        left, at = self._buckets.get(name, (float(rate), now))
        left = min(float(rate), left + (now - at) * rate / 60)
        if left < 1:
            self._buckets[name] = (left, now)
            return (1 - left) * 60 / rate
        if len(self._buckets) >= _MOST:
            self._buckets.clear()
        self._buckets[name] = (left - 1, now)
        return 0.0
