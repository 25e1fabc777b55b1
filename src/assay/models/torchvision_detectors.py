"""torchvision's detectors by name, behind the face of Assay's own: Faster and Mask R-CNN, RetinaNet, FCOS.

Networks and losses are torchvision's (BSD-3-Clause), untouched, on random weights. What differs: pictures are not
resized or normalised a second time (``AsGiven``); labels count from 0, the background is taken out; all boxes with a
score of 0.01 or more are told, as average precision wants them; masks stay 28 x 28 until the picture's own size is
known (``assay.postprocess_found``).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from assay.configs import ModelConfig
from assay.errors import ConfigError, ModelError
from assay.models.multitask import Heads
from assay.models.outputs import FoundOutputs
from assay.models.scene_options import refuse_options
from assay.models.torchvision_fallbacks import fill_missing_ops
from assay.models.torchvision_losses import BoxTargets, detector_losses
from assay.pipeline_scene import EVERY_SCORE
from assay.postprocess_boxes import MOST_BOXES

DETECTORS = {
    "fasterrcnn_resnet50_fpn": "torchvision: Faster R-CNN (Ren et al. 2015) on ResNet-50 with a pyramid",
    "fasterrcnn_mobilenet_v3_large_320_fpn": "torchvision: Faster R-CNN on MobileNetV3, for pictures of 320 px",
    "retinanet_resnet50_fpn": "torchvision: RetinaNet (Lin et al. 2017) on ResNet-50",
    "fcos_resnet50_fpn": "torchvision: FCOS (Tian et al. 2019), without anchors, on ResNet-50",
    "maskrcnn_resnet50_fpn": "torchvision: Mask R-CNN (He et al. 2017), boxes and masks, on ResNet-50",
}
"""Name -> what it is."""
_STRIDE = 32
"""Sides are padded to whole multiples, as torchvision does."""


class AsGiven(nn.Module):
    """Stands where torchvision resizes and normalises: our pictures come in as the network shall see them."""

    def forward(self, images: Tensor, targets: list[dict[str, Tensor]] | None = None) -> tuple[Any, Any]:
        """(B, C, H, W), padded on the right and below, as torchvision's list of pictures; the targets unchanged."""
        height, width = images.shape[-2:]
        padded = pad(images, (0, -width % _STRIDE, 0, -height % _STRIDE))
        listed = import_module("torchvision.models.detection.image_list").ImageList
        return listed(padded, [(height, width)] * len(images)), targets

    def postprocess(self, found: Any, _sizes: Any, _original: Any) -> Any:
        """Boxes are in the picture's pixels already."""
        return found


