"""What can be measured on any machine, in a few minutes: start-up, table sizes, peak and throughput.

python -m benchmarks
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks.machine import ROOT

QUICK = ("startup", "million_rows", "matmul_peak", "throughput")


def main() -> int:
    worst = 0
    for name in QUICK:
        print(f"== {name}", flush=True)
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=ROOT, check=False)
        worst = max(worst, done.returncode)
    return worst


if __name__ == "__main__":
    raise SystemExit(main())
