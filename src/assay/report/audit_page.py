"""The doctor's page: one self-contained HTML file with the verdict, what to do first, and the pictures in question.

No script, no request to anywhere, as the report of a run. What a finding means stands first; its numbers are folded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from assay import __version__
from assay.audit.finding import Finding, Item
from assay.audit.outcome import Audit, list_names
from assay.files import write_file
from assay.report.audit_boxes import boxed_thumbnails
from assay.report.audit_figures import bars_note, bars_of, plain_figures
from assay.report.audit_text import failed, remedy_text, shown_count
from assay.report.thumbnails import thumbnails

PLACES, PICTURES = 12, 4
"""Most places that are shown of one finding, and most pictures of one place."""

_SIDE, _ALIKE, _LINES, _SHORT = 224, 3, 40, 32
_CLASSES = 60
_CHIPS = {"error": "wrong", "warning": "look at this", "note": "good to know", "good": "in order"}


def write_audit_page(audit: Audit, out: str | Path | None = None) -> Path:
    """Write the page (default: ``audit.html`` in the audit's folder); returns where it is.

    Raises
    ------
    AssayError : the disk is full, or the place cannot be written.
    """
    place = Path(out) if out is not None else Path(audit.folder) / "audit.html"
    write_file(place, render_audit(audit).encode("utf-8", "backslashreplace"))
    return place


def render_audit(audit: Audit) -> str:
    """The page as text."""
    pages = Environment(
        loader=PackageLoader("assay.report", "pages"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    styles = [pages.get_template(name).render() for name in ("style.css", "audit.css")]
    pages.filters["coded"] = coded
    told = audit.of_level("error", "warning", "note")
    worst = next(iter(audit.of_level("error", "warning")), None)
    return pages.get_template("audit.html").render(
        style=Markup("\n".join(styles)),
        version=__version__,
        data=Path(audit.data).name or audit.data,
        source=audit.data,
        level=audit.worst,
        headline=headline(audit),
        first=None if worst is None else _point(audit, worst),
        missing=failed(audit),
        tiles=list(_tiles(audit)),
        todo=[_point(audit, f) for f in audit.of_level("error", "warning")],
        parts=[part for part in audit.parts if audit.counts.get(part)],
        classes=_classes(audit),
        more_classes=max(0, len(audit.classes) - _CLASSES),
        sections=[_section(audit, found, name) for found, name in zip(told, list_names(told), strict=True)],
        good=[{"title": f.title, "what": f.what} for f in audit.of_level("good")],
        config=[(name.replace("_", " "), str(value)) for name, value in audit.config.items()],
        checkups=", ".join(audit.checkups),
        seconds=_duration(audit.seconds),
    )


def coded(text: str) -> Markup:
    """The text with what stands between `backticks` as code."""
    pieces = [str(escape(piece)) for piece in text.split("`")]
    if len(pieces) % 2 == 0:  # a lone backtick is just a sign
        return escape(text)
    return Markup("".join(_code(p) if i % 2 else p for i, p in enumerate(pieces)))


def _code(text: str) -> str:
    kind = ' class="short"' if len(text) <= _SHORT else ""  # a short command is not broken at its dashes
    return f"<code{kind}>{text}</code>"


def headline(audit: Audit) -> str:
    """The verdict in one short sentence."""
    errors, warnings = len(audit.of_level("error")), len(audit.of_level("warning"))
    if errors:
        told = "one thing is wrong" if errors == 1 else f"{errors} things are wrong"
        return f"Not fit to measure with yet: {told}."
    if warnings:
        told = "one thing" if warnings == 1 else f"{warnings} things"
        return f"Fit to measure with, once you have looked at {told}."
    if failed(audit):
        return "Nothing serious was found in what could be examined."
    return "Fit to measure with: nothing serious was found."


def _point(audit: Audit, found: Finding) -> dict[str, Any]:
    told = {"code": found.code, "title": found.title, "level": found.level}
    return {**told, "fix": remedy_text(audit, found), "n": shown_count(found)}


def _tiles(audit: Audit) -> Iterable[dict[str, str]]:
    o = audit.overview
    broken = o.get("broken", 0)
    yield {
        "title": "Pictures",
        "value": f"{audit.n:,}",
        "note": f"{broken:,} cannot be read" if broken else "all can be read",
        "level": "bad" if broken else "",
    }
    things = o.get("things") or {}
    if things:
        most = max(things, key=lambda name: things[name])
        note = f"of {len(things):,} classes; most: {most} ({things[most]:,})"
        yield {"title": "Things", "value": f"{sum(things.values()):,}", "note": note, "level": ""}
    sizes = [n for n in audit.classes.values() if n]
    note = f"{min(sizes):,} to {max(sizes):,} pictures each" if sizes else "no labels"
    if audit.classes or not (things or o.get("pixel_classes")):
        yield {"title": "Classes", "value": f"{len(audit.classes):,}", "note": note, "level": ""}
    told = ", ".join(f"{part} {n:,}" for part, n in audit.parts.items())
    yield {
        "title": "Parts",
        "value": str(len(audit.parts) or "–"),
        "note": told or "not divided yet",
        "level": "",
    }
    side = o.get("shorter_side") or {}
    if side:
        note = f"shorter side; {side['least']:,} to {side['greatest']:,} px"
        yield {"title": "Middle size", "value": f"{side['middle']:,}\u202fpx", "note": note, "level": ""}
    formats = o.get("formats") or {}
    if formats:
        note = ", ".join(f"{name} {n:,}" for name, n in list(formats.items())[:3])
        yield {"title": "On disk", "value": _bytes(o.get("bytes", 0)), "note": note, "level": ""}


def _bytes(count: int) -> str:
    size, unit = float(count), "B"
    for larger in ("KB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f}\u202f{unit}" if size >= 10 or unit == "B" else f"{size:.1f}\u202f{unit}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _classes(audit: Audit) -> list[dict[str, Any]]:
    """The classes, largest first, each with a bar of its parts."""
    most = max(audit.classes.values(), default=0) or 1
    rows = []
    for name, n in sorted(audit.classes.items(), key=lambda row: -row[1])[:_CLASSES]:
        held = {part: counts.get(name, 0) for part, counts in audit.counts.items()}
        pieces = held or {"all": n}
        rest = n - sum(pieces.values())
        pieces = {**pieces, "none": rest} if rest > 0 else pieces
        widths = [{"part": part, "n": k, "width": round(100 * k / most, 2)} for part, k in pieces.items()]
        rows.append({"name": name, "n": n, "pieces": widths, "by_part": held})
    return rows


def _section(audit: Audit, found: Finding, list_name: str) -> dict[str, Any]:
    root = Path(audit.root)
    shown = [item for item in found.items if item.paths][:PLACES]
    paths = list(dict.fromkeys(path for item in shown for path in (*item.paths[:PICTURES], *_similar(item))))
    wanted = [] if found.code in ("missing-file", "empty-file") else paths
    pictures = dict(zip(wanted, thumbnails([root / p for p in wanted], _SIDE), strict=True))
    boxed = boxed_thumbnails([(root / item.paths[0], item.figures) for item in shown], _SIDE)
    return {
        "code": found.code,
        "level": found.level,
        "chip": _CHIPS[found.level],
        "title": found.title,
        "what": found.what,
        "fix": remedy_text(audit, found),
        "count": shown_count(found),
        "places": [
            _place(item, pictures if with_boxes is None else {**pictures, item.paths[0]: with_boxes})
            for item, with_boxes in zip(shown, boxed, strict=True)
        ],
        "more": found.count - len(shown) if shown else 0,
        "list": list_name if found.items else "",
        "bars": bars_of(found),
        "bars_note": bars_note(found),
        "is_judged": any(_similar(item) for item in shown),
        "figures": plain_figures(found.figures),
        "lines": [item.text for item in found.items if not item.paths and item.text][:_LINES],
        "is_set": any(len(set(item.paths)) > 1 or _similar(item) for item in shown),
        "has_text": any(item.text for item in shown),
        "is_blind": not any(pictures.get(path) for path in paths),
    }


def _place(item: Item, pictures: Mapping[str, str | None]) -> dict[str, Any]:
    unique, figures = tuple(dict.fromkeys(item.paths)), item.figures
    sure = figures.get("probability_suggested")
    return {
        "shots": [{"path": path, "picture": pictures.get(path)} for path in unique[:PICTURES]],
        "similar": [{"path": path, "picture": pictures.get(path)} for path in _similar(item)],
        "more": len(unique) - PICTURES,
        "text": "" if sure is not None else item.text,
        "sure": None if sure is None else f"{100 * sure:.0f}\u202f%",
        "given": figures.get("given"),
        "suggested": figures.get("suggested") or figures.get("told"),
        "path": item.paths[0],
    }


def _similar(item: Item) -> tuple[str, ...]:
    """Pictures that a suspect resembles, where the finding names some."""
    held = item.figures.get("similar")
    return (
        tuple(path for path in held if isinstance(path, str))[:_ALIKE]
        if isinstance(held, list | tuple)
        else ()
    )
