"""From nothing to the first verdict: ``assay serve POLICY`` with no folder yet, then one photo, as one person would.

The clock runs from the start of the command until the answer with the verdict is whole: secrets, database and its
migrations, both pools and the networks are made in this time. Nobody makes a key: the link that the server prints signs
in. The file cache is warm after a first run that does not count.

    python -m benchmarks.first_verdict                                   the nano network of benchmarks.serving
    python -m benchmarks.first_verdict --bundle X.bundle --precision int8 --runs 9
"""

from __future__ import annotations

import argparse
import http.client
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.machine import RESULTS, append_line, median, stamp
from benchmarks.serving_servers import write_policy
from benchmarks.startup import ASSAY

AIM_S = 10.0


def first_verdict(policy: Path, photo: bytes, precision: str) -> tuple[float, float]:
    """(seconds until the server listens, seconds until the verdict) of a service that was not there before.

    Raises
    ------
    SystemExit : no verdict came; with the server's words.
    """
    begun = time.perf_counter()
    command = [ASSAY, "serve", str(policy), "--port", "0", "--precision", precision]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        assert server.stderr is not None
        found = re.search(r":(\d+)$", server.stdout.readline().strip())
        if found is None:
            raise SystemExit(f"the server did not start: {server.stderr.read()[-2000:]}")
        opened = time.perf_counter() - begun
        link = next(line for line in server.stderr if "/open/" in line)
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=30)
        connection.request("GET", "/open/" + link.split("/open/")[1].split()[0])
        answer = connection.getresponse()
        answer.read()
        cookie = answer.headers["set-cookie"].split(";")[0]
        connection.request("PUT", "/v1/photos?wait=20", photo, {"Cookie": cookie})
        answer = connection.getresponse()
        told = answer.read().decode()
        if answer.status != 200 or '"verdict":"accept"' not in told:
            raise SystemExit(f"no verdict: {answer.status} {told[:500]}")
        return opened, time.perf_counter() - begun
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(40)


def run(bundle: Path, photo: bytes, precision: str) -> tuple[float, float]:
    """As ``first_verdict``, in a new folder that goes again."""
    with tempfile.TemporaryDirectory(prefix="assay-first-") as place:
        return first_verdict(write_policy(Path(place), bundle, precision), photo, precision)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, default=Path("runs/answering/yolo11n-cls.bundle"))
    parser.add_argument("--photo", type=Path, help="a JPEG file (default: one that is drawn)")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--results", type=Path, default=RESULTS / "first_verdict.jsonl")
    args = parser.parse_args()
    if not args.bundle.exists():
        print(
            f"skipped: no {args.bundle}; `python -m benchmarks.serving` makes it, or name one with --bundle"
        )
        return 0
    photo = args.photo.read_bytes() if args.photo else drawn_photo()
    run(args.bundle, photo, args.precision)
    times = [run(args.bundle, photo, args.precision) for _ in range(args.runs)]
    for name, place, aim in (("until it listens", 0, "-"), ("until the first verdict", 1, f"< {AIM_S:g}")):
        values = [pair[place] for pair in times]
        about = {"name": f"assay serve from nothing {name}, {args.bundle.stem} {args.precision}", "unit": "s"}
        spread = {"least": round(min(values), 2), "most": round(max(values), 2)}
        value = round(median(values), 2)
        append_line(
            args.results, {**about, "value": value, "runs": len(values), "aim": aim, **spread, **stamp()}
        )
        print(f"{about['name']}: {value:.2f} s, {min(values):.2f} to {max(values):.2f}")
    return 0


def drawn_photo() -> bytes:
    """A JPEG of 800 x 600, as ``assay bench`` draws them."""
    from assay.cli.commands.bench import draw_pictures  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as place:
        return Path(draw_pictures(Path(place))[0]).read_bytes()


if __name__ == "__main__":
    raise SystemExit(main())
