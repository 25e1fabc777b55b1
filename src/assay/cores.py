"""How many cores this process may use: fewer than there are where it is pinned, or a container has a quota."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


def usable_cores(groups: Path = GROUPS, own: Path = OWN) -> int:
    """Cores by affinity, or as many as the control groups' share of processor time fills, rounded up; at least 1.

    ``groups`` is where Linux shows control groups (version 1 or 2), ``own`` the file that names those of this process.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *map(math.ceil, _quotas(groups, own))]))


def _quotas(groups: Path, own: Path) -> Iterator[float]:
    """Cores of every group on the way from this process' own up to the topmost, where it has a quota."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if number == "0" and not names:
            top, read = groups, _of_version_2
        elif "cpu" in names.split(","):
            top, read = groups / "cpu", _of_version_1
        else:
            continue
        place = top / path.strip("/")
        for folder in (place, *place.parents):
            with contextlib.suppress(OSError, ValueError):  # in a container, the path may be that of the host
                if (cores := read(folder)) is not None:
                    yield cores
            if folder == top:
                break


def _of_version_2(folder: Path) -> float | None:
    quota, period = (folder / "cpu.max").read_text().split()
    return None if quota == "max" else int(quota) / int(period)


def _of_version_1(folder: Path) -> float | None:
    quota = int((folder / "cpu.cfs_quota_us").read_text())
    return None if quota <= 0 else quota / int((folder / "cpu.cfs_period_us").read_text())
