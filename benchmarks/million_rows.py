"""A table of a million pictures: seconds to open and to split it, and the memory that this takes, beside 100,000 rows.

Pictures need not exist: opening and splitting read the table alone. Each size runs in a process of its own, so its
peak memory is its own; the share above a process that only imports Assay is what the rows cost.

    python -m benchmarks.million_rows
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from benchmarks.machine import RESULTS, append_line, stamp

SIZES = (100_000, 1_000_000)
PROBE = """
import json, pathlib, sys, time
from assay.data.read import read_dataset
from assay.data.split import split_dataset
def peak():  # not getrusage: its maximum outlives exec and would count the memory of the parent
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
told = {"imported_mib": peak()}
if len(sys.argv) > 1:
    begun = time.perf_counter()
    dataset = read_dataset(sys.argv[1])
    told |= {"open_s": time.perf_counter() - begun, "open_mib": peak(), "rows": len(dataset)}
    begun = time.perf_counter()
    split = split_dataset(dataset)
    told |= {"split_s": time.perf_counter() - begun, "split_mib": peak(), "parts": split.parts}
    begun = time.perf_counter()
    told |= {"hash": split.split_hash, "hash_s": time.perf_counter() - begun}
print(json.dumps(told))
"""


def write_table(folder: Path, rows: int, kind: str) -> Path:
    """A table of ``rows`` pictures in 50 classes of 20,000 sellers, as CSV or Parquet."""
    rng = np.random.default_rng(0)
    names = pa.array([f"class-{i:02}" for i in range(50)])
    sellers = pa.array([f"seller-{i:05}" for i in range(20_000)])
    table = pa.table(
        {
            "path": [f"photos/{i // 1000:04}/{i:07}.jpg" for i in range(rows)],
            "label": names.take(pa.array(rng.integers(0, 50, rows))),
            "group": sellers.take(pa.array(rng.integers(0, 20_000, rows))),
            "price": rng.integers(1, 1000, rows),
        }
    )
    path = folder / f"{rows}.{kind}"
    if kind == "csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pyarrow.parquet.write_table(table, path)
    return path


def probe(table: Path | None) -> dict[str, Any]:
    """What a fresh process measured.

    Raises
    ------
    subprocess.CalledProcessError : it failed.
    """
    command = [sys.executable, "-c", PROBE, *([str(table)] if table else [])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def lines_of(told: dict[str, Any], kind: str, turn: str, bare: float) -> list[dict[str, Any]]:
    """Result lines of one probe."""
    size = f"{told['rows']:,} rows, {kind}, {turn}"
    aim = "< 5" if told["rows"] >= 1_000_000 else "-"
    return [
        {"name": f"open {size}", "value": round(told["open_s"], 3), "unit": "s", "aim": aim},
        {"name": f"split {size}", "value": round(told["split_s"], 3), "unit": "s"},
        {"name": f"hash {size}", "value": round(told["hash_s"], 3), "unit": "s"},
        {"name": f"memory for opening {size}", "value": round(told["open_mib"] - bare), "unit": "MiB"},
        {"name": f"memory for splitting {size}", "value": round(told["split_mib"] - bare), "unit": "MiB"},
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--results", type=Path, default=RESULTS / "million_rows.jsonl")
    args = parser.parse_args()
    if not Path("/proc/self/status").exists():
        print("skipped: peak memory is read from /proc, which this system has not")
        return 0
    where, bare = stamp(), probe(None)["imported_mib"]
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("csv", "parquet"):
            for rows in args.sizes:
                table = write_table(Path(folder), rows, kind)
                for turn in ("first time", "again"):  # a cache beside the table may make the second quicker
                    for line in lines_of(probe(table), kind, turn, bare):
                        append_line(args.results, {**line, **where})
                        print(f"{line['name']}: {line['value']} {line['unit']}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
