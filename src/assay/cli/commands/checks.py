"""``assay checks``: what a bug report needs, without host, user or secret."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

from assay import __version__
from assay.cli.command import Command
from assay.cli.terminal import show_table
from assay.cores import usable_cores
from assay.folders import cache_folder

_CORE = ("numpy", "pillow", "pyarrow", "onnxruntime", "safetensors")
_TRAIN = ("torch", "torchvision", "timm", "accelerate", "scikit-learn", "onnx", "onnxscript")
_GIB = 2**30


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _run(args: argparse.Namespace) -> int:
    found = collect()
    if args.json:
        print(json.dumps(found, ensure_ascii=False))
        return 0
    show_table([(name, _text(value)) for name, value in found.items() if name != "packages"])
    print()
    show_table([(name, version or "not installed") for name, version in found["packages"].items()])
    return 0


def collect() -> dict[str, Any]:
    """Everything that is printed, as plain values."""
    cache = cache_folder()
    return {
        "assay": __version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "cores": usable_cores(),
        "memory_gib": _memory_gib(),
        "bf16": _bf16(),
        **_torch(),
        "cache": _without_home(cache),
        "cache_writable": _is_writable(cache),
        "disk_free_gib": _disk_free_gib(cache),
        "settings": {k: v for k, v in sorted(os.environ.items()) if k in _SETTINGS},
        "packages": {name: _version(name) for name in (*_CORE, *_TRAIN)},
    }


_SETTINGS = {"ASSAY_DEBUG", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "NO_COLOR"}
"""Environment variables that change what Assay does and cannot hold a secret."""


def _torch() -> dict[str, Any]:
    """Threads and devices as torch sees them; torch may be absent."""
    try:
        import torch  # noqa: PLC0415 - a second or two, so only when asked
    except ModuleNotFoundError:
        return {"torch_threads": None, "devices": []}
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("Apple GPU (mps)")
    return {"torch_threads": torch.get_num_threads(), "devices": devices}


def _bf16() -> str:
    """Whether the processor multiplies bf16 matrices in instructions of its own; elsewhere bf16 is slow."""
    flags = _cpuinfo("flags", "Features").split()
    for flag, name in (("amx_bf16", "AMX"), ("avx512_bf16", "AVX512-BF16"), ("bf16", "Arm BF16")):
        if flag in flags:
            return f"native ({name})"
    return "no native instructions found"


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(*keys: str) -> str:
    """The first value of one of ``keys`` where the system is Linux; empty elsewhere."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return ""
    for line in path.read_text(errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in keys:
            return value.strip()
    return ""


def _memory_gib() -> float | None:
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / _GIB, 1)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def _is_writable(folder: Path) -> bool:
    return os.access(_existing(folder), os.W_OK)


def _disk_free_gib(folder: Path) -> float:
    return round(shutil.disk_usage(_existing(folder)).free / _GIB, 1)


def _without_home(path: Path) -> str:
    """A home folder holds the user's name, so it is written ~."""
    home = Path.home()
    return str("~" / path.relative_to(home)) if path.is_relative_to(home) else str(path)


def _text(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{k}={v}" for k, v in value.items()) or "none"
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


COMMAND = Command(
    "checks",
    "Print what a bug report needs: versions, processor, threads, bf16, devices, folders. Nothing is sent.",
    _add_arguments,
    _run,
    epilog="  assay checks --json > checks.json",
)
