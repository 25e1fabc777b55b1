"""Weights files: what fits, what is said, and what is refused."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from assay.configs import ModelConfig
from assay.errors import ConfigError, ModelError
from assay.models.build import build_model
from assay.models.weights import load_weights


def small(classes: int = 4, channels: int = 3, **options):
    return build_model(ModelConfig(model="cnn", width=4, depth=2, **options), classes, channels)


def saved(path: Path, content) -> Path:
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    return path


def same(first: nn.Module, second: nn.Module, but: str = "nothing") -> bool:
    other = second.state_dict()
    return all(torch.equal(v, other[k]) for k, v in first.state_dict().items() if but not in k)


@pytest.mark.parametrize("file", ["w.safetensors", "w.pth"])
def test_own_weights_fit_by_name(tmp_path, file):
    model, other = small(), small()
    report = load_weights(other, saved(tmp_path / file, model.state_dict()), name="cnn")
    assert same(model, other)
    assert report.how == "by name"
    assert report.missing == report.unexpected == report.mismatched == []
    assert report.head_fitted
    assert report.summary() == f"{file}: 12 of 12 tensors of cnn fitted by name."


@pytest.mark.parametrize("prefix", ["module.", "backbone.", "model.", "module.model.", "_orig_mod."])
def test_prefixes_of_wrappers_are_taken_off(tmp_path, prefix):
    model, other = small(), small()
    state = {prefix + key: value for key, value in model.state_dict().items()}
    report = load_weights(other, saved(tmp_path / "w.pth", state))
    assert same(model, other)
    assert report.how == "by name without prefix"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {"state": {}}},
        lambda state: {"model": {"state_dict": state}},
        lambda state: {"state_dict_ema": state, "state_dict": {k: v + 1.0 for k, v in state.items()}},
    ],
)
def test_checkpoints_are_unwrapped(tmp_path, wrap):
    model, other = small(), small()
    load_weights(other, saved(tmp_path / "w.pth", wrap(model.state_dict())))
    assert same(model, other)


def test_a_head_for_other_classes_starts_anew(tmp_path):
    model, other = small(7), small(4)
    before = other.head[1].weight.detach().clone()
    report = load_weights(other, saved(tmp_path / "w.safetensors", model.state_dict()), name="cnn")
    assert same(model, other, but="linear")
    assert torch.equal(other.head[1].weight, before)
    assert not report.head_fitted
    assert report.mismatched == ["linear.1.weight: (7, 8) for (4, 8)", "linear.1.bias: (7,) for (4,)"]
    assert "The head starts anew." in report.summary()


def test_a_file_without_a_head_and_one_with_more_are_told(tmp_path):
    model, other = small(), small()
    state = {k: v for k, v in model.state_dict().items() if "linear" not in k} | {
        "extra.weight": torch.ones(2)
    }
    report = load_weights(other, saved(tmp_path / "w.safetensors", state))
    assert report.missing == ["linear.1.weight", "linear.1.bias"]
    assert report.unexpected == ["extra.weight"]
    assert "Left over in the file: extra.weight." in report.summary()


def test_half_precision_is_cast(tmp_path):
    model, other = small(), small()
    state = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    report = load_weights(other, saved(tmp_path / "w.safetensors", state))
    assert other.head[1].weight.dtype == torch.float32
    assert "float16 cast" in report.summary()


def test_colours_are_summed_for_a_network_that_sees_gray(tmp_path):
    model, gray = small().eval(), small(channels=1).eval()
    report = load_weights(gray, saved(tmp_path / "w.safetensors", model.state_dict()))
    x = torch.rand(2, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(gray(x), model(x.expand(-1, 3, -1, -1)))
    assert "three colours summed" in report.summary()


def test_timm_weights_fit_with_and_without_our_prefix(tmp_path):
    model, other = (build_model(ModelConfig(model="resnet18"), 3) for _ in range(2))
    plain = saved(tmp_path / "timm.safetensors", model.net.state_dict())
    assert load_weights(other, plain).missing == []
    assert same(model, other)
    assert load_weights(other, saved(tmp_path / "ours.safetensors", model.state_dict())).head_fitted


def renamed(state):
    """The same tensors under names that agree with nobody's, in the same order."""
    return {f"part{i}.{key.rpartition('.')[2]}": value for i, (key, value) in enumerate(state.items())}


def test_foreign_names_are_matched_by_order_and_shape(tmp_path):
    model, other = small(7), small(4)
    report = load_weights(other, saved(tmp_path / "w.pth", renamed(model.state_dict())), name="cnn")
    assert report.how == "by order and shape"
    assert same(model, other, but="linear")
    assert len(report.fitted) == 10
    assert "by order and shape" in report.summary()


