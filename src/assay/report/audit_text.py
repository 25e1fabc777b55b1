"""An audit as text: the verdict in one paragraph, then the findings, the worst first, with what to do."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.text import Text

from assay.audit.finding import Finding, Item
from assay.audit.outcome import Audit

_WIDTH, _EXAMPLES, _NAMED = 100, 3, 4
_COLOURS = {"error": "red", "warning": "yellow", "note": "blue", "good": "green"}
_UNCOUNTED = frozenset({"group-leak", "shortcut"})
_WORDS = {"error": "wrong", "warning": "look at", "note": "note", "good": "in order"}


def verdict(audit: Audit) -> str:
    """Whether the data set is fit to measure with, and why; one paragraph."""
    errors, warnings = audit.of_level("error"), audit.of_level("warning")
    if errors:
        told = f"This data set is not fit to measure with yet: {_titles(errors)}."
        if warnings:
            told += f" Look also at: {_titles(warnings)}."
    elif warnings:
        told = f"This data set is fit to measure with, once you have looked at this: {_titles(warnings)}."
    else:
        known = "This data set is fit to measure with: nothing serious was found."
        told = "Nothing serious was found in what could be examined." if failed(audit) else known
        if good := audit.of_level("good"):
            told += f" In order: {_titles(good)}."
    if missing := failed(audit):
        told += f" Not examined: {', '.join(missing)}."
    return told


def failed(audit: Audit) -> list[str]:
    """The checkups that could not be made."""
    return [str(f.figures.get("checkup", f.title)) for f in audit.findings if f.code == "checkup-failed"]


def remedy_text(audit: Audit, found: Finding) -> str:
    """What to do, with the name of this very data set in commands."""
    return found.fix.replace(" DATA ", f" {shlex.quote(audit.data)} ")


def shown_count(found: Finding) -> int:
    """How many places there are, where that is news: of groups that would leak, or traits, it is not."""
    return 0 if found.code in _UNCOUNTED else found.count


def _titles(found: Iterable[Finding]) -> str:
    titles = [_lower(f.title) for f in found]
    more = f" and {len(titles) - _NAMED} more" if len(titles) > _NAMED else ""
    return "; ".join(titles[:_NAMED]) + more


def _lower(title: str) -> str:
    """A heading inside a sentence; names in capitals (EXIF) stay."""
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def summary_line(audit: Audit) -> str:
    """Name, pictures, classes and parts in one line."""
    parts = ", ".join(f"{part} {n:,}" for part, n in audit.parts.items())
    classes = _classes(audit)
    pictures = "1 picture" if audit.n == 1 else f"{audit.n:,} pictures"
    return f"{audit.data}: {pictures}, {classes}{f' ({parts})' if parts else ''}"


def _classes(audit: Audit) -> str:
    """As "10 classes", or "3 classes of things, 9 of pixels" where pictures themselves have none."""
    things, pixels = audit.overview.get("things"), audit.overview.get("pixel_classes")
    told = [f"{len(things):,} classes of things ({sum(things.values()):,})"] if things else []
    told += [f"{pixels:,} classes of pixels"] if pixels else []
    if audit.classes or not told:
        told.insert(0, "1 class" if len(audit.classes) == 1 else f"{len(audit.classes):,} classes")
    return ", ".join(told)


def print_audit(audit: Audit, stream: TextIO, page: Path | None = None) -> None:
    """Write the audit to ``stream`` for people: the verdict, the findings, and where everything lies."""
    console = Console(file=stream, highlight=False, markup=False, soft_wrap=True)
    console.print(summary_line(audit), style="bold")
    console.print()
    console.print(_filled(verdict(audit)))
    for found in audit.of_level("error", "warning", "note"):
        console.print()
        _print_finding(console, audit, found)
    good = audit.of_level("good")
    if good:
        console.print()
        for found in good:
            console.print(Text.assemble((f"{_WORDS['good']}: ", _COLOURS["good"]), found.title))
    console.print()
    if page is not None:
        console.print(f"page with the pictures: {page}")
    if any(found.items for found in audit.findings):
        console.print(f"lists: {Path(audit.folder) / 'findings'}")


def _print_finding(console: Console, audit: Audit, found: Finding) -> None:
    count = f" ({shown_count(found):,})" if shown_count(found) > 1 else ""
    head = Text.assemble((f"{_WORDS[found.level]}: ", _COLOURS[found.level]), (found.title + count, "bold"))
    console.print(head)
    console.print(_filled(found.what, "  "))
    for item in found.items[:_EXAMPLES]:
        console.print(_example(item, found.code), style="dim")
    left = found.count - min(len(found.items), _EXAMPLES)
    if found.items and left > 0:
        console.print(f"    ... and {left:,} more", style="dim")
    if found.fix:
        console.print(_filled(f"fix: {remedy_text(audit, found)}", "  "))


def _example(item: Item, code: str) -> str:
    same = " = " if "duplicate" in code or "same-picture" in code else ", "
    paths = list(dict.fromkeys(item.paths))
    named = same.join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
    return f"    {': '.join(part for part in (named, item.text) if part)}"


def _filled(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
