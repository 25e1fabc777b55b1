"""torchvision's detectors: the operators that stand in for compiled ones, losses on partial labels, finished boxes."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from assay.cli.command import build_parser, parse
from assay.cli.commands.models import COMMAND
from assay.configs import ModelConfig
from assay.errors import ConfigError, ModelError
from assay.losses.targets import Target, Targets, collate, cover
from assay.models import torchvision_fallbacks
from assay.models.describe import describe
from assay.models.multitask import Heads, MultiTask
from assay.models.scene_models import build_scene_model, heads_of, is_others, load_others
from assay.models.torchvision_detectors import DETECTORS, TorchvisionDetector
from assay.models.torchvision_fallbacks import fill_missing_ops, nms, roi_align
from assay.objects import ANY_CLASS

SIDE = 64
SMALL = "fasterrcnn_mobilenet_v3_large_320_fpn"
MASKED = "maskrcnn_resnet50_fpn"


def build(name: str = SMALL, classes: int = 3, channels: int = 3, **options) -> TorchvisionDetector:
    torch.manual_seed(0)
    model = build_scene_model(ModelConfig(model=name, **options), heads_of(name, classes), channels)
    assert isinstance(model, TorchvisionDetector)
    if hasattr(model.net, "roi_heads"):  # few proposals, so that tests are quick
        model.net.roi_heads.fg_bg_sampler.batch_size_per_image = 48
        model.net.rpn._post_nms_top_n["testing"] = 120
    return model


def pictures(batch: int = 2, channels: int = 3, side: int = SIDE) -> torch.Tensor:
    return torch.randn(batch, channels, side, side, generator=torch.Generator().manual_seed(1))


def two_things(side: int = SIDE) -> Target:
    masks = torch.zeros(2, side, side, dtype=torch.bool)
    masks[0, 4:36, 4:30] = True
    masks[1, 30:60, 34:62] = True
    return Target(
        boxes_xyxy=torch.tensor([[4.0, 4, 30, 36], [34, 30, 62, 60]]),
        box_labels=torch.tensor([0, 2]),
        box_masks=cover(masks),
    )


EMPTY = Target(boxes_xyxy=torch.zeros(0, 4), box_labels=torch.zeros(0, dtype=torch.int64))


def targets(model: TorchvisionDetector, *told: Target, side: int = SIDE) -> Targets:
    return collate(told, model.heads, (side, side))


def losses(model: TorchvisionDetector, x: torch.Tensor, *told: Target) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)  # torchvision draws which proposals it learns from
    return model.train().losses(x, targets(model, *told))


# --- the operators


def plain_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        a = boxes[i]
        for j in kept:
            b = boxes[j]
            wide = min(a[2], b[2]) - max(a[0], b[0])
            high = min(a[3], b[3]) - max(a[1], b[1])
            shared = max(wide, 0) * max(high, 0)
            both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
            if shared > threshold * both:
                break
        else:
            kept.append(int(i))
    return kept


@pytest.mark.parametrize("count", [0, 1, 40, 600])
@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_suppression_is_that_of_plain_loops(count, threshold):
    rng = np.random.default_rng(count)
    boxes = rng.integers(0, 60, (count, 4)).astype(np.float32)
    boxes[:, 2:] = boxes[:, :2] + rng.integers(1, 40, (count, 2))
    boxes[count // 2 :] = boxes[: count - count // 2]  # every box twice
    scores = rng.integers(0, 20, count).astype(np.float32)  # many equal ones
    found = nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold)
    assert found.tolist() == plain_nms(boxes, scores, threshold)


def plain_roi_align(x, boxes, out_hw, scale, sampling, aligned):
    """By loops, as in the paper and in torchvision's compiled operator."""

    def read(plane, y, x):
        height, width = plane.shape
        if not (-1 <= y <= height and -1 <= x <= width):
            return 0.0
        y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
        top, left = int(y), int(x)
        bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
        fy, fx = y - top, x - left
        upper = plane[top, left] * (1 - fx) + plane[top, right] * fx
        return upper * (1 - fy) + (plane[bottom, left] * (1 - fx) + plane[bottom, right] * fx) * fy

    out = np.zeros((len(boxes), x.shape[1], *out_hw))
    for k, (picture, *corners) in enumerate(boxes):
        x1, y1, x2, y2 = (v * scale - (0.5 if aligned else 0) for v in corners)
        sides = [y2 - y1, x2 - x1] if aligned else [max(y2 - y1, 1), max(x2 - x1, 1)]
        steps = [side / n for side, n in zip(sides, out_hw, strict=True)]
        counts = [sampling if sampling > 0 else max(1, int(np.ceil(step))) for step in steps]
        for c, i, j in np.ndindex(*out.shape[1:]):
            samples = [
                read(
                    x[int(picture), c],
                    y1 + (i + (a + 0.5) / counts[0]) * steps[0],
                    x1 + (j + (b + 0.5) / counts[1]) * steps[1],
                )
                for a, b in np.ndindex(*counts)
            ]
            out[k, c, i, j] = np.mean(samples)
    return out


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling", [2, -1])
def test_pooling_in_boxes_is_that_of_plain_loops(sampling, aligned, monkeypatch):
    monkeypatch.setattr(torchvision_fallbacks, "_MOST_READ", 500)  # several goes
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 9, 7)).astype(np.float32)
    low = rng.uniform(-20, 50, (12, 2))
    boxes = np.concatenate([rng.integers(0, 2, (12, 1)), low, low + rng.uniform(0.5, 60, (12, 2))], 1)
    given = torch.from_numpy(x).requires_grad_()
    found = roi_align(given, torch.from_numpy(boxes).float(), (4, 3), 1 / 8, sampling, aligned)
    wanted = plain_roi_align(x, boxes.astype(np.float32), (4, 3), 1 / 8, sampling, aligned)
    np.testing.assert_allclose(found.detach().numpy(), wanted, atol=1e-4)
    # the answer is linear in the map, so its gradient is the same weights read the other way
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad((found * weights).sum(), given)
    other = torch.randn(given.shape, generator=torch.Generator().manual_seed(1))
    through = (
        roi_align(other, torch.from_numpy(boxes).float(), (4, 3), 1 / 8, sampling, aligned) * weights
    ).sum()
    torch.testing.assert_close((gradient * other).sum(), through, rtol=1e-4, atol=1e-4)


