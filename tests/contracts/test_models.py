"""What every network promises, Assay's own and timm's: one suite over the table."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from assay.configs import ModelConfig
from assay.errors import ConfigError, ModelError
from assay.models.build import Classifier, build_model
from assay.tables import MODELS

CLASSES = 5
VIT = "vit_tiny_patch16_224"
TIMM = {
    "resnet18": (),
    "mobilenetv3_small_050": (),
    "convnext_atto": (),
    VIT: ("img_size=64", "depth=2"),
}
NETWORKS = {**dict.fromkeys(MODELS, ()), **TIMM}
OF_ROWS = ("rnn-bilstm", "rnn-bigru")
"""Networks that read whole rows: their maps have a height alone."""

every_network = pytest.mark.parametrize("name", NETWORKS)


def build(name: str, channels: int = 3, **options) -> Classifier:
    torch.manual_seed(0)
    narrow = {"width": 8} if name in ("cnn", "resnet9") or name.startswith("rnn-") else {}
    config = ModelConfig(model=name, model_options=NETWORKS[name], **{**narrow, **options})
    return build_model(config, CLASSES, channels)


def pictures(batch: int = 2, channels: int = 3, size_hw: tuple[int, int] = (64, 64)) -> torch.Tensor:
    return torch.randn(batch, channels, *size_hw, generator=torch.Generator().manual_seed(1))


@every_network
def test_every_parameter_gets_a_finite_gradient(name):
    model = build(name).train()
    logits = model(pictures(4))
    assert logits.shape == (4, CLASSES)
    nn.functional.cross_entropy(logits, torch.arange(4)).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert without == []


@every_network
def test_the_head_of_the_embedding_is_the_whole(name):
    model = build(name).eval()
    x = pictures(3)
    with torch.no_grad():
        features = model.embed(x)
        torch.testing.assert_close(model.head(features), model(x), rtol=1e-4, atol=1e-5)
    assert features.ndim == 2
    assert [m for m in model.head.modules() if isinstance(m, nn.Linear)][-1].out_features == CLASSES


@every_network
def test_a_picture_alone_answers_as_in_a_batch(name):
    model = build(name).eval()
    x = pictures(3)
    with torch.no_grad():
        torch.testing.assert_close(model(x[1:2])[0], model(x)[1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != VIT])
@pytest.mark.parametrize("size_hw", [(33, 47), (65, 33), (32, 32)])
def test_odd_sizes(name, size_hw):
    model = build(name).eval()
    with torch.no_grad():
        assert model(pictures(1, size_hw=size_hw)).isfinite().all()


def test_a_network_of_one_size_says_which():
    model = build(VIT).eval()
    with pytest.raises(
        ModelError, match=r"64 x 64 px and takes no others\n  got: 65 x 33 px\n  fix: use --size 64"
    ):
        model(pictures(1, size_hw=(65, 33)))


@every_network
def test_gray_pictures(name):
    model = build(name, channels=1).eval()
    with torch.no_grad():
        assert model(pictures(2, channels=1)).shape == (2, CLASSES)


@every_network
def test_weights_saved_and_loaded_answer_the_same(name):
    model, x = build(name).eval(), pictures()
    twin = build(name, **({} if name in TIMM else {"dropout": 0.1})).eval()
    with torch.no_grad():
        for p in twin.parameters():
            p.add_(1.0)
        twin.load_state_dict(load(save(model.state_dict())))
        assert torch.equal(twin(x), model(x))


@every_network
def test_blocks_hold_every_parameter_once_and_end_with_the_head(name):
    model = build(name)
    blocks = model.blocks()
    ids = [id(p) for block in blocks for p in block]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(p) for p in model.parameters()}
    assert {id(p) for p in blocks[-1]} == {id(p) for p in model.head.parameters()}
    assert id(first_weight(model, name)) in {id(p) for p in blocks[0]}


def first_weight(model: Classifier, name: str) -> nn.Parameter:
    """The first matrix or kernel: of a convolution where there is one, whatever order timm declares parts in."""
    if name in TIMM:
        return next(m for m in model.modules() if isinstance(m, nn.Conv2d)).weight
    return next(p for p in model.parameters() if p.ndim > 1)


@every_network
def test_feature_maps_shrink_by_two(name):
    model = build(name).eval()
    with torch.no_grad():
        maps = model.features(pictures())
    sides = [64 // m.shape[2] for m in maps]
    assert sides == [s for s in ((1,) if name in OF_ROWS else (4, 8, 16, 32)) if s in sides]
    assert all(m.ndim == 4 for m in maps)
    assert all(m.shape[3] == (1 if name in OF_ROWS else m.shape[2]) for m in maps)
    assert maps


@pytest.mark.parametrize("name", MODELS)
def test_wide_pictures_have_wide_maps(name):
    model = build(name).eval()
    with torch.no_grad():
        maps = model.features(pictures(1, size_hw=(64, 128)))
    assert all(m.shape[3] == (1 if name in OF_ROWS else 2 * m.shape[2]) for m in maps)


@every_network
def test_it_learns_in_bf16_and_channels_last_as_training_runs_it(name):
    model = build(name).train().to(memory_format=torch.channels_last)
    x = pictures(4).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(x)
    nn.functional.cross_entropy(logits.float(), torch.arange(4)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    model.zero_grad()
    with torch.no_grad():
        torch.testing.assert_close(logits.float(), model(x), atol=0.1, rtol=0.1)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit.trace.*deprecated")
def test_its_graph_can_be_drawn(name):
    torch.jit.trace(build(name).eval(), pictures(1))  # as TensorBoard does, with its checks


@pytest.mark.parametrize("name", MODELS)
def test_a_few_steps_fit_a_few_pictures(name):
    model, y = build(name).train(), torch.arange(8) % CLASSES
    x = 0.3 * pictures(8)
    x[:, :, 16:48, 16:48] += (y - 2.0).reshape(8, 1, 1, 1)  # a square, darker or brighter by class
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        loss = nn.functional.cross_entropy(model(x), y)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


# sizes are whole numbers in recurrent networks, not tensors as this older exporter traces them;
# test_exports.py has them through the exporter that Assay uses
@pytest.mark.parametrize("name", [name for name in NETWORKS if not name.startswith("rnn-")])
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:You are using the legacy TorchScript")
def test_onnx_answers_the_same_for_any_batch(name):
    ort = pytest.importorskip("onnxruntime")
    model, buffer = build(name).eval(), io.BytesIO()
    axes = {"pictures": {0: "batch"}, "logits": {0: "batch"}}
    names = {"input_names": ["pictures"], "output_names": ["logits"], "dynamic_axes": axes}
    torch.onnx.export(model, (pictures(2),), buffer, dynamo=False, opset_version=17, **names)
    session = ort.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])
    x = pictures(3)
    with torch.no_grad():
        wanted = model(x).numpy()
    (got,) = session.run(None, {"pictures": x.numpy()})
    np.testing.assert_allclose(got, wanted, atol=1e-4, rtol=1e-3)


@every_network
def test_the_seed_fixes_the_initial_weights(name):
    first, second = build(name).state_dict(), build(name).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", MODELS)
def test_the_first_loss_is_that_of_a_guess(name):
    model = build(name).train()
    with torch.no_grad():
        loss = nn.functional.cross_entropy(model(pictures(8)), torch.arange(8) % CLASSES)
    assert loss.item() == pytest.approx(np.log(CLASSES), abs=0.15)


@every_network
def test_dropout_is_active_in_training_alone(name):
    model, x = build(name, dropout=0.5), pictures(4)
    with torch.no_grad():
        model.eval()
        assert torch.equal(model(x), model(x))
        model.train()
        assert not torch.equal(model(x), model(x))


@pytest.mark.parametrize("options", [{"model_options": ("pad_type=same",)}, {"pretrained": True}])
@pytest.mark.parametrize("name", MODELS)
def test_own_networks_refuse_the_options_of_timm(name, options):
    with pytest.raises(ConfigError, match=name):
        build_model(ModelConfig(model=name, **options), CLASSES)
