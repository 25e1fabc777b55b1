"""Make ``.venvs/peers``: the peers, on the very build of torch that Assay uses here.

Run it with Assay's own environment, from the repository's root; it takes a few minutes and about 2 GB:

    .venv/bin/python -m benchmarks.peers.setup_peers
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

from benchmarks.machine import PEERS_PYTHON, ROOT, peer_environment

HERE = Path(__file__).resolve().parent
PROOF = """
import torch, torchvision, timm, ultralytics
print("torch", torch.__version__, "torchvision", torchvision.__version__)
print("timm", timm.__version__, "ultralytics", ultralytics.__version__)
"""


def install(*words: str) -> None:
    """One pip call in the peers' environment; pip's own configuration says where packages come from."""
    subprocess.run([PEERS_PYTHON, "-m", "pip", "install", "--quiet", *words], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--new", action="store_true", help="throw an older environment away first")
    args = parser.parse_args()
    home = PEERS_PYTHON.parent.parent
    if args.new and home.exists():
        shutil.rmtree(home)
    if not PEERS_PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
    install(f"torch=={version('torch')}")
    install("--no-deps", f"torchvision=={version('torchvision')}")
    install("-r", str(HERE / "requirements.txt"))
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    shutil.copyfile(HERE / "sitecustomize.py", packages / "sitecustomize.py")
    subprocess.run([PEERS_PYTHON, "-c", PROOF], check=True, env=peer_environment())
    print(f"ready: {home.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
