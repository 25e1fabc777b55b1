"""The feature map that a network's answer rests on, found in any network by asking it.

Grad-CAM and its kin need the last map of features that still knows *where* (Selvaraju et al. 2017, section 3). A table
of layer names would have to grow with every network. Instead one picture is sent through with a hook on every module,
and the last output is taken that (1) lies in space (a map, a map with channels last, tokens on a grid or one a row),
(2) has enough cells to say where, and (3) moves the logit at more than a handful of cells. The third condition passes
over the patch tokens behind the last attention of a transformer that answers from its class token, and over the outputs
of a recurrent network that answers from its last state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from assay.errors import ModelError
from assay.models.classifier import Classifier

LEAST_SIDE = 4
"""A map whose longer side has fewer cells cannot say where; an earlier one is taken, if there is one."""
LEAST_CELLS = 3
"""Cells that must move the logit, or all where there are fewer: the two ends of a recurrent network are not enough."""
PREFIXES = (0, 1, 2, 4, 5)
"""Tokens before the patches (class, distillation, registers), tried where a network does not say."""

Form = Literal["maps", "channels last", "tokens", "tokens last"]


@dataclass(frozen=True, slots=True)
class MapSite:
    """Where the map is: the output of call number ``call`` of the module ``name``.

    ``form`` says how it lies: "maps" (B, C, h, w), "channels last" (B, h, w, C), "tokens" (B, prefix + h w, C),
    "tokens last" (B, C, h w). ``size_hw`` is (h, w); a network that reads rows has w = 1.
    """

    name: str
    call: int
    form: Form
    size_hw: tuple[int, int]
    prefix: int = 0

    def maps(self, output: Tensor) -> Tensor:
        """The module's output as (B, C, h, w), a view that gradients pass."""
        if self.form == "maps":
            return output
        if self.form == "channels last":
            return output.permute(0, 3, 1, 2)
        if self.form == "tokens":
            output = output[:, self.prefix :].transpose(1, 2)
        return output.unflatten(2, self.size_hw)


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Inside, the network is in eval mode and its parameters take no gradients; afterwards it is as before.

    A gradient that stops at the picture costs a third of one that reaches the weights. cuDNN's recurrent layers refuse
    gradients in eval mode, so they are switched off.
    """
    modes = {module: module.training for module in model.modules()}
    asked = {parameter: parameter.requires_grad for parameter in model.parameters()}
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
    model.eval().requires_grad_(requires_grad=False)
    try:
        with torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled and not recurrent):
            yield
    finally:
        for module, training in modes.items():
            module.training = training
        for parameter, wanted in asked.items():
            parameter.requires_grad_(wanted)


def find_map(model: Classifier, x: Tensor) -> MapSite:
    """The last map that the answers to ``x`` (B, C, H, W) rest on; its first two pictures are looked at.

    Raises
    ------
    ModelError : the network has no output that lies in space.
    """
    x = x[:2].detach()
    calls: dict[str, int] = {}
    seen: list[tuple[MapSite, Tensor]] = []
    with frozen(model), torch.enable_grad():
        layout = _Layout(
            x, _declared(model, x), getattr(getattr(model, "net", None), "num_prefix_tokens", None)
        )

        def note(name: str, module: nn.Module, output: Any) -> None:
            call = calls[name] = calls.get(name, -1) + 1
            tensor = _first_tensor(output)
            found = None if tensor is None else layout.read(tensor)
            if found is not None and tensor is not None and not _is_passing(module, found[0]):
                seen.append((MapSite(name, call, *found), tensor))

        with _hooked(model, note):
            logits = model(x.requires_grad_())
        site = _last_that_moves(logits, seen)
    if site is None:
        raise ModelError(
            "no layer of this network keeps the places of the picture apart",
            got=f"{len(calls)} layers looked at",
            fix="occlusion and input-gradient need no such layer",
        )
    return site


def _last_that_moves(logits: Tensor, seen: list[tuple[MapSite, Tensor]]) -> MapSite | None:
    """The last map with gradients at enough cells; of maps that are all too small, the one with most cells.

    Where nothing moves the logit (a network that ignores its pictures) the last map of all will do: it is empty.
    """
    wanted = [(site, tensor) for site, tensor in seen if tensor.requires_grad]
    if not wanted:
        return seen[-1][0] if seen else None
    score = logits.max(1).values.sum()
    gradients = torch.autograd.grad(score, [tensor for _, tensor in wanted], allow_unused=True)
    moving = [
        site for (site, _), g in zip(wanted, gradients, strict=True) if g is not None and _moves(site.maps(g))
    ]
    if not moving:
        return wanted[-1][0]
    large = [site for site in moving if max(site.size_hw) >= LEAST_SIDE]
    return large[-1] if large else max(reversed(moving), key=lambda site: math.prod(site.size_hw))


def _moves(gradient: Tensor) -> bool:
    cells = gradient.abs().sum(1).flatten(1)  # B h*w
    return bool(((cells > 0).sum(1) >= min(LEAST_CELLS, cells.shape[1])).any())


def maps_and_gradients(
    model: Classifier, x: Tensor, classes: Tensor, site: MapSite | None = None
) -> tuple[Tensor, Tensor]:
    """The map (B, C, h, w) and the gradient of each picture's logit ``classes`` (B,) with respect to it.

    The graph begins at the map, so this costs little more than a forward pass.
    """
    site = site or find_map(model, x)
    leaves: list[Tensor] = []

    def begin(name: str, _: nn.Module, output: Any) -> Any:
        if name != site.name:
            return None
        calls.append(name)
        if len(calls) - 1 != site.call:
            return None
        leaf = _require(_first_tensor(output)).detach().requires_grad_()
        leaves.append(leaf)
        return _with_first(output, leaf.clone())  # a clone, as the next layer may work in place

    calls: list[str] = []
    with frozen(model), torch.enable_grad(), _hooked(model, begin, only=site.name):
        logits = model(x.detach())
        score = logits.gather(1, classes.to(logits.device).unsqueeze(1)).sum()
        gradient = (
            torch.autograd.grad(score, leaves[0], allow_unused=True)[0] if score.requires_grad else None
        )
    maps = site.maps(leaves[0].detach()).float()
    return maps, torch.zeros_like(maps) if gradient is None else site.maps(gradient).float()


@contextmanager
def _hooked(
    model: nn.Module, see: Callable[[str, nn.Module, Any], Any], only: str | None = None
) -> Iterator[None]:
    """Call ``see(name, module, output)`` after every module, in the order in which they end."""

    def hook(name: str) -> Callable[[nn.Module, Any, Any], Any]:
        return lambda module, _, output: see(name, module, output)

    handles = [
        module.register_forward_hook(hook(name))
        for name, module in model.named_modules()
        if name and only in (None, name)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Layout:
    """Tells which outputs lie in space, for pictures of one size.

    ``declared`` are the sizes of the maps that the network itself gives: they settle whether 64 tokens are a grid of
    8 x 8 or 64 rows.
    """

    def __init__(self, x: Tensor, declared: list[tuple[int, int]], prefix: int | None) -> None:
        self.batch, self.size_hw, self.declared = len(x), (int(x.shape[2]), int(x.shape[3])), declared
        self.prefixes = PREFIXES if prefix is None else (prefix,)

    def read(self, output: Tensor) -> tuple[Form, tuple[int, int], int] | None:
        """(form, (h, w), prefix) of an output, or None where it does not lie in space."""
        if output.shape[0] != self.batch or not output.is_floating_point():
            return None
        shape = tuple(int(side) for side in output.shape[1:])
        if len(shape) == 3:
            return self._map(*shape)
        return self._tokens(*shape) if len(shape) == 2 else None

    def _map(self, a: int, b: int, c: int) -> tuple[Form, tuple[int, int], int] | None:
        for fits in (self._is_declared, self._is_even):
            if fits(b, c):
                return "maps", (b, c), 0
            if fits(a, b):
                return "channels last", (a, b), 0
        return None

    def _tokens(self, n: int, c: int) -> tuple[Form, tuple[int, int], int] | None:
        for h, w in reversed(self.declared):
            if h * w > 1 and n - h * w in self.prefixes:
                return "tokens", (h, w), n - h * w
            if h * w > 1 and h * w == c:
                return "tokens last", (h, w), 0
        height, width = self.size_hw
        for prefix in self.prefixes:
            h = round(math.sqrt(max(0, n - prefix) * height / width))
            if h and (n - prefix) % h == 0 and self._is_even(h, (n - prefix) // h):
                return "tokens", (h, (n - prefix) // h), prefix
        return None

    def _is_declared(self, h: int, w: int) -> bool:
        return h * w > 1 and (h, w) in self.declared

    def _is_even(self, h: int, w: int) -> bool:
        """Whether both sides are shrunk by the same whole number, up to rounding."""
        height, width = self.size_hw
        stride = round(height / h) if 1 < h <= height and 1 < w <= width else 0
        return stride > 0 and all(
            cells in (side // stride, -(-side // stride)) for cells, side in ((h, height), (w, width))
        )


def _declared(model: Classifier, x: Tensor) -> list[tuple[int, int]]:
    """Sizes (h, w) of the maps that the network's own ``features`` gives; none where it gives none."""
    try:
        with torch.no_grad():
            return [(int(m.shape[-2]), int(m.shape[-1])) for m in model.features(x[:1])]
    except (NotImplementedError, ModelError):
        return []


def _is_passing(module: nn.Module, form: Form) -> bool:
    """Whether the output is none to explain by: attention weights, or a matrix inside a token block (its queries)."""
    passing: tuple[type[nn.Module], ...] = (nn.Dropout, nn.Softmax, nn.Identity)
    return isinstance(module, (*passing, nn.Linear) if form.startswith("tokens") else passing)


def _first_tensor(output: Any) -> Tensor | None:
    """The tensor that a module gives; of a recurrent layer's (outputs, states) the outputs. None for a list of maps."""
    if isinstance(output, tuple) and output:
        output = output[0]
    return output if isinstance(output, Tensor) else None


def _with_first(output: Any, tensor: Tensor) -> Any:
    return (tensor, *output[1:]) if isinstance(output, tuple) else tensor


def _require(tensor: Tensor | None) -> Tensor:
    if tensor is None:
        raise ModelError("the layer gave no tensor this time", fix="explain with occlusion")
    return tensor
