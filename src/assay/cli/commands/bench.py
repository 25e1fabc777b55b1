"""``assay bench``: how fast a Bundle answers here, in every engine and precision, and how near to the limit."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from assay.cli.command import Command
from assay.cli.terminal import show_table
from assay.errors import ConfigError
from assay.tables import ENGINES

if TYPE_CHECKING:
    from assay.card import Card
    from assay.runtime.bench import Bench, Way

_EPILOG = """\
examples:
  assay bench shop.bundle                          on pictures that are drawn for it
  assay bench shop.bundle some-photos/ --plot bench.png
  assay bench shop.bundle some-photos/ --engine openvino --precision int8 --json

The machine should have nothing else to do. A rate is the median of rounds in which all ways take turns.
"""
_MOST = 256
_DRAWN, _DRAWN_WIDTH, _DRAWN_HEIGHT = 32, 800, 600


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="the file that `assay export` wrote")
    parser.add_argument(
        "pictures",
        nargs="*",
        help="as for `assay predict`; at most 256 are used (default: drawn ones, 800 x 600)",
    )
    parser.add_argument("--engine", default="auto", metavar="NAME", help="one engine (default: all)")
    parser.add_argument(
        "--precision", default="any", metavar="NAME", help="fp32, bf16 or int8 (default: all)"
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds of each rate (default: 3)")
    parser.add_argument(
        "--seconds", type=float, default=2.0, metavar="S", help="length of a round, in seconds (default: 2)"
    )
    parser.add_argument("--batch", type=int, metavar="N", help="pictures in one call of the network")
    parser.add_argument("--plot", metavar="FILE", help="also draw it (PNG or SVG; needs matplotlib)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def _run(args: argparse.Namespace) -> int:
    _check(args)
    from assay.bundle import load_bundle  # noqa: PLC0415
    from assay.cli.native import quiet_native  # noqa: PLC0415
    from assay.cli.progress import bars  # noqa: PLC0415
    from assay.runtime.bench import bench  # noqa: PLC0415

    card = load_bundle(args.bundle).card
    with ExitStack() as stack:
        stack.enter_context(quiet_native())
        found = bench(
            args.bundle,
            _sources(args, stack),
            engine=args.engine,
            precision=args.precision,
            rounds=args.rounds,
            round_s=args.seconds,
            batch=args.batch,
            on_progress=bars(),
        )
    if args.json:
        print(json.dumps({**found.to_dict(), "accuracy": card.parity}, ensure_ascii=False))
    else:
        _tell(found, card)
    if all(way.fault is not None for way in found.ways):
        return 1
    if args.plot is not None:
        from assay.report.bench_chart import draw_bench  # noqa: PLC0415 - matplotlib

        draw_bench(found, args.plot)
    return 0


def _check(args: argparse.Namespace) -> None:
    for name in ("rounds", "batch"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name} needs at least 1", got=str(value), fix=f"e.g. --{name} 3")
    if args.plot is not None and Path(args.plot).suffix.lower() not in (".png", ".svg"):
        raise ConfigError(f"{args.plot} is no PNG or SVG", fix="name a file that ends with .png or .svg")
    if not args.seconds > 0:
        raise ConfigError("--seconds needs a number above 0", got=f"{args.seconds:g}", fix="e.g. --seconds 2")


def _sources(args: argparse.Namespace, stack: ExitStack) -> list[Any]:
    if args.pictures:
        from assay.runtime.containers import pictures  # noqa: PLC0415

        return list(islice(pictures(args.pictures), _MOST))
    return draw_pictures(Path(stack.enter_context(TemporaryDirectory(prefix="assay-bench-"))))


def draw_pictures(folder: Path) -> list[str]:
    """JPEG files of soft fields with grain, as large on the disk as photos of their size."""
    import numpy as np  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    rng, found = np.random.default_rng(0), []
    for i in range(_DRAWN):
        field = Image.fromarray(rng.integers(0, 256, (15, 20, 3), dtype=np.uint8))
        soft = np.asarray(field.resize((_DRAWN_WIDTH, _DRAWN_HEIGHT), Image.Resampling.BICUBIC), np.int16)
        grain = rng.integers(-14, 15, soft.shape, dtype=np.int16)
        path = folder / f"{i}.jpg"
        Image.fromarray((soft + grain).clip(0, 255).astype(np.uint8)).save(path, quality=88)
        found.append(str(path))
    return found


def _tell(found: Bench, card: Card) -> None:
    decoding = "JPEG smaller from the start" if found.decode == "scaled" else "every pixel"
    print(
        f"{found.bundle}: {found.cores} cores, batches of {found.batch}, {found.pictures} pictures; "
        f"decoding alone {found.decode_per_s:,.0f}/s ({decoding})"
    )
    head = ("engine", "precision", "network alone", "end to end", "of the limit", "one picture")
    rows: list[tuple[str, ...]] = [(*head, "start", "memory", "accuracy")]
    for way in sorted(found.ways, key=lambda way: -way.per_s):
        if way.fault is None:
            rows.append((way.engine, way.precision, *_numbers(way), _accuracy(way, card)))
    show_table(rows)
    for way in found.ways:
        if way.fault is not None:
            print(f"{way.engine} {way.precision}: {way.fault}", file=sys.stderr)
    for name in ENGINES:
        if (why := ENGINES.load(name).missing()) is not None:
            print(f"{name}: {why}", file=sys.stderr)


def _numbers(way: Way) -> tuple[str, ...]:
    return (
        f"{way.engine_per_s:,.0f}/s",
        f"{way.per_s:,.0f}/s",
        f"{way.share:.0%}",
        f"{way.p50_ms:.1f} ms, p99 {way.p99_ms:.1f}",
        f"{way.start_s:.2f} s" if way.start_s else "",
        f"{way.memory_mb:,.0f} MB" if way.memory_mb else "",
    )


def _accuracy(way: Way, card: Card) -> str:
    """What the gate at export found: the score that falls most, in points."""
    is_exact = way.precision == "fp32" and card.preprocess.decode == "exact"
    told = card.parity.get("decode" if way.precision == "fp32" else way.precision)
    scores = told.get("scores", []) if isinstance(told, dict) else []
    if is_exact or not scores:
        return "the checkpoint's" if is_exact else "not measured"
    worst = min(scores, key=lambda score: score["difference"]["value"])
    low, high = (100 * worst["difference"][end] for end in ("low", "high"))
    return f"{worst['name']} {100 * worst['difference']['value']:+.1f} [{low:+.1f}, {high:+.1f}] points"


COMMAND = Command(
    "bench",
    "Measure how fast a Bundle answers on this machine: decoding, the network alone and end to end, in every engine\n"
    "and precision, beside what is possible; latency, start-up, memory, and what each precision costs in accuracy.",
    _add_arguments,
    _run,
    _EPILOG,
)
