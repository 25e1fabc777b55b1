"""Where torch's bf16 gradients are wrong on a CPU, training stays in fp32 or says why it cannot be bf16."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from assay.configs import ModelConfig
from assay.errors import ModelError
from assay.models.build import build_model
from assay.train.narrow_maps import strides_over_one_pixel, wrong_in_bf16


@pytest.fixture
def nano():
    return build_model(ModelConfig(model="csp-nano"), 3, 1)


def test_a_stride_over_one_pixel_is_found_at_16_px_and_not_at_64(nano):
    nano.train()
    assert strides_over_one_pixel(nano, 16, 1) == ["trunk.stages.3.0.0"]
    assert strides_over_one_pixel(nano, 64, 1) == []
    assert nano.training
    assert not any(module._forward_hooks for module in nano.modules())


def test_fp32_is_never_in_question_and_bf16_is_refused_in_words(nano):
    assert wrong_in_bf16(nano, "csp-nano", "fp32", 16, 1) == []
    assert wrong_in_bf16(nano, "csp-nano", None, 16, 1)
    assert wrong_in_bf16(nano, "csp-nano", "bf16", 64, 1) == []
    with pytest.raises(
        ModelError, match="csp-nano cannot learn in bf16 on this CPU from pictures of 16 px"
    ) as told:
        wrong_in_bf16(nano, "csp-nano", "bf16", 16, 1)
    assert "--precision fp32" in told.value.fix


_MEASURE = """
import torch
from torch import nn
torch.manual_seed(0)
conv = nn.Conv2d(16, 16, 3, 2, 1, bias=False).to(memory_format=torch.channels_last)
for width in (1, 2):
    x, grads = torch.randn(8, 16, 1, width), []
    for bf16 in (False, True):
        conv.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            y = conv(x)
        (y.float() ** 2).sum().backward()
        grads.append(conv.weight.grad.clone())
    print(width, bool((grads[0] - grads[1]).abs().max() > 0.1 * grads[0].abs().max()))
"""


@pytest.mark.slow
def test_two_pixels_are_right_in_bf16():
    """Width 1 is wrong in some builds of torch and right in others; the rule stands on width 2 being right."""
    env = {**os.environ, "MALLOC_PERTURB_": "170"}
    told = subprocess.run(
        [sys.executable, "-c", _MEASURE], capture_output=True, text=True, env=env, check=True
    )
    assert "2 False" in told.stdout
