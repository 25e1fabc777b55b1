"""``assay calibrate``: set when a run holds its answers back, or a policy asks a person, and say what is promised."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from assay.cli.command import Command
from assay.cli.flags import add_config_flags, given_options, read_config
from assay.cli.terminal import paint
from assay.configs import ReadConfig
from assay.errors import ConfigError
from assay.verb_configs import AbstainConfig, TellConfig

if TYPE_CHECKING:
    from assay.train.calibrate import Calibrated

_SHARES = (("precision", "boxes.precision"), ("recall", "boxes.recall"), ("F1", "boxes.f1"))
_EPILOG = """\
examples:
  assay calibrate runs/first                             with the run's own validation pictures
  assay calibrate runs/first --risk 0.02 --confidence 0.95
  assay calibrate runs/first --data fresh-photos         pictures that nothing was chosen with: an honest promise
  assay calibrate shop.yaml --data labelled.csv          the thresholds of a policy, one for each kind of verdict
  assay calibrate runs/cells --target precision --value 0.95   a run that finds things: from which score on it tells

The thresholds are written into the run folder; `assay export` packs them into the Bundle, and
`assay predict --abstain` applies them. exit code: 0 fitted, also where the wished risk cannot be promised
(threshold is null in --json, and every answer is held back); 2 wrong usage
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="the folder of a finished run, or a policy (.yaml)")
    parser.add_argument(
        "--data", metavar="DATA", help="labelled pictures that it was not trained on (default: the run's own)"
    )
    parser.add_argument(
        "--part",
        metavar="NAME",
        help="part of the pictures (default: validation of the run's own, all of DATA)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_config_flags(parser, AbstainConfig)
    add_config_flags(parser, TellConfig)
    add_config_flags(parser, ReadConfig)


def _run(args: argparse.Namespace) -> int:
    from assay.cli.policy_calibration import ENDINGS, calibrate_policy_file  # noqa: PLC0415

    if Path(args.run).suffix.lower() in ENDINGS:
        return calibrate_policy_file(args)
    if args.data is None and given_options(args, ReadConfig):
        name = next(iter(given_options(args, ReadConfig)))
        raise ConfigError(f"--{name.replace('_', '-')} is about pictures of --data", fix="give --data")
    config, wanted = read_config(args, AbstainConfig), read_config(args, TellConfig)
    from assay.train.retell import is_scene  # noqa: PLC0415 - torch

    if is_scene(Path(args.run)):
        return _retell(args, wanted)
    if given_options(args, TellConfig):
        raise ConfigError(
            f"{args.run} finds no things, so there is no score to tell them from",
            fix="leave --target out, or name a run that was trained on boxes",
        )
    from assay.cli.native import quiet_native  # noqa: PLC0415
    from assay.train.calibrate import calibrate  # noqa: PLC0415 - torch

    with quiet_native(), _progress() as on_progress:
        done = calibrate(
            args.run,
            data=args.data,
            part=args.part,
            read=read_config(args, ReadConfig),
            on_progress=on_progress,
            **config.to_dict(),
        )
    if args.json:
        print(json.dumps(done.to_dict(), ensure_ascii=False, allow_nan=False))
    else:
        _tell(done)
    return 0


def _retell(args: argparse.Namespace, wanted: TellConfig) -> int:
    """For a run that finds things."""
    if args.data is not None or args.part is not None or given_options(args, AbstainConfig):
        raise ConfigError(
            "a run that finds things is calibrated on its own validation part", fix="use --target and --value"
        )
    from assay.train.retell import retell  # noqa: PLC0415 - torch

    done = retell(args.run, **wanted.to_dict())
    page = _renewed_page(done.folder)
    if args.json:
        print(json.dumps(done.to_dict(), ensure_ascii=False, allow_nan=False))
        return 0
    from assay.cli.terminal import show_table  # noqa: PLC0415
    from assay.report.scene_names import interval_text, value_text  # noqa: PLC0415

    print(f"{done.folder}: things are told from a score of {done.threshold['score']:.3f} on\n")
    rows: list[tuple[str, ...]] = [("", *(title for title, _ in _SHARES))]
    for part, found in done.evaluations.items():
        if found.boxes is not None:  # else nobody looked for things in any of its pictures
            told = [(name, found.metrics[name]) for _, name in _SHARES]
            rows.append((part, *(f"{value_text(n, e.value)} {interval_text(n, e)}".strip() for n, e in told)))
    show_table(rows)
    if done.lost_panoptic:
        print(
            "\nPanoptic quality was that of the earlier score, and is left out: `assay evaluate` measures it"
        )
    print(f"\nwritten to {done.folder / 'card.json'}; pack it again: assay export {done.folder}")
    if page is not None:
        print(f"the report tells it too: {page}")
    return 0


def _renewed_page(folder: Path) -> Path | None:
    """The run's page written anew, where there is one: the old one tells of the earlier score."""
    if not (folder / "report.html").is_file():
        return None
    from assay.report.write import write_report  # noqa: PLC0415 - charts and templates

    return write_report(folder)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None] | None]:
    """A bar on stderr for each pass, where that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - 50 ms that a pipe does not need
    from rich.progress import Progress, TaskID  # noqa: PLC0415

    tasks: dict[str, TaskID] = {}
    with Progress(console=Console(file=sys.stderr), transient=True) as bar:

        def move(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done)

        yield move


def _tell(done: Calibrated) -> None:
    made = done.abstention.calibration
    where = f"{made.dataset}, part {made.part}" if made.part not in ("", "all") else made.dataset
    groups = f" in {made.groups:,} groups" if made.groups is not None else ""
    print(
        f"{done.folder}: {made.pictures:,} pictures{groups} of {where}, {made.accuracy:.1%} answered rightly\n"
    )
    can = done.abstention.threshold.threshold is not None
    for i, sentence in enumerate(done.promises):
        print(f"- {sentence if i or can else paint(sentence, 'yellow', sys.stdout)}")
    for text in done.warnings:
        print(f"\n{paint('warning:', 'yellow', sys.stdout)} {text}")
    print(f"\nwritten to {done.folder / 'abstention.json'}")
    print(f"see what comes of it: assay evaluate {done.folder} --abstain", file=sys.stderr)
    print(f"pack it into a Bundle: assay export {done.folder}", file=sys.stderr)


COMMAND = Command(
    "calibrate",
    "Set when a run holds its answers back: from which probability on, with a promised share of wrong answers; "
    "which classes remain possible; which pictures are unlike those it knows. Or, of a run that finds things, from "
    "which score on they are told. Or, of a policy, from which score on each automatic verdict keeps its promise.",
    _add_arguments,
    _run,
    _EPILOG,
)
