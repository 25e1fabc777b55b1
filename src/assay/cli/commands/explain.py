"""``assay explain``: which pixels an answer rests on, with tests of whether that is true."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from assay.cli.command import Command
from assay.cli.terminal import paint, show_table
from assay.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from assay.explain.explanation import Explanation
    from assay.explain.faithfulness import Score


KINDS = ("grad-cam", "grad-cam++", "layer-cam", "score-cam", "occlusion", "input-gradient")
"""Those of Assay, for the help; outside packages may add to ``assay.tables.EXPLANATIONS``."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="the folder of a finished run")
    parser.add_argument(
        "pictures",
        metavar="PICTURES",
        nargs="*",
        help="files or folders to explain (default: a choice from the run's validation part)",
    )
    parser.add_argument("--kinds", metavar="NAME,...", help=f"of {', '.join(KINDS)} (default: all)")
    parser.add_argument("--n", type=int, default=16, metavar="N", help="most pictures drawn (default: 16)")
    parser.add_argument(
        "--test-pictures",
        type=int,
        default=48,
        metavar="N",
        help="pictures on which each kind is tested (default: 48)",
    )
    parser.add_argument(
        "--out", metavar="FOLDER", help="where the pictures and explain.json go (default: RUN/explain)"
    )
    parser.add_argument(
        "--filters", action="store_true", help="also draw what the early filters answer to (default: no)"
    )
    parser.add_argument("--show", action="store_true", help="open the sheet of pictures on this screen")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _run(args: argparse.Namespace) -> int:
    for name, value in (("--n", args.n), ("--test-pictures", args.test_pictures)):
        if value < 1:
            raise ConfigError(f"{name} is {value}", fix="the least is 1")
    from assay.cli.native import quiet_native  # noqa: PLC0415
    from assay.explain.explain import explain  # noqa: PLC0415 - torch, for those who explain

    kinds = (
        [word.strip() for word in args.kinds.split(",") if word.strip()] if args.kinds is not None else None
    )
    with quiet_native(), _progress(quiet=args.json) as progress:
        found = explain(
            args.run,
            args.pictures or None,
            kinds=kinds,
            n=args.n,
            test_pictures=args.test_pictures,
            out=args.out,
            show=args.show,
            progress=progress,
        )
        filters = _filters(args, found.folder, progress) if args.filters else None
    page = _page(found.folder)
    if args.json:
        told = {**found.to_dict(), "folder": str(found.folder), "page": str(page)}
        print(json.dumps({**told, "filters": filters}, ensure_ascii=False, allow_nan=False))
    else:
        _tell(found, page)
    return 0


def _filters(
    args: argparse.Namespace, folder: Path, progress: Callable[[str, int, int], None] | None
) -> dict[str, object]:
    from assay.explain.filters import look_at_filters  # noqa: PLC0415

    return look_at_filters(args.run, out=folder, progress=progress).to_dict()


def _page(folder: Path) -> Path:
    from assay.report.explain_page import write_explain_page  # noqa: PLC0415 - templates

    return write_explain_page(folder)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """A bar on stderr where that is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - 50 ms that a pipe does not need
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task("explain", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


def _tell(found: Explanation, page: Path) -> None:
    print(
        f"{found.run}: {found.model} at {found.size} px, tested on {found.tested} pictures of {found.tested_on}\n"
    )
    head = ("kind", "verdict", "deletion", "insertion", "over chance", "over centre", "shuffled", "why")
    show_table([head, *(_row(score) for score in found.scores)])
    if found.best is None:
        print(f"\n{paint('no kind passed', 'yellow', sys.stdout)}, so no map is shown")
    else:
        print(f"\nshown: {found.best} on {len(found.shown)} picture{'s' if len(found.shown) != 1 else ''}")
    for note in found.notes:
        print(f"note: {note}")
    print(f"page: {page}")


def _row(score: Score) -> tuple[str, ...]:
    told = [
        "-" if value is None else f"{value.value:{sign}.3f}"
        for value, sign in (
            (score.deletion, ""),
            (score.insertion, ""),
            (score.gain, "+"),
            (score.over_centre, "+"),
        )
    ]
    alike = score.likeness.get("everything")
    return (score.kind, score.verdict, *told, "-" if alike is None else f"{alike:+.2f}", score.reason)


COMMAND = Command(
    "explain",
    "Show which pixels a run's answers rest on. Every kind of explanation is tested first: covering what it marks must "
    "move the answer more than chance, and its maps must change when the network's weights are shuffled. "
    "Only kinds that passed are drawn. Deletion: smaller is better; insertion: larger is better.",
    _add_arguments,
    _run,
    epilog="""examples:
  assay explain runs/first
  assay explain runs/first photo.jpg more-photos/ --kinds grad-cam,occlusion
  assay explain runs/first --filters --out first-explained --json""",
)
