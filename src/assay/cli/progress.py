"""A progress bar around anything that is walked through: rate, time left, on stderr, only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def track(
    items: Iterable[T], what: str, total: int | None = None, *, quiet: bool = False, done: int = 0
) -> Iterator[T]:
    """Pass ``items`` through one by one while a bar called ``what`` moves.

    Nothing is read ahead, so memory stays constant. ``total`` is how many there will be, where that is known;
    ``done`` of them were done before.
    Nothing is shown when ``quiet``, or where stderr is no terminal (a file, a pipe, CI).
    """
    if quiet or not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console  # noqa: PLC0415 - 50 ms that a pipe does not need
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (
        TextColumn("{task.description:<11}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task(what, total=total, completed=done, rate="")
        for item in items:
            yield item
            speed = bar.tasks[task].speed
            bar.update(task, advance=1, rate="" if speed is None else f"{speed:,.0f}/s")


class Steps:
    """A bar for work that calls back with (done, of how many), begun when the number is known."""

    def __init__(self, what: str, *, quiet: bool = False) -> None:
        self._what, self._quiet, self._steps = what, quiet, iter(range(0))

    def __call__(self, done: int, total: int) -> None:
        """Move the bar; it goes away when all is done."""
        if done == 1:
            self._steps = track(range(total + 1), self._what, total, quiet=self._quiet)
            next(self._steps, None)
        next(self._steps, None)
        if done == total:
            for _ in self._steps:
                pass


def bars() -> Callable[[str, int, int], None]:
    """Takes (what is done, done, in all): a bar for each thing that is done."""
    found: dict[str, Steps] = {}

    def tell(what: str, done: int, total: int) -> None:
        found.setdefault(what, Steps(what))(done, total)

    return tell
