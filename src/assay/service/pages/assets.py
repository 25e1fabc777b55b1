"""Style sheet, scripts and icon from the wheel, under an address that changes with their content.

All of them share one digest, so a script may import its neighbour by its plain name, and a browser may keep them for
a year.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

_KINDS = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@cache
def assets() -> dict[str, bytes]:
    """Name -> content."""
    folder = files("assay.service.pages") / "static"
    known = [one for one in folder.iterdir() if one.name[one.name.rfind(".") :] in _KINDS]
    return {one.name: one.read_bytes() for one in sorted(known, key=lambda one: one.name)}


@cache
def assets_digest() -> str:
    """The first signs of the SHA-256 of all names and contents."""
    total = hashlib.sha256()
    for name, data in assets().items():
        total.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
    return total.hexdigest()[:16]


def asset_address(name: str) -> str:
    """Where a page finds a file; KeyError where there is none of this name."""
    assets()[name]
    return f"/static/{assets_digest()}/{name}"


def asset_kind(name: str) -> str:
    """The media type of a file that is there."""
    return _KINDS[name[name.rfind(".") :]]