def test_no_box_at_all_is_pooled_to_nothing():
    assert roi_align(torch.randn(1, 3, 4, 4), torch.zeros(0, 5), 7).shape == (0, 3, 7, 7)


def test_only_missing_operators_are_stood_in_for(monkeypatch):
    missing = fill_missing_ops()
    boxes = importlib.import_module("torchvision.ops.boxes")
    assert (boxes.nms is nms) == missing
    monkeypatch.setattr(boxes, "nms", "torchvision's own")
    monkeypatch.setattr(importlib.import_module("torchvision.extension"), "_has_ops", lambda: True)
    assert not fill_missing_ops()
    assert boxes.nms == "torchvision's own"


# --- the detectors


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_learns_and_answers(name):
    model = build(name)
    found = losses(model, pictures(), two_things(), EMPTY)
    assert set(found) == ({"boxes", "masks"} if name == MASKED else {"boxes"})
    total = sum(found.values())
    assert total.isfinite()
    assert float(total.detach()) > 0
    total.backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    in_blocks = [id(p) for block in model.blocks() for p in block]
    assert sorted(in_blocks) == sorted(id(p) for p in model.parameters())
    with torch.no_grad():
        told = model.eval()(pictures(1))
        assert model.embed(pictures(1)).ndim == 2
    named = told.named()
    shapes = {key: tuple(value.shape) for key, value in named.items()}
    wanted = {"found_boxes": (1, 100, 4), "found_scores": (1, 100), "found_labels": (1, 100)}
    assert shapes == wanted | ({"found_masks": (1, 100, 28, 28)} if name == MASKED else {})
    assert all(value.isfinite().all() for value in named.values())
    assert ((told.labels >= 0) & (told.labels < 3)).all()
    assert (told.boxes >= 0).all()
    assert (told.boxes <= SIDE).all()
    assert (told.scores[:, 1:] <= told.scores[:, :-1]).all()