def test_order_counts_for_nothing_in_safetensors(tmp_path):
    with pytest.raises(ModelError, match="keeps no order"):
        load_weights(small(), saved(tmp_path / "w.safetensors", renamed(small().state_dict())))


def test_order_is_not_trusted_when_kinds_differ(tmp_path):
    state = renamed(small().state_dict())
    swapped = {k.replace("running_mean", "bias_").replace("running_var", "v"): v for k, v in state.items()}
    with pytest.raises(ModelError, match="are not those of"):
        load_weights(small(), saved(tmp_path / "w.pth", swapped))


def test_weights_that_fit_nowhere_name_both_sides_and_change_nothing(tmp_path):
    model = small()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    path = saved(tmp_path / "w.pth", nn.Linear(3, 2).state_dict())
    with pytest.raises(ModelError) as caught:
        load_weights(model, path, name="cnn")
    assert "0 of 12 tensors fit" in str(caught.value)
    assert "2 tensors, named weight, bias; cnn has stages.0.0.weight" in str(caught.value)
    assert "name the network" in str(caught.value)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_a_few_coinciding_names_are_no_fit(tmp_path):
    state = {"linear.1.weight": torch.zeros(4, 8), "stages.0.0.weight": torch.zeros(4, 3, 3, 3)}
    with pytest.raises(ModelError, match="2 of 12 tensors fit"):
        load_weights(small(), saved(tmp_path / "w.pth", state))


class Bomb:
    """Unpickling it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("write", [torch.save, lambda bomb, path: path.write_bytes(pickle.dumps(bomb, 2))])
def test_code_in_a_pickle_is_not_run(tmp_path, write):
    write({"state_dict": Bomb(tmp_path / "ran")}, tmp_path / "w.pth")
    with pytest.raises(ModelError) as caught:
        load_weights(small(), tmp_path / "w.pth")
    assert not (tmp_path / "ran").exists()
    assert "nothing in it was run" in str(caught.value)
    assert "mkdir" in str(caught.value)


@pytest.mark.parametrize("protocol", range(6))
def test_no_protocol_of_pickle_runs_code(tmp_path, protocol):
    (tmp_path / "w.pth").write_bytes(pickle.dumps(Bomb(tmp_path / "ran"), protocol))
    with pytest.raises(ModelError):
        load_weights(small(), tmp_path / "w.pth")
    assert not (tmp_path / "ran").exists()


def test_a_whole_pickled_network_is_not_opened(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "w.pth")
    with pytest.raises(
        ModelError, match=r"nothing in it was run\n  got: it would call torch.nn.modules.linear.Linear"
    ):
        load_weights(small(), tmp_path / "w.pth")


@pytest.mark.parametrize("file", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize("keep", [0, 5, 9, 100, 0.5, 0.97])
def test_a_truncated_file_is_told(tmp_path, file, keep):
    path = saved(tmp_path / file, small().state_dict())
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(ModelError, match="not a weights file, or it is cut short"):
        load_weights(small(), path)


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04nonsense", b"hello world", b"\x80\x02nope", b"\xff\xd8\xff\xe0JFIF" * 9]
)
def test_other_files_are_told(tmp_path, content):
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not a weights file"):
        load_weights(small(), path)


def test_a_file_without_tensors_is_told(tmp_path):
    with pytest.raises(ModelError, match=r"holds no state dict\n  got: keys epoch, state_dict"):
        load_weights(small(), saved(tmp_path / "w.pth", {"epoch": 3, "state_dict": {}}))


def test_a_missing_file_is_a_bad_request(tmp_path):
    with pytest.raises(ConfigError, match="no weights file"):
        load_weights(small(), tmp_path / "w.pth")


def test_values_that_are_not_numbers_are_refused(tmp_path):
    state = small().state_dict()
    state["stages.0.0.weight"] = torch.full_like(state["stages.0.0.weight"], torch.nan)
    with pytest.raises(ModelError, match="NaN or infinity"):
        load_weights(small(), saved(tmp_path / "w.safetensors", state))


@pytest.mark.shared
def test_torchvision_names_into_timm_by_order(shared_data):
    path = shared_data / "backbones" / "mobilenetv2_100_from_coral_uint8.fp16.pth"
    model = build_model(ModelConfig(model="mobilenetv2_100", model_options=("pad_type=same",)), 10)
    report = load_weights(model, path, name="mobilenetv2_100")
    assert report.how == "by order and shape"
    assert len(report.fitted) == 260
    assert [line.partition(":")[0] for line in report.mismatched] == [
        "net.classifier.weight",
        "net.classifier.bias",
    ]
