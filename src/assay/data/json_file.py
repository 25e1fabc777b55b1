"""A JSON file of the user's: read whole, with the line and column of what is wrong; or only asked for its keys.

Lists of boxes are often one line of half a gigabyte, so a fault is shown with what stands around it, and asking which
format a file is in reads no more than it must.
"""

from __future__ import annotations

import json
import mmap
import re
from pathlib import Path
from typing import Any

from assay.errors import DatasetError

_SMALL_BYTES = 1 << 16
_AROUND = 30
_WRITE_AGAIN = "write it again with the program that it is from"
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_json_file(path: Path) -> Any:
    """What the file holds.

    Raises
    ------
    DatasetError : it cannot be opened, is empty, is not UTF-8, or is no JSON: with line and column.
    """
    text = _text_in(path)
    try:
        told = json.loads(text)
        if _SURROGATE.search(text):  # rarely there, and then mostly in pairs
            json.dumps(told, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise DatasetError(
            f"{path.name} has half a character, which is no text",
            got=ascii(error.object[error.start : error.end]),
            fix=_WRITE_AGAIN,
        ) from None
    except json.JSONDecodeError as error:
        raise _not_json(path.name, text, error) from None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits; lists a thousand deep
        got = str(error)[:200]
        raise DatasetError(f"{path.name} cannot be read as JSON", got=got, fix=_WRITE_AGAIN) from None
    return told


def _text_in(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path.name} cannot be read", got=error.strerror, fix="check the path") from error
    if not data.strip():
        raise DatasetError(f"{path.name} is empty", got=f"{len(data)} bytes", fix="copy it again")
    try:
        return data.decode(json.detect_encoding(data))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DatasetError(
            f"{path.name} line {line:,}: not UTF-8 text",
            got=f"the byte {data[error.start]:#04x} at position {error.start:,}",
            fix="write it again as UTF-8",
        ) from None


def _not_json(name: str, text: str, error: json.JSONDecodeError) -> DatasetError:
    at_end = not text[error.pos :].strip() or error.msg.startswith("Unterminated string")
    around = " ".join(text[max(0, error.pos - _AROUND) : error.pos + _AROUND].split())
    fix = "it ends too early: copy it again" if at_end else f"correct it there, or {_WRITE_AGAIN}"
    what = f"{name} line {error.lineno:,} column {error.colno:,} cannot be read as JSON"
    return DatasetError(what, got=f"{error.msg.lower()}: ... {around} ...", fix=fix)


def has_lists(path: Path, *names: str) -> bool:
    """Whether a JSON file seems to hold an object with lists of these names. Never raises, keeps nothing in memory."""
    try:
        with path.open("rb") as file:
            head = file.read(_SMALL_BYTES)
            if not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
                return False
            if len(head) < _SMALL_BYTES:
                return all(_list_named(name).search(head) for name in names)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                return all(_list_named(name).search(mapped) for name in names)
    except (OSError, ValueError):
        return False


def _list_named(name: str) -> re.Pattern[bytes]:
    return re.compile(rb'"%s"\s*:\s*\[' % name.encode())
