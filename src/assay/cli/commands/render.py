"""``assay render``: the photo set of a small shop, drawn from code, to try things on."""

from __future__ import annotations

import argparse

from assay.cli.command import Command
from assay.cli.flags import add_config_flags, read_config
from assay.cli.progress import track
from assay.cores import usable_cores
from assay.verb_configs import ShopConfig


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help="folder to make; reused when the same shop is there")
    add_config_flags(parser, ShopConfig)
    parser.add_argument(
        "--workers", type=int, default=usable_cores(), metavar="N", help="processes (default: all cores)"
    )


def _run(args: argparse.Namespace) -> int:
    from assay.data.synthetic import render_shop  # noqa: PLC0415 - numpy counts

    config = read_config(args, ShopConfig)
    total = config.n + config.new
    steps = track(range(total + 1), "rendering", total)
    made = render_shop(
        args.out,
        **config.to_dict(),
        workers=args.workers,
        progress=lambda _done, _total: next(steps, None),
    )
    if made.is_reused:
        print(f"{made.path} holds this very shop already; nothing to do")
        return 0
    for _ in steps:
        pass  # the bar goes away
    print(
        f"{made.path}: {made.pictures} rendered pictures, and {made.new} by new sellers in {made.path / 'new'}"
    )
    print(f"next: assay check {made.path} --group-column seller")
    return 0


COMMAND = Command(
    name="render",
    help="Render the photo set of a small shop: products of eleven kinds, non-products, genuine and subtly wrong\n"
    "brand marks, clutter, light, blur. Drawn from code: no photo, no download. Labels, sellers, boxes and masks\n"
    "are known exactly; the same values give the same bytes.",
    add_arguments=_add_arguments,
    run=_run,
    epilog="examples:\n  assay render demo/shop\n  assay render big --n 20000 --size 384 --seed 7\n",
)
