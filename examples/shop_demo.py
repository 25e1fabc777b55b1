"""`make demo`: the whole way from pictures to one packed, measured network that tells what a picture shows, where
things are, and what every pixel is, in about five minutes.

Every step is a command that you could type yourself; each is printed before it runs. Another folder, or other
minutes:  python examples/shop_demo.py FOLDER --minutes 10 --n 5000
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path


def main() -> int:
    """Run the steps one after the other; the first that fails ends the demo."""
    parser = argparse.ArgumentParser(description="Render a shop, train on it, measure, pack, predict.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("demo"), help="where everything goes")
    parser.add_argument("--n", type=int, default=1200, help="pictures to render")
    parser.add_argument("--minutes", type=float, default=3.0, help="for training")
    options = parser.parse_args()
    began = time.monotonic()
    print("Assay's demo. Its pictures are RENDERED by a program, not photographed: the figures below show")
    print("that everything works, not how well it does on photos. For those: docs/guides/first-classifier.md")
    number = next(k for k in range(1, 10_000) if not (options.folder / numbered("run", k)).exists())
    names = ("shop", *(numbered(name, number) for name in ("run", "shop", "answers")))
    shop, run, bundle, answers = (options.folder / name for name in names)
    bundle = bundle.with_name(f"{bundle.name}.bundle")
    for title, words in steps(shop, run, bundle, answers, options.n, options.minutes):
        print(f"\n--- {title}\n$ assay {shlex.join(words)}", flush=True)
        code = subprocess.run([sys.executable, "-m", "assay", *words], check=False).returncode
        if code:
            print(f"\nthe demo stops here: `assay {words[0]}` ended with code {code}", file=sys.stderr)
            return code
    where_to_look(shop, run, bundle, answers, (time.monotonic() - began) / 60)
    return 0


def numbered(name: str, k: int) -> str:
    """``name`` the first time, ``name-2`` the second: an earlier demo is never overwritten."""
    return name if k == 1 else f"{name}-{k}"


def steps(
    shop: Path, run: Path, bundle: Path, answers: Path, n: int, minutes: float
) -> list[tuple[str, list[str]]]:
    """(title, words of the command) of each step."""
    scenes = str(shop / "scenes" / "scenes.parquet")
    by_seller = ["--group-column", "seller"]
    network = ["--model", "csp-nano", "--size", "96", "--mosaic", "0", "--zoom", "0.8,1.4"]
    train = ["train", scenes, *by_seller, *network, "--minutes", f"{minutes:g}", "--out", str(run)]
    return [
        ("1/7 render a small shop's pictures", ["render", str(shop), "--n", str(n)]),
        ("2/7 look for broken and contradicting things", ["check", scenes, *by_seller]),
        (
            f"3/7 train for {minutes:g} minutes: kind, boxes, outlines, pixels; no seller is in two parts",
            train,
        ),
        ("4/7 measure on sellers never seen in training", ["evaluate", str(run), "--part", "test"]),
        ("5/7 write the report", ["report", str(run)]),
        ("6/7 pack it into one file that needs no torch", ["export", str(run), "--out", str(bundle)]),
        ("7/7 ask about new pictures", ["predict", str(bundle), str(shop / "new"), "--out", str(answers)]),
    ]


def where_to_look(shop: Path, run: Path, bundle: Path, answers: Path, minutes: float) -> None:
    """The last words."""
    places = {
        run / "report.html": "the report: open it in a browser",
        answers: "the new pictures with the answers drawn on them",
        shop / "new" / "labels.csv": "what these pictures really show",
        bundle: 'the network: assay.load("' + bundle.as_posix() + '")("photo.jpg").boxes',
        shop / "pictures": "what it learned from (rendered)",
    }
    print(f"\nDone in {minutes:.1f} minutes. Where to look:")
    width = max(len(str(place)) for place in places)
    for place, what in places.items():
        print(f"  {place!s:<{width}}  {what}")
    print("Now with your own pictures: docs/guides/first-classifier.md, docs/guides/first-detector.md")


if __name__ == "__main__":
    sys.exit(main())
