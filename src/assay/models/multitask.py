"""One network for the picture's class and tags, its boxes with masks, and its pixels, in one pass.

    trunk (strides 4, 8, 16, 32) -> mean over the last map -> class, tags, embedding
                                 -> neck (P3 P4 P5)        -> boxes, twice; mask coefficients
                                 -> P3 and stride 4        -> classes of pixels; prototypes of the masks

Any subset of heads is a network: what no head reads is not built, so every parameter learns. Heads can be dropped again
afterwards (``without``), for export. Sizes of Assay's own, with all heads, 20 classes each and 320 px, in millions of
parameters and GMACs; in brackets without the twin, as exported:

    csp-nano  0.79  0.51 (0.46)     csp-small  2.91  1.97 (1.79)     csp-base  7.80  6.26 (5.54)
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from assay.configs import ModelConfig
from assay.errors import ConfigError
from assay.models.box_head import BoxHead, points_of
from assay.models.classifier import Classifier
from assay.models.csp import CspTrunk
from assay.models.image_head import ImageHead
from assay.models.neck import Neck
from assay.models.outputs import BoxOutputs, Outputs
from assay.models.pixel_branch import PixelBranch
from assay.models.taps import TimmTrunk, build_trunk
from assay.tables import suggest

HEADS = ("class", "tags", "boxes", "masks", "pixels", "one-to-many", "one-to-one")
"""What ``without`` can drop; the last two are the two answers of the boxes."""
NECK_WIDTHS = {"csp-nano": 48, "csp-small": 96, "csp-base": 192}
"""Channels of the neck. For timm's networks: half those of the map at stride 16, within the range of these."""
MOST_PROTOTYPES = 32
"""More gain nothing (Bolya et al. 2019, table 2c)."""


@dataclass(frozen=True)
class Heads:
    """How many classes each head knows; 0 and False leave a head out.

    ``classes`` of the picture, ``tags`` of which several may apply, ``boxes`` classes of things, ``masks`` for the
    things, ``pixels`` classes of pixels (background counts).
    """

    classes: int = 0
    tags: int = 0
    boxes: int = 0
    masks: bool = False
    pixels: int = 0

    def __post_init__(self) -> None:
        if min(self.classes, self.tags, self.boxes, self.pixels) < 0:
            raise ConfigError("a head has 0 classes or more", got=str(self))
        if not (self.classes or self.tags or self.boxes or self.pixels):
            raise ConfigError("a network needs at least one head", fix="give classes, tags, boxes or pixels")
        if self.masks and not self.boxes:
            raise ConfigError("masks belong to boxes", fix="give boxes their classes, or leave masks out")
        if self.pixels == 1:
            raise ConfigError("pixels need two classes at least", got="1", fix="count the background as one")

    @property
    def names(self) -> tuple[str, ...]:
        """Those of HEADS that are there, the boxes as one."""
        there = (self.classes, self.tags, self.boxes, self.masks, self.pixels)
        return tuple(name for name, count in zip(HEADS, there, strict=False) if count)


