"""Jobs of a benchmark, one after another: each adds one line, and what has a line is not run again."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from benchmarks.machine import append_line, read_lines
from benchmarks.timed import BROKEN

Line = dict[str, Any]


class Job(Protocol):
    """One run: ``name`` is also the folder it writes, ``options`` are words of its command line."""

    @property
    def name(self) -> str: ...

    @property
    def options(self) -> str: ...


J = TypeVar("J", bound=Job)


def run_jobs(
    jobs: Iterable[J],
    args: argparse.Namespace,
    *,
    obstacle: Callable[[J], str],
    run: Callable[[J], Line],
    told: Callable[[Line], str],
) -> int:
    """Run the jobs that ``--jobs`` names and that have no line yet, or name them with ``--list``; how many failed.

    ``obstacle`` says why a job cannot run here, ``run`` gives its line, ``told`` the words for it.
    """
    failed = 0
    for job in wanted(jobs, args.jobs):
        why = obstacle(job)
        if not why and not args.again and is_done(job, read_lines(args.results)):
            why = "done before"
        if why or args.list:
            print(f"{job.name}: {f'skipped, {why}' if why else 'to do'}")
            continue
        try:
            line = run(job)
        except BROKEN as error:
            failed += 1
            print(f"{job.name}: failed, {error}", flush=True)
            continue
        append_line(args.results, line)
        print(f"{job.name}: {told(line)} in {line['wall_s'] / 60:.1f} minutes", flush=True)
    return failed


def wanted(jobs: Iterable[J], filters: list[str]) -> list[J]:
    """Jobs whose name contains, for one of the filters, all of its comma-separated words."""
    return [job for job in jobs if any(all(w in job.name for w in f.split(",")) for f in filters)]


def is_done(job: Job, lines: list[Line]) -> bool:
    """Whether a line of the same job and options is there."""
    return any(line.get("job") == job.name and line.get("options") == job.options for line in lines)


def newest_runs(lines: Iterable[Line]) -> list[Line]:
    """The newest line of each job."""
    return list({line["job"]: line for line in lines if line["kind"] == "run"}.values())
