"""``assay features``: what a network sees in pictures: vectors, a map of them, the most alike pictures."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.cli.command import Command
from assay.cli.flags import add_config_flags, given_options, read_config
from assay.cli.terminal import show_table, warn
from assay.configs import ReadConfig
from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.explain.feature_files import FeatureSet
    from assay.explain.neighbours import Likeness

_DEFAULT_OUT = "features.parquet"
_EPILOG = """\
examples:
  assay features runs/first --part test                         the run's own pictures to features.parquet
  assay features runs/first photos --out seen.npz --layer stage3 --pool max
  assay features runs/first --map map.svg                       a map of them; .png works too
  assay features first.bundle photos                            without torch
  assay features runs/first --neighbours photo.jpg --among features.parquet --sheet alike.png
  assay features runs/first --list-layers

Layers are `embedding` (what the last layer sees), `logits`, `stage1` to `stage4` (maps, fine to coarse) and every
module of the network; a Bundle gives the first two.
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="RUN_OR_BUNDLE", help="a run folder or a .bundle file")
    parser.add_argument(
        "data",
        metavar="PICTURES",
        nargs="*",
        help="a data set, or files, folders, patterns; a run knows its own",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        help=f".parquet, .npy or .npz (default: {_DEFAULT_OUT}, if nothing else is asked)",
    )
    parser.add_argument("--layer", metavar="NAME", help="what to read (default: embedding)")
    parser.add_argument(
        "--pool", metavar="HOW", help="maps become vectors by their mean, max, or none: all (default: mean)"
    )
    parser.add_argument("--part", metavar="NAME", help="only train, validation or test")
    parser.add_argument(
        "--among", metavar="FILE", help="features that were written before, in place of PICTURES"
    )
    parser.add_argument("--map", metavar="FILE", help="draw a map of the pictures: .svg or .png")
    parser.add_argument("--neighbours", metavar="PHOTO", nargs="+", help="find the pictures most alike these")
    parser.add_argument("--top", type=int, default=8, metavar="N", help="neighbours of each (default: 8)")
    parser.add_argument("--sheet", metavar="FILE", help="draw the neighbours: .png or .jpg")
    parser.add_argument("--list-layers", action="store_true", help="list the layers and stop")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--batch", type=int, default=32, metavar="N", help="pictures a batch (default: 32)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the map (default: 0)")
    add_config_flags(parser, ReadConfig)


def _run(args: argparse.Namespace) -> int:
    if args.list_layers:
        return _list_layers(args)
    _check(args)
    from assay.cli.native import quiet_native  # noqa: PLC0415
    from assay.explain.feature_files import read_features  # noqa: PLC0415 - Arrow, for those who ask

    told: dict[str, Any] = {}
    with ExitStack() as stack:
        if args.among is not None:
            found = read_features(args.among)
        else:
            out = args.out or _place(args, stack)
            with quiet_native():
                found = _write(args, out)
            told["features"] = _facts(found, kept=Path(out) == found.path and not _is_passing(args))
        if args.map is not None:
            from assay.report.map_file import write_map  # noqa: PLC0415 - scikit-learn and drawing

            told["map"] = {"file": args.map, **write_map(found, args.map, seed=args.seed)}
        alike = _neighbours(args, found) if args.neighbours else []
    if args.neighbours:
        told["neighbours"] = [likeness.to_dict() for likeness in alike]
    if args.json:
        print(json.dumps(told, ensure_ascii=False))
    else:
        _show(told, alike, args)
    return 0


def _check(args: argparse.Namespace) -> None:
    """What can be told before anything heavy is imported."""
    for name, low in (("batch", 1), ("seed", 0), ("top", 1)):
        if getattr(args, name) < low:
            raise ConfigError(f"--{name} is {getattr(args, name)}", fix=f"the least is {low}")
    if not Path(args.model).exists():
        raise ConfigError(f"{args.model} does not exist", fix="give a run folder or a .bundle file")
    for name, endings in (("map", (".svg", ".png")), ("sheet", (".png", ".jpg", ".jpeg"))):
        value = getattr(args, name)
        if value is not None and Path(value).suffix.lower() not in endings:
            raise ConfigError(f"--{name} is {value}", fix=f"name a {' or '.join(endings[:2])} file")
    if args.sheet and not args.neighbours:
        raise ConfigError("--sheet draws neighbours, and none are asked for", fix="add --neighbours PHOTO")
    if args.among is None:
        return
    for given, name in (
        (args.data, "PICTURES"),
        (args.out, "--out"),
        (args.layer, "--layer"),
        (args.pool, "--pool"),
    ):
        if given:
            raise ConfigError(f"--among reads features that were written before, so {name} has no use here")
    if not (args.neighbours or args.map):
        raise ConfigError(
            "nothing is asked of the features in --among", fix="add --neighbours PHOTO or --map FILE"
        )


def _is_passing(args: argparse.Namespace) -> bool:
    """Whether the features are only a step to a map or to neighbours."""
    return args.out is None and bool(args.map or args.neighbours)


def _place(args: argparse.Namespace, stack: ExitStack) -> str:
    if not _is_passing(args):
        return _DEFAULT_OUT
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="assay-features-"))
    return str(Path(folder) / _DEFAULT_OUT)


