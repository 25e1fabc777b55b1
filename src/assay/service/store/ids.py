"""Names of rows: in the order of their making, and not to be guessed."""

from __future__ import annotations

import secrets
import time

_SIGNS = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32, in lower case: no sign is taken for another one."""


def new_id(prefix: str) -> str:
    """``prefix_`` and 26 signs: 48 bits of milliseconds since 1970, then 80 random bits (as in ULID)."""
    value = (int(time.time() * 1000) << 80) | secrets.randbits(80)
    return f"{prefix}_" + "".join(_SIGNS[(value >> shift) & 31] for shift in range(125, -1, -5))
