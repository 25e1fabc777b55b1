"""Who learns what, on matrices of four points by three things that fit in the head."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from assay.losses import assign as assigning
from assay.losses.assign import assign, costs, match_many, match_own
from assay.losses.overlap import corners, paired_giou, paired_iou
from assay.losses.pairs import pair_up
from assay.losses.reach import Reach, Things, outside, reach, reachable

ALL = torch.ones(4, 3, dtype=torch.bool)
# one row a point, one column a thing
COST = torch.tensor(
    [
        [1.0, 9.0, 9.0],
        [2.0, 3.0, 9.0],
        [9.0, 4.0, 5.0],
        [9.0, 9.0, 6.0],
    ]
)
HALF = torch.full((4, 3), 0.5)


def grid(side: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    """The points of a picture of 32 x 32 px: 4 x 4 at stride 8, 2 x 2 at 16, one at 32."""
    points, strides = [], []
    for stride in (8, 16, 32):
        middles = torch.arange(side // stride) * stride + stride / 2
        y, x = torch.meshgrid(middles, middles, indexing="ij")
        points.append(torch.stack([x.ravel(), y.ravel()], 1))
        strides.append(torch.full((x.numel(),), float(stride)))
    return torch.cat(points), torch.cat(strides)


def every_pair(points: int, things: int, boxes: torch.Tensor | None = None) -> Reach:
    """Of one picture, every thing with every point."""
    picture = torch.zeros(things).long()
    boxes = torch.arange(4.0 * things).view(things, 4) if boxes is None else boxes
    pairs = pair_up(torch.ones(things, points, dtype=torch.bool), picture, 1)
    same = boxes.unique(dim=0, return_inverse=True)[1] if things else picture
    every = torch.ones(points * things, dtype=torch.bool)
    return Reach(Things(picture, boxes, picture, 1), pairs, every, torch.zeros(points * things), same)


def flat(matrix: torch.Tensor) -> torch.Tensor:
    """From points by things to the order of pairs."""
    return matrix.T.flatten()


def owners(within: Reach, chosen: torch.Tensor) -> list[int]:
    """The thing of each point, -1 for none."""
    owner = torch.full((within.pairs.places,), -1)
    owner[within.pairs.place[chosen]] = within.pairs.thing[chosen]
    assert len({*within.pairs.place[chosen].tolist()}) == len(chosen)
    return owner.tolist()


def one(cost: torch.Tensor, allowed: torch.Tensor, boxes: torch.Tensor | None = None) -> torch.Tensor:
    """The thing of each point, one-to-one."""
    within = every_pair(*cost.shape, boxes)
    cost = flat(cost).where(flat(allowed), float("inf"))
    return torch.tensor(owners(within, match_own(cost, within)))


def many(cost: torch.Tensor, iou: torch.Tensor) -> torch.Tensor:
    """The thing of each point, one-to-many."""
    within = every_pair(*cost.shape)
    return torch.tensor(owners(within, match_many(flat(cost), flat(iou), within)))


def alone(logits, found, points, strides, boxes, labels, **options) -> torch.Tensor:
    """The thing of each point of one picture."""
    within = reach(points, strides, Things(torch.zeros_like(labels), boxes, labels, 1))
    return assign(logits[None], found[None], within, **options)[0]


def test_one_to_one_takes_the_cheapest_pair_then_the_next():
    assert one(COST, ALL).tolist() == [0, 1, 2, -1]
    # thing 0 is cheapest at point 1 now, so thing 1 has to go on to point 2, and thing 2 to point 3
    cost = COST.clone()
    cost[1, 0] = 0.5
    assert one(cost, ALL).tolist() == [-1, 0, 1, 2]


def test_one_to_one_keeps_to_what_is_allowed():
    allowed = ALL.clone()
    allowed[2:, 2] = False
    allowed[:2, 2] = False
    assert one(COST, allowed).tolist() == [0, 1, -1, -1]


def greedy(cost: np.ndarray) -> list[int]:
    """Pair by pair, the slow way."""
    owner = [-1] * cost.shape[0]
    for flat in np.argsort(cost, axis=None, kind="stable"):
        p, g = divmod(int(flat), cost.shape[1])
        if owner[p] < 0 and g not in owner:
            owner[p] = g
    return owner


@pytest.mark.parametrize(("points", "things"), [(4, 3), (3, 4), (40, 25), (9, 9), (50, 1)])
def test_one_to_one_is_the_greedy_answer(points, things):
    for seed in range(20):
        cost = torch.rand(points, things, generator=torch.Generator().manual_seed(seed))
        owner = one(cost, torch.ones_like(cost, dtype=torch.bool))
        assert owner.tolist() == greedy(cost.numpy())


def test_things_with_the_same_costs_are_settled_first_come_in_one_round(monkeypatch):
    points, strides = grid()
    boxes, labels = torch.tensor([[1.0, 1, 31, 31]]).repeat(12, 1), torch.zeros(12).long()
    logits = torch.randn(len(points), 2, generator=torch.Generator().manual_seed(0))
    found = corners(points, strides, torch.ones(len(points), 4))
    cost, _ = costs(logits, found, reach(points, strides, Things(labels, boxes, labels, 1)))
    rounds, once = [], assigning.is_least
    monkeypatch.setattr(assigning, "is_least", lambda *given: rounds.append(1) or once(*given))
    owner = alone(logits, found, points, strides, boxes, labels, one_to_one=True)
    assert owner.tolist() == greedy(cost.view(12, len(points)).T.numpy())
    assert len(rounds) == 1


@pytest.mark.parametrize("points", [6, 40])
def test_things_with_the_same_costs_among_others_have_the_greedy_answer(points):
    for seed in range(30):
        g = torch.Generator().manual_seed(seed)
        cost = torch.rand(points, 9, generator=g)[:, torch.randint(9, (12,), generator=g)]
        owner = one(cost, torch.ones_like(cost, dtype=torch.bool))
        by_hand = greedy(cost.numpy())
        columns = [c.tolist() for c in cost.T]  # of equals any may have the point

        def costs_of(told, columns=columns):
            return [columns[thing] if thing >= 0 else None for thing in told]

        assert costs_of(owner.tolist()) == costs_of(by_hand)


def test_of_equal_costs_no_pair_is_left_that_both_would_rather_have():
    for seed in range(30):
        cost = torch.randint(5, (12, 9), generator=torch.Generator().manual_seed(seed)).float()
        owner = one(cost, torch.ones_like(cost).bool())
        held, taken = torch.full((9,), float("inf")), torch.full((12,), float("inf"))
        point = (owner >= 0).nonzero().squeeze(1)
        held[owner[point]] = taken[point] = cost[point, owner[point]]
        assert len(point) == 9
        assert not ((cost < held) & (cost < taken[:, None])).any()


def test_equal_costs_and_nan_come_to_an_end():
    assert sorted(one(torch.ones(4, 3), ALL).tolist()) == [-1, 0, 1, 2]
    assert one(torch.full((4, 3), float("nan")), ALL).tolist() == [-1] * 4
    assert many(torch.full((4, 3), float("nan")), HALF).tolist() == [-1] * 4


def test_a_thing_takes_as_many_points_as_its_ious_add_up_to():
    # each column adds up to 2.0: two points each; thing 1 does not get its second, which is the best of thing 2
    assert many(COST, HALF).tolist() == [0, 1, 2, 2]
    # 0.8 in all: one point each
    assert many(COST, 0.2 * ALL.float()).tolist() == [0, 1, 2, -1]
    assert many(COST, 0 * HALF).tolist() == [0, 1, 2, -1]


def test_a_point_wanted_twice_goes_where_it_is_cheaper():
    cost = torch.tensor([[1.0, 9, 9], [2, 1, 9], [3, 2, 1], [9, 9, 2]])
    # thing 0 wants points 0 and 1, thing 1 points 1 and 2, thing 2 points 2 and 3
    assert many(cost, HALF).tolist() == [0, 1, 2, 2]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_every_thing_has_a_point_of_its_own_whatever_the_others_want(order):
    # all want the first two points; usual resolving would give both to the cheapest and leave two things with none
    cost = torch.tensor([[1.0, 2, 3], [1.1, 2.1, 3.1], [50, 60, 70], [51, 61, 71]])[:, list(order)]
    owner = many(cost, HALF)
    assert sorted({*owner.tolist()} - {-1}) == [0, 1, 2]


def test_more_things_than_points_leaves_some_without():
    owner = many(torch.rand(2, 5), torch.rand(2, 5))
    assert len({*owner.tolist()}) == 2


@pytest.mark.parametrize("one_to_one", [False, True])
def test_no_things_no_owners(one_to_one):
    points, strides = grid()
    found, none = corners(points, strides, torch.ones(21, 4)), torch.zeros(0)
    given = (none.view(0, 4), none.long())
    owner = alone(torch.zeros(21, 2), found, points, strides, *given, one_to_one=one_to_one)
    assert owner.tolist() == [-1] * 21


def held(points, strides, boxes):
    return reachable(outside(points, boxes), points, strides, boxes)


def test_points_inside_a_box_are_reachable():
    points, strides = grid()
    allowed = held(points, strides, torch.tensor([[0.0, 0.0, 16.0, 16.0]]))[0]
    assert points[allowed].tolist() == [[4, 4], [12, 4], [4, 12], [12, 12], [8, 8]]


@pytest.mark.parametrize(
    ("box", "nearest"),
    [
        ([9.0, 9.0, 11.0, 11.0], [12, 12]),  # between points
        ([6.0, 6.0, 10.0, 10.0], [4, 4]),  # holds the point at (8, 8) of stride 16, but none of the finest
        ([30.0, 0.0, 31.0, 1.0], [28, 4]),
        ([-9.0, -9.0, -5.0, -5.0], [4, 4]),  # outside the picture
    ],
)
def test_a_tiny_box_gets_the_nearest_point_of_the_finest_level(box, nearest):
    points, strides = grid()
    allowed = held(points, strides, torch.tensor([box]))[0]
    fine = points[allowed & (strides == 8)]
    assert len(fine) == 1
    if box != [6.0, 6.0, 10.0, 10.0]:  # equally far from four points
        assert fine[0].tolist() == nearest


def test_tiny_boxes_side_by_side_each_learn():
    points, strides = grid()
    boxes = torch.tensor([[9.0, 9, 10, 10], [10.5, 10.5, 11.5, 11.5], [14, 14, 15, 15]])
    labels, logits = torch.tensor([0, 1, 0]), torch.full((21, 2), -4.6)
    found = corners(points, strides, torch.full((21, 4), 2.0))
    assert (held(points, strides, boxes).sum(1) == 1).all()  # and it is the same point for all three
    for one in (False, True):
        owner = alone(logits, found, points, strides, boxes, labels, one_to_one=one)
        assert sorted({*owner.tolist()}) == [-1, 0, 1, 2]
        assert (points[owner >= 0] - 12).abs().max() <= 8  # the points around them


def test_costs_by_hand():
    points, strides = torch.tensor([[4.0, 4.0], [6.0, 12.0]]), torch.tensor([8.0, 32.0])
    found = torch.tensor([[0.0, 0, 8, 8], [0, 0, 32, 32]])
    boxes, labels = torch.tensor([[0.0, 0, 8, 16]]), torch.tensor([1])
    logits = torch.tensor([[0.0, 2.0], [-1.0, 0.5]])
    cost, iou = costs(logits, found, reach(points, strides, Things(torch.tensor([0]), boxes, labels, 1)))
    torch.testing.assert_close(iou, torch.tensor([0.5, 0.125]))
    p = logits.sigmoid()
    for i, (overlap, apart) in enumerate([(0.5, 4 / 8), (0.125, (2**2 + 4**2) ** 0.5 / 32)]):
        soft = overlap * p[i, 1].log() + (1 - overlap) * (1 - p[i, 1]).log()
        wanted = -(1 - p[i, 0]).log() - soft - 3 * np.log(overlap) + 10 ** (apart - 3)
        assert cost[i].item() == pytest.approx(wanted.item(), rel=1e-5)


def test_a_large_box_is_learned_at_a_coarse_level_and_a_small_one_at_a_fine_one():
    points, strides = grid(256)
    logits, found = torch.zeros(len(points), 1), corners(points, strides, torch.full((len(points), 4), 2.0))
    boxes = torch.tensor([[10.0, 10, 230, 230], [100, 100, 120, 120]])
    owner = alone(logits, found, points, strides, boxes, torch.tensor([0, 0]))
    assert strides[owner == 0].min() >= 16
    assert (strides[owner == 1] == 8).all()


def test_the_twin_has_one_point_a_thing():
    points, strides = grid()
    boxes = torch.tensor([[0.0, 0, 20, 20], [2, 2, 22, 22], [10, 10, 30, 30]])
    found = corners(points, strides, torch.ones(21, 4))
    owner = alone(torch.zeros(21, 3), found, points, strides, boxes, torch.tensor([0, 1, 2]), one_to_one=True)
    assert sorted(owner[owner >= 0].tolist()) == [0, 1, 2]


def test_the_order_of_things_changes_no_owner():
    points, strides = grid()
    g = torch.Generator().manual_seed(3)
    low = 20 * torch.rand(6, 2, generator=g)
    boxes = torch.cat([low, low + 3 + 9 * torch.rand(6, 2, generator=g)], 1)
    logits, found = (
        torch.randn(21, 4, generator=g),
        corners(points, strides, 2 * torch.rand(21, 4, generator=g)),
    )
    labels, order = torch.tensor([0, 1, 2, 3, 0, 1]), torch.tensor([3, 5, 0, 1, 4, 2])
    for one in (False, True):
        before = alone(logits, found, points, strides, boxes, labels, one_to_one=one)
        after = alone(logits, found, points, strides, boxes[order], labels[order], one_to_one=one)
        assert torch.equal(torch.where(after >= 0, order[after.clamp_min(0)], -1), before)


def test_ten_thousand_boxes_in_one_picture():
    points, strides = grid(128)
    g = torch.Generator().manual_seed(0)
    low = 120 * torch.rand(10_000, 2, generator=g)
    boxes = torch.cat([low, low + 8 * torch.rand(10_000, 2, generator=g)], 1)
    found = corners(points, strides, torch.ones(len(points), 4))
    owner = alone(torch.zeros(len(points), 2), found, points, strides, boxes, torch.zeros(10_000).long())
    fine = owner[strides == 8]
    assert (fine >= 0).float().mean() > 0.9
    assert len(fine[fine >= 0].unique()) == (fine >= 0).sum()


def test_overlaps_are_those_of_the_ground_floor():
    from assay.boxes import iou

    g = torch.Generator().manual_seed(1)
    low = torch.rand(2, 9, 2, generator=g)
    a, b = torch.cat([low, low + torch.rand(2, 9, 2, generator=g)], 2)
    wanted = iou(a.double().numpy(), b.double().numpy()).diagonal()
    np.testing.assert_allclose(paired_iou(a, b), wanted, rtol=1e-5)


def test_generalised_iou_by_hand():
    a = torch.tensor([[0.0, 0, 2, 2], [0, 0, 1, 1], [0, 0, 4, 4], [3, 3, 1, 1]])
    b = torch.tensor([[0.0, 0, 2, 2], [2, 0, 3, 1], [1, 1, 3, 3], [0, 0, 2, 2]])
    # equal; a gap of one between two squares; one inside the other; sides that crossed: no area
    torch.testing.assert_close(paired_giou(a, b), torch.tensor([1.0, -1 / 3, 0.25, 0.0]))


def test_generalised_iou_pulls_boxes_that_do_not_touch():
    a = torch.tensor([[0.0, 0, 1, 1]], requires_grad=True)
    (1 - paired_giou(a, torch.tensor([[5.0, 5, 6, 6]]))).sum().backward()
    assert (a.grad[0, 2:] < 0).all()  # the far corner moves towards it
