"""What this machine's processor is and can do, as far as the system tells it."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from pathlib import Path

_ABILITIES = ("flags", "Features")  # x86 and Arm


@cache
def _told() -> dict[str, str]:
    """The first processor of /proc/cpuinfo; nothing where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return {}
    lines = (line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in lines}


def abilities() -> frozenset[str]:
    """Names of instruction sets; empty where the system does not tell them."""
    return frozenset(word for name in _ABILITIES for word in _told().get(name, "").split())


def has_vnni() -> bool:
    """Whether 8-bit products are added up in 32 bits by one instruction. Unknown counts as no."""
    return any("vnni" in name for name in abilities()) or platform.machine().lower() in ("aarch64", "arm64")


def identity() -> str:
    """One line that differs between processors whose answers or speeds may differ."""
    name = _told().get("model name") or platform.processor() or platform.machine()
    digest = hashlib.sha256(" ".join(sorted(abilities())).encode()).hexdigest()[:8]
    return f"{name} {digest}"
