"""The contract of partial labels, on a small network and on drawn targets."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from assay.configs import ModelConfig, TrainConfig
from assay.errors import DatasetError, ModelError
from assay.losses.classify import build_loss
from assay.losses.multitask import TASKS, MultiTaskLoss
from assay.losses.targets import Target, Targets, collate, cover
from assay.models.multitask import Heads, MultiTask, build_multitask
from assay.models.outputs import BoxOutputs, Outputs

SIDE = 32
HEADS = Heads(classes=3, tags=2, boxes=2, masks=True, pixels=3)
OUTPUTS_OF = {
    "class": ("class_logits",),
    "tags": ("tag_logits",),
    "boxes": ("boxes_class_logits", "boxes_distances", "one_to_one_class_logits", "one_to_one_distances"),
    "masks": ("boxes_coefficients", "one_to_one_coefficients", "prototypes"),
    "pixels": ("pixel_logits",),
}


def pixels(seed: int) -> torch.Tensor:
    drawn = torch.randint(3, (4, 4), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return drawn.repeat_interleave(8, 0).repeat_interleave(8, 1)


def things(seed: int) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    low = torch.randint(2, 14, (2, 2), generator=g).float()
    boxes = torch.cat([low, low + torch.randint(4, 16, (2, 2), generator=g)], 1)
    masks = torch.zeros(2, SIDE, SIDE, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes.long().tolist(), strict=True):
        mask[top:bottom, left:right] = True
    labels = torch.randint(2, (2,), generator=g)
    return {"boxes_xyxy": boxes, "box_labels": labels, "box_masks": cover(masks)}


def labelled(seed: int = 0) -> Target:
    tags = torch.tensor([1.0, 0.0]).roll(seed)
    return Target(label=seed % 3, tags=tags, pixels=pixels(seed), **things(seed))


WITHOUT = {
    "class": {"label": -1},
    "tags": {"tags": None},
    "boxes": {"boxes_xyxy": None, "box_labels": None, "box_masks": None},
    "masks": {"box_masks": None},
    "pixels": {"pixels": None},
}


def outputs(batch: int, seed: int = 0) -> Outputs:
    """What a network might say, every tensor a leaf."""
    g = torch.Generator().manual_seed(seed)

    def some(*shape: int) -> torch.Tensor:
        return torch.randn(batch, *shape, generator=g).requires_grad_()

    def answers() -> BoxOutputs:
        sides = (2 * torch.rand(batch, 21, 4, generator=g)).requires_grad_()
        return BoxOutputs(some(21, 2), sides, some(21, 4))

    network = build_small().eval()
    with torch.no_grad():
        told = network(torch.zeros(1, 3, SIDE, SIDE))
    return Outputs(
        some(3),
        some(2),
        some(128),
        answers(),
        answers(),
        told.points,
        told.strides,
        some(3, 8, 8),
        some(4, 8, 8),
    )


def build_small(heads: Heads = HEADS) -> MultiTask:
    torch.manual_seed(0)
    return build_multitask(ModelConfig(model="csp-nano", width=0.34), heads)


def pick(told: Outputs, order: list[int]) -> Outputs:
    def of(value):
        if isinstance(value, BoxOutputs):
            return BoxOutputs(*(t[order] for t in value))
        return value[order]

    kept = {"points": told.points, "strides": told.strides}
    return told._replace(**{k: of(v) for k, v in told._asdict().items() if k not in kept})


def goal(*pictures: Target) -> Targets:
    return collate(pictures, HEADS, (SIDE, SIDE))


def test_every_head_has_a_loss_of_its_own():
    losses = MultiTaskLoss()(outputs(2), goal(labelled(0), labelled(1)))
    assert tuple(losses.tasks) == TASKS
    assert all(value > 0 for value in losses.tasks.values())
    for task, value in losses.tasks.items():
        own = [part for name, part in losses.parts.items() if name.startswith(f"{task}.")]
        torch.testing.assert_close(sum(own), value.detach())
    assert set(losses.parts) == {
        "class.cross-entropy", "tags.cross-entropy", "boxes.quality", "boxes.giou", "boxes.one-to-one.quality",
        "boxes.one-to-one.giou", "masks.overlap", "masks.one-to-one.overlap", "pixels.cross-entropy", "pixels.dice",
    }  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_a_head_has_no_gradient_without_its_label(task):
    told = outputs(2)
    losses = MultiTaskLoss()(told, goal(*(replace(labelled(i), **WITHOUT[task]) for i in range(2))))
    assert losses.tasks[task] == 0
    sum(losses.tasks.values()).backward()
    for other, names in OUTPUTS_OF.items():
        for name in names:
            grad = told.named()[name].grad
            silent = other == task or (task == "boxes" and other == "masks")
            assert grad is not None  # a graph, in any case
            assert bool((grad == 0).all()) == silent, name


@pytest.mark.parametrize("task", TASKS)
def test_a_picture_without_a_label_has_no_gradient_in_that_head(task):
    told = outputs(2)
    losses = MultiTaskLoss()(told, goal(labelled(0), replace(labelled(1), **WITHOUT[task])))
    sum(losses.tasks.values()).backward()
    for name in OUTPUTS_OF[task]:
        grad = told.named()[name].grad
        assert (grad[1] == 0).all()
        assert (grad[0] != 0).any()


@pytest.mark.parametrize("task", TASKS)
def test_parameters_of_a_head_without_labels_have_a_gradient_of_exactly_zero(task):
    model = build_small().train()
    pictures = [replace(labelled(i), **WITHOUT[task]) for i in range(2)]
    losses = MultiTaskLoss()(model(torch.randn(2, 3, SIDE, SIDE)), goal(*pictures))
    sum(losses.tasks.values()).backward()
    heads = {
        "class": [model.image_head.classes],
        "tags": [model.image_head.tags],
        "boxes": [model.box_head],
        "masks": [model.pixel_branch.prototypes, model.box_head.one_to_many.coefficients],
        "pixels": [model.pixel_branch.classes],
    }
    for head in heads[task]:
        for p in head.parameters():
            assert p.grad is not None
            assert (p.grad == 0).all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_the_order_of_pictures_changes_no_loss():
    pictures = [labelled(0), replace(labelled(1), label=-1), replace(labelled(2), pixels=None), Target()]
    told, loss = outputs(4), MultiTaskLoss()
    before = loss(told, goal(*pictures)).parts
    for order in itertools.permutations(range(4)):
        after = loss(pick(told, list(order)), goal(*(pictures[i] for i in order))).parts
        for name, value in before.items():
            torch.testing.assert_close(after[name], value, msg=name)


def test_more_unlabelled_pictures_change_no_loss():
    told, loss = outputs(5), MultiTaskLoss()
    few = loss(pick(told, [0, 1]), goal(labelled(0), labelled(1))).parts
    many = loss(told, goal(labelled(0), labelled(1), *[Target()] * 3)).parts
    for name, value in few.items():
        torch.testing.assert_close(many[name], value, msg=name)


def test_nothing_labelled_at_all_is_zero_with_a_graph():
    told = outputs(2)
    losses = MultiTaskLoss()(told, goal(Target(), Target()))
    total = sum(losses.tasks.values())
    assert total == 0
    total.backward()
    assert all((t.grad == 0).all() for name, t in told.named().items() if name != "embedding")


def test_empty_pictures_teach_boxes_though_they_have_none():
    empty = Target(boxes_xyxy=torch.zeros(0, 4), box_labels=torch.zeros(0).long())
    losses = MultiTaskLoss()(outputs(2), goal(empty, Target()))
    assert losses.parts["boxes.quality"] > 0
    assert losses.parts["boxes.giou"] == 0


def test_losses_are_means_over_what_is_labelled():
    told = outputs(3)
    losses = MultiTaskLoss()(told, goal(labelled(0), Target(), labelled(1)))
    wanted = cross_entropy(told.class_logits[[0, 2]], torch.tensor([0, 1]))
    torch.testing.assert_close(losses.tasks["class"], wanted)
    known = torch.cat([told.tag_logits[0], told.tag_logits[2]])
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(known, torch.tensor([1.0, 0, 0, 1]))
    torch.testing.assert_close(losses.tasks["tags"], wanted)


def test_tags_may_be_known_in_part():
    told = outputs(1)
    losses = MultiTaskLoss()(told, goal(Target(tags=torch.tensor([-1.0, 1.0]))))
    torch.testing.assert_close(losses.tasks["tags"], -told.tag_logits[0, 1].sigmoid().log())


def test_the_loss_of_the_class_is_the_one_that_the_config_names():
    named = build_loss(TrainConfig(label_smoothing=0.2), torch.tensor([1, 1, 1]).numpy())
    told = outputs(1)
    losses = MultiTaskLoss(classify=named)(told, goal(labelled(2)))
    torch.testing.assert_close(losses.tasks["class"], named(told.class_logits, torch.tensor([2])))


def test_several_processes_together_have_the_gradient_of_one():
    """Two processes with one picture each; each divides by the items of both, and their gradients are averaged."""
    pictures, told = [labelled(0), replace(labelled(1), label=-1, pixels=None)], outputs(2)
    whole = MultiTaskLoss()(told, goal(*pictures)).parts
    counts: list[torch.Tensor] = []

    def note(items: torch.Tensor) -> torch.Tensor:
        counts.append(items)
        return items

    parts = [pick(told, [i]) for i in range(2)]
    for i in range(2):
        MultiTaskLoss(reduce=note)(parts[i], goal(pictures[i]))
    both = MultiTaskLoss(reduce=lambda _: counts[0] + counts[1], processes=2)
    shares = [both(parts[i], goal(pictures[i])).parts for i in range(2)]
    for name, value in whole.items():
        torch.testing.assert_close((shares[0][name] + shares[1][name]) / 2, value, msg=name)


def test_a_network_has_losses_for_its_own_heads_alone():
    told = outputs(2)._replace(tag_logits=None, pixel_logits=None, boxes_one_to_one=None)
    losses = MultiTaskLoss()(told, goal(labelled(0), labelled(1)))
    assert tuple(losses.tasks) == ("class", "boxes", "masks")
    with pytest.raises(ModelError, match="nothing to learn from"):
        MultiTaskLoss()(Outputs(), goal(labelled(0)))


def test_the_twin_teaches_neither_the_towers_nor_the_prototypes():
    model = build_small(Heads(boxes=2, masks=True)).eval()
    told = model(torch.randn(1, 3, SIDE, SIDE))
    MultiTaskLoss()(told._replace(boxes=None), goal(labelled(0))).tasks["boxes"].backward()
    learned = {name.split(".")[1] for name, p in model.named_parameters() if p.grad is not None}
    assert learned == {"one_to_one", "twin_tower"}


def test_targets_come_in_every_mixture():
    batch = goal(
        labelled(0), Target(), Target(boxes_xyxy=torch.zeros(0, 4), box_labels=torch.zeros(0).long())
    )
    assert batch.labels.tolist() == [0, -1, -1]
    assert batch.tags.tolist() == [[1, 0], [-1, -1], [-1, -1]]
    assert batch.boxes_known.tolist() == [True, False, True]
    assert batch.boxes_exhaustive.tolist() == [[True] * 2, [False] * 2, [True] * 2]
    assert batch.box_picture.tolist() == [0, 0]
    assert batch.box_masks.shape == (2, 8, 8)
    assert (batch.pixels[1:] == 255).all()
    none = goal(Target(), Target())
    assert none.pixels is None
    assert none.box_masks is None
    assert none.boxes_xyxy.shape == (0, 4)
    assert none.to("cpu").labels.tolist() == [-1, -1]


def test_labels_without_a_head_are_left_out():
    batch = collate([labelled(0), Target()], Heads(classes=3), (SIDE, SIDE))
    assert batch.tags.shape == (2, 0)
    assert not batch.boxes_known.any()
    assert batch.pixels is None


def test_targets_that_do_not_fit_together_are_told():
    with pytest.raises(DatasetError, match=r"differ in number\n  got: 2, none, none, none, none"):
        Target(boxes_xyxy=torch.zeros(2, 4))


def test_the_batches_of_a_step_together_have_the_gradient_of_one():
    pictures = [labelled(0), labelled(1), Target(label=1), labelled(2)]
    whole, apart, loss = outputs(4), outputs(4), MultiTaskLoss()
    together = loss(whole, goal(*pictures))
    sum(together.tasks.values()).backward()
    batches = [([0, 1], goal(*pictures[:2])), ([2, 3], goal(*pictures[2:]))]
    counts = [loss(pick(apart, order), targets).items for order, targets in batches]
    items = {name: sum(count[name] for count in counts) for name in counts[0]}
    assert items == together.items
    for order, targets in batches:
        sum(loss(pick(apart, order), targets, items=items).tasks.values()).backward()
    for name, value in whole.named().items():
        if value.requires_grad and value.grad is not None:
            torch.testing.assert_close(apart.named()[name].grad, value.grad)


def test_a_large_sum_in_half_precision_is_no_nan():
    logits = torch.full((40, 3), 3000.0, dtype=torch.half)
    told = Outputs(logits, *[None] * 8)
    assert MultiTaskLoss()(told, goal(*[Target()] * 40)).tasks["class"] == 0
