"""Cores by affinity and by the quotas of control groups, of both versions, along the way up to the topmost."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from assay.cores import usable_cores

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """``cores(own, files)``: on a machine of 8, with this /proc/self/cgroup and these files of control groups."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)

    def read(own: str, files: dict[str, str]) -> int:
        for name, text in files.items():
            path = tmp_path / "groups" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (tmp_path / "own").write_text(own)
        return usable_cores(tmp_path / "groups", tmp_path / "own")

    return read


@pytest.mark.parametrize(
    ("own", "files", "found"),
    [
        ("0::/\n", {}, 8),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "10000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "9900000 100000\n"}, 8),
        ("0::/shop/web\n", {"shop/web/cpu.max": "max 100000\n", "shop/cpu.max": "300000 100000\n"}, 3),
        ("0::/of/the/host\n", {"cpu.max": "400000 100000\n"}, 4),
        ("0::/\n", {"cpu.max": "nonsense"}, 8),
        (
            "3:cpu,cpuacct:/a\n2:pids:/\n",
            {"cpu/a/cpu.cfs_quota_us": "250000", "cpu/a/cpu.cfs_period_us": "100000"},
            3,
        ),
        ("3:cpu:/a\n", {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, 8),
        ("9:name=systemd:/\n8:pids:/\n", {}, 8),
    ],
)
def test_the_smallest_quota_counts(
    cores: Callable[..., int], own: str, files: dict[str, str], found: int
) -> None:
    assert cores(own, files) == found


def test_without_control_groups_affinity_counts(cores: Callable[..., int], tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "none", tmp_path / "neither") == 8
    assert usable_cores() >= 1
