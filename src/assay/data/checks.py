"""The doctor: names every broken or contradicting thing of a data set at once, before hours are spent on it."""

from __future__ import annotations

from collections.abc import Callable, Collection

from assay.data.check_files import check_files
from assay.data.check_pixels import check_pixels
from assay.data.check_rows import check_rows
from assay.data.problems import Problem, raise_problems
from assay.types import Dataset

__all__ = ["Problem", "check_dataset", "raise_problems"]


def check_dataset(
    dataset: Dataset,
    *,
    pictures: bool = True,
    decode: bool = False,
    for_training: bool = False,
    heads: Collection[str] = ("class",),
    size: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Problem]:
    """Every fault that can be found, errors first; an empty list when there is none.

    Parameters
    ----------
    pictures : also open the files (their headers): missing, empty, unreadable, and equal ones; missing pixel masks.
    decode : read every picture and pixel mask whole: finds files that were cut short, and masks of a wrong size or with
        values without a class; takes about as long as an epoch of loading.
    for_training : what merely limits an evaluation (one class, missing labels, no train part) is then an error.
    heads : of ``configs.HEADS``, what is to be trained; labels of other kinds may then be missing.
    size : longer side of the pictures in training, px; things that vanish there are told.
    on_progress : called with (pictures looked at, pictures in all) from the calling thread.
    """
    found = list(check_rows(dataset, for_training, heads, size))
    if pictures and len(dataset):
        found.extend(check_files(dataset, decode, on_progress))
        if not for_training or "pixels" in heads:
            found.extend(check_pixels(dataset, decode))
    return sorted(found, key=lambda p: p.level != "error")