@pytest.mark.parametrize(("name", "task", "steps"), [(SMALL, "boxes", 5), (MASKED, "masks", 2)])
def test_the_losses_fall(name, task, steps):
    model = build(name)
    x, told = pictures(), (two_things(), two_things())
    optimiser = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    first = float(losses(model, x, *told)[task].detach())
    for _ in range(steps):
        optimiser.zero_grad()
        sum(losses(model, x, *told).values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimiser.step()
    assert float(losses(model, x, *told)[task].detach()) < 0.9 * first


def test_pictures_where_nobody_looked_change_nothing():
    model = build()
    x = pictures(3)
    alone = losses(build(), x[:1], two_things())
    torch.testing.assert_close(losses(model, x, two_things(), Target(), Target()), alone)
    partly = replace(two_things(), boxes_exhaustive=torch.tensor([True, False, True]))
    torch.testing.assert_close(losses(build(), x, two_things(), Target(), partly), alone)


def test_crowds_and_regions_of_any_class_are_no_examples():
    alone = losses(build(), pictures(1), two_things())
    more = Target(
        boxes_xyxy=torch.tensor(
            [[4.0, 4, 30, 36], [34, 30, 62, 60], [0, 0, 20, 20], [5, 5, 50, 50], [9, 9, 9, 12]]
        ),
        box_labels=torch.tensor([0, 2, 1, ANY_CLASS, 1]),
        box_crowd=torch.tensor([False, False, True, True, False]),
    )
    torch.testing.assert_close(losses(build(), pictures(1), more), alone)


@pytest.mark.parametrize("name", [SMALL, MASKED])
def test_a_batch_without_a_labelled_picture_costs_nothing_with_a_graph(name):
    model = build(name)
    found = losses(model, pictures(), Target(), Target())
    assert [float(value.detach()) for value in found.values()] == [0.0] * len(found)
    sum(found.values()).backward()
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


def test_boxes_without_masks_teach_boxes_alone():
    model = build(MASKED)
    only_boxes = replace(two_things(), box_masks=None)
    found = losses(model, pictures(1), only_boxes)
    assert float(found["boxes"].detach()) > 0
    assert float(found["masks"].detach()) == 0.0
    sum(found.values()).backward()
    assert not model.net.roi_heads.mask_head.get_parameter("0.0.weight").grad.any()
    one = replace(two_things(), box_masks_known=torch.tensor([True, False]))
    drawn_over = replace(one, box_masks=one.box_masks * torch.tensor([1.0, 0.0])[:, None, None])
    first, second = (losses(build(MASKED), pictures(1), told)["masks"] for told in (one, drawn_over))
    torch.testing.assert_close(first, second)
    assert float(first.detach()) > 0


def test_gray_pictures_and_odd_sides():
    model = build(channels=1)
    told = Target(boxes_xyxy=torch.tensor([[4.0, 4, 30, 36]]), box_labels=torch.tensor([1]))
    x = torch.randn(2, 1, 50, 70)
    loss = model.train().losses(x, collate([told, told], model.heads, (50, 70)))["boxes"]
    assert loss.isfinite()
    with torch.no_grad():
        found = model.eval()(x)
    assert (found.boxes[..., 0::2] <= 70).all()
    assert (found.boxes[..., 1::2] <= 50).all()


def test_a_file_of_torchvision_fits_with_other_classes(tmp_path):
    given = build(classes=7)
    save_file(given.net.state_dict(), tmp_path / "seven.safetensors")
    model = build(classes=3)
    report = load_others(model, tmp_path / "seven.safetensors")
    assert not report.missing
    assert {line.partition(":")[0] for line in report.mismatched} == {
        f"net.roi_heads.box_predictor.{name}"
        for name in ("cls_score.weight", "cls_score.bias", "bbox_pred.weight", "bbox_pred.bias")
    }
    torch.testing.assert_close(model.net.backbone.state_dict(), given.net.backbone.state_dict())


def test_wrong_heads_are_told():
    with pytest.raises(
        ConfigError, match=r"finds boxes and nothing else\n  got: heads class, boxes\n  fix: --heads"
    ):
        build_scene_model(ModelConfig(model=SMALL), Heads(classes=2, boxes=3))
    with pytest.raises(ConfigError, match=r"finds boxes and nothing else\n  got: heads pixels"):
        build_scene_model(ModelConfig(model=SMALL), Heads(pixels=3))
    with pytest.raises(
        ConfigError, match=r"has no masks\n  got: heads boxes, masks\n  fix: .*maskrcnn_resnet50"
    ):
        build_scene_model(ModelConfig(model=SMALL), Heads(boxes=3, masks=True))
    with pytest.raises(ConfigError, match=r"maskrcnn_resnet50_fpn learns from masks"):
        build_scene_model(ModelConfig(model=MASKED), Heads(boxes=3))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pretrained": True}, "weights of torchvision's detectors are not fetched"),
        ({"width": 2.0}, "have no option width\n  got: 2"),
        ({"dropout": 0.5}, "have no option dropout"),
        ({"model_options": ("min_size=3",)}, "have no option model_options\n  got: min_size=3"),
    ],
)
def test_options_that_it_has_not_are_told(options, said):
    with pytest.raises(ConfigError, match=said):
        build(**options)


def test_each_mode_does_its_own():
    model = build()
    with pytest.raises(ModelError, match=r"tells no boxes in training mode\n  fix: call model.eval"):
        model.train()(pictures(1))
    with pytest.raises(ModelError, match="has losses in training mode alone"):
        model.eval().losses(pictures(1), targets(model, EMPTY))
    assert not model.exportable
    assert "engines of a Bundle" in model.why_not_exportable


def test_our_own_networks_are_built_as_before():
    built = build_scene_model(ModelConfig(model="csp-nano", width=0.34), Heads(boxes=2, pixels=3))
    assert isinstance(built, MultiTask)
    assert not is_others("csp-nano")
    assert is_others(SMALL)
    assert is_others("smp-unet-resnet18")


def test_the_work_of_a_detector_is_counted_at_most():
    size = describe(build(), 96)
    rows = {layer.name: layer for layer in size.layers}
    proposals = 120
    hidden = rows["net.roi_heads.box_head.fc6"]
    assert hidden.macs == proposals * 256 * 7 * 7 * 1024
    assert size.parameters == sum(p.numel() for p in build().parameters())


def test_they_are_listed(capsys):
    COMMAND.run(parse(build_parser(COMMAND), ["rcnn", "--json"]))
    told = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in told["others"]] == [n for n in DETECTORS if "rcnn" in n]
    assert all(entry["parameters"] > 1e7 and entry["macs"] > 1e9 for entry in told["others"])
    assert told["models"] == []
