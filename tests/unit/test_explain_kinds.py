"""Known answers: a network that looks at one corner, one that looks at nothing, one that has no map."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from assay.errors import ModelError
from assay.explain.faithfulness import Examiner
from assay.explain.gradients import input_gradient
from assay.explain.maps import blur, centre_map, finish, pool, unit
from assay.explain.target import find_map, frozen, maps_and_gradients
from assay.models.classifier import Classifier
from assay.tables import EXPLANATIONS

SIDE = 56


class Corner(Classifier):
    """Class 0: the top left quarter is bright; class 1: it is dark. Its last matrix ignores everything else."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 4, stride=4)  # 1 x 14 x 14
        self.linear = nn.Linear(14 * 14, 2)
        corner = torch.zeros(14, 14)
        corner[:7, :7] = 26.0 / 49
        with torch.no_grad():
            self.conv.weight.fill_(1 / 48)
            self.conv.bias.zero_()
            self.linear.weight.copy_(torch.stack([corner.flatten(), torch.zeros(14 * 14)]))
            self.linear.bias.copy_(torch.tensor([-14.0, 0.0]))

    def embed(self, x: Tensor) -> Tensor:
        return self.conv(x).flatten(1)

    def features(self, x: Tensor) -> list[Tensor]:
        return [self.conv(x)]

    @property
    def head(self) -> nn.Module:
        return self.linear

    def blocks(self) -> list[list[nn.Parameter]]:
        return [list(self.conv.parameters()), list(self.linear.parameters())]


class Deaf(Corner):
    """Says the same whatever it is shown."""

    def embed(self, x: Tensor) -> Tensor:
        return super().embed(x) * 0


class Flat(Classifier):
    """All pixels through one matrix: no place is kept apart."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * SIDE * SIDE, 2)

    def embed(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    @property
    def head(self) -> nn.Module:
        return self.linear


def pictures(n: int = 4) -> Tensor:
    """Grey noise with a bright square somewhere in each quarter: only the network says which one matters."""
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(n, 3, SIDE, SIDE, generator=generator) * 0.2
    for i in range(n):
        for top in (0, SIDE // 2):
            for left in (0, SIDE // 2):
                row, column = (
                    torch.randint(0, 16, (2,), generator=generator) + torch.tensor([top, left])
                ).tolist()
                x[i, :, row : row + 12, column : column + 12] += 1.5 if top or left else 3.0
    return x


def corner_share(maps: Tensor) -> Tensor:
    return maps[:, : SIDE // 2, : SIDE // 2].sum((1, 2)) / maps.sum((1, 2))


def test_every_kind_that_passes_marks_the_corner_that_the_network_looks_at():
    """Grad-CAM and its first successors weigh whole channels (Draelos and Carin 2020), so with one channel they show
    all that is bright in the picture. The shuffled weights find them out.
    """
    model, x = Corner().eval(), pictures(16)
    examiner = Examiner(model, x)
    passed = set()
    for kind in EXPLANATIONS:
        score = examiner.test(kind, EXPLANATIONS.load(kind))
        share = corner_share(EXPLANATIONS.load(kind)(model, x, examiner.classes)).mean()
        if score.passed:
            assert share > 0.8, (kind, share)
            passed.add(kind)
        else:
            assert share < 0.5, (kind, share)
            assert "it shows the picture, not the network" in score.reason
    assert passed == {"layer-cam", "occlusion", "input-gradient"}


@pytest.mark.parametrize("kind", [k for k in EXPLANATIONS if k != "score-cam"])
def test_nothing_is_marked_where_nothing_matters(kind):
    maps = EXPLANATIONS.load(kind)(Deaf(), pictures(), torch.zeros(4, dtype=torch.int64))
    assert not maps.any()


def test_a_network_without_places_is_refused_by_maps_and_served_by_the_others():
    model, x, classes = Flat(), pictures(2), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(ModelError, match=r"keeps the places[\s\S]*occlusion and input-gradient need no"):
        EXPLANATIONS.load("grad-cam")(model, x, classes)
    for kind in ("occlusion", "input-gradient"):
        assert EXPLANATIONS.load(kind)(model, x, classes).shape == (2, SIDE, SIDE)


def test_the_gradient_is_that_of_the_chosen_class():
    x = pictures(2)
    _, gradients = maps_and_gradients(Corner(), x, torch.tensor([0, 1]))
    assert gradients.shape == (2, 1, 14, 14)
    assert (gradients[0, :, :7, :7] > 0).all()
    assert not gradients[0, :, 7:].any()
    assert not gradients[1].any()


class LastState(Classifier):
    """Answers from the last state of a recurrent layer, whose other outputs do not move it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.GRU(3 * SIDE, 8, batch_first=True)
        self.second = nn.GRU(8, 8, batch_first=True)
        self.linear = nn.Linear(8, 2)

    def embed(self, x: Tensor) -> Tensor:
        states, _ = self.first(x.transpose(1, 2).flatten(2))
        return self.second(states)[0][:, -1]

    def features(self, x: Tensor) -> list[Tensor]:
        states, _ = self.first(x.transpose(1, 2).flatten(2))
        return [states.transpose(1, 2).unsqueeze(3)]

    @property
    def head(self) -> nn.Module:
        return self.linear


