from __future__ import annotations

import os
import subprocess
import sys

import pytest

CODE = """
import logging, os, sys
from assay.cli.native import quiet_native
os.write(2, b"before\\n")
for _ in range(100):
    with quiet_native():
        os.write(2, b"native\\n")
with quiet_native():
    print("ours \\u00e4", file=sys.stderr)
    os.write(2, b"native\\n")
    logging.getLogger("PIL").error("unheard")
os.write(2, b"after\\n")
print("end", file=sys.stderr)
print(len(os.listdir("/proc/self/fd")) < 20 if os.path.isdir("/proc/self/fd") else True)
"""


def run(**kw):
    return subprocess.run(
        [sys.executable, "-X", "utf8", "-c", CODE],
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=60,
        **kw,
    )


def test_native_lines_are_gone_and_ours_stay():
    done = run()
    assert done.stderr.splitlines() == ["before", "ours ä", "after", "end"]
    assert done.stdout == "True\n"


def test_debugging_shows_them():
    assert "native" in run(env={**os.environ, "ASSAY_DEBUG": "1"}).stderr


def test_captured_streams_are_left_alone(capsys):
    from assay.cli.native import quiet_native

    with quiet_native():
        sys.stderr.write("ours\n")
    assert capsys.readouterr().err == "ours\n"


@pytest.mark.parametrize(("verb", "words"), [("check", ["--decode"]), ("evaluate", ["--part", "all"])])
def test_damaged_tiffs_do_not_speak_for_themselves(photos, tiny_bundle, verb, words):
    """libtiff complains on descriptor 2 by itself; what we tell is the same with and without."""
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 2, (64, 64), np.uint8) * 255
    broken = photos / "circle" / "fax.tif"
    Image.fromarray(noise).convert("1").save(broken, compression="group4")
    data = bytearray(broken.read_bytes())
    data[8:1000] = bytes(i * 37 % 256 for i in range(992))
    broken.write_bytes(data)
    places = [str(tiny_bundle), str(photos)] if verb == "evaluate" else [str(photos)]
    told = {}
    for debug in ("", "1"):
        told[debug] = subprocess.run(
            [sys.executable, "-m", "assay", verb, *places, *words],
            capture_output=True,
            encoding="utf-8",
            env={**os.environ, "ASSAY_DEBUG": debug},
            check=False,
            timeout=60,
        )
    assert "Fax4Decode" in told["1"].stderr
    assert "Fax4Decode" not in told[""].stderr
    assert told[""].stdout == told["1"].stdout