class MultiTask(nn.Module):
    """Trunk and heads. ``forward``: x (B, C, H, W) float -> ``Outputs``.

    Parameters
    ----------
    trunk : gives maps at strides 4, 8, 16 and 32.
    heads : which, and how many classes each.
    width : channels of the neck.
    dropout : before the linear layers of class and tags.
    """

    def __init__(self, trunk: CspTrunk | TimmTrunk, heads: Heads, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.trunk, self.heads = trunk, heads
        between = max(16, 8 * round(width / 12))  # two thirds of the neck's width
        prototypes = min(MOST_PROTOTYPES, between // 2) if heads.masks else 0
        of_picture, reads_pixels = heads.classes or heads.tags, heads.pixels or heads.masks
        self.image_head: ImageHead | None = None
        self.neck: Neck | None = None
        self.box_head: BoxHead | None = None
        self.pixel_branch: PixelBranch | None = None
        if heads.boxes or reads_pixels:
            self.neck = Neck(trunk.channels[1:], width, all_levels=heads.boxes > 0)
        if reads_pixels:
            self.pixel_branch = PixelBranch(trunk.channels[0], width, between, heads.pixels, prototypes)
        if heads.boxes:
            self.box_head = BoxHead(width, heads.boxes, prototypes)
        if of_picture:
            self.image_head = ImageHead(trunk.channels[-1], heads.classes, heads.tags, dropout)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Outputs:
        """(B, C, H, W) -> what the heads say; None for those that are not there."""
        maps = self.trunk(x)
        levels = [] if self.neck is None else self.neck(maps[1:])
        classes = tags = embedding = many = one = points = strides = pixels = prototypes = None
        if self.image_head is not None:
            classes, tags, embedding = self.image_head(maps[-1].mean((2, 3)))
        if self.box_head is not None:
            many, one = self.box_head(levels)
            points, strides = points_of(levels, self.trunk.strides[1:])
        if self.pixel_branch is not None:
            pixels, prototypes = self.pixel_branch(maps[0], levels[0])
        return Outputs(classes, tags, embedding, many, one, points, strides, pixels, prototypes)

    def embed(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """(B, C, H, W) -> (B, F): the mean of the trunk's last map, as a classifier's ``embed``."""
        last: Tensor = self.trunk(x)[-1]
        return last.mean((2, 3))

    def features(self, x: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """The trunk's maps at strides 4, 8, 16 and 32."""
        maps: list[Tensor] = self.trunk(x)
        return maps

    @property
    def head(self) -> nn.ModuleList:
        """Everything that is not the trunk, as a list."""
        return nn.ModuleList(part for part in (self.neck, *self._ends) if part is not None)

    @property
    def _ends(self) -> tuple[nn.Module | None, ...]:
        return self.pixel_branch, self.box_head, self.image_head

    def blocks(self) -> list[list[nn.Parameter]]:
        """Every parameter exactly once, in blocks from input to output: the trunk's, the neck, all heads as one."""
        neck = [] if self.neck is None else list(self.neck.parameters())
        ends = [p for part in self._ends if part is not None for p in part.parameters()]
        return [block for block in (*self.trunk.blocks(), neck, ends) if block]

    def without(self, *names: str) -> MultiTask:
        """A copy that lacks these heads and everything that only they read.

        ``boxes`` takes masks along. ``one-to-many`` leaves the answers that need no suppression, ``one-to-one`` the
        others; with the last of the two the boxes go.

        Raises
        ------
        ConfigError : no head has this name, or none would be left.
        """
        for name in names:
            if name not in HEADS:
                raise ConfigError(f"unknown head {name!r}", fix=suggest(name, list(HEADS)))
        dropped = {*names}
        if not self._answers - dropped:
            dropped.add("boxes")
        if "boxes" in dropped:
            dropped.add("masks")
        kept = self.heads
        heads = Heads(
            classes=0 if "class" in dropped else kept.classes,
            tags=0 if "tags" in dropped else kept.tags,
            boxes=0 if "boxes" in dropped else kept.boxes,
            masks=kept.masks and "masks" not in dropped,
            pixels=0 if "pixels" in dropped else kept.pixels,
        )
        made = copy.deepcopy(self)
        made._keep(heads)
        made._keep_answers(dropped)
        return made

    @property
    def _answers(self) -> set[str]:
        """Those of the two that the boxes still give."""
        head = self.box_head
        there = {} if head is None else {"one-to-many": head.one_to_many, "one-to-one": head.one_to_one}
        return {name for name, answers in there.items() if answers is not None}

    def _keep(self, heads: Heads) -> None:
        """Takes out what these heads do not read."""
        self.heads = heads
        if self.image_head is not None:
            self.image_head.classes = self.image_head.classes if heads.classes else None
            self.image_head.tags = self.image_head.tags if heads.tags else None
            self.image_head = self.image_head if heads.classes or heads.tags else None
        if self.pixel_branch is not None:
            self.pixel_branch.classes = self.pixel_branch.classes if heads.pixels else None
            self.pixel_branch.prototypes = self.pixel_branch.prototypes if heads.masks else None
            self.pixel_branch = self.pixel_branch if heads.pixels or heads.masks else None
        self.box_head = self.box_head if heads.boxes else None
        if self.box_head is not None and not heads.masks:
            self.box_head.drop_masks()
        if self.neck is not None and self.box_head is None:
            self.neck.keep_finest()
        self.neck = self.neck if self.box_head is not None or self.pixel_branch is not None else None

    def _keep_answers(self, dropped: set[str]) -> None:
        if self.box_head is not None and "one-to-many" in dropped:
            self.box_head.drop_one_to_many()
        if self.box_head is not None and "one-to-one" in dropped:
            self.box_head.drop_one_to_one()


def build_multitask(
    config: ModelConfig, heads: Heads, channels: int = 3, classifier: Classifier | None = None
) -> MultiTask:
    """The network that the config names, with these heads, freshly initialised but for ``classifier``'s trunk.

    Raises
    ------
    ConfigError : no network has this name, it does not know an option, or it is no trunk.
    ModelError : a timm network does not give its inner maps, or published weights cannot be had.
    """
    trunk = build_trunk(config, channels, classifier)
    own = NECK_WIDTHS.get(config.model)
    width = trunk.channels[2] / 2 if own is None else own * (config.width or 1.0)
    if own is None:
        width = min(max(width, min(NECK_WIDTHS.values())), max(NECK_WIDTHS.values()))
    return MultiTask(trunk, heads, max(16, 8 * round(width / 8)), config.dropout)


__all__ = ["HEADS", "BoxOutputs", "Heads", "MultiTask", "Outputs", "build_multitask"]
