"""``assay show``: a contact sheet of a data set, or of what augmentation makes of it."""

from __future__ import annotations

import argparse
from pathlib import Path

from assay.cli.command import Command
from assay.cli.flags import add_config_flags, given_options, read_config
from assay.configs import AugmentConfig, PreprocessConfig, ReadConfig
from assay.errors import ConfigError

_KINDS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help="a data set in any format that is read")
    parser.add_argument(
        "--out",
        metavar="FILE",
        default="contact-sheet.png",
        help="picture to write, png, jpg or webp (default: %(default)s)",
    )
    parser.add_argument("--part", metavar="NAME", help="only this part: train, validation or test")
    parser.add_argument("--augment", action="store_true", help="one picture a row, in random versions")
    parser.add_argument(
        "--columns",
        type=int,
        metavar="N",
        help="pictures beside each other (default: 8; 4 where boxes, masks or pixels are drawn)",
    )
    parser.add_argument("--rows", type=int, default=8, metavar="N", help="most rows (default: 8)")
    parser.add_argument(
        "--per-class", type=int, metavar="N", help="most pictures of a class (default: what fits)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="another seed, other pictures (default: 0)"
    )
    add_config_flags(parser, ReadConfig)
    add_config_flags(parser, PreprocessConfig)
    add_config_flags(parser, AugmentConfig)


def _run(args: argparse.Namespace) -> int:
    out = Path(args.out)
    kind = _KINDS.get(out.suffix.lower())
    if kind is None:
        raise ConfigError(f"{out} is no name for a picture", fix=f"end it in {', '.join(_KINDS)}")
    if args.seed < 0:
        raise ConfigError(f"seed is {args.seed}", fix="give 0 or more")
    if given_options(args, AugmentConfig) and not args.augment:
        raise ConfigError("options of augmentation without --augment", fix="add --augment")
    import numpy as np  # noqa: PLC0415 - heavy imports only when the verb runs

    from assay.data.read import read_dataset  # noqa: PLC0415
    from assay.files import write_file  # noqa: PLC0415
    from assay.image import encode_image  # noqa: PLC0415
    from assay.report.contact_sheet import contact_sheet  # noqa: PLC0415

    asked = bool(given_options(args, PreprocessConfig))
    sheet = contact_sheet(
        read_dataset(args.data, read_config(args, ReadConfig)),
        part=args.part,
        augment=read_config(args, AugmentConfig) if args.augment else None,
        preprocess=read_config(args, PreprocessConfig) if asked else None,
        columns=args.columns,
        rows=args.rows,
        per_class=args.per_class,
        seed=args.seed,
    )
    write_file(out, encode_image(np.array(sheet), kind))
    print(f"{out}: {sheet.width} x {sheet.height} px")
    return 0


COMMAND = Command(
    name="show",
    help="Draw a contact sheet: some pictures of every class with the number of each. Boxes, masks and classes of\n"
    "pixels are drawn on their pictures, in the colours of the classes. With --augment, each row is one picture as\n"
    "training sees it, boxes and masks with it. Options of preprocessing show pictures as the network sees them.",
    add_arguments=_add_arguments,
    run=_run,
    epilog="""examples:
  assay show photos
  assay show shop-coco --columns 3 --rows 6 --out boxes.png
  assay show photos --augment --colour-jitter 0.4 --out augmented.png
  assay show shop-coco --augment --mosaic 0.5 --size 320 --out mosaics.jpg""",
)
