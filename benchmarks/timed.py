"""One process of a benchmark from its start to its end."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from assay.errors import AssayError

BROKEN = (subprocess.CalledProcessError, AssayError, OSError, ValueError, LookupError)
"""What a job may break off with; the series then goes on with the next one."""


def run_timed(command: Sequence[str], out: Path, environment: Mapping[str, str] | None = None) -> float:
    """Seconds of a command that writes the folder ``out``, which is removed before; its words go to ``OUT.log.txt``.

    Raises
    ------
    subprocess.CalledProcessError : it failed.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    with out.with_name(f"{out.name}.log.txt").open("w") as log:
        subprocess.run(command, env=environment, stdout=log, stderr=subprocess.STDOUT, check=True)
    return time.monotonic() - begun
