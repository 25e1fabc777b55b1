"""What a full report needs beyond the run's own files: map, look-alikes, explanations. Made once, kept there.

A part that fails is a word on the page, never a stop: a report is wanted most where something is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from assay.errors import AssayError

OnProgress = Callable[[str, int, "int | None"], None]
"""(what is made, steps done, steps in all or None)."""


@dataclass(frozen=True)
class Part:
    """Something that a report shows and that must be computed. ``make`` does nothing where it is there."""

    name: str
    make: Callable[[Path, Callable[[int, int | None], None]], None]


def complete(folder: str | Path, on_progress: OnProgress | None = None) -> list[str]:
    """Make what is missing in a run folder; returns what could not be made, with the reason of each."""
    place = Path(folder)
    failed = []
    for part in PARTS:
        try:
            part.make(place, _steps(part.name, on_progress))
        except AssayError as error:
            failed.append(f"{part.name}: {error.what}{f' ({error.got})' if error.got else ''}")
        except ImportError as error:
            failed.append(f"{part.name}: this needs {error.name}, which is not installed")
        except Exception as error:  # a fault of one section must not cost the reader the others
            failed.append(f"{part.name}: {type(error).__name__}: {error}")
    return failed


def _steps(name: str, on_progress: OnProgress | None) -> Callable[[int, int | None], None]:
    def step(done: int, total: int | None) -> None:
        if on_progress is not None:
            on_progress(name, done, total)

    return step


def _make_map(folder: Path, step: Callable[[int, int | None], None]) -> None:
    from assay.explain.run_map import make_run_map  # noqa: PLC0415 - torch and scikit-learn

    step(0, None)
    make_run_map(folder, on_progress=step)


def _explain(folder: Path, step: Callable[[int, int | None], None]) -> None:
    from assay.explain.explain import explain  # noqa: PLC0415 - torch

    step(0, None)
    explain(folder, progress=lambda _what, done, total: step(done, total))


PARTS = (Part("map of the pictures", _make_map), Part("explanations", _explain))
