"""Networks of segmentation_models.pytorch (Iakubovskii 2019, MIT) by name, for the classes of pixels.

``smp-ARCH-ENCODER``: ``smp-unet-resnet18``, ``smp-deeplabv3plus-resnet18``, ``smp-segformer-mit_b0``; every encoder of
the library, and every network of timm as ``tu-NAME``. Architecture and initialisation are the library's, on random
weights. The library is an extra (``assay-vision[segment]``), imported here and nowhere else.

One part of it is not MIT: the encoders ``mit_b0`` to ``mit_b5`` (Xie et al. 2021, "SegFormer") are NVIDIA's code, under
its Source Code License, which allows no commercial use. ``licence_note`` says so; SegFormer's decoder stands on
``resnet18`` and others as well.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from assay.configs import ModelConfig
from assay.errors import ConfigError, ModelError
from assay.models.multitask import Heads
from assay.models.outputs import Outputs
from assay.models.scene_options import refuse_options
from assay.models.timm_models import load_timm
from assay.tables import suggest

PREFIX = "smp-"
NETWORKS = {
    "smp-unet-resnet18": "segmentation_models.pytorch: U-Net (Ronneberger et al. 2015) on ResNet-18",
    "smp-deeplabv3plus-resnet18": "segmentation_models.pytorch: DeepLabV3+ (Chen et al. 2018) on ResNet-18",
    "smp-segformer-resnet18": "segmentation_models.pytorch: decoder of SegFormer (Xie et al. 2021) on ResNet-18",
    "smp-segformer-mit_b0": "segmentation_models.pytorch: SegFormer; its encoder is for non-commercial use alone",
}
"""Those that are listed -> what they are; the general form knows many more."""
NON_COMMERCIAL = (
    "the encoder {encoder} is NVIDIA's code under its Source Code License, for non-commercial use alone; "
    "smp-segformer-resnet18 is free of it"
)
_STRIDE = 32
"""Pictures are padded to whole multiples, as the coarsest maps of the encoders want them."""


class SmpNetwork(nn.Module):
    """A network of segmentation_models.pytorch. ``net`` is its own module, ``name`` the whole name.

    Attributes
    ----------
    heads : pixels alone.
    licence_note : what must be known before its encoder is used in a product; None where it is free.
    """

    exportable = True

    def __init__(self, net: nn.Module, heads: Heads, name: str, licence_note: str | None = None) -> None:
        super().__init__()
        self.net, self.heads, self.name, self.licence_note = net, heads, name, licence_note

    def forward(self, x: Float[Tensor, "B C H W"]) -> Outputs:
        """(B, C, H, W) -> logits (B, S, H, W) of the pixels, at the full side.

        Raises
        ------
        ModelError : it norms over means of whole pictures, and learns from one picture alone.
        """
        height, width = x.shape[-2:]
        padded = pad(x, (0, -width % _STRIDE, 0, -height % _STRIDE))
        try:
            logits: Tensor = self.net(padded)
        except ValueError as error:  # torch's batch norm, over a single value
            if self.training and len(x) == 1:
                raise ModelError(
                    f"{self.name} cannot learn from one picture at a time", fix="give --batch 2 or more"
                ) from error
            raise
        return Outputs(pixel_logits=logits[..., :height, :width])

    def embed(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """(B, C, H, W) -> (B, F): the mean of the encoder's last map."""
        height, width = x.shape[-2:]
        maps: list[Tensor] = self.trunk(pad(x, (0, -width % _STRIDE, 0, -height % _STRIDE)))
        return maps[-1].mean((2, 3))

    @property
    def trunk(self) -> nn.Module:
        """The encoder."""
        encoder: nn.Module = self.net.encoder  # type: ignore[assignment]
        return encoder

    @property
    def head(self) -> nn.ModuleList:
        """Everything that is not the encoder."""
        return nn.ModuleList(part for name, part in self.net.named_children() if name != "encoder")

    def blocks(self) -> list[list[nn.Parameter]]:
        """Every parameter exactly once, from input to output: the encoder's stages, then the rest as one."""
        own = self.trunk
        loose = list(own.parameters(recurse=False))
        stages = [loose, *(list(stage.parameters()) for stage in own.children())]
        return [block for block in (*stages, list(self.head.parameters())) if block]


def build_smp(config: ModelConfig, heads: Heads, channels: int = 3) -> SmpNetwork:
    """The network that ``smp-ARCH-ENCODER`` names, on random weights.

    Raises
    ------
    ConfigError : no network has this name, the heads are not pixels alone, or it does not know an option.
    ModelError : segmentation_models.pytorch is not installed.
    """
    name = config.model
    got = ", ".join(heads.names)
    if heads.names != ("pixels",):
        raise ConfigError(
            f"{name} tells the classes of pixels and nothing else",
            got=f"heads {got}",
            fix="--heads pixels, or another network",
        )
    refuse_options(config, "segmentation_models.pytorch's networks")
    smp = load_smp()
    arch, encoder = _parts(name, smp)
    try:
        net: nn.Module = smp.create_model(
            arch, encoder_name=encoder, encoder_weights=None, in_channels=channels, classes=heads.pixels
        )
    except (ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        said = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        raise ConfigError(
            f"segmentation_models.pytorch cannot build {arch} on {encoder}",
            got=said,
            fix="choose another encoder, e.g. resnet18",
        ) from error
    is_restricted = encoder.startswith("mit_")
    note = NON_COMMERCIAL.format(encoder=encoder) if is_restricted else None
    return SmpNetwork(net, heads, name, note)


def _parts(name: str, smp: ModuleType) -> tuple[str, str]:
    """Architecture and encoder, both known to the library or, as ``tu-NAME``, to timm."""
    arch, _, encoder = name.removeprefix(PREFIX).partition("-")
    known = list(smp.MODEL_ARCHITECTURES_MAPPING)
    if arch not in known:
        raise ConfigError(f"unknown architecture {arch!r} in {name!r}", fix=suggest(arch, known))
    if not encoder:
        fix = f"e.g. {PREFIX}{arch}-resnet18"
        raise ConfigError(f"{name!r} names no encoder", got="smp-ARCH-ENCODER is the form", fix=fix)
    encoders = smp.encoders.get_encoder_names()
    if encoder.startswith("tu-"):
        if not load_timm().is_model(encoder.removeprefix("tu-")):
            raise ConfigError(f"timm has no network {encoder.removeprefix('tu-')!r}, as {name!r} asks for")
    elif encoder not in encoders:
        fix = suggest(encoder, encoders)
        raise ConfigError(f"unknown encoder {encoder!r} in {name!r}", fix=f"{fix}; or tu-NAME of timm")
    return arch, encoder


@cache
def load_smp() -> ModuleType:
    """segmentation_models.pytorch, imported after torchvision's missing operators are declared.

    Raises
    ------
    ModelError : it is not installed.
    """
    load_timm()
    try:
        import segmentation_models_pytorch  # noqa: PLC0415 - an extra, and seconds
    except ImportError as error:
        raise ModelError(
            "segmentation_models.pytorch cannot be imported",
            got=str(error),
            fix="pip install 'assay-vision[segment]'",
        ) from error
    return segmentation_models_pytorch