def test_an_answer_from_the_last_state_is_followed_to_the_layer_before():
    site = find_map(LastState(), pictures(2))
    assert (site.name, site.size_hw, site.form) == ("first", (SIDE, 1), "tokens")
    maps = EXPLANATIONS.load("layer-cam")(LastState(), pictures(2), torch.zeros(2, dtype=torch.int64))
    torch.testing.assert_close(maps[:, :, :1].expand_as(maps), maps)  # rows, and nothing within a row


def test_frozen_puts_everything_back():
    model = Corner().train()
    model.conv.weight.requires_grad_(requires_grad=False)
    with frozen(model):
        assert not model.training
        assert not any(p.requires_grad for p in model.parameters())
    assert model.training
    assert [p.requires_grad for p in model.parameters()] == [False, True, True, True]


def test_finish_keeps_zero_and_makes_the_greatest_one():
    scores = torch.tensor(
        [[[-1.0, 0.0], [2.0, 4.0]], [[-1.0, -2.0], [0.0, -3.0]], [[float("nan"), 1.0], [0.0, 0.0]]]
    )
    maps = finish(scores, (2, 2))
    assert maps[0].tolist() == [[0, 0], [0.5, 1]]
    assert not maps[1].any()
    assert maps[2].tolist() == [[0, 1], [0, 0]]


def test_unit_lets_one_bright_pixel_not_dim_the_rest():
    maps = torch.full((1, 100, 100), 0.5)
    maps[0, 0, 0] = 100
    assert unit(maps, 0.995)[0, 50, 50] == 1
    assert unit(maps)[0, 50, 50] == pytest.approx(0.005)


def test_blur_keeps_a_plain_picture_and_the_sum_of_a_dot():
    plain = torch.full((1, 3, 20, 30), 0.7)
    torch.testing.assert_close(blur(plain, 4.0), plain)
    dot = torch.zeros(1, 1, 41, 41)
    dot[0, 0, 20, 20] = 1
    soft = blur(dot, 3.0)
    assert float(soft.sum()) == pytest.approx(1, abs=1e-5)
    assert float(soft.max()) == float(soft[0, 0, 20, 20]) < 0.05
    assert torch.equal(blur(dot, 0), dot)


def test_centre_and_pool():
    middle = centre_map((9, 13))
    assert middle.shape == (9, 13)
    assert middle.max() == middle[4, 6] == 1
    assert pool(torch.arange(16.0).reshape(1, 4, 4), 2).tolist() == [[[2.5, 4.5], [10.5, 12.5]]]


def test_the_noise_of_the_input_gradient_is_the_same_each_time():
    x, classes = pictures(2), torch.zeros(2, dtype=torch.int64)
    assert torch.equal(input_gradient(Corner(), x, classes), input_gradient(Corner(), x, classes))