class TorchvisionDetector(nn.Module):
    """A detector of torchvision. ``net`` is torchvision's own module, ``name`` its name.

    In eval mode ``forward`` gives finished boxes; with targets, in training, it gives ``losses``.

    Attributes
    ----------
    heads : boxes, and masks for Mask R-CNN.
    exportable, why_not_exportable : no Bundle can hold it, and the reason.
    """

    exportable = False
    why_not_exportable = "it ends in operators of torchvision, which the engines of a Bundle do not have"

    def __init__(self, net: nn.Module, heads: Heads, name: str) -> None:
        super().__init__()
        self.net, self.heads, self.name = net, heads, name
        self.net.transform = AsGiven()

    def forward(
        self, x: Float[Tensor, "B C H W"], targets: BoxTargets | None = None
    ) -> FoundOutputs | dict[str, Tensor]:
        """(B, C, H, W) -> up to 100 finished boxes of each picture, in eval mode.

        With ``targets`` it is ``losses``: several processes share gradients of what went through ``forward`` alone.

        Raises
        ------
        ModelError : no targets in training mode, where torchvision has losses alone.
        """
        if targets is not None:
            return self.losses(x, targets)
        if self.training:
            raise ModelError(
                f"{self.name} tells no boxes in training mode", fix="call model.eval(), or .losses()"
            )
        return _pad_found(self.net(x), x, masks=self.heads.masks)

    def losses(self, x: Float[Tensor, "B C H W"], targets: BoxTargets) -> dict[str, Tensor]:
        """The network's own losses of those pictures in which somebody looked for things of all classes.

        The others are left out: these losses take what has no box for background. So are crowds and ignored regions,
        as in torchvision's own training on COCO. A batch without any such picture costs 0, with a graph.

        Returns
        -------
        "boxes", and "masks" for Mask R-CNN; boxes without a known mask teach no mask.

        Raises
        ------
        ModelError : not in training mode.
        """
        if not self.training:
            raise ModelError(f"{self.name} has losses in training mode alone", fix="call model.train()")
        return detector_losses(self.net, x, targets, masks=self.heads.masks)

    def embed(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """(B, C, H, W) -> (B, F): the mean of the trunk's last map."""
        maps: Mapping[str, Tensor] = self.trunk(x)
        return list(maps.values())[-1].mean((2, 3))

    @property
    def trunk(self) -> nn.Module:
        """The network of a classifier that the pyramid stands on."""
        body: nn.Module = self.net.backbone.body  # type: ignore[union-attr, assignment]
        return body

    @property
    def head(self) -> nn.ModuleList:
        """Everything that is not the trunk: the pyramid, then what looks for boxes."""
        pyramid: nn.Module = self.net.backbone.fpn  # type: ignore[union-attr, assignment]
        ends = [part for name, part in self.net.named_children() if name not in ("backbone", "transform")]
        return nn.ModuleList([pyramid, *ends])

    def blocks(self) -> list[list[nn.Parameter]]:
        """Every parameter exactly once, from input to output: the trunk's stages, the pyramid, all heads as one."""
        pyramid, *ends = self.head
        stages = [list(stage.parameters()) for stage in self.trunk.children()]
        blocks = [*stages, list(pyramid.parameters()), [p for end in ends for p in end.parameters()]]
        return [block for block in blocks if block]

    def at_most(self, x: Float[Tensor, "B C H W"]) -> None:
        """Runs every layer once, on as many proposals and found things as there can be: for counting work."""
        net: Any = self.net
        maps = net.backbone(AsGiven()(x)[0].tensors)
        if not hasattr(net, "roi_heads"):
            net.head(list(maps.values()))
            return
        net.rpn.head(list(maps.values()))
        roi, channels = net.roi_heads, net.backbone.out_channels
        side = roi.box_roi_pool.output_size
        roi.box_predictor(roi.box_head(x.new_zeros(net.rpn.post_nms_top_n(), channels, *side)))
        if self.heads.masks:
            side = roi.mask_roi_pool.output_size
            roi.mask_predictor(roi.mask_head(x.new_zeros(MOST_BOXES, channels, *side)))


def build_torchvision_detector(config: ModelConfig, heads: Heads, channels: int = 3) -> TorchvisionDetector:
    """The detector that the config names, on random weights.

    Raises
    ------
    ConfigError : no detector has this name, the heads are not what it has, or it does not know an option.
    ModelError : torchvision is not installed.
    """
    name = config.model
    if name not in DETECTORS:
        raise ConfigError(f"unknown detector {name!r}", fix=f"choose from {', '.join(DETECTORS)}")
    _require_heads(name, heads)
    refuse_options(config, "torchvision's detectors")
    try:
        fill_missing_ops()
        detection = import_module("torchvision.models.detection")
    except ImportError as error:
        fix = "pip install 'assay-vision[train]'"
        raise ModelError("torchvision cannot be imported", got=str(error), fix=fix) from error
    told = {"score_thresh": EVERY_SCORE, "detections_per_img": MOST_BOXES}
    prefix = "box_" if "rcnn" in name else ""
    net: nn.Module = getattr(detection, name)(
        weights=None,
        weights_backbone=None,
        num_classes=heads.boxes + 1,  # 0 is the background
        **{prefix + key: value for key, value in told.items()},
    )
    model = TorchvisionDetector(net, heads, name)
    if channels != 3:
        _see_channels(model.trunk, channels)
    return model


def _require_heads(name: str, heads: Heads) -> None:
    got = ", ".join(heads.names)
    if heads.classes or heads.tags or heads.pixels or not heads.boxes:
        raise ConfigError(
            f"{name} finds boxes and nothing else",
            got=f"heads {got}",
            fix="--heads boxes, or another network",
        )
    if name.startswith("mask") != heads.masks:
        raise ConfigError(
            f"{name} {'learns from masks' if not heads.masks else 'has no masks'}",
            got=f"heads {got}",
            fix="--heads boxes,masks with maskrcnn_resnet50_fpn, --heads boxes with the others",
        )


def _see_channels(trunk: nn.Module, channels: int) -> None:
    """Another first convolution, for pictures that have not three channels."""
    name, old = next((n, m) for n, m in trunk.named_modules() if isinstance(m, nn.Conv2d))
    new = nn.Conv2d(channels, old.out_channels, old.kernel_size, old.stride, old.padding, bias=False)  # type: ignore[arg-type]
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    trunk.set_submodule(name, new)


def _pad_found(found: list[dict[str, Tensor]], x: Tensor, *, masks: bool) -> FoundOutputs:
    """One answer a picture, of any length -> arrays of 100 rows, the rest with scores of 0."""
    boxes, scores = (x.new_zeros(len(x), MOST_BOXES, *tail, dtype=torch.float32) for tail in ((4,), ()))
    labels = x.new_zeros(len(x), MOST_BOXES, dtype=torch.int64)
    inside = x.new_zeros(len(x), MOST_BOXES, 28, 28, dtype=torch.float32) if masks else None
    for i, told in enumerate(found):
        things = (told["labels"] > 0).nonzero()[:MOST_BOXES, 0]
        n = len(things)
        boxes[i, :n] = told["boxes"][things].float()
        scores[i, :n] = told["scores"][things].float()
        labels[i, :n] = told["labels"][things] - 1
        if inside is not None:
            inside[i, :n] = told["masks"][things, 0].float()
    return FoundOutputs(boxes, scores, labels, inside)
