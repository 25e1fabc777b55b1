"""What the terminal can show, and the few ways in which Assay writes to it.

Results go to stdout; progress, warnings and errors to stderr, so that a pipe gets
results alone. Colours follow https://no-color.org.
"""

from __future__ import annotations

import os
import sys
from typing import TextIO

_STYLES = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "bold": "1", "dim": "2"}


def is_colourful(stream: TextIO) -> bool:
    """Whether ``stream`` is a terminal that wants colours."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str, stream: TextIO) -> str:
    """``text`` in one of the styles red, green, yellow, blue, bold, dim where ``stream`` shows them."""
    return f"\033[{_STYLES[style]}m{text}\033[0m" if is_colourful(stream) else text


def warn(message: str) -> None:
    """One warning on stderr."""
    print(f"{paint('warning:', 'yellow', sys.stderr)} {message}", file=sys.stderr)


def printable(text: str) -> str:
    """One line, whatever a file is called: control characters escaped, so that a name cannot steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def show_table(rows: list[tuple[str, ...]], stream: TextIO | None = None) -> None:
    """Rows of text as aligned columns, the last one left ragged."""
    if not rows:
        return
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        print("  ".join([*cells, row[-1]]).rstrip(), file=stream or sys.stdout)


def accept_any_text() -> None:
    """Let file names that are no valid Unicode be printed escaped, not raise UnicodeEncodeError."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
