"""``assay compare``: several networks on one data set, or two runs picture by picture."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from assay.cli.command import Command
from assay.cli.flags import add_config_flags, given_options
from assay.cli.terminal import paint, show_table, warn
from assay.configs import Recipe, sections_of
from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.metrics.compare import Comparison
    from assay.trials.scene_pair import SceneComparison
    from assay.trials.trials import Trials

_OWN = {"model", "seed", "baselines"}
"""Options of one run that a comparison sets by itself."""
_UNITS = {"k": 1e3, "m": 1e6, "g": 1e9}
_NETWORK_FLAGS = ("equal", "params", "flops", "reference")


def _shared_options() -> set[str]:
    return {f.name for section in sections_of(Recipe).values() for f in fields(section)} - _OWN  # type: ignore[arg-type]


def _count(text: str) -> int:
    """``250000``, ``250k`` or ``1.5M``."""
    found = re.fullmatch(r"([\d_.]+)\s*([kKmMgG]?)", text)
    try:
        return round(float(found[1]) * _UNITS.get(found[2].lower(), 1)) if found else int(text)
    except ValueError:
        raise ConfigError("a size is a number", got=repr(text), fix="e.g. 250000, 250k or 1.5M") from None


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "places",
        metavar="DATA_OR_RUNS",
        nargs="+",
        help="with --models: a folder or table of labelled pictures; without: two run folders, or two PART.json files "
        "of evaluations; or the folder of an earlier comparison, to show it again",
    )
    parser.add_argument(
        "--out",
        metavar="PLACE",
        help="networks: the comparison's folder (default: comparisons/NAME); runs: the page (default: "
        "comparisons/A-and-B.html)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_argument("--quiet", action="store_true", help="no progress and no table")
    group = parser.add_argument_group("networks", "Compare networks on one data set and split")
    group.add_argument(
        "--models",
        metavar="NAME,...",
        help="networks, each with options of its own if wanted: cnn,cnn:width=64:depth=5,rnn-bigru",
    )
    group.add_argument(
        "--equal",
        metavar="WHAT",
        help="params or flops: search widths until all have as many; minutes: all get the same time",
    )
    group.add_argument("--params", type=_count, metavar="N", help="with --equal params: how many, e.g. 500k")
    group.add_argument(
        "--flops", type=_count, metavar="N", help="with --equal flops: multiply-adds a picture"
    )
    group.add_argument(
        "--seeds", type=int, metavar="N", help="runs a network, with seeds 0, 1, ... (default: 3)"
    )
    group.add_argument("--reference", metavar="NAME", help="also test all networks against this one")
    group.add_argument(
        "--tune",
        action="store_true",
        help="search depth, width, optimiser and learning rate of every network first, on validation",
    )
    group.add_argument(
        "--tune-minutes", type=float, metavar="MIN", help="time of that a network (default: 5)"
    )
    group.add_argument(
        "--no-latency", action="store_true", help="do not export networks and measure their latency"
    )
    group = parser.add_argument_group("runs", "Compare two runs on the same pictures")
    group.add_argument("--part", metavar="NAME", help="which pictures (default: test)")
    add_config_flags(parser, Recipe, _shared_options())


def _run(args: argparse.Namespace) -> int:
    if args.models is not None:
        return _compare_networks(args)
    if len(args.places) == 1 and (Path(args.places[0]) / "trials.json").is_file():
        return _show_again(args)
    _refuse_network_options(args)
    return _compare_runs(args)


def _compare_networks(args: argparse.Namespace) -> int:
    if len(args.places) != 1:
        raise ConfigError(
            "networks are compared on one data set",
            got=", ".join(args.places),
            fix="give one folder or table",
        )
    place = Path(args.places[0])
    if not place.exists():
        raise ConfigError(f"{place} does not exist", fix="give a folder with one folder a class, or a table")
    if (place / "run.json").is_file():
        raise ConfigError(f"{place} is a run, not a data set", fix="leave out --models to compare two runs")
    if args.part is not None:
        raise ConfigError("--part is for two runs", fix="networks are told on the test part")
    options = given_options(args, Recipe)
    Recipe.from_options(options)  # a mistake is told at once, not after torch's import
    from assay.cli.native import quiet_native  # noqa: PLC0415
    from assay.report.trials_page import write_trials  # noqa: PLC0415 - torch and all: only when a verb runs
    from assay.trials.compare import compare_models  # noqa: PLC0415
    from assay.trials.entrant import read_names  # noqa: PLC0415

    given = {"seeds": args.seeds, "tune_minutes": args.tune_minutes}
    with quiet_native():
        trials = compare_models(
            args.places[0],
            read_names(args.models),
            args.out,
            equal=args.equal,
            params=args.params,
            flops=args.flops,
            tune=args.tune,
            reference=args.reference,
            latency=not args.no_latency,
            show=not args.quiet and not args.json,
            **{name: value for name, value in given.items() if value is not None},
            **options,
        )
    page = write_trials(trials)
    _tell_networks(trials, page, args)
    return 0 if trials.best is not None else 1


def _show_again(args: argparse.Namespace) -> int:
    from assay.report.trials_page import write_trials  # noqa: PLC0415
    from assay.trials.trials import Trials  # noqa: PLC0415

    trials = Trials.load(args.places[0])
    _tell_networks(trials, write_trials(trials, args.out), args)
    return 0


def _tell_networks(trials: Trials, page: Path, args: argparse.Namespace) -> None:
    if args.json:
        print(
            json.dumps(
                {**trials.to_dict(), "folder": str(trials.folder), "page": str(page)}, ensure_ascii=False
            )
        )
        return
    for text in trials.warnings:
        warn(text)
    if args.quiet:
        return
    from assay.report import trials_table  # noqa: PLC0415
    from assay.report import trials_words as words  # noqa: PLC0415

    print(paint(words.headline(trials), "bold", sys.stdout))
    print(words.second_line(trials).replace("\u202f", " "))
    print()
    show_table(trials_table.table_rows(trials))
    print()
    if trials.heads:
        show_table(trials_table.head_rows(trials))
        print()
    for text in words.points(trials):
        print(f"- {text}".replace("\u202f", " "))
    print()
    show_table([("page", str(page)), ("table", str(trials.folder / "trials.csv"))])


def _refuse_network_options(args: argparse.Namespace) -> None:
    """Two runs have been trained already: options of a training say that something else was meant."""
    given = [f"--{name}" for name in _NETWORK_FLAGS if getattr(args, name) is not None]
    given += [f"--{name.replace('_', '-')}" for name in given_options(args, Recipe)]
    given += ["--tune"] * args.tune + ["--seeds"] * (args.seeds is not None)
    if given:
        raise ConfigError(
            f"{given[0]} is for comparing networks",
            got="no --models",
            fix="name them: --models cnn,rnn-bigru",
        )


def _compare_runs(args: argparse.Namespace) -> int:
    from assay.trials.pair import is_run, read_pair  # noqa: PLC0415

    for place in args.places:
        if not Path(place).exists():
            raise ConfigError(
                f"{place} does not exist", fix="give two run folders, or a data set with --models"
            )
    strange = [place for place in args.places if not is_run(place)]
    if strange:
        raise ConfigError(
            f"{strange[0]} is no run",
            got="no run.json in it" if Path(strange[0]).is_dir() else "no evaluation with its .npz beside it",
            fix="to compare networks on a data set, name them: --models cnn,rnn-bigru",
        )
    if len(args.places) != 2:
        got = f"only {args.places[0]}" if len(args.places) == 1 else f"{len(args.places)} runs"
        raise ConfigError("two runs are compared", got=got, fix="assay compare RUN_A RUN_B")
    from assay.report.pair_page import write_pair  # noqa: PLC0415 - charts and templates

    pair = read_pair(*args.places, part=args.part)
    c = pair.comparison
    page = write_pair(pair, args.out if args.out is not None else _page_of(c))
    if args.json:
        told = {**c.to_dict(), "settings": [list(row) for row in pair.settings], "page": str(page)}
        print(json.dumps(told, ensure_ascii=False, allow_nan=False))
    elif not args.quiet:
        _tell_runs(c, page)
    return 0


def _page_of(c: Comparison | SceneComparison) -> Path:
    stem = re.sub(r"[^\w.]+", "-", f"{c.a} and {c.b}").strip("-")
    return Path("comparisons") / f"{stem}.html"


def _tell_runs(c: Comparison | SceneComparison, page: Path) -> None:
    verdict, second, rows, points = _words(c)
    print(paint(verdict, "bold", sys.stdout))
    print(second.replace("\u202f", " "))
    print()
    show_table(rows)
    print()
    for text in points:
        print(f"- {text}".replace("\u202f", " "))
    print()
    show_table([("page", shlex.quote(str(page)))])


def _words(c: Comparison | SceneComparison) -> tuple[str, str, list[tuple[str, ...]], list[str]]:
    """(headline, second line, table, what else one should know)."""
    from assay.report import pair_page, pair_scene_words  # noqa: PLC0415
    from assay.trials.scene_pair import SceneComparison  # noqa: PLC0415

    if isinstance(c, SceneComparison):
        of = pair_scene_words
        return of.headline(c), of.second_line(c), of.table_rows(c), of.points(c)
    return pair_page.headline(c), pair_page.second_line(c), _cells(c), pair_page.points(c)


def _cells(c: Comparison) -> list[tuple[str, ...]]:
    return [
        ("", f"{c.b} right", f"{c.b} wrong"),
        (f"{c.a} right", str(c.both), str(c.only_a)),
        (f"{c.a} wrong", str(c.only_b), str(c.neither)),
    ]


COMMAND = Command(
    "compare",
    "Compare networks on one data set and split (with --models), or two runs picture by picture.\n"
    "A comparison that is broken off goes on with the same command.",
    _add_arguments,
    _run,
    epilog="""examples:
  assay compare photos --models cnn,csp-nano,rnn-bigru --equal params --epochs 30
  assay compare photos --models cnn,rnn-bigru --equal minutes --minutes 3 --seeds 5 --out comparisons/three-minutes
  assay compare scenes.json --models csp-nano,csp-small --heads boxes,masks --minutes 20
  assay compare photos --models cnn:depth=3,cnn:depth=5 --tune --tune-minutes 10 --epochs 40
  assay compare runs/first runs/second
  assay compare old/test.json new/test.json --json""",
)
