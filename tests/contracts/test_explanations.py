"""What every kind of explanation promises, for every network of the table and some of timm's."""

from __future__ import annotations

import pytest
import torch

from assay.configs import ModelConfig
from assay.explain.target import find_map
from assay.models.build import build_model
from assay.tables import EXPLANATIONS, MODELS

SIDE = 64
TIMM = {
    "resnet18": (),
    "mobilenetv3_small_050": (),
    "convnext_atto": (),
    "vit_tiny_patch16_224": ("img_size=64", "depth=2"),
}
NETWORKS = {**dict.fromkeys(MODELS, ()), **TIMM}
LARGE = ("csp-small", "csp-base")

every_network = pytest.mark.parametrize("name", [name for name in NETWORKS if name not in LARGE])


def build(name: str):
    torch.manual_seed(0)
    narrow = {"width": 8} if name == "cnn" else {}
    return build_model(ModelConfig(model=name, model_options=NETWORKS[name], **narrow), 5).eval()


def pictures(batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


@every_network
@pytest.mark.parametrize("kind", EXPLANATIONS)
def test_maps_have_the_pictures_size_and_lie_between_0_and_1(name, kind):
    model, x, classes = build(name), pictures(), torch.tensor([0, 3])
    before = {key: value.clone() for key, value in model.state_dict().items()}
    asked = [p.requires_grad for p in model.parameters()]
    maps = EXPLANATIONS.load(kind)(model, x, classes)
    assert maps.shape == (2, SIDE, SIDE)
    assert maps.dtype == torch.float32
    assert not maps.requires_grad
    assert maps.isfinite().all()
    assert maps.min() >= 0
    assert maps.max() <= 1
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert [p.requires_grad for p in model.parameters()] == asked
    assert all(p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


@every_network
def test_the_map_of_every_network_is_found(name):
    site = find_map(build(name), pictures())
    wanted = {
        "rnn-bilstm": (64, 1),
        "rnn-bigru": (64, 1),
        "rnn-mingru": (8, 8),
        "cnn": (8, 8),
        "resnet9": (8, 8),
    }
    assert site.size_hw == wanted.get(name, (4, 4))


@pytest.mark.parametrize("name", ["csp-nano", "rnn-bigru"])
@pytest.mark.parametrize("kind", EXPLANATIONS)
def test_a_picture_alone_gets_the_map_that_it_gets_in_a_batch(name, kind):
    model, x, classes = build(name), pictures(3), torch.tensor([0, 3, 1])
    draw = EXPLANATIONS.load(kind)
    together, alone = draw(model, x, classes), draw(model, x[1:2], classes[1:2])
    torch.testing.assert_close(together[1], alone[0], atol=2e-3, rtol=1e-2)


def test_the_command_names_every_kind():
    from assay.cli.commands.explain import KINDS

    assert [kind for kind in EXPLANATIONS if EXPLANATIONS[kind].startswith("assay.")] == list(KINDS)
