"""Copies within the data set: files of the same bytes, pictures of the same scene, and copies under two labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from assay.audit.alike import groups_of
from assay.audit.examination import Examination
from assay.audit.finding import Finding, Item, finding
from assay.audit.rows import count_words, label_codes, path_codes, paths_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

_MANY = 0.01


class Scenes(NamedTuple):
    """Groups of near-duplicates, one row of each file content, with the best agreement within each."""

    groups: list[Rows]
    closest: list[float]
    mirrored: list[bool]


def check_duplicates(examination: Examination) -> Iterator[Finding]:
    """Exact and near duplicates; those with two labels; what share of the set is copies."""
    if examination.readable.sum() < 2:
        return
    exact = exact_groups(examination)
    scenes = near_groups(examination)
    codes, words = label_codes(examination.dataset)
    share = _share_of_copies(examination)
    equal = _all_equal(examination)
    yield from equal
    if exact:
        yield _exact_duplicates(examination, exact, codes, words, share)
        yield from _exact_two_labels(examination, exact, codes, words)
    if scenes.groups:
        yield _near_duplicates(examination, scenes, codes, words, share)
        yield from _near_two_labels(examination, scenes, codes, words)
    if not exact and not scenes.groups and not equal:
        n = int(examination.readable.sum())
        what = f"None of the {n:,} pictures is a copy of another, also not resized, recompressed, cropped or mirrored."
        yield finding("good", "no-duplicates", "No picture occurs twice", what, figures={"pictures": n})


def exact_groups(examination: Examination) -> list[Rows]:
    """Rows of different paths whose files have the same bytes; of a path that is listed twice, the first row."""
    first = path_codes(examination.dataset)
    alone = first == np.arange(len(first))
    return [g for g in (group[alone[group]] for group in groups_of(examination.copies.exact)) if len(g) > 1]


def near_groups(examination: Examination) -> Scenes:
    """Pictures of the same scene, one row of each content, the closest groups first."""
    copies = examination.copies
    scene = copies.scene
    contents = np.flatnonzero(copies.exact == np.arange(len(scene)))
    groups = [contents[group] for group in groups_of(scene[contents])]
    best: dict[int, tuple[float, bool]] = {}
    for left, close, mirrored in zip(
        copies.pairs.left.tolist(),
        copies.pairs.closeness.tolist(),
        copies.pairs.mirrored.tolist(),
        strict=True,
    ):
        best.setdefault(int(scene[left]), (close, mirrored))  # pairs come closest first
    found = [(group, *best[int(scene[group[0]])]) for group in groups]
    found.sort(key=lambda entry: -entry[1])
    return Scenes([f[0] for f in found], [f[1] for f in found], [f[2] for f in found])


def _share_of_copies(examination: Examination) -> dict[str, Any]:
    """How many pictures could go without losing a scene."""
    seen = examination.readable
    own = path_codes(examination.dataset) == np.arange(len(seen))
    n = int((seen & own).sum())
    copies = examination.copies
    exact, near = (n - len(np.unique(first[seen & own])) for first in (copies.exact, copies.scene))
    return {
        "pictures": n,
        "exact_copies": exact,
        "near_copies": near - exact,
        "share_exact": round(exact / max(n, 1), 6),
        "share_copies": round(near / max(n, 1), 6),
        "near_bits": copies.bits,
    }


def _all_equal(examination: Examination) -> list[Finding]:
    """An error where the whole set shows one picture."""
    seen, copies = examination.readable, examination.copies
    for first, words in (
        (copies.exact, "have the same bytes"),
        (copies.scene, "show the same scene, but for small changes"),
    ):
        if len(np.unique(first[seen])) == 1 and len(np.unique(path_codes(examination.dataset)[seen])) > 1:
            n = int(seen.sum())
            rows = np.flatnonzero(seen)[:4]
            return [
                finding(
                    "error",
                    "all-equal",
                    "All pictures are the same",
                    f"All {n:,} pictures {words}. There is nothing to learn from them and nothing to measure.",
                    "Look whether one file was copied over the others, and fetch the pictures again.",
                    [Item(paths_of(examination.dataset, rows), tuple(rows.tolist()), "the same picture")],
                    figures={"pictures": n},
                )
            ]
    return []


def _exact_duplicates(
    examination: Examination, groups: list[Rows], codes: Rows, words: list[str], share: dict[str, Any]
) -> Finding:
    groups = sorted(groups, key=lambda group: -len(group))
    items = (_item(examination, group, _label_text(group, codes, words)) for group in groups)
    what = (
        f"One picture is there more than once, under different names. {_percent(share['share_exact'])}"
        f"|{{n}} pictures are there more than once, under different names. {_percent(share['share_exact'])}"
    )
    return finding(
        "warning",
        "exact-duplicates",
        "Pictures that are there more than once",
        what,
        "Keep one of each; `--fix` writes a copy of the data set that does. Copies count double in training, and in "
        "a random split they end up on both sides.",
        items,
        count=len(groups),
        most=examination.config.most,
        figures=share,
    )


def _near_duplicates(
    examination: Examination, scenes: Scenes, codes: Rows, words: list[str], share: dict[str, Any]
) -> Finding:
    items = (
        _item(examination, group, _near_text(close, mirrored, group, codes, words), close)
        for group, close, mirrored in zip(*scenes, strict=True)
    )
    copies = share["near_copies"]
    what = (
        "One picture is there again in a changed form: resized, recompressed, cropped, brightened or mirrored, or "
        "taken a moment later.|{n} pictures are there again in a changed form: resized, recompressed, cropped, "
        "brightened or mirrored, or taken a moment later."
    )
    return finding(
        "warning" if copies > _MANY * share["pictures"] else "note",
        "near-duplicates",
        "Pictures that are nearly the same",
        what,
        "Look at them side by side. Keep them in one part (a group column does that), or keep one of each.",
        items,
        count=len(scenes.groups),
        most=examination.config.most,
        figures=share,
    )


def _exact_two_labels(
    examination: Examination, groups: list[Rows], codes: Rows, words: list[str]
) -> Iterator[Finding]:
    torn = [group for group in groups if _labels_differ(group, codes)]
    if torn:
        yield finding(
            "error",
            "same-picture-two-labels",
            "The same picture under different labels",
            "One picture is there under two labels. At least one of them is wrong.|{n} pictures are there under two "
            "labels or more. At least one label of each is wrong.",
            "Decide which label is right, and remove the other copies.",
            (_item(examination, group, _label_text(group, codes, words)) for group in torn),
            count=len(torn),
            most=examination.config.most,
        )


def _near_two_labels(
    examination: Examination, scenes: Scenes, codes: Rows, words: list[str]
) -> Iterator[Finding]:
    torn = [
        (group, close, mirrored)
        for group, close, mirrored in zip(*scenes, strict=True)
        if _labels_differ(group, codes)
    ]
    if torn:
        yield finding(
            "warning",
            "near-duplicates-two-labels",
            "Nearly the same picture under different labels",
            "One picture and its near-copy have different labels. One of them is probably wrong.|{n} pictures and "
            "their near-copies have different labels. One label of each is probably wrong.",
            "Look at them side by side and correct the wrong label.",
            (
                _item(examination, group, _near_text(close, mirrored, group, codes, words), close)
                for group, close, mirrored in torn
            ),
            count=len(torn),
            most=examination.config.most,
        )


def _item(examination: Examination, rows: Rows, text: str, score: float | None = None) -> Item:
    figures = {"pictures": len(rows)}
    rounded = None if score is None else round(score, 4)
    return Item(paths_of(examination.dataset, rows), tuple(rows.tolist()), text, rounded, figures)


def _labels_differ(rows: Rows, codes: Rows) -> bool:
    held = codes[rows]
    return len(np.unique(held[held >= 0])) > 1


def _label_text(rows: Rows, codes: Rows, words: list[str]) -> str:
    held = [words[code] for code in codes[rows].tolist() if code >= 0]
    times = f"{len(rows):,} times"
    return f"{times}: {count_words(held)}" if held else times


def _near_text(close: float, mirrored: bool, rows: Rows, codes: Rows, words: list[str]) -> str:
    kind = "mirrored, " if mirrored else ""
    held = [words[code] for code in codes[rows].tolist() if code >= 0]
    labels = f"; {count_words(held)}" if _labels_differ(rows, codes) else ""
    return f"{kind}{alike_words(close)}{labels}"


def alike_words(close: float) -> str:
    """As "97% alike"; never 100%, which would be the same picture."""
    return f"{min(99, int(100 * close))}% alike"


def _percent(share: float) -> str:
    if share >= 0.001:
        return f"That is {share:.1%} of the set that adds nothing new."
    return "That is less than 0.1% of the set."
