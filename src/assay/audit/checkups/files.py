"""The files themselves: missing, broken, misnamed, turned, or unlike the rest in a way that a look at each shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from assay.audit.checkups.outliers import find_outliers
from assay.audit.examination import Examination
from assay.audit.facts import BLANK_CONTRAST
from assay.audit.finding import Finding, Item, Level, finding
from assay.audit.rows import paths_of
from assay.data.check_rows import reading_notes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FAULTS = {
    "missing-file": (
        "Files that do not exist",
        "One picture of the list does not exist.|{n} pictures of the list do not exist.",
        "Correct the paths, name their folder with `--root`, or remove the rows.",
    ),
    "empty-file": (
        "Empty files",
        "One file is empty: it has 0 bytes.|{n} files are empty: they have 0 bytes.",
        "Copy them again from where they came from, or remove them.",
    ),
    "truncated": (
        "Files that were cut off",
        "One picture ends too early: a copy or download broke off.|{n} pictures end too early: a copy or download "
        "broke off.",
        "Copy them again from where they came from, or remove them. Some programs show the upper part and say nothing.",
    ),
    "unreadable": (
        "Files that cannot be read",
        "One file cannot be read as a picture.|{n} files cannot be read as pictures.",
        "Replace or remove them.",
    ),
}
_PASSED_OVER = (
    (
        "not_read",
        "format-not-read",
        "Pictures in formats that are not read",
        "One picture is in a format that Assay does not read, and is passed over.|{n} pictures are in formats that "
        "Assay does not read, and are passed over: raw photos, icons or drawings.",
        "Export them as JPEG, PNG or TIFF, or leave them.",
    ),
    (
        "left_out",
        "left-out",
        "Pictures outside the class folders",
        "One picture or folder lies beside the class folders, and is passed over.|{n} pictures or folders lie beside "
        "the class folders, and are passed over.",
        "Move them into a class folder, or leave them.",
    ),
)
_CLOSED = (
    "One folder cannot be looked into, so its pictures are missing here.|{n} folders cannot be looked into, so their "
    "pictures are missing here."
)
_COMMON_MODES = ("RGB", "L", "P", "RGBA", "1")
_MODES = {
    "CMYK": "CMYK: colours for print",
    "I;16": "16 bits of grey",
    "I;16B": "16 bits of grey",
    "I;16L": "16 bits of grey",
    "I": "32 bits of grey",
    "F": "floating-point grey",
    "LAB": "LAB colours",
    "YCbCr": "YCbCr colours",
    "LA": "grey with transparency",
    "PA": "palette with transparency",
}
_TURNS = {
    2: "mirrored",
    3: "turned by half",
    4: "upside down and mirrored",
    5: "on its side and mirrored",
    6: "on its side",
    7: "on its side and mirrored",
    8: "on its side",
}
_EXTREME = 4.0
_ONE_COLOUR = 6


class _Kind(NamedTuple):
    level: Level
    code: str
    title: str
    what: str
    fix: str
    rows: NDArray[np.int64]
    text: Callable[[int], str]
    figures: Callable[[int], dict[str, Any]] = lambda _row: {}


def check_files(examination: Examination) -> Iterator[Finding]:
    """Every fault and every oddity of the files, kind by kind."""
    yield from _faults(examination)
    yield from _passed_over(examination)
    kinds = [*_names_and_turns(examination), *_sizes(examination), *_contents(examination)]
    for kind in kinds:
        if len(kind.rows):
            yield _told(examination, kind)
    yield from find_outliers(examination)
    yield from _in_order(examination, {kind.code for kind in kinds if len(kind.rows)})


def _faults(examination: Examination) -> Iterator[Finding]:
    faults, reasons = examination.facts.column("fault"), examination.facts.column("reason")
    for code, (title, what, fix) in _FAULTS.items():
        rows = np.flatnonzero(faults == code)
        if len(rows):
            yield _told(
                examination, _Kind("error", code, title, what, fix, rows, lambda row: reasons[row] or "")
            )


def _passed_over(examination: Examination) -> Iterator[Finding]:
    """What lies in the folder and is no part of the data set."""
    closed = reading_notes(examination.dataset, "closed")
    if closed:
        items = [Item((), (), name) for name in closed[: examination.config.most]]
        fix = "Check their permissions, or take them out."
        yield finding(
            "error", "closed-folder", "Folders that cannot be opened", _CLOSED, fix, items, count=len(closed)
        )
    for noted, code, title, what, fix in _PASSED_OVER:
        found = reading_notes(examination.dataset, noted)
        if found:
            items = [Item((name,)) for name in found[: examination.config.most]]
            yield finding(
                "warning", code, title, what, fix, items, count=len(found), figures={"pictures": len(found)}
            )


def _told(examination: Examination, kind: _Kind) -> Finding:
    """The finding of one kind; items are made for as many rows as are kept."""
    most = examination.config.most
    rows = kind.rows[:most].tolist()
    items = (
        Item((path,), (row,), kind.text(row), figures=kind.figures(row))
        for row, path in zip(rows, paths_of(examination.dataset, rows), strict=True)
    )
    figures = {"pictures": len(kind.rows), "share": round(len(kind.rows) / len(examination.dataset), 6)}
    return finding(
        kind.level,
        kind.code,
        kind.title,
        kind.what,
        kind.fix,
        items,
        count=len(kind.rows),
        most=most,
        figures=figures,
    )


def _names_and_turns(examination: Examination) -> Iterator[_Kind]:
    facts, seen = examination.facts, examination.readable
    kind, promised, turn = (facts.column(name) for name in ("format", "suffix_format", "orientation"))
    true_kind = np.where(kind == "MPO", "JPEG", kind)  # two pictures of one shot: phones name it .jpg
    odd = seen & (promised != None) & (true_kind != np.where(promised == "MPO", "JPEG", promised))  # noqa: E711
    yield _Kind(
        "warning",
        "wrong-extension",
        "Names that promise another format",
        "One file is not what its name says.|{n} files are not what their names say.",
        "Rename them; `--fix` writes a copy with right names. Assay reads them by their content, other tools may not.",
        np.flatnonzero(odd),
        lambda row: f"named as {promised[row]}, is {kind[row]}",
        lambda row: {"format": kind[row], "suffix_format": promised[row]},
    )
    yield _Kind(
        "note",
        "turned",
        "Pictures that are stored turned",
        "One picture is stored turned or mirrored, with a note (EXIF orientation) on how to show it. Assay turns it "
        "upright; other tools may not.|{n} pictures are stored turned or mirrored, with a note (EXIF orientation) on "
        "how to show them. Assay turns them upright; other tools may not.",
        "Nothing to do within Assay. For other tools, save them upright.",
        np.flatnonzero(seen & (turn > 1)),
        lambda row: f"stored {_TURNS.get(int(turn[row]), 'turned')} (EXIF orientation {turn[row]})",
        lambda row: {"orientation": int(turn[row])},
    )


def _sizes(examination: Examination) -> Iterator[_Kind]:
    facts, seen, config = examination.facts, examination.readable, examination.config
    width, height = facts.column("width").astype(np.int64), facts.column("height").astype(np.int64)
    shorter, longer = np.minimum(width, height), np.maximum(width, height)

    def size(row: int) -> str:
        return f"{width[row]} x {height[row]} pixels"

    def figures(row: int) -> dict[str, Any]:
        return {"width": int(width[row]), "height": int(height[row])}

    tiny = np.flatnonzero(seen & (shorter < config.tiny_side))
    yield _Kind(
        "warning" if len(tiny) * 10 < len(seen) else "note",  # where most are so small, it is their nature
        "tiny",
        "Very small pictures",
        f"One picture has a side of less than {config.tiny_side} pixels.|{{n}} pictures have a side of less than "
        f"{config.tiny_side} pixels.",
        "Look whether these are thumbnails of larger pictures, and use the larger ones.",
        tiny[np.argsort(shorter[tiny], kind="stable")],
        size,
        figures,
    )
    huge = np.flatnonzero(seen & (width * height > config.huge_megapixels * 1e6))
    yield _Kind(
        "note",
        "huge",
        "Very large pictures",
        f"One picture has more than {config.huge_megapixels:g} million pixels.|{{n}} pictures have more than "
        f"{config.huge_megapixels:g} million pixels.",
        "They slow every reading down. Copies of 1,000 pixels are enough for training.",
        huge[np.argsort(-(width * height)[huge], kind="stable")],
        size,
        figures,
    )
    long = np.flatnonzero(seen & (longer > _EXTREME * np.maximum(shorter, 1)))
    yield _Kind(
        "note",
        "extreme-aspect",
        "Very long or very wide pictures",
        f"One picture is over {_EXTREME:g} times as long as it is wide, or the other way round. A square cut of it "
        f"shows little.|{{n}} pictures are over {_EXTREME:g} times as long as they are wide, or the other way round. "
        "A square cut of them shows little.",
        "Crop them to what matters, or train with `--resize letterbox`.",
        long[np.argsort(-(longer / np.maximum(shorter, 1))[long], kind="stable")],
        size,
        figures,
    )


def _contents(examination: Examination) -> Iterator[_Kind]:
    facts, seen = examination.facts, examination.readable
    frames, mode, kind = (facts.column(name) for name in ("frames", "mode", "format"))
    yield _Kind(
        "warning",
        "blank",
        "Pictures of one colour",
        "One picture shows one colour and nothing else.|{n} pictures show one colour and nothing else.",
        "Remove them: there is nothing to learn from them, and they carry a label all the same.",
        blank_rows(examination),
        lambda row: "colour {}, {}, {}".format(*facts.thumbs[row, 16, 16]),
    )
    yield _Kind(
        "note",
        "animated",
        "Animations and files of several pictures",
        "One file holds several pictures. Only the first is used.|{n} files hold several pictures. Only the first of "
        "each is used.",
        "Save the pictures that you want as files of their own.",
        np.flatnonzero(seen & (frames > 1) & (kind != "MPO")),
        lambda row: f"{frames[row]} pictures",
        lambda row: {"frames": int(frames[row])},
    )
    yield _Kind(
        "note",
        "unusual-mode",
        "Unusual kinds of pixels",
        "One picture has an unusual kind of pixels. Assay brings it to 8-bit RGB by a stated rule; other tools may do "
        "it differently.|{n} pictures have an unusual kind of pixels. Assay brings them to 8-bit RGB by stated rules; "
        "other tools may do it differently.",
        "Save them as ordinary RGB where you can, so that every tool sees the same.",
        np.flatnonzero(seen & ~np.isin(mode.astype(str), _COMMON_MODES)),
        lambda row: _MODES.get(mode[row], f"pixel mode {mode[row]}"),
        lambda row: {"mode": mode[row]},
    )
    yield _Kind(
        "warning",
        "unfinished",
        "Files whose end was never written",
        "One JPEG can be decoded, but ends in zeros: its lower part is probably grey.|{n} JPEGs can be decoded, but "
        "end in zeros: their lower parts are probably grey.",
        "Copy them again from where they came from, or remove them.",
        np.flatnonzero(seen & facts.column("zero_tail")),
        lambda _row: "ends in zeros, without an end mark",
    )


def blank_rows(examination: Examination) -> NDArray[np.int64]:
    """Rows whose picture has one colour, but for noise."""
    facts = examination.facts
    flat = np.flatnonzero(examination.readable & (facts.column("contrast") < BLANK_CONTRAST))
    if not len(flat):
        return flat
    thumbs = facts.thumbs[flat].astype(np.int16)
    spread = (thumbs.max(axis=(1, 2)) - thumbs.min(axis=(1, 2))).max(axis=1)
    return np.asarray(flat[spread <= _ONE_COLOUR])


def _in_order(examination: Examination, codes: set[str]) -> Iterator[Finding]:
    n = len(examination.dataset)
    if not n or not examination.readable.all():
        return
    what = "The one file is there and can be read whole." if n == 1 else f"All {n:,} files can be read whole."
    if "wrong-extension" not in codes:
        what += " Its name tells its format." if n == 1 else " Their names tell their formats."
    yield finding("good", "files-in-order", "Every file can be read", what, figures={"pictures": n})
