"""Memory of ``assay predict`` over very many pictures, and what is left after a kill: two promises of the corridor.

``N`` files are hard links to a few small JPEGs. The memory of the process is looked at every second; flat means that
the second half of the walk needs no more than the first. Then the walk is killed in the middle, gone on with, and its
file compared with that of the unbroken walk.

    python -m benchmarks.flat_memory --pictures 100000
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.machine import RESULTS, append_line, stamp

ASSAY = Path(sys.executable).with_name("assay")
DIFFERENT = 200


def make_folder(out: Path, n: int) -> Path:
    """A folder of ``n`` links to small JPEGs, a thousand in each folder below it."""
    pictures = out / f"pictures-{n}"
    if (out / f"{n}.done").exists():
        return pictures
    rng = np.random.default_rng(0)
    (out / "source").mkdir(parents=True, exist_ok=True)
    for i in range(DIFFERENT):
        field = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        field.resize((160, 120), Image.Resampling.BICUBIC).save(out / "source" / f"{i}.jpg", quality=85)
    for i in range(n):
        place = pictures / f"{i // 1000:04}" / f"{i:07}.jpg"
        if i % 1000 == 0:
            place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            os.link(out / "source" / f"{i % DIFFERENT}.jpg", place)
    (out / f"{n}.done").touch()
    return pictures


def resident_mb(pid: int) -> float:
    """Memory of a process as the system counts it; 0 when it has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return int(lines.get("VmRSS", "0 kB").split()[0]) / 1024


def start(bundle: Path, pictures: Path, out: Path, *further: str) -> subprocess.Popen[bytes]:
    words = [ASSAY, "predict", bundle, pictures, "--csv", out, "--quiet", "--engine", "onnxruntime", *further]
    return subprocess.Popen([str(word) for word in words], stderr=subprocess.DEVNULL)


def watch(process: subprocess.Popen[bytes]) -> list[float]:
    """Memory every second until it ends, in MB."""
    seen = []
    while process.poll() is None:
        seen.append(round(resident_mb(process.pid), 1))
        time.sleep(1)
    return [mb for mb in seen if mb]


def measure(args: argparse.Namespace) -> dict[str, Any]:
    pictures = make_folder(args.folder, args.pictures)
    whole, broken = args.folder / "whole.csv", args.folder / "broken.csv"
    begun = time.perf_counter()
    for file in (whole, broken):
        file.unlink(missing_ok=True)
    unbroken = start(args.bundle, pictures, whole, "--overwrite")
    seen = watch(unbroken)
    took = time.perf_counter() - begun
    killed = start(args.bundle, pictures, broken, "--overwrite")
    time.sleep(took / 2)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    kept = sum(1 for _ in (args.folder / "broken.csv.part").open("rb"))
    codes = [unbroken.returncode, start(args.bundle, pictures, broken, "--resume").wait()]
    if codes != [0, 0]:
        raise SystemExit(f"assay predict failed: exit codes {codes}")
    half = len(seen) // 2
    return {
        "kind": "flat_memory",
        "pictures": args.pictures,
        "seconds": round(took, 1),
        "per_s": round(args.pictures / took, 1),
        "most_first_half_mb": max(seen[: half or 1]),
        "most_second_half_mb": max(seen[half:]),
        "every_tenth_mb": seen[:: max(1, len(seen) // 10)],
        "rows_when_killed": kept,
        "same_file_after_resume": whole.read_bytes() == broken.read_bytes(),
        **stamp(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=Path("runs/flat-memory"))
    parser.add_argument("--results", type=Path, default=RESULTS / "flat_memory.jsonl")
    args = parser.parse_args()
    line = measure(args)
    append_line(args.results, line)
    print(line)
    flat = line["most_second_half_mb"] <= 1.05 * line["most_first_half_mb"]
    return 0 if line["same_file_after_resume"] and flat else 1


if __name__ == "__main__":
    raise SystemExit(main())
