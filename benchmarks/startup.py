"""Start-up: medians of repeated fresh processes, interleaved, with the file cache warm.

python -m benchmarks.startup --bundle X.bundle --photo photo.jpg
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.machine import RESULTS, append_line, median, stamp

ASSAY = str(Path(sys.executable).with_name("assay"))


def commands(bundle: Path | None, photo: Path | None) -> dict[str, tuple[list[str], str]]:
    """Name -> (command, aim)."""
    found = {
        "bare python": ([sys.executable, "-c", "pass"], "-"),
        "python -c 'import assay'": ([sys.executable, "-c", "import assay"], "< 0.05"),
        "assay --help": ([ASSAY, "--help"], "< 0.1"),
        "assay train --help": ([ASSAY, "train", "--help"], "-"),
        "python -c 'import onnxruntime'": ([sys.executable, "-c", "import onnxruntime"], "-"),
    }
    if bundle and photo:
        found[f"assay predict, one photo, {bundle.stem}"] = (
            [ASSAY, "predict", str(bundle), str(photo)],
            "< 0.6",
        )
    return found


def seconds_of(command: list[str]) -> float:
    """Wall time of one process.

    Raises
    ------
    subprocess.CalledProcessError : it failed.
    """
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return time.perf_counter() - begun


def measure(wanted: dict[str, tuple[list[str], str]], runs: int) -> dict[str, list[float]]:
    """Name -> seconds of each run, after one run that warms the file cache; commands that fail are left out."""
    times: dict[str, list[float]] = {}
    for name, (command, _) in wanted.items():
        try:
            seconds_of(command)
            times[name] = []
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{name}: skipped, {error}")
    for _ in range(runs):
        for name, values in times.items():
            values.append(seconds_of(wanted[name][0]))
    return times


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--bundle", type=Path, help="for `assay predict`")
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--results", type=Path, default=RESULTS / "startup.jsonl")
    args = parser.parse_args()
    where, wanted = stamp(), commands(args.bundle, args.photo)
    if not (args.bundle and args.photo):
        print("assay predict: skipped, give --bundle and --photo")
    for name, values in measure(wanted, args.runs).items():
        value = round(median(values), 4)
        line = {"name": name, "value": value, "unit": "s", "runs": len(values), "aim": wanted[name][1]}
        append_line(
            args.results, {**line, "least": round(min(values), 4), "most": round(max(values), 4), **where}
        )
        print(f"{name}: {1000 * value:.0f} ms, {1000 * min(values):.0f} to {1000 * max(values):.0f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