def _write(args: argparse.Namespace, out: str) -> FeatureSet:
    from assay.explain.vectors import features  # noqa: PLC0415 - numpy and all

    with _progress(quiet=args.json) as on_progress:
        return features(
            args.model,
            _pictures(args),
            out,
            layer=args.layer or "embedding",
            pool=args.pool or "mean",
            part=None if args.part == "all" else args.part,
            batch=args.batch,
            on_progress=on_progress,
        )


def _pictures(args: argparse.Namespace) -> Any:
    if not args.data:
        return None
    if given_options(args, ReadConfig):
        from assay.data.read import read_dataset  # noqa: PLC0415

        if len(args.data) > 1:
            raise ConfigError("options of data sets need one data set", got=f"{len(args.data)} names")
        return read_dataset(args.data[0], read_config(args, ReadConfig))
    return args.data[0] if len(args.data) == 1 and args.data[0] != "-" else args.data


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int | None], None] | None]:
    """A bar on stderr where that is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - 50 ms that a pipe does not need
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task("pictures", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _facts(found: FeatureSet, *, kept: bool) -> dict[str, Any]:
    about = found.about
    wanted = ("network", "layer", "pool", "n", "dim", "shape", "digest", "preprocess", "left_out")
    return {
        "file": str(found.path) if kept else None,
        **{name: about[name] for name in wanted},
        "left_out_pictures": about["left_out_pictures"],
    }


def _neighbours(args: argparse.Namespace, found: FeatureSet) -> list[Likeness]:
    from assay.explain.neighbours import neighbours  # noqa: PLC0415
    from assay.files import write_file  # noqa: PLC0415

    alike = neighbours(args.model, args.neighbours, found, top=args.top)
    if args.sheet is not None:
        import numpy as np  # noqa: PLC0415

        from assay.image import encode_image  # noqa: PLC0415
        from assay.report.neighbour_sheet import neighbour_sheet  # noqa: PLC0415 - drawing

        kind = "PNG" if args.sheet.lower().endswith(".png") else "JPEG"
        write_file(args.sheet, encode_image(np.asarray(neighbour_sheet(alike)), kind))
    return alike


def _show(told: dict[str, Any], alike: list[Likeness], args: argparse.Namespace) -> None:
    made = told.get("features")
    if made is not None:
        for fault in made["left_out_pictures"][:10]:
            warn(f"left out: {fault['path']}: {fault['error']}")
        if made["left_out"] > 10:
            warn(f"and {made['left_out'] - 10:,} more pictures that could not be read")
        if made["file"]:
            print(f"{made['file']}: {made['n']:,} pictures, {made['dim']:,} numbers each ({made['layer']})")
    for likeness in alike:
        print(f"{likeness.path}  answer: {likeness.prediction} {100 * likeness.confidence:.1f} %")
        rows: list[tuple[str, ...]] = [
            (f"  {n.similarity:.3f}", n.label or f"answer: {n.prediction}", str(n.file))
            for n in likeness.neighbours
        ]
        show_table(rows)
    if args.sheet:
        print(args.sheet)
    if "map" in told:
        print(_map_line(told["map"]))


def _map_line(made: dict[str, Any]) -> str:
    if made["method"] == "none":
        return f"{made['file']}: {made['shown']} pictures; the network sees no difference between them"
    trust = "" if made["trustworthiness"] is None else f", trustworthiness {made['trustworthiness']:.2f}"
    line = f"{made['file']}: {made['shown']:,} of {made['total']:,} pictures by {made['method']}{trust}"
    if made["knn_full"] is None:
        return line
    return (
        f"{line}; the nearest {made['k']} name the right class of {100 * made['knn_full']:.0f} %"
        f" ({100 * made['knn_map']:.0f} % on the flat map)"
    )


def _list_layers(args: argparse.Namespace) -> int:
    place = Path(args.model)
    if not place.exists():
        raise ConfigError(f"{args.model} does not exist", fix="give a run folder or a .bundle file")
    if place.is_dir():
        from assay.explain.layers import list_layers  # noqa: PLC0415 - torch
        from assay.train.predictor import load_classifier  # noqa: PLC0415 - torch

        run = load_classifier(place)
        found = [
            info.to_dict() for info in list_layers(run.model, run.card.channels, run.card.preprocess.size)
        ]
    else:
        from assay.explain.source import bundle_layers  # noqa: PLC0415

        found = bundle_layers(place)
    if args.json:
        print(json.dumps({"layers": found}, ensure_ascii=False))
        return 0
    rows: list[tuple[str, ...]] = [("layer", "shape", "parameters", "kind")]
    for row in found:
        shape = " x ".join(str(side) for side in row["shape"])
        rows.append((row["name"], shape, f"{row['parameters']:,}" if row["parameters"] else "", row["kind"]))
    show_table(rows)
    return 0


COMMAND = Command(
    "features",
    "Write what a network sees in pictures as vectors (Parquet or numpy), draw a map of them, or find the pictures\n"
    "most alike a photo. A Bundle needs no torch.",
    _add_arguments,
    _run,
    epilog=_EPILOG,
)
