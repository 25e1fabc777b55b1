"""Cuts the crops of one picture: targets around its boxes, backgrounds beside them (rules: ``crop_frames``)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from assay.data.box_rows import Box, BoxedPicture, BoxFile
from assay.data.crop_frames import Boxes, Frame, clip, placed_frames, target_frame
from assay.data.cutouts import Background, cut_out
from assay.data.faults import Fault
from assay.errors import ImageError
from assay.image import encode_image, read_image, to_pillow
from assay.verb_configs import CropsConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Inside = NDArray[np.bool_] | None
    """(h, w) of a frame, what its thing covers; None where crops are not masked."""

TARGET, BACKGROUND = "target", "background"
_QUALITY = 95


@dataclass(frozen=True)
class Crop:
    """One crop, encoded, with its frame in the upright source picture."""

    data: bytes
    frame: Frame
    role: str
    label: str
    box_label: str | None


LEFT = ("no_room", "too_small", "no_mask", "not_known")
"""Reasons for which something was not cut, as ``crops.Crops`` counts them."""


@dataclass
class Yield:
    """What one picture gave; ``left`` counts what was not cut, by ``LEFT``."""

    crops: list[Crop] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Size:
    """Width and height of a target, and its outline, for pictures that have none themselves."""

    wide: float
    high: float
    box: Box


class Cutter:
    """Cuts one picture at a time; called by several threads."""

    def __init__(self, found: BoxFile, config: CropsConfig, names: dict[str, str]) -> None:
        self.found, self.config, self.names = found, config, names
        self._sizes = [
            _Size(b.xyxy[2] - b.xyxy[0], b.xyxy[3] - b.xyxy[1], b)
            for picture in found.pictures.values()
            for b in picture.boxes
            if self._is_target(b) and (config.masked == "no" or b.mask is not None)
        ]

    def __call__(self, picture: BoxedPicture) -> Yield:
        """The crops of one picture, and what could not be used."""
        made = Yield()
        if not picture.is_known:
            made.left["not_known"] += 1
            if not picture.boxes:
                return made
        path = self.found.root / picture.path
        try:
            image = read_image(path)
        except ImageError as error:
            is_there = path.is_file()
            what = f"{picture.path} {'cannot be read' if is_there else 'does not exist'}"
            what += f": {error.got or error.what}" if is_there else ""
            fix = "replace it" if is_there else "correct the path, or name the pictures' folder with --root"
            made.faults.append(Fault(picture.place, what, fix))
            return made
        size_hw = (image.shape[0], image.shape[1])
        mark = f"{self.config.seed}\0{picture.path}".encode("utf-8", "surrogateescape")
        rng = np.random.default_rng(int.from_bytes(hashlib.blake2b(mark, digest_size=8).digest(), "big"))
        usable = [(box, xyxy) for box in picture.boxes if (xyxy := self._usable(box, size_hw, made))]
        frames = self._targets(usable, size_hw, rng, made)
        outlines = [self._outline(box, frame) for box, frame in frames]
        for (box, frame), inside in zip(frames, outlines, strict=True):
            label = box.label if self.config.classes else self.names[TARGET]
            made.crops.append(self._crop(image, frame, TARGET, label or "", box.label, inside))
        if picture.is_known:
            blocks = Boxes(np.array([xyxy for _, xyxy in usable], np.float64))
            held = [(frame, inside) for (_, frame), inside in zip(frames, outlines, strict=True)]
            for frame, inside in self._backgrounds(held, blocks, size_hw, rng, made):
                made.crops.append(self._crop(image, frame, BACKGROUND, self.names[BACKGROUND], None, inside))
        return made

    def _is_target(self, box: Box) -> bool:
        wanted = not self.config.targets or box.label in self.config.targets
        return wanted and not box.is_crowd

    def _usable(self, box: Box, size_hw: tuple[int, int], made: Yield) -> tuple[float, ...] | None:
        """The box in pixels, cut off at the border; None where it lies outside."""
        height, width = size_hw
        scale = (width, height, width, height) if self.config.units == "fraction" else (1, 1, 1, 1)
        xyxy = tuple(v * s for v, s in zip(box.xyxy, scale, strict=True))
        inside = clip(xyxy, size_hw)
        shown = ", ".join(f"{v:g}" for v in xyxy)
        if inside[2] <= inside[0] or inside[3] <= inside[1]:
            what = f"the box ({shown}) lies outside the picture of {width} x {height} px"
            made.faults.append(Fault(box.place, what, "draw it again on the upright picture"))
            return None
        if max(abs(a - b) for a, b in zip(xyxy, inside, strict=True)) > 1:
            what = (
                f"the box ({shown}) reaches beyond the picture of {width} x {height} px; it is cut off there"
            )
            made.faults.append(Fault(box.place, what, "correct it, if that is not meant"))
        return inside

    def _targets(
        self,
        usable: Iterable[tuple[Box, tuple[float, ...]]],
        size_hw: tuple[int, int],
        rng: np.random.Generator,
        made: Yield,
    ) -> list[tuple[Box, Frame]]:
        found = []
        for box, xyxy in usable:
            if not self._is_target(box):
                continue
            if self.config.masked != "no" and box.mask is not None and box.mask.size_hw != size_hw:
                what = (
                    f"its mask is of a picture of {box.mask.size_hw}, this one is {size_hw} (height, width)"
                )
                made.faults.append(Fault(box.place, what, "draw it again on the upright picture"))
                continue
            if self.config.classes and not box.label:
                made.faults.append(
                    Fault(box.place, "the box has no class", "fill it in, or leave --classes out")
                )
                continue
            frame = target_frame(xyxy, size_hw, self.config, rng)
            if min(frame[2] - frame[0], frame[3] - frame[1]) < self.config.min_size:
                made.left["too_small"] += 1
            elif self.config.masked != "no" and not _shows(box, frame):
                made.left["no_mask"] += 1
            else:
                found.append((box, frame))
        return found

    def _outline(self, box: Box, frame: Frame) -> Inside:
        """(h, w) of what the mask covers of the frame; None where crops are not masked."""
        if self.config.masked == "no" or box.mask is None:
            return None
        x1, y1, x2, y2 = frame
        return box.mask.to_array()[y1:y2, x1:x2]

    def _backgrounds(
        self,
        targets: list[tuple[Frame, Inside]],
        blocks: Boxes,
        size_hw: tuple[int, int],
        rng: np.random.Generator,
        made: Yield,
    ) -> list[tuple[Frame, Inside]]:
        """Frames of background, each with the outline of the target whose size it has, where crops are masked."""
        wanted = len(targets) if self.config.background is None else self.config.background
        shapes: list[tuple[tuple[int, int], Inside]] = [
            ((y2 - y1, x2 - x1), inside) for (x1, y1, x2, y2), inside in targets
        ] or self._shapes_elsewhere(size_hw, rng, wanted)
        if not wanted or not shapes:
            return []
        drawn = [shapes[int(i)] for i in rng.permutation(np.resize(np.arange(len(shapes)), wanted))]
        drawn = [(hw, inside) for hw, inside in drawn if min(*hw, *size_hw) >= self.config.min_size]
        frames = placed_frames([hw for hw, _ in drawn], blocks, size_hw, self.config, rng)
        found = [(f, inside) for f, (_, inside) in zip(frames, drawn, strict=True) if f is not None]
        made.left["no_room"] += wanted - len(found)
        return found

    def _shapes_elsewhere(
        self, size_hw: tuple[int, int], rng: np.random.Generator, n: int
    ) -> list[tuple[tuple[int, int], Inside]]:
        """Sizes and outlines of targets of other pictures, framed as they would be here."""
        if not self._sizes:
            side = max(self.config.min_size, min(size_hw) // 3)
            return [((side, side), None)] * n if self.config.masked == "no" else []
        found = []
        for i in rng.integers(0, len(self._sizes), n):
            size = self._sizes[int(i)]
            wide, high = size.wide, size.high
            if self.config.units == "fraction":
                wide, high = wide * size_hw[1], high * size_hw[0]
            x1, y1, x2, y2 = target_frame((0.0, 0.0, wide, high), (10**6, 10**6), self.config, rng)
            found.append(((y2 - y1, x2 - x1), _inside_of(size.box) if self.config.masked != "no" else None))
        return found

    def _crop(
        self,
        image: NDArray[np.uint8],
        frame: Frame,
        role: str,
        label: str,
        box_label: str | None,
        inside: Inside,
    ) -> Crop:
        x1, y1, x2, y2 = frame
        pixels = np.ascontiguousarray(image[y1:y2, x1:x2])
        if inside is not None:
            behind: Background = "grey" if self.config.masked == "grey" else "blur"
            pixels = cut_out(pixels, _fitted(inside, pixels.shape[:2]), background=behind, margin=None)
        if self.config.side is not None:
            scale = self.config.side / max(x2 - x1, y2 - y1)
            wh = (max(1, round((x2 - x1) * scale)), max(1, round((y2 - y1) * scale)))
            pixels = np.asarray(to_pillow(pixels).resize(wh, Image.Resampling.LANCZOS))
        return Crop(encode_image(pixels, self.config.file_type, _QUALITY), frame, role, label, box_label)


def _shows(box: Box, frame: Frame) -> bool:
    """Whether the thing has a mask, and some of it lies in the frame."""
    if box.mask is None:
        return False
    hull = box.mask.box_xyxy
    apart = hull[2] <= frame[0] or hull[0] >= frame[2] or hull[3] <= frame[1] or hull[1] >= frame[3]
    return not apart and bool(box.mask.to_array()[frame[1] : frame[3], frame[0] : frame[2]].any())


def _inside_of(box: Box) -> Inside:
    """(h, w) of the mask in its own hull."""
    if box.mask is None:
        return None
    x1, y1, x2, y2 = (int(v) for v in box.mask.box_xyxy)
    return box.mask.to_array()[y1:y2, x1:x2]


def _fitted(inside: NDArray[np.bool_], size_hw: tuple[int, ...]) -> NDArray[np.bool_]:
    """The outline at the size of a frame, which the border of a picture may have cut; never empty."""
    if inside.shape == size_hw:
        return inside
    picture = Image.fromarray(inside.astype(np.uint8)).resize(
        (size_hw[1], size_hw[0]), Image.Resampling.NEAREST
    )
    fitted = np.asarray(picture).astype(bool)
    return fitted if fitted.any() else np.ones_like(fitted)
