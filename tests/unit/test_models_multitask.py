"""The network of several heads: every subset builds, learns and can be exported; heads can be dropped again."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from assay.configs import ModelConfig
from assay.errors import ConfigError, ModelError
from assay.losses.multitask import MultiTaskLoss
from assay.losses.targets import Target, collate, cover
from assay.models.box_head import PRIOR, BoxHead, points_of
from assay.models.build import build_model
from assay.models.describe import describe
from assay.models.image_head import fixed_directions
from assay.models.multitask import Heads, MultiTask, build_multitask
from assay.models.neck import Neck
from assay.models.outputs import BoxOutputs, Ends
from assay.models.taps import TimmTrunk, build_trunk
from assay.models.weights import load_weights
from assay.postprocess_boxes import box_points

SIDE = 64
SUBSETS = {
    "class": Heads(classes=3),
    "boxes": Heads(boxes=2, masks=True),
    "pixels": Heads(pixels=3),
    "class+boxes": Heads(classes=3, tags=2, boxes=2, masks=True),
    "class+pixels": Heads(classes=3, tags=2, pixels=3),
    "boxes+pixels": Heads(boxes=2, masks=True, pixels=3),
    "class+boxes+pixels": Heads(classes=3, tags=2, boxes=2, masks=True, pixels=3),
}
ALL = SUBSETS["class+boxes+pixels"]
TIMM = {
    "resnet18": (),
    "mobilenetv3_small_050": (),
    "convnext_atto": (),
    "swin_tiny_patch4_window7_224": ("img_size=64", "window_size=2"),
    "vit_tiny_patch16_224": ("img_size=64", "depth=2"),
}
every_subset = pytest.mark.parametrize("heads", SUBSETS.values(), ids=SUBSETS)


def build(heads: Heads = ALL, name: str = "csp-nano", channels: int = 3, **options) -> MultiTask:
    torch.manual_seed(0)
    narrow = {"width": 0.34} if name.startswith("csp") else {}
    return build_multitask(ModelConfig(model=name, **{**narrow, **options}), heads, channels)


def pictures(batch: int = 2, channels: int = 3, size_hw: tuple[int, int] = (SIDE, SIDE)) -> torch.Tensor:
    return torch.randn(batch, channels, *size_hw, generator=torch.Generator().manual_seed(1))


def labelled(size_hw: tuple[int, int] = (SIDE, SIDE)) -> Target:
    masks = torch.zeros(2, *size_hw, dtype=torch.bool)
    masks[0, 4:30, 4:20] = True
    masks[1, 31:33, 30:32] = True
    return Target(
        label=1,
        tags=torch.tensor([0.0, 1.0]),
        boxes_xyxy=torch.tensor([[4.0, 4, 20, 30], [30, 31, 32, 33]]),
        box_labels=torch.tensor([0, 1]),
        box_masks=cover(masks),
        pixels=masks[0].to(torch.uint8),
    )


def total_loss(model: MultiTask, x: torch.Tensor) -> torch.Tensor:
    size_hw = (x.shape[2], x.shape[3])
    targets = collate([labelled(size_hw)] * len(x), model.heads, size_hw)
    return sum(MultiTaskLoss()(model(x), targets).tasks.values())


def without_gradient(model: nn.Module) -> list[str]:
    return [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]


@every_subset
def test_every_subset_learns_with_all_its_parameters(heads):
    model = build(heads).train()
    loss = total_loss(model, pictures())
    loss.backward()
    assert loss.isfinite()
    assert without_gradient(model) == []


@every_subset
def test_every_subset_says_what_it_should(heads):
    with torch.no_grad():
        told = build(heads).eval()(pictures(3))
    has = {"class": heads.classes, "tags": heads.tags, "boxes": heads.boxes, "pixels": heads.pixels}
    assert heads.names == tuple(
        n for n in ("class", "tags", "boxes", "masks", "pixels") if has.get(n, heads.masks)
    )
    shapes = {name: tuple(value.shape) for name, value in told.named().items()}
    wanted = {}
    if heads.classes:
        wanted |= {"class_logits": (3, 3), "embedding": (3, 128)}
    if heads.tags:
        wanted |= {"tag_logits": (3, 2)}
    for kind in ("boxes", "one_to_one") if heads.boxes else ():
        wanted |= {f"{kind}_class_logits": (3, 84, 2), f"{kind}_distances": (3, 84, 4)}
        wanted |= {f"{kind}_coefficients": (3, 84, 8)}
    if heads.pixels:
        wanted |= {"pixel_logits": (3, 3, 16, 16)}
    if heads.boxes:
        wanted |= {"prototypes": (3, 8, 16, 16)}
    assert shapes == wanted


@pytest.mark.parametrize("size_hw", [(64, 64), (33, 47), (65, 30), (96, 160), (8, 8)])
def test_points_and_maps_of_odd_sizes(size_hw):
    with torch.no_grad():
        told = build().eval()(pictures(1, size_hw=size_hw))
    points, strides = box_points(size_hw)
    np.testing.assert_array_equal(told.points, points)
    np.testing.assert_array_equal(told.strides, strides)
    assert told.boxes.class_logits.shape[1] == len(points)
    cells = tuple(-(-side // 4) for side in size_hw)
    assert told.pixel_logits.shape[2:] == told.prototypes.shape[2:] == cells
    assert all(value.isfinite().all() for value in told.named().values())


def test_the_first_scores_are_those_of_background_and_the_first_boxes_have_a_size():
    with torch.no_grad():
        told = build().train()(pictures(4))
    for boxes in (told.boxes, told.boxes_one_to_one):
        torch.testing.assert_close(
            boxes.class_logits.sigmoid().mean(), torch.tensor(PRIOR), atol=2e-3, rtol=0
        )
        torch.testing.assert_close(boxes.distances.mean(), torch.tensor(2.0), atol=0.1, rtol=0)
    assert told.pixel_logits.abs().max() < 0.5
    assert told.class_logits.abs().max() < 0.5


def test_distances_reach_a_stride_outside_and_no_further():
    head = BoxHead(8, 1).eval()
    nn.init.constant_(head.one_to_many.distances.bias, -50.0)
    with torch.no_grad():
        many, _ = head([torch.zeros(1, 8, n, n) for n in (4, 2, 1)])
    assert (many.distances == -1).all()


def test_the_embedding_has_length_one_and_keeps_what_is_alike():
    assert torch.equal(fixed_directions(200), fixed_directions(200))
    for features in (40, 128, 200):
        directions = fixed_directions(features)
        side = min(features, 128)
        product = directions.T @ directions if features > 128 else directions @ directions.T
        torch.testing.assert_close(product, torch.eye(side), atol=1e-5, rtol=0)
    with torch.no_grad():
        told = build().eval()(pictures(3))
    torch.testing.assert_close(told.embedding.norm(dim=1), torch.ones(3))


def test_the_twin_sends_no_gradient_down():
    model = build(Heads(boxes=2, masks=True)).train()
    told = model(pictures())
    sum(value.sum() for value in told.boxes_one_to_one).backward()
    learned = {name.split(".")[1] for name, p in model.named_parameters() if p.grad is not None}
    assert learned == {"one_to_one", "twin_tower"}


def test_norms_are_of_each_level_and_convolutions_of_all():
    head = BoxHead(8, 2, 4)
    assert len(head.stem.norms) == 3
    assert sum(isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3) for m in head.modules()) == 4


@pytest.mark.parametrize("heads", [ALL, Heads(pixels=3), Heads(classes=2)], ids=["all", "pixels", "class"])
def test_blocks_hold_every_parameter_once_from_input_to_heads(heads):
    model = build(heads)
    blocks = model.blocks()
    ids = [id(p) for block in blocks for p in block]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(p) for p in model.parameters()}
    assert id(model.trunk.stem[0][0].weight) in {id(p) for p in blocks[0]}
    assert {id(p) for p in model.head.parameters()}.isdisjoint(id(p) for b in model.trunk.blocks() for p in b)
    assert len(blocks) == 6 + (model.neck is not None)


DROPS = [
    (("class",), {"class_logits"}),
    (("tags",), {"tag_logits"}),
    (("class", "tags"), {"class_logits", "tag_logits", "embedding"}),
    (("masks",), {"boxes_coefficients", "one_to_one_coefficients", "prototypes"}),
    (("pixels",), {"pixel_logits"}),
    (("one-to-one",), {"one_to_one_class_logits", "one_to_one_distances", "one_to_one_coefficients"}),
    (("one-to-many",), {"boxes_class_logits", "boxes_distances", "boxes_coefficients"}),
    (("boxes",), {"boxes_class_logits", "boxes_distances", "boxes_coefficients", "one_to_one_class_logits",
                  "one_to_one_distances", "one_to_one_coefficients", "prototypes"}),
]  # fmt: skip


@pytest.mark.parametrize(("names", "gone"), DROPS, ids=["+".join(names) for names, _ in DROPS])
def test_a_head_that_is_dropped_leaves_the_others_as_they_were(names, gone):
    model, x = build().eval(), pictures()
    fewer = model.without(*names)
    with torch.no_grad():
        before, after = model(x).named(), fewer(x).named()
    assert set(before) - set(after) == gone
    assert all(torch.equal(before[name], value) for name, value in after.items())
    assert sum(p.numel() for p in fewer.parameters()) < sum(p.numel() for p in model.parameters())
    assert set(model(x).named()) == set(before)  # the first network is whole


@pytest.mark.parametrize(
    "heads",
    [h for h in SUBSETS.values() if h != ALL],
    ids=[n for n in SUBSETS if "s+p" not in n or n.count("+") < 2],
)
def test_dropping_gives_the_network_that_was_built_without(heads):
    model = build()
    gone = [name for name in ALL.names if name not in heads.names]
    fewer = model.without(*gone)
    shapes = {name: p.shape for name, p in build(heads).named_parameters()}
    left = {name: p.shape for name, p in fewer.named_parameters()}
    # a branch keeps the widths that it was trained with; what is left is the same set of layers
    assert set(left) == set(shapes)
    assert fewer.heads.names == heads.names


def test_answers_dropped_one_after_the_other_take_the_boxes_along():
    model = build(Heads(classes=2, boxes=2, masks=True, pixels=3))
    for first, second in (("one-to-many", "one-to-one"), ("one-to-one", "one-to-many")):
        one_by_one, at_once = model.without(first).without(second), model.without(first, second)
        assert one_by_one.heads == at_once.heads == Heads(classes=2, pixels=3)
        assert one_by_one.box_head is None
        assert set(one_by_one.state_dict()) == set(at_once.state_dict())
    with pytest.raises(ConfigError, match="at least one head"):
        build(Heads(boxes=2)).without("one-to-one").without("one-to-many")


def test_dropping_what_is_unknown_or_everything_is_told():
    with pytest.raises(ConfigError, match=r"unknown head 'pixel'\n  fix: did you mean pixels"):
        build().without("pixel")
    with pytest.raises(ConfigError, match="at least one head"):
        build(Heads(boxes=2)).without("boxes")
    with pytest.raises(ConfigError, match="at least one head"):
        build(Heads(boxes=2)).without("one-to-one", "one-to-many")


@pytest.mark.parametrize(
    ("heads", "said"),
    [
        ({}, "at least one head"),
        ({"classes": -1}, "0 classes or more"),
        ({"classes": 2, "masks": True}, "masks belong to boxes"),
        ({"pixels": 1}, "two classes at least"),
    ],
)
def test_heads_that_make_no_sense_are_told(heads, said):
    with pytest.raises(ConfigError, match=said):
        Heads(**heads)


@pytest.mark.parametrize("name", TIMM)
def test_every_parameter_of_a_timm_trunk_learns_and_has_a_block(name):
    model = build(ALL, name, model_options=TIMM[name]).train()
    total_loss(model, pictures()).backward()
    assert without_gradient(model) == []
    ids = [id(p) for block in model.blocks() for p in block]
    assert sorted(ids) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize("name", ["csp-nano", *TIMM])
def test_a_trunk_gives_four_maps_that_lie_on_the_cells(name):
    trunk = build_trunk(ModelConfig(model=name, model_options=TIMM.get(name, ()))).eval()
    size_hw = (64, 64) if "img_size=64" in TIMM.get(name, ()) else (65, 90)
    with torch.no_grad():
        maps = trunk(pictures(1, size_hw=size_hw))
    assert [m.shape[1] for m in maps] == list(trunk.channels)
    for stride, x in zip(trunk.strides, maps, strict=True):
        assert tuple(x.shape[2:]) == tuple(-(-side // stride) for side in size_hw)


def test_maps_that_a_network_lacks_are_made_of_the_nearest():
    trunk = build_trunk(
        ModelConfig(model="vit_tiny_patch16_224", model_options=("img_size=64", "depth=1"))
    ).eval()
    with torch.no_grad():
        quarter, eighth, own, coarse = trunk(pictures(1))
    assert torch.equal(quarter[..., ::4, ::4], own)
    assert torch.equal(eighth[..., 1::2, 1::2], own)
    torch.testing.assert_close(coarse, nn.functional.avg_pool2d(own, 2))


def test_networks_that_are_no_trunk_are_told():
    with pytest.raises(ConfigError, match=r"cnn is a classifier alone.*\n  fix: choose csp-nano"):
        build(name="cnn")
    with pytest.raises(ModelError, match="no map at a stride of 4, 8, 16 or 32\n  got: strides 14"):
        build(name="vit_tiny_patch16_224", model_options=("patch_size=14", "img_size=56", "depth=1"))
    with pytest.raises(ModelError, match="does not give its inner maps"):
        TimmTrunk(nn.Sequential(), "odd")
    with pytest.raises(ModelError, match="64 x 64 px and takes no others"):
        build(name="vit_tiny_patch16_224", model_options=TIMM["vit_tiny_patch16_224"])(
            pictures(1, size_hw=(96, 96))
        )


def test_gray_pictures_and_dropout():
    with torch.no_grad():
        assert build(channels=1).eval()(pictures(1, 1)).class_logits.shape == (1, 3)
        model = build(Heads(classes=2), dropout=0.5).train()
        assert not torch.equal(model(pictures()).class_logits, model(pictures()).class_logits)


def test_the_seed_fixes_the_first_weights():
    first, second = build().state_dict(), build().state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_neck_of_one_level_has_no_way_up():
    whole, finest = Neck((4, 8, 16), 8), Neck((4, 8, 16), 8, all_levels=False)
    maps = [torch.randn(1, c, n, n) for c, n in ((4, 5), (8, 3), (16, 2))]
    assert [tuple(x.shape) for x in whole.eval()(maps)] == [(1, 8, 5, 5), (1, 8, 3, 3), (1, 8, 2, 2)]
    assert len(finest.eval()(maps)) == 1
    assert len(list(finest.parameters())) < len(list(whole.parameters()))


def test_points_are_the_middles_of_cells_row_by_row():
    points, strides = points_of([torch.zeros(1, 1, 2, 3)], (8,))
    assert points.tolist() == [[4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12]]
    assert strides.tolist() == [8] * 6


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [("csp-nano", 0.79, 0.508), ("csp-small", 2.91, 1.974), ("csp-base", 7.80, 6.262)],
)
def test_sizes_are_those_that_the_file_tells(name, parameters, macs):
    heads = Heads(classes=20, tags=20, boxes=20, masks=True, pixels=20)
    told = describe(build_multitask(ModelConfig(model=name), heads), 320)
    assert told.parameters / 1e6 == pytest.approx(parameters, abs=0.01)
    assert told.macs / 1e9 == pytest.approx(macs, abs=0.005)


def test_it_learns_in_bf16_and_channels_last_as_training_runs_it():
    model = build().train().to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        told = model(pictures().to(memory_format=torch.channels_last))
    targets = collate([labelled()] * 2, ALL, (SIDE, SIDE))
    losses = MultiTaskLoss()(told, targets).tasks
    assert all(value.dtype == torch.float32 for value in losses.values())
    sum(losses.values()).backward()
    assert without_gradient(model) == []


def test_weights_saved_and_loaded_answer_the_same():
    model, twin = build().eval(), build(dropout=0.1).eval()
    with torch.no_grad():
        for p in twin.parameters():
            p.add_(1.0)
        twin.load_state_dict(model.state_dict())
        before, after = model(pictures()).named(), twin(pictures()).named()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("name", ["csp-nano", "resnet18"])
def test_a_trunk_takes_the_weights_of_a_classifier(name, tmp_path):
    config = ModelConfig(model=name)
    save_file(build_model(config, 7).state_dict(), tmp_path / "classifier.safetensors")
    model = build(Heads(boxes=2), name, width=None)
    before = [p.clone() for p in model.trunk.parameters()]
    report = load_weights(model.trunk, tmp_path / "classifier.safetensors")
    assert report.missing == report.mismatched == []
    assert any(not torch.equal(p, q) for p, q in zip(before, model.trunk.parameters(), strict=True))


def test_features_and_the_pooled_vector_are_those_of_the_trunk():
    model = build().eval()
    with torch.no_grad():
        maps = model.features(pictures())
        torch.testing.assert_close(model.embed(pictures()), maps[-1].mean((2, 3)))
    assert [64 // m.shape[2] for m in maps] == [4, 8, 16, 32]


def exported(model: MultiTask) -> None:
    """torch.export -> ONNX -> ONNX Runtime answers as the network, for another number of pictures."""
    ort = pytest.importorskip("onnxruntime")
    ends, buffer = Ends(model, pictures(1)), io.BytesIO()
    program = torch.onnx.export(
        ends,
        (pictures(2),),
        dynamo=True,
        opset_version=18,
        input_names=["pixels"],
        output_names=list(ends.names),
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        verbose=False,
    )
    program.save(buffer)
    session = ort.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])
    x = pictures(3)
    with torch.no_grad():
        wanted = ends(x)
    got = session.run(list(ends.names), {"pixels": x.numpy()})
    for name, there, here in zip(ends.names, got, wanted, strict=True):
        np.testing.assert_allclose(there, here.numpy(), atol=1e-4, rtol=1e-3, err_msg=name)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@every_subset
def test_every_subset_is_exported(heads):
    exported(build(heads))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["one-to-one", "one-to-many"])
def test_either_answer_is_exported_alone(name):
    exported(build().without(name))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
def test_timm_trunks_are_exported(name):
    exported(build(ALL, name, model_options=TIMM[name]))


def test_box_outputs_without_masks_have_no_coefficients():
    told = build(Heads(boxes=2)).eval()(pictures(1))
    assert isinstance(told.boxes, BoxOutputs)
    assert told.boxes.coefficients is None
    assert told.prototypes is None
