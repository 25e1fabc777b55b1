"""The processor's matrix-product peak as torch reaches it, and what a training step costs beside it.

Peak: the best of several square products, by type, on the threads that torch takes. Cost of a training picture:
operations of one forward and backward pass as torch counts them (the first layer needs no gradient of its input).

    python -m benchmarks.matmul_peak
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from benchmarks.machine import RESULTS, append_line, stamp

SIDES = (512, 1024, 2048, 4096)
TYPES = ("float32", "bfloat16")


def peak_gflops(dtype: str, seconds: float = 1.0) -> float:
    """Billions of operations a second of the best square product; a multiply and an add are two."""
    import torch  # noqa: PLC0415 - heavy; `throughput` imports this file

    best = 0.0
    for side in SIDES:
        a, b = (torch.randn(side, side).to(getattr(torch, dtype)) for _ in range(2))
        a @ b  # the first product chooses kernels and allocates
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            begun = time.perf_counter()
            a @ b
            best = max(best, 2 * side**3 / (time.perf_counter() - begun) / 1e9)
    return best


def training_gflop(model: str, size: int, classes: int = 10) -> float:
    """Billions of operations of one forward and backward pass of one picture, by torch's own counter."""
    import torch  # noqa: PLC0415 - heavy; `throughput` imports this file
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415

    from assay.configs import ModelConfig  # noqa: PLC0415
    from assay.models.build import build_model  # noqa: PLC0415

    network = build_model(ModelConfig(model=model), classes).train()
    counter = FlopCounterMode(display=False)
    with counter:
        network(torch.randn(2, 3, size, size)).sum().backward()
    return counter.get_total_flops() / 2 / 1e9


def measure(seconds: float) -> dict[str, Any]:
    """Type -> GFLOP/s."""
    return {dtype: round(peak_gflops(dtype, seconds), 1) for dtype in TYPES}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="for each size and type")
    parser.add_argument("--print-only", action="store_true", help="append nothing to the results")
    args = parser.parse_args()
    where = stamp()
    import torch  # noqa: PLC0415 - heavy; `throughput` imports this file

    for dtype, value in measure(args.seconds).items():
        line = {
            "name": f"matrix product {dtype}, {torch.get_num_threads()} threads",
            "value": value,
            "unit": "GFLOP/s",
            **where,
        }
        print(f"{line['name']}: {value} GFLOP/s")
        if not args.print_only:
            append_line(RESULTS / "matmul_peak.jsonl", line)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
