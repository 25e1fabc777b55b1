"""``assay report``: one HTML page about a run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from assay.cli.command import Command
from assay.errors import ConfigError


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run", metavar="RUN", help="a run folder, or the PART.json that `assay evaluate` wrote"
    )
    parser.add_argument("--out", metavar="FILE", help="where the page goes (default: RUN/report.html)")
    parser.add_argument(
        "--quick", action="store_true", help="compute nothing: show what the run folder holds already"
    )
    parser.add_argument("--open", action="store_true", help="show it in the browser")


def _run(args: argparse.Namespace) -> int:
    if args.out is not None and Path(args.out).suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--out is {args.out}", fix="name an .html file")
    from assay.cli.native import quiet_native  # noqa: PLC0415
    from assay.report.write import write_report  # noqa: PLC0415 - charts and templates

    # a run that has not finished has no weights to compute anything with
    full = not args.quick and (Path(args.run) / "card.json").is_file()
    with quiet_native(), _progress() as on_progress:
        place = write_report(args.run, args.out, full=full, on_progress=on_progress)
    print(place)
    if args.open:
        import webbrowser  # noqa: PLC0415

        webbrowser.open(place.resolve().as_uri())
    return 0


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int | None], None] | None]:
    """A bar on stderr for each thing that is made, where that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - 50 ms that a pipe does not need
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        tasks: dict[str, object] = {}

        def show(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total)
            bar.update(tasks[name], completed=done, total=total)  # type: ignore[arg-type]

        yield show


COMMAND = Command(
    "report",
    "Write one self-contained HTML page about a run: verdict, mistakes and what they resemble, a map of the pictures,\n"
    "classes, calibration, curves, settings. What must be computed first is kept in the run folder, so a second call\n"
    "is quick.",
    _add_arguments,
    _run,
    epilog="""examples:
  assay report runs/first
  assay report runs/first --quick --out first.html --open""",
)
