"""``assay cutout``: things on another background, from the masks of a data set or from those that a network finds."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.cli.answerer import load_answerer, require_score
from assay.cli.command import Command
from assay.cli.flags import add_config_flags, given_options, read_config
from assay.cli.progress import Steps
from assay.cli.terminal import paint, show_table, warn
from assay.configs import ReadConfig
from assay.errors import ConfigError
from assay.verb_configs import CutoutConfig

if TYPE_CHECKING:
    from assay.data.cutout_files import Cutouts
    from assay.data.cutout_photos import Photo

_SHOWN_FAULTS = 10


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="DATA_OR_BUNDLE",
        help="a data set with masks; or a .bundle or run whose network finds masks, and then PHOTOS",
    )
    parser.add_argument(
        "photos",
        nargs="*",
        metavar="PHOTOS",
        help="with a Bundle: files, folders, patterns in quotes, or - for a list of paths on stdin",
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="where the cut-outs go")
    parser.add_argument(
        "--score",
        type=float,
        metavar="X",
        help="with a Bundle: least score of a thing (default: the one its card holds)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_config_flags(parser, CutoutConfig)
    add_config_flags(parser, ReadConfig)


def _run(args: argparse.Namespace) -> int:
    config = read_config(args, CutoutConfig)
    _check(args, config)
    from assay.cli.native import quiet_native  # noqa: PLC0415
    from assay.data.cutout_files import write_cutouts  # noqa: PLC0415 - numpy and Pillow, for those who cut

    with quiet_native():
        total, photos, asked = _of_network(args, config) if args.photos else _of_dataset(args, config)
        made = write_cutouts(
            photos, args.out, config, asked=asked, total=total, progress=Steps("cutting", quiet=args.json)
        )
    if args.json:
        print(json.dumps(made.to_dict(), ensure_ascii=False))
    else:
        _show(made)
    return 1 if made.faults else 0


def _check(args: argparse.Namespace, config: CutoutConfig) -> None:
    """What can be told before anything is loaded."""
    if Path(args.out).is_file():
        raise ConfigError(f"--out {args.out} is a file", fix="name a folder for the cut-outs")
    if args.photos and given_options(args, ReadConfig):
        raise ConfigError("options of a data set beside a network and photos", fix="leave them out")
    if not args.photos and Path(args.source).suffix == ".bundle":
        raise ConfigError(f"{args.source} needs photos to look at", fix="name files or folders behind it")
    if args.score is not None and not args.photos:
        raise ConfigError(
            "--score is for what a network finds", fix="leave it out: masks of a data set have none"
        )
    require_score(args.score, "--score")
    if config.whole and "margin" in given_options(args, CutoutConfig):
        raise ConfigError("--margin and --whole contradict each other", fix="give one of them")


def _of_dataset(
    args: argparse.Namespace, config: CutoutConfig
) -> tuple[int | None, Iterator[Photo], dict[str, Any]]:
    from assay.data.cutout_photos import photos_of  # noqa: PLC0415
    from assay.data.read import read_dataset  # noqa: PLC0415

    dataset = read_dataset(args.source, read_config(args, ReadConfig))
    total, photos = photos_of(dataset, config.classes)
    return total, photos, {"source": str(Path(args.source).resolve()), "hash": dataset.split_hash}


def _of_network(
    args: argparse.Namespace, config: CutoutConfig
) -> tuple[int | None, Iterator[Photo], dict[str, Any]]:
    from assay.data.cutout_photos import classes_to_cut, photos_of_predictions  # noqa: PLC0415
    from assay.runtime.sources import Pictures  # noqa: PLC0415

    pictures = Pictures(args.photos)
    folders = [Path(name) for name in args.photos if name != "-" and Path(name).is_dir()]
    for folder in folders:
        if Path(args.out).resolve().is_relative_to(folder.resolve()):
            raise ConfigError(
                f"--out {args.out} lies in {folder}, where the photos come from", fix="name another folder"
            )
    predictor: Any = load_answerer(args.source)
    heads = set(predictor.card.heads)
    if not heads & {"masks", "pixels"}:
        raise ConfigError(
            f"{args.source} tells no outlines",
            got=f"a network for {', '.join(sorted(heads))}",
            fix="train one with masks or pixels: --heads boxes,masks",
        )
    things, card = "masks" in heads, predictor.card
    classes_to_cut(card.object_classes if things else card.pixel_classes, config.classes)
    options = {} if args.score is None else {"least_score": args.score}
    answers = predictor.predict(pictures, pixels=not things, **options)
    source = getattr(predictor, "digest", "") or str(Path(args.source).resolve())
    asked = {
        "source": source,
        "photos": [str(Path(name).resolve()) for name in args.photos],
        "least": args.score,
    }
    photos = photos_of_predictions(answers, folders, config.classes, things=things)
    return pictures.count(), photos, asked


def _show(made: Cutouts) -> None:
    total = sum(made.counts.values())
    print(
        paint(f"{made.folder}: {total:,} cut-outs from {made.photos:,} pictures", "bold", sys.stdout) + "\n"
    )
    show_table([("label", "cut-outs"), *((name, f"{n:,}") for name, n in made.counts.items())])
    if made.resumed:
        print(f"\n{made.resumed:,} pictures were done before")
    for count, words in (
        (made.bare, "things have a box alone and were not cut"),
        (made.crowds, "regions of many things were not cut"),
        (made.small, "things are smaller than --min-size and were not cut"),
    ):
        if count:
            warn(f"{count:,} {words}")
    for fault in made.faults[:_SHOWN_FAULTS]:
        warn(f"{fault}\n  fix: {fault.fix}")
    if len(made.faults) > _SHOWN_FAULTS:
        warn(
            f"and {len(made.faults) - _SHOWN_FAULTS:,} more pictures that could not be read: --json names them"
        )


COMMAND = Command(
    "cutout",
    "Cut things out of their pictures, for image editing: on nothing (PNG with alpha), on white, or before their own\n"
    "blurred surroundings. From the masks of a data set, or from those that a network finds in photos.\n\n"
    "Where things have no masks but every pixel has a class, all of a picture that belongs to a class is one thing.\n"
    "A thing with a box alone is not cut, and counted. Broken off, the same command goes on where it was.\n"
    "Exit code: 0 all done, 1 some pictures could not be read, 2 the request cannot be taken.",
    _add_arguments,
    _run,
    epilog="""examples:
  assay cutout shop-coco --out cutouts
  assay cutout street --classes shoes,dress --background white --soft 2 --out catalogue
  assay cutout shop.bundle new-photos/ --background blur --whole --out posts
  assay cutout shop.bundle photo.jpg --score 0.7 --out cutouts --json""",
)
