"""Whether two small pictures show the same scene: a recompressed, resized, slightly cropped, brighter or mirrored copy.

Prints that nearly agree say only that the large shapes do. Two products on white have these in common too. So the
thumbs are laid over each other (at several small cuts, the best counts) and must agree in three ways, after their
brightness and contrast are made equal:

- in detail: the correlation of what remains when a blur is taken off, which hardly sees the outline;
- as a whole: the correlation of the grey pictures;
- place by place: of 8 x 8 fields most must have the same colours, also among those alone that hold any detail. This
  is what tells one flavour of a carton from the other. A caption or a watermark covers a few fields only.

The bounds were chosen on clothing, grocery and street photos and rendered shop pictures, with planted copies on the
one side and the most alike pairs of different pictures on the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from assay.audit.fingerprint import SIDE, WHOLE, Cut, to_grey

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Colours = NDArray[np.float32]
    Grey = NDArray[np.float32]

CUTS: dict[str, tuple[Cut, ...]] = {
    "whole": (WHOLE,),
    "centre": tuple(Cut.centre(share) for share in (0.07, 0.025, 0.05, 0.1, 0.125)),
    "left": tuple(Cut(left=share) for share in (0.05, 0.025, 0.075)),
    "right": tuple(Cut(right=1 - share) for share in (0.05, 0.025, 0.075)),
    "top": tuple(Cut(top=share) for share in (0.05, 0.025, 0.075)),
    "bottom": tuple(Cut(bottom=1 - share) for share in (0.05, 0.025, 0.075)),
}
"""Ways in which one picture may be a part of the other. The first of each has a print of its own; all are tried when
two pictures are laid over each other."""

_DETAIL, _WHOLE, _FIELDS, _DETAILED_FIELDS = 0.78, 0.85, 0.78, 0.75
_NO_CHANCE = 0.45
_LEVELS, _STRICT_LEVELS, _PLAIN = 12.0, 4.0, 0.4
_HAS_DETAIL = 3.0
_COLOURLESS = 3.0
_AT_ONCE = 1024


class Way(NamedTuple):
    """How the left picture is laid over the right one."""

    cut: str
    mirrored: bool


@dataclass(frozen=True, slots=True)
class _Agreement:
    detail: NDArray[np.float32]
    whole: NDArray[np.float32]
    fields: NDArray[np.float32]
    detailed: NDArray[np.float32]

    @property
    def same(self) -> NDArray[np.bool_]:
        return (
            (self.detail >= _DETAIL)
            & (self.whole >= _WHOLE)
            & (self.fields >= _FIELDS)
            & (self.detailed >= _DETAILED_FIELDS)
        )


def closeness(
    thumbs: NDArray[np.uint8], left: NDArray[np.int64], right: NDArray[np.int64], way: Way
) -> NDArray[np.float32]:
    """(P,) how alike each pair is, up to 1; 0 where it is not the same scene.

    Parameters
    ----------
    thumbs : (N, 32, 32, 3). ``left`` is laid over ``right`` as ``way`` says; (P,) rows each.
    """
    found = np.zeros(len(left), np.float32)
    for start in range(0, len(left), _AT_ONCE):
        block = slice(start, start + _AT_ONCE)
        found[block] = _block_closeness(thumbs[left[block]], thumbs[right[block]], way)
    return found


def _block_closeness(left: NDArray[np.uint8], right: NDArray[np.uint8], way: Way) -> NDArray[np.float32]:
    over, under = left.astype(np.float32), right.astype(np.float32)
    best = np.zeros(len(over), np.float32)
    rows = _with_a_chance(over, under, way)
    for cut in CUTS[way.cut] if len(rows) else ():
        agreement = _compare(_lay_over(over[rows], cut, way.mirrored), under[rows])
        best[rows] = np.maximum(best[rows], np.where(agreement.same, agreement.detail, 0))
    return best


def _with_a_chance(over: Colours, under: Colours, way: Way) -> NDArray[np.int64]:
    """The pairs whose details agree at least somewhat at the first cut. Most candidates end here."""
    a, b = (to_grey(x)[..., None] for x in (over, under))
    a = _lay_over(a, CUTS[way.cut][0], way.mirrored)
    return np.flatnonzero(_correlation(_detail(a[..., 0]), _detail(b[..., 0]), 0.25) > _NO_CHANCE)


def _lay_over(over: Colours, cut: Cut, mirrored: bool) -> Colours:
    if cut != WHOLE:
        rows, columns = cut.windows
        laid: NDArray[Any] = rows @ np.moveaxis(over, 3, 1) @ columns.T  # N C H W
        over = np.moveaxis(laid, 1, 3)
    return over[:, :, ::-1] if mirrored else over


def _compare(a: Colours, b: Colours) -> _Agreement:
    grey_a, grey_b = to_grey(a), to_grey(b)
    flat_a, flat_b = _centred(grey_a), _centred(grey_b)
    gain = np.sqrt((_power(flat_b) + 1) / (_power(flat_a) + 1))
    fine_a, fine_b = _detail(grey_a), _detail(grey_b)
    apart = _fields(_difference(a, b, grey_a, grey_b, gain))
    busy = np.maximum(_fields(np.abs(fine_a)) * gain[:, None], _fields(np.abs(fine_b))) > _HAS_DETAIL
    plain = np.maximum(0, 1 - busy.mean(axis=1) / _PLAIN)[:, None]  # 1: without any detail
    levels = _LEVELS - (_LEVELS - _STRICT_LEVELS) * plain
    alike = apart < levels
    return _Agreement(
        _correlation(fine_a, fine_b, 0.25),
        _correlation(flat_a, flat_b, 1.0),
        alike.mean(axis=1, dtype=np.float32),
        (alike & busy).sum(axis=1) / np.maximum(busy.sum(axis=1), 1).astype(np.float32),
    )


def _difference(a: Colours, b: Colours, grey_a: Grey, grey_b: Grey, gain: Grey) -> Grey:
    """(N, 32, 32) mean difference of the colours, in levels; of the grey alone where one picture has no colour."""
    mean_a, mean_b = grey_a.mean(axis=(1, 2)), grey_b.mean(axis=(1, 2))
    offset = (mean_b - gain * mean_a)[:, None, None]
    in_colour = np.abs(a * gain[:, None, None, None] + offset[..., None] - b).mean(axis=3)
    in_grey = np.abs(grey_a * gain[:, None, None] + offset - grey_b)
    chroma = np.minimum(
        *(np.abs(x - grey[..., None]).mean(axis=(1, 2, 3)) for x, grey in ((a, grey_a), (b, grey_b)))
    )
    apart: Grey = np.where((chroma < _COLOURLESS)[:, None, None], in_grey, in_colour)
    return apart


def _centred(grey: Grey) -> Grey:
    centred: Grey = grey - grey.mean(axis=(1, 2), keepdims=True)
    return centred


def _power(grey: Grey) -> NDArray[np.float32]:
    power: NDArray[np.float32] = np.einsum("nyx,nyx->n", grey, grey) / SIDE**2
    return power


def _correlation(a: Grey, b: Grey, noise: float) -> NDArray[np.float32]:
    """(N,) correlation; ``noise`` is a variance that counts as none, so flat pictures do not agree by chance."""
    common = np.einsum("nyx,nyx->n", a, b) / SIDE**2
    found: NDArray[np.float32] = common / np.sqrt(_power(a) * _power(b) + noise)
    return found


def _detail(grey: Grey) -> Grey:
    """What a 3 x 3 mean takes away."""
    padded = np.pad(grey, ((0, 0), (1, 1), (1, 1)), "edge")
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    detail: Grey = grey - (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) / 9
    return detail


def _fields(values: Grey) -> NDArray[np.float32]:
    """(N, 32, 32) -> (N, 64) means of 4 x 4 pixels."""
    width = SIDE // 8
    found: NDArray[np.float32] = values.reshape(-1, 8, width, 8, width).mean(axis=(2, 4)).reshape(-1, 64)
    return found
