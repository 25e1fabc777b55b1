"""What a network of several heads stands on: a trunk that gives maps at strides 4, 8, 16 and 32.

Assay's CSP trunks give them as they are. A timm network gives those that it has; behind the same face it loses its
classifier and every layer behind its last map, so that no parameter is left without a gradient. What is missing is made
of the nearest map, larger by repeating and smaller by averaging: a plain vision transformer has stride 16 alone
(Li et al. 2022, "Exploring Plain Vision Transformer Backbones for Object Detection", section 3, makes its pyramid so).
What differs: no weights of its own here; the 1x1 convolutions of the neck follow at once.

Maps of odd sides: a picture is padded on the right and below to whole cells of stride 32 and the maps are cut back, so
cell (i, j) of stride s always shows pixels from (i s, j s) on, in every network.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, pad

from assay.configs import ModelConfig
from assay.errors import ConfigError, ModelError
from assay.models.build import build_model
from assay.models.classifier import Classifier
from assay.models.csp import CspClassifier, CspTrunk
from assay.models.timm_models import TimmClassifier, check_size, fixed_size, layer_groups

STRIDES = (4, 8, 16, 32)


class TimmTrunk(nn.Module):
    """A timm network as a trunk.

    Attributes
    ----------
    channels : channels of each of the four maps.
    strides : (4, 8, 16, 32).

    Raises
    ------
    ModelError : the network does not give its inner maps, or has none at these strides.
    """

    strides = STRIDES

    def __init__(self, net: nn.Module, name: str) -> None:
        super().__init__()
        if not hasattr(net, "forward_intermediates") or not hasattr(net, "prune_intermediate_layers"):
            raise ModelError(f"timm's {name} does not give its inner maps", fix="choose another network")
        last = {int(entry["reduction"]): i for i, entry in enumerate(net.feature_info)}  # type: ignore[arg-type]
        own = [stride for stride in STRIDES if stride in last]
        if not own:
            raise ModelError(
                f"timm's {name} has no map at a stride of 4, 8, 16 or 32",
                got=f"strides {', '.join(map(str, sorted(last)))}",
                fix="choose another network; of vision transformers one with patches of 8, 16 or 32 px",
            )
        channels = {stride: int(net.feature_info[last[stride]]["num_chs"]) for stride in own}  # type: ignore[index]
        net.prune_intermediate_layers([last[s] for s in own], prune_norm=True, prune_head=True)  # type: ignore[operator]
        self.net, self.name, self.fixed_hw = net, name, fixed_size(net)
        self._own, self._indices = own, [last[stride] for stride in own]
        self._nearest = [_nearest(stride, own) for stride in STRIDES]
        self.channels = tuple(channels[stride] for stride in self._nearest)

    def forward(self, x: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """(B, C, H, W) -> [(B, C_i, ceil(H / s_i), ceil(W / s_i))] for the four strides."""
        check_size(x, self.name, self.fixed_hw)
        height, width = x.shape[-2:]
        if self.fixed_hw is None:
            x = pad(x, (0, -width % STRIDES[-1], 0, -height % STRIDES[-1]))
        given = self.net.forward_intermediates(x, indices=self._indices, intermediates_only=True)  # type: ignore[operator]
        maps = dict(zip(self._own, given, strict=True))
        return [
            _scaled(maps[source], source, stride)[..., : -(-height // stride), : -(-width // stride)]
            for source, stride in zip(self._nearest, STRIDES, strict=True)
        ]

    def blocks(self) -> list[list[nn.Parameter]]:
        """The layer groups that timm names, input first."""
        return [group for group in layer_groups(self.net) if group]


def build_trunk(
    config: ModelConfig, channels: int = 3, classifier: Classifier | None = None
) -> CspTrunk | TimmTrunk:
    """The trunk of the network that the config names, for pictures of ``channels`` channels.

    It is taken from ``classifier``, with its weights, where one is given; else it is freshly initialised.

    Raises
    ------
    ConfigError : no network has this name, or it is one without maps at strides 4 to 32.
    ModelError : timm's network does not give them.
    """
    classifier = build_model(config, 1, channels) if classifier is None else classifier
    if isinstance(classifier, CspClassifier):
        return classifier.trunk
    if isinstance(classifier, TimmClassifier):
        return TimmTrunk(classifier.net, config.model)
    raise ConfigError(
        f"{config.model} is a classifier alone: boxes and pixels need maps at strides 4, 8, 16 and 32",
        fix="choose csp-nano, csp-small, csp-base or a timm network",
    )


def _nearest(stride: int, own: Sequence[int]) -> int:
    """The stride that a map is made of: the same, or the nearest one; the finer of two."""
    return min(own, key=lambda s: (max(s / stride, stride / s), s))


def _scaled(x: Tensor, source: int, stride: int) -> Tensor:
    """A map at ``source`` as one at ``stride``."""
    if source < stride:
        return avg_pool2d(x, stride // source, ceil_mode=True)
    return interpolate(x, scale_factor=float(source // stride)) if source > stride else x
