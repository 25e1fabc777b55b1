"""What a check found: one Problem a kind, with how often and where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Literal

from assay.data.names import some
from assay.errors import DatasetError

Level = Literal["error", "warning"]

_EXAMPLES = 100


@dataclass(frozen=True)
class Problem:
    """One kind of fault in a data set.

    ``level``: an "error" stops a training, a "warning" does not. ``code`` is a stable name for scripts
    ("missing-file"). ``what`` and ``fix`` are sentences. ``where`` holds up to 100 examples, ``count`` how
    many there are.
    """

    level: Level
    code: str
    what: str
    fix: str
    where: tuple[str, ...] = ()
    count: int = 1

    def __str__(self) -> str:
        return f"{self.what}{': ' + some(self._shown()) if self.where else ''}"

    def _shown(self) -> list[str]:
        # `some` counts what it is given: stand in for the examples that were not kept
        return [*self.where, *[""] * (self.count - len(self.where))]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "where": list(self.where)}


def problem(
    level: Level, code: str, what: str, fix: str, where: Iterable[str], count: int | None = None
) -> Problem:
    """A Problem of ``what`` = "for one|for several", where ``{n}`` is how many there are."""
    if count is None:
        listed: Sequence[str] = list(where)
        where, count = listed, len(listed)
    one, _, several = what.partition("|")
    what = one if count == 1 or not several else several.format(n=f"{count:,}")
    return Problem(level, code, what, fix, tuple(islice(where, _EXAMPLES)), count)


def raise_problems(problems: Sequence[Problem], name: str = "the data set") -> None:
    """Raise one DatasetError that names every error of ``problems``; warnings alone raise nothing."""
    errors = [p for p in problems if p.level == "error"]
    if not errors:
        return
    if len(errors) == 1:
        raise DatasetError(str(errors[0]), fix=errors[0].fix)
    lines = [f"\n  - {p}\n    fix: {p.fix}" for p in errors]
    raise DatasetError(f"{name} has {len(errors)} kinds of errors:{''.join(lines)}")
