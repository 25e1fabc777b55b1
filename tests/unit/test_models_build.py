"""Names and options of networks; sizes; the trunk that detection will share."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn

from assay.configs import ModelConfig, PreprocessConfig
from assay.errors import ConfigError, ModelError
from assay.models import torchvision_ops
from assay.models.blocks import Bottleneck, DropPath, Sppf
from assay.models.build import build_model
from assay.models.csp import CspTrunk
from assay.models.describe import describe
from assay.models.timm_models import build_timm, load_timm, published_preprocess, read_options


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("csp-nan", "did you mean csp-nano"),
        ("resnet188", "did you mean resnet18"),
        ("ResNet18d", "resnet18d"),
        ("qqqqqq", "assay models"),
        ("hf-hub:timm/resnet18", "unknown model"),
        ("", "unknown model"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(name, said):
    with pytest.raises(ConfigError, match=said):
        build_model(ModelConfig(model=name), 3)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (ModelConfig(model="resnet18", model_options=("foo=3",)), "timm's resnet18 has no option 'foo'"),
        (ModelConfig(model="vgg11", drop_path=0.1), "timm's vgg11 has no option 'drop_path'"),
        (ModelConfig(model="resnet18.nope"), "Invalid pretrained tag"),
        (ModelConfig(model="resnet18", model_options=("output_stride=7",)), "timm cannot build resnet18"),
        (ModelConfig(model="resnet18", width=2.0), "width is for Assay's own networks"),
        (ModelConfig(model="cnn", width=2.5), "width of cnn is a whole number"),
        (ModelConfig(model="cnn", depth=0.5), "depth of cnn is a whole number"),
        (ModelConfig(model="cnn", depth=9), "depth of cnn is a whole number from 1 to 8"),
        (ModelConfig(model="cnn", width=1024, depth=8), "at most 8 stages and 4096 channels"),
        (ModelConfig(model="cnn", drop_path=0.1), "no shortcuts"),
        (ModelConfig(model="csp-nano", width=64), "are factors"),
        (ModelConfig(model="resnet9", depth=1), "depth of resnet9 is a whole number from 2 to 5"),
        (ModelConfig(model="resnet9", width=512, depth=5), "4096 channels.*\n.*16384 channels"),
    ],
)
def test_an_option_that_does_not_apply_is_an_error(config, said):
    with pytest.raises(ConfigError, match=said):
        build_model(config, 3)


def test_no_classes_are_refused():
    with pytest.raises(ConfigError, match="at least one class"):
        build_model(ModelConfig(model="cnn"), 0)


def test_options_are_read_by_their_form():
    options = read_options(("a=3", "b=0.5", "c=true", "d=same", "e=none", "f=1e-3", "pad_type=same"))
    assert options == {"a": 3, "b": 0.5, "c": True, "d": "same", "e": None, "f": 1e-3, "pad_type": "same"}


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("pad_type", "key=value"),
        ("=3", "key=value"),
        ("pad_type=sam", "did you mean same"),
        ("num_classes=3", "number of classes"),
        ("checkpoint_path=x.pth", "use weights"),
    ],
)
def test_a_malformed_or_reserved_option_is_an_error(pair, said):
    with pytest.raises(ConfigError, match=said):
        read_options((pair,))


def test_an_option_given_twice_is_an_error():
    with pytest.raises(ConfigError, match="twice"):
        read_options(("a=1", "a=2"))


def test_published_weights_without_a_network_are_a_model_error(monkeypatch):
    def unreachable(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(load_timm(), "create_model", unreachable)
    with pytest.raises(ModelError, match=r"weights of resnet18 cannot be fetched\n  got: no route to host"):
        build_timm(ModelConfig(model="resnet18", pretrained=True), 3)


def test_what_timm_published_is_told():
    published = build_timm(ModelConfig(model="resnet18.a1_in1k"), 3).published
    assert published["license"] == "apache-2.0"
    assert published["mean"] == (0.485, 0.456, 0.406)


def test_what_published_weights_saw_is_told_without_building():
    assert published_preprocess("resnet18") == {
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
        "interpolation": "bicubic",
    }
    found = published_preprocess("vit_base_patch16_224.augreg_in21k_ft_in1k")
    assert found["mean"] == found["std"] == (0.5, 0.5, 0.5)
    assert PreprocessConfig(**found).interpolation == "bicubic"


@pytest.mark.parametrize("name", ["resnet188", "resnet18.nope", "hf-hub:timm/resnet18"])
def test_what_nobody_published_is_an_error(name):
    with pytest.raises(ConfigError, match="unknown model"):
        published_preprocess(name)


def test_the_own_networks_do_not_import_timm():
    code = """
        import sys
        from assay.configs import ModelConfig, PreprocessConfig
        from assay.models.build import build_model
        build_model(ModelConfig(model="csp-nano"), 3)
        assert "timm" not in sys.modules and "torchvision" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_timm_and_torchvision_are_importable_after_the_operators_are_declared():
    code = """
        from assay.models.torchvision_ops import declare_missing_ops
        declare_missing_ops()
        assert not declare_missing_ops()
        import timm, torchvision
        assert not declare_missing_ops()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_nothing_is_declared_where_the_real_operators_load(monkeypatch, tmp_path):
    monkeypatch.setattr(torchvision_ops, "_kept", [])
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.setattr(torchvision_ops, "_load_extension", lambda folder: True)
    assert not torchvision_ops.declare_missing_ops()
    monkeypatch.setattr(torchvision_ops, "_torchvision_folder", lambda: None)
    assert not torchvision_ops.declare_missing_ops()
    assert torchvision_ops._kept == []


def test_the_trunk_gives_four_maps_at_its_strides():
    trunk = CspTrunk((16, 24, 32, 40), (1, 1, 2, 1)).eval()
    with torch.no_grad():
        maps = trunk(torch.zeros(1, 3, 64, 96))
    assert [m.shape[1] for m in maps] == list(trunk.channels)
    assert [(64 // m.shape[2], 96 // m.shape[3]) for m in maps] == [(s, s) for s in trunk.strides]


def test_width_and_depth_are_factors():
    plain = build_model(ModelConfig(model="csp-nano"), 3)
    wide = build_model(ModelConfig(model="csp-nano", width=2.0, depth=2.0), 3)
    assert wide.trunk.channels == tuple(2 * width for width in plain.trunk.channels)
    count = [sum(isinstance(m, Bottleneck) for m in net.modules()) for net in (plain, wide)]
    assert count == [5, 10]


def test_a_bottleneck_starts_as_identity():
    trunk = CspTrunk((16, 24, 32, 40), (1, 1, 2, 1)).eval()
    block = next(m for m in trunk.modules() if isinstance(m, Bottleneck))
    x = torch.rand(2, 8, 5, 5)
    torch.testing.assert_close(block(x), x)


def test_resnet9_is_the_one_of_eight_convolutions_and_a_linear_layer():
    net = build_model(ModelConfig(model="resnet9", width=64), 10)
    assert sum(isinstance(m, nn.Conv2d) for m in net.modules()) == 8
    assert describe(net, 32).parameters == 6_573_130  # Page's, with the biases of its norms
    assert [m.shape[1:] for m in net.eval().features(torch.zeros(1, 3, 32, 32))] == [(256, 8, 8), (512, 4, 4)]
    rates = [m.rate for m in build_model(ModelConfig(model="resnet9", drop_path=0.3), 3).modules()
             if isinstance(m, DropPath)]  # fmt: skip
    assert rates == pytest.approx([0.1, 0.3])


def test_drop_path_keeps_the_expectation_and_drops_whole_samples():
    torch.manual_seed(0)
    y = DropPath(0.25).train()(torch.ones(4000, 2, 1, 1))
    assert y.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert torch.equal(y[:, 0], y[:, 1])
    assert y.mean().item() == pytest.approx(1.0, abs=0.05)
    assert torch.equal(DropPath(0.25).eval()(torch.ones(2, 1, 1, 1)), torch.ones(2, 1, 1, 1))


def test_drop_path_rises_from_block_to_block():
    model = build_model(ModelConfig(model="csp-nano", drop_path=0.2), 3)
    rates = [m.rate for m in model.modules() if isinstance(m, DropPath)]
    assert rates == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])


def test_spatial_pyramid_pooling_keeps_the_shape():
    assert Sppf(16)(torch.zeros(2, 16, 3, 5)).shape == (2, 16, 3, 5)


def test_multiply_adds_are_counted_as_by_hand():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Flatten(), nn.Linear(64, 5, bias=False))
    told = describe(net, 8)
    assert told.macs == 4 * 4 * 4 * 3 * 9 + 64 * 5
    assert told.parameters == 4 * 3 * 9 + 4 + 64 * 5
    assert [layer.output for layer in told.layers] == [(4, 4, 4), (5,)]
    assert "conv 3x3 /2" in told.table()
    assert told.to_dict()["size_hw"] == [8, 8]


def test_describing_leaves_the_network_alone():
    model = build_model(ModelConfig(model="csp-nano"), 3).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    size = describe(model, 160)
    assert 0.5e6 < size.parameters < 0.6e6
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())
