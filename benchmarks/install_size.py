"""What lies on the disk after an installation: Assay without torch, with it, and the peers.

For each tool the files of its package and of all packages that it requires, as the installed packages list them; extras
count where they are named. The CUDA libraries that torch's usual build brings along stand apart, as a CPU needs none.

    make bench-peers
    python -m benchmarks.install_size
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from benchmarks.machine import PEERS_PYTHON, RESULTS, ROOT, append_line, peer_environment, stamp

OURS = ("assay-vision", "assay-vision[openvino]", "assay-vision[train]")
PEERS = ("ultralytics", "transformers[torch]", "torchvision", "timm", "onnxruntime")
CUDA = ("nvidia", "cuda", "triton", "cusparselt", "nvshmem")


def closure(name: str) -> dict[str, int]:
    """Package -> bytes of its files, for a package and all that it requires here; ``name`` may have extras."""
    from packaging.requirements import Requirement  # noqa: PLC0415 - of the environment that is measured

    found: dict[str, int] = {}
    waiting, seen = [Requirement(name)], set()
    while waiting:
        wanted = waiting.pop()
        key = (wanted.name.lower().replace("_", "-"), frozenset(wanted.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            package = distribution(wanted.name)
        except PackageNotFoundError:  # for another system, or optional and left out
            continue
        files = [Path(str(file.locate())) for file in package.files or ()]
        if key[0] == "assay-vision":  # installed in place
            files = [path for path in (ROOT / "src").rglob("*") if path.suffix != ".pyc"]
        found[key[0]] = sum(file.stat().st_size for file in files if file.is_file())
        for text in package.requires or ():
            needed = Requirement(text)
            extras = ("", *wanted.extras)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(needed)
    return found


def told(name: str) -> dict[str, Any]:
    """MB of a tool, without and with CUDA's libraries, and the largest packages."""
    sizes = closure(name)
    plain = {key: size for key, size in sizes.items() if not key.startswith(CUDA)}
    largest = sorted(plain, key=lambda key: -plain[key])[:3]
    return {
        "tool": name,
        "mb": round(sum(plain.values()) / 1e6),
        "mb_with_cuda": round(sum(sizes.values()) / 1e6),
        "packages": len(sizes),
        "largest": {key: round(plain[key] / 1e6) for key in largest},
    }


def table(lines: list[dict[str, Any]]) -> list[str]:
    """One row a tool, its newest line, the smallest first."""
    rows = ["| installation | MB | with CUDA's libraries | packages | largest, MB |", "|---|---|---|---|---|"]
    for line in sorted({line["tool"]: line for line in lines}.values(), key=lambda line: line["mb"]):
        largest = ", ".join(f"{name} {size}" for name, size in line["largest"].items())
        rows.append(
            f"| {line['tool']} | **{line['mb']}** | {line['mb_with_cuda']} | {line['packages']} | {largest} |"
        )
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=RESULTS / "install_size.jsonl")
    parser.add_argument("--tell", nargs="*", help="only print what these are, as JSON lines")
    args = parser.parse_args()
    if args.tell is not None:
        for name in args.tell:
            print(json.dumps(told(name)))
        return 0
    for python, names in ((Path(sys.executable), OURS), (PEERS_PYTHON, PEERS)):
        if not python.exists():
            print(f"{', '.join(names)}: skipped, the peers are not installed: run `make bench-peers`")
            continue
        words = [str(python), "-m", "benchmarks.install_size", "--tell", *names]
        done = subprocess.run(words, check=True, capture_output=True, text=True, env=peer_environment())
        for text in done.stdout.splitlines():
            line = json.loads(text)
            append_line(args.results, {**line, **stamp()})
            print(f"{line['tool']}: {line['mb']} MB, {line['mb_with_cuda']} with CUDA's libraries")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
