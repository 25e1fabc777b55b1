"""What an audit found, as a value that can be saved, loaded and printed; and its lists as tables."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay import __version__
from assay.audit.finding import LEVELS, Finding, Item, Level
from assay.errors import AssayError, ConfigError
from assay.files import write_file

FORMAT = 1
AUDIT_FILE, LISTS = "audit.json", "findings"


@dataclass(frozen=True)
class Audit:
    """One data set as the doctor saw it.

    ``classes`` is class -> number of pictures, in class order; ``parts`` part -> number of pictures. ``counts`` is
    part -> class -> number, empty where there are no parts. ``overview`` holds sizes, formats and bytes. ``findings``
    stand worst first. ``checkups`` are the names of those that were made. ``root`` is the folder that the paths of
    items start from; like ``seconds`` it is no part of ``to_dict``, which is the same on every machine.
    """

    data: str
    n: int
    classes: Mapping[str, int]
    parts: Mapping[str, int]
    findings: tuple[Finding, ...]
    checkups: tuple[str, ...] = ()
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    overview: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    root: str = ""
    folder: str = ""
    seconds: float = 0.0

    @property
    def worst(self) -> Level:
        """The worst level among the findings; "good" where there are none."""
        return min((f.level for f in self.findings), key=LEVELS.index, default="good")

    @property
    def is_fit(self) -> bool:
        """Whether the data can be measured with: there is no finding of level error."""
        return self.worst != "error"

    @property
    def exit_code(self) -> int:
        """1 where there is an error, else 0. ``assay audit --strict`` counts warnings too."""
        return 1 if self.worst == "error" else 0

    def of_level(self, *levels: Level) -> list[Finding]:
        """The findings of these levels, worst first."""
        return [f for f in self.findings if f.level in levels]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: the same for the same data, wherever it lies and however long it took."""
        told = {
            "format": FORMAT,
            "data": self.data,
            "n": self.n,
            "fit": self.is_fit,
            "worst": self.worst,
            "classes": dict(self.classes),
            "parts": dict(self.parts),
            "counts": {part: dict(held) for part, held in self.counts.items()},
            "overview": dict(self.overview),
            "checkups": list(self.checkups),
            "config": dict(self.config),
            "findings": [f.to_dict() for f in self.findings],
        }
        return {name: plain(value) for name, value in told.items()}

    def save(self, folder: str | Path) -> Path:
        """Write ``audit.json`` and ``findings/CODE.csv`` into ``folder``; returns the path of the first.

        Raises
        ------
        AssayError : the disk is full, or the place cannot be written.
        """
        folder = Path(folder)
        lists = folder / LISTS
        for earlier in lists.glob("*.csv") if lists.is_dir() else ():
            earlier.unlink()
        for name, found in zip(list_names(self.findings), self.findings, strict=True):
            if found.items:
                write_file(lists / name, list_of(found).encode("utf-8", "backslashreplace"))
        told = {**self.to_dict(), "assay": __version__, "root": self.root, "seconds": round(self.seconds, 1)}
        text = json.dumps(plain(told), ensure_ascii=False, indent=1)
        write_file(folder / AUDIT_FILE, (text + "\n").encode("utf-8", "backslashreplace"))
        return folder / AUDIT_FILE

    @classmethod
    def load(cls, path: str | Path) -> Audit:
        """Read what ``save`` wrote: the folder, or the JSON file itself.

        Raises
        ------
        ConfigError : there is no such file. AssayError : it is no audit, or of a newer version.
        """
        place = Path(path) / AUDIT_FILE if Path(path).is_dir() else Path(path)
        if not place.is_file():
            raise ConfigError(f"{path} is not an audit", fix="name the folder of `assay audit --out`")
        try:
            told = json.loads(place.read_text("utf-8"))
            if told["format"] != FORMAT:
                raise AssayError(f"{place} is of another version", got=f"format {told['format']}")
            return cls(
                told["data"],
                told["n"],
                told["classes"],
                told["parts"],
                tuple(Finding.from_dict(f) for f in told["findings"]),
                tuple(told["checkups"]),
                told["counts"],
                told["overview"],
                told["config"],
                told["root"],
                str(place.parent),
                told["seconds"],
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise AssayError(f"{place} cannot be read as an audit", got=str(error)) from error


def sorted_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Worst first; within a level as the checkups told them. What two checkups saw alike is told once."""
    told: dict[tuple[Any, ...], Finding] = {}
    for found in sorted(findings, key=lambda f: LEVELS.index(f.level)):
        same = (found.code, found.count, tuple(item.rows for item in found.items))
        told.setdefault(same if found.items else (*same, found.what), found)
    return tuple(told.values())


def list_names(findings: Iterable[Finding]) -> list[str]:
    """The file name of each finding's list: its code, numbered where two findings share it."""
    seen: Counter[str] = Counter()
    names = []
    for found in findings:
        seen[found.code] += 1
        names.append(f"{found.code}{f'-{seen[found.code]}' if seen[found.code] > 1 else ''}.csv")
    return names


def plain(value: Any) -> Any:
    """The value as JSON has it: numpy's numbers and arrays become Python's, what is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): plain(held) for key, held in value.items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, set | frozenset | list | tuple):
        return [plain(held) for held in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | int | float) else str(value)


def list_of(found: Finding) -> str:
    """The items of a finding as CSV: path, the other paths, text, score and a column for each figure."""
    names = list(dict.fromkeys(name for item in found.items for name in item.figures))
    several = max((len(item.paths) for item in found.items), default=1) > 1
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["path", *(["others"] if several else []), "text", "score", *names])
    for item in found.items:
        table.writerow(_cells(item, names, several=several))
    return text.getvalue()


def _cells(item: Item, names: list[str], *, several: bool) -> list[Any]:
    first, others = (item.paths[0] if item.paths else ""), " | ".join(item.paths[1:])
    score = "" if item.score is None else f"{item.score:.6g}"
    return [
        first,
        *([others] if several else []),
        item.text,
        score,
        *(_cell(item.figures.get(n)) for n in names),
    ]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        return value
    return json.dumps(plain(value), ensure_ascii=False)
