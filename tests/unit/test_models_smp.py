"""Networks of segmentation_models.pytorch behind the face of ours, and what is said where they cannot be had."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from assay.configs import ModelConfig
from assay.errors import ConfigError, ModelError
from assay.losses.multitask import MultiTaskLoss
from assay.losses.targets import Target, collate
from assay.models import smp_models
from assay.models.multitask import Heads
from assay.models.outputs import Ends
from assay.models.scene_models import LISTED, build_scene_model, heads_of, load_others
from assay.models.smp_models import NETWORKS, SmpNetwork
from assay.postprocess_boxes import Frame
from assay.postprocess_scene import read_scene

CLASSES = 3
HEADS = Heads(pixels=CLASSES)
UNET = "smp-unet-resnet18"


def build(name: str = UNET, channels: int = 3, **options) -> SmpNetwork:
    torch.manual_seed(0)
    model = build_scene_model(ModelConfig(model=name, **options), HEADS, channels)
    assert isinstance(model, SmpNetwork)
    return model


def pictures(batch: int = 2, channels: int = 3, size_hw: tuple[int, int] = (64, 64)) -> torch.Tensor:
    return torch.randn(batch, channels, *size_hw, generator=torch.Generator().manual_seed(1))


def halves(side: int = 64) -> Target:
    pixels = torch.zeros(side, side, dtype=torch.uint8)
    pixels[:, side // 2 :] = 1
    pixels[:8] = 255
    return Target(pixels=pixels)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_listed_network_learns_and_answers_at_the_full_side(name):
    model = build(name).train()
    outputs = model(pictures())
    assert {key: tuple(value.shape) for key, value in outputs.named().items()} == {
        "pixel_logits": (2, CLASSES, 64, 64)
    }
    told = collate([halves(), Target()], HEADS, (64, 64))
    MultiTaskLoss()(outputs, told).tasks["pixels"].backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    in_blocks = [id(p) for block in model.blocks() for p in block]
    assert sorted(in_blocks) == sorted(id(p) for p in model.parameters())
    in_head = {id(p) for p in model.head.parameters()}
    assert {id(p) for p in model.blocks()[-1]} == in_head
    assert len(model.blocks()) > 2
    with torch.no_grad():
        assert model.eval()(pictures(1, size_hw=(50, 71))).pixel_logits.shape == (1, CLASSES, 50, 71)
        assert model.embed(pictures(2, size_hw=(50, 71))).ndim == 2
    assert model.exportable


@pytest.mark.parametrize("name", [UNET, "smp-segformer-mit_b0"])
def test_the_loss_falls(name):
    model = build(name).train()
    x = pictures()
    x[..., 32:] += 1
    told = collate([halves(), halves()], HEADS, (64, 64))
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    course = []
    for _ in range(8):
        loss = MultiTaskLoss()(model(x), told).tasks["pixels"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        course.append(float(loss.detach()))
    assert course[-1] < 0.8 * course[0]


def test_the_answer_is_read_into_the_picture():
    model = build().eval()
    with torch.no_grad():
        named = {name: value[0].numpy() for name, value in model(pictures(1)).named().items()}
    pixels = read_scene(named, Frame((64, 64)), 64).pixels
    np.testing.assert_array_equal(pixels, named["pixel_logits"].argmax(0))
    assert Ends(model, pictures(1)).names == ("pixel_logits",)


def test_gray_pictures_and_timm_encoders():
    model = build("smp-unet-tu-resnet18", channels=1).eval()
    with torch.no_grad():
        assert model(pictures(1, channels=1)).pixel_logits.shape == (1, CLASSES, 64, 64)


def test_the_licence_of_an_encoder_is_told():
    assert "non-commercial use alone" in build("smp-segformer-mit_b0").licence_note
    assert build("smp-segformer-resnet18").licence_note is None
    assert "non-commercial" in LISTED["smp-segformer-mit_b0"]


def test_a_file_of_the_library_fits(tmp_path):
    given = build("smp-fpn-resnet18")
    file = tmp_path / "encoder.safetensors"
    save_file({f"encoder.{name}": value for name, value in given.net.encoder.state_dict().items()}, file)
    model = build()
    report = load_others(model, file)
    assert not report.mismatched
    torch.testing.assert_close(model.trunk.state_dict(), given.trunk.state_dict())


def test_a_file_of_a_classifier_fills_the_encoder(tmp_path):
    given = build("smp-fpn-resnet18").trunk.state_dict()
    file = tmp_path / "classifier.safetensors"
    save_file({**given, "fc.weight": torch.zeros(5, 512), "fc.bias": torch.zeros(5)}, file)
    model = build()
    report = load_others(model, file)
    assert report.model == f"the trunk of {UNET}"
    assert not report.missing
    assert sorted(report.unexpected) == ["fc.bias", "fc.weight"]
    torch.testing.assert_close(model.trunk.state_dict(), given)
    save_file({"other.weight": torch.zeros(5, 5)}, file)
    with pytest.raises(ModelError, match=f"are not those of {UNET}: 0 of"):
        load_others(model, file)


def test_wrong_heads_are_told():
    with pytest.raises(
        ConfigError, match=r"tells the classes of pixels and nothing else\n  got: heads boxes\n  fix"
    ):
        build_scene_model(ModelConfig(model=UNET), Heads(boxes=2))
    with pytest.raises(ConfigError, match=r"got: heads class, pixels"):
        build_scene_model(ModelConfig(model=UNET), Heads(classes=2, pixels=3))
    assert heads_of(UNET, 4) == Heads(pixels=4)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("smp-unett-resnet18", r"unknown architecture 'unett' .*\n  fix: did you mean unet"),
        ("smp-unet", r"names no encoder\n  got: smp-ARCH-ENCODER is the form\n  fix: e.g. smp-unet-resnet18"),
        ("smp-unet-resnet19", r"unknown encoder 'resnet19' .*\n  fix: did you mean .*; or tu-NAME of timm"),
        ("smp-unet-tu-nonsense", r"timm has no network 'nonsense'"),
        (
            "smp-linknet-mit_b0",
            r"cannot build linknet on mit_b0\n  got: .*not supported.*\n  fix: choose another",
        ),
    ],
)
def test_wrong_names_are_told(name, said):
    with pytest.raises(ConfigError, match=said):
        build(name)


@pytest.mark.parametrize("options", [{"pretrained": True}, {"depth": 2.0}, {"drop_path": 0.1}])
def test_options_that_it_has_not_are_told(options):
    with pytest.raises(ConfigError, match=r"segmentation_models\.pytorch"):
        build(**options)


def test_one_picture_at_a_time_is_refused_where_it_cannot_teach():
    model = build("smp-deeplabv3plus-resnet18").train()
    with pytest.raises(ModelError, match=r"cannot learn from one picture at a time\n  fix: give --batch 2"):
        model(pictures(1))
    assert model.eval()(pictures(1)).pixel_logits.isfinite().all()


def test_it_is_said_how_to_install_it(monkeypatch):
    smp_models.load_smp.cache_clear()
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(
        ModelError, match=r"cannot be imported\n  got: .*\n  fix: pip install 'assay-vision\[segment\]'"
    ):
        build()
    smp_models.load_smp.cache_clear()
