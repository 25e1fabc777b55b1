"""Maps at a quarter of the side: what class each pixel has, and the prototypes that masks are mixed of.

The finest map of the neck, enlarged and added to the trunk's own map at stride 4 (Kirillov et al. 2019, "Panoptic
Feature Pyramid Networks", section 3.1, in its shortest form: the neck has mixed the scales already). Prototypes and
coefficients: Bolya et al. 2019, "YOLACT", section 3. What differs: prototypes and coefficients are linear, without
ReLU and tanh, so a mask's logits can be any mixture; both answers share one 3x3 convolution.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from assay.models.blocks import conv_norm, init_convolutions


class PixelBranch(nn.Module):
    """P3 and the trunk's map at stride 4 -> semantic logits and prototypes at stride 4; either may be absent.

    Parameters
    ----------
    trunk_channels : of the trunk's map at stride 4.
    neck_channels : of P3.
    width : channels in between.
    classes : S, classes of pixels; 0 leaves the logits out.
    prototypes : M; 0 leaves them out.
    """

    def __init__(
        self, trunk_channels: int, neck_channels: int, width: int, classes: int, prototypes: int
    ) -> None:
        super().__init__()
        self.lateral = conv_norm(trunk_channels, width, 1)
        self.squeeze = conv_norm(neck_channels, width, 1)
        self.fuse = conv_norm(width, width)
        init_convolutions(self)
        self.classes = _first_logits(width, classes) if classes else None
        self.prototypes = nn.Conv2d(width, prototypes, 1) if prototypes else None

    def forward(
        self, fine: Float[Tensor, "B _ h w"], p3: Float[Tensor, "B _ _ _"]
    ) -> tuple[Float[Tensor, "B S h w"] | None, Float[Tensor, "B M h w"] | None]:
        """Maps at strides 4 and 8 -> semantic logits (B, S, h, w), prototypes (B, M, h, w)."""
        height, width = fine.shape[-2:]
        enlarged = interpolate(self.squeeze(p3), scale_factor=2.0, mode="bilinear")[..., :height, :width]
        x = self.fuse(self.lateral(fine) + enlarged)
        classes = None if self.classes is None else self.classes(x)
        return classes, None if self.prototypes is None else self.prototypes(x)


def _first_logits(width: int, classes: int) -> nn.Conv2d:
    """First logits near zero, so that the first loss is log S."""
    layer = nn.Conv2d(width, classes, 1)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer
