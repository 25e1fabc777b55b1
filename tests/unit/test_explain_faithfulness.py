"""The tests of explanations, tested: what must pass passes, what ignores the network or the picture is caught."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from assay.errors import ModelError
from assay.explain.curves import Bench, elsewhere, ranked
from assay.explain.faithfulness import FEWEST, Examiner, Score, judge
from assay.explain.maps import unit
from assay.explain.randomisation import LEVELS, randomised, similarity
from assay.metrics.interval import Estimate
from assay.models.classifier import Classifier
from assay.tables import EXPLANATIONS

SIDE, N = 56, 16


class Spot(Classifier):
    """Finds a red spot wherever it is: class 1 with one, class 0 without."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 8, stride=8)
        self.linear = nn.Linear(6, 2)
        with torch.no_grad():
            self.conv.weight.copy_(
                torch.tensor([2.0, -1.0, -1.0])[None, :, None, None].expand_as(self.conv.weight) / 64
            )
            self.conv.weight[3:] *= -1
            self.conv.bias.fill_(-0.2)
            self.linear.weight.zero_()
            self.linear.weight[1, :3] = 20.0
            self.linear.bias.copy_(torch.tensor([1.0, -1.0]))

    def embed(self, x: Tensor) -> Tensor:
        return self.conv(x).relu().mean((2, 3))

    def features(self, x: Tensor) -> list[Tensor]:
        return [self.conv(x).relu()]

    @property
    def head(self) -> nn.Module:
        return self.linear

    def blocks(self) -> list[list[nn.Parameter]]:
        return [list(self.conv.parameters()), list(self.linear.parameters())]


class Constant(Spot):
    def embed(self, x: Tensor) -> Tensor:
        return super().embed(x) * 0


def spots(n: int = N) -> Tensor:
    """Grey noise with a red spot in one of the cells, never in the middle."""
    generator = torch.Generator().manual_seed(5)
    x = torch.rand(n, 3, SIDE, SIDE, generator=generator) * 0.3
    places = torch.randint(0, 5, (n, 2), generator=generator)
    for i, (row, column) in enumerate(places.tolist()):
        x[i, :, 8 * row : 8 * row + 16, 8 * column : 8 * column + 16] = torch.tensor([1.0, 0, 0])[
            :, None, None
        ]
    return x


def edges(_: Classifier, x: Tensor, classes: Tensor) -> Tensor:
    """A picture of the picture: redness, which has nothing to do with the network's weights."""
    return unit((x[:, 0] - x[:, 1:].mean(1)).clamp(min=0))


def noise(_: Classifier, x: Tensor, classes: Tensor) -> Tensor:
    return torch.rand(len(x), SIDE, SIDE, generator=torch.Generator().manual_seed(len(x)))


def upside_down(model: Classifier, x: Tensor, classes: Tensor) -> Tensor:
    return 1 - EXPLANATIONS.load("occlusion")(model, x, classes)


@pytest.mark.parametrize("kind", ["grad-cam", "layer-cam", "occlusion"])
def test_true_explanations_pass(kind):
    score = Examiner(Spot().eval(), spots()).test(kind, EXPLANATIONS.load(kind))
    assert score.verdict == "passed", score
    assert score.gain.low > 0.1
    assert score.deletion.value < score.chance["deletion"]
    assert score.insertion.value > score.chance["insertion"]
    assert score.over_centre.low > 0
    assert set(score.likeness) == {name for name, _, _ in LEVELS}


def test_a_map_of_the_picture_alone_is_caught_by_the_shuffled_weights():
    score = Examiner(Spot().eval(), spots()).test("edges", edges)
    assert score.gain.low > 0, "it marks the right place by luck"
    assert score.verdict == "failed"
    assert "it shows the picture, not the network" in score.reason
    assert score.likeness["everything"] == pytest.approx(1)


def test_noise_is_no_better_than_chance():
    score = Examiner(Spot().eval(), spots()).test("noise", noise)
    assert score.verdict == "failed"
    assert "elsewhere" in score.reason


def test_what_is_upside_down_is_worse_than_chance():
    score = Examiner(Spot().eval(), spots()).test("upside down", upside_down)
    assert score.verdict == "failed"
    assert "does less than" in score.reason


def test_a_network_that_never_changes_its_mind_cannot_be_explained():
    for kind in ("grad-cam", "occlusion"):
        score = Examiner(Constant().eval(), spots()).test(kind, EXPLANATIONS.load(kind))
        assert score.verdict == "failed"
        assert "empty" in score.reason
    score = Examiner(Constant().eval(), spots()).test("edges", edges)
    assert score.verdict == "failed"
    assert "the answer stays the same whatever is covered" in score.reason


def test_a_kind_that_cannot_be_drawn_is_refused_with_its_reason():
    def refuse(*_: object) -> Tensor:
        raise ModelError("no layer keeps the places apart")

    score = Examiner(Spot().eval(), spots()).test("cam", refuse)
    assert (score.verdict, score.reason) == ("refused", "no layer keeps the places apart")
    assert score.gain is None


def test_too_few_pictures_to_tell():
    score = Examiner(Spot().eval(), spots(FEWEST - 1)).test("occlusion", EXPLANATIONS.load("occlusion"))
    assert score.verdict == "failed"
    assert score.reason == f"cannot be told from {FEWEST - 1} pictures: at least {FEWEST} are needed"


def test_progress_adds_up():
    told: list[tuple[str, int]] = []
    examiner = Examiner(Spot().eval(), spots(), tick=lambda what, n: told.append((what, n)))
    examiner.test("grad-cam", EXPLANATIONS.load("grad-cam"))
    assert {what for what, _ in told} == {"grad-cam"}
    assert sum(n for _, n in told) == examiner.steps


def test_scores_travel_through_plain_values():
    examiner = Examiner(Spot().eval(), spots())
    for kind in ("grad-cam", "edges"):
        score = examiner.test(kind, edges if kind == "edges" else EXPLANATIONS.load(kind))
        assert Score.from_dict(score.to_dict()).to_dict() == score.to_dict()


def test_the_rule():
    good, none, bad = Estimate(0.2, 0.1, 0.3), Estimate(0.0, -0.1, 0.1), Estimate(-0.2, -0.3, -0.1)
    changed = {name: 0.1 for name, _, _ in LEVELS}

    def verdict(deletion: Estimate, insertion: Estimate, gain: Estimate, alike: float = 0.1) -> str:
        likeness = {**changed, "everything": alike}
        return judge(deletion_gain=deletion, insertion_gain=insertion, gain=gain, likeness=likeness)[0]

    assert verdict(good, none, good) == "passed"
    assert verdict(good, bad, good) == "failed"
    assert verdict(none, none, none) == "failed"
    assert verdict(good, good, good, 0.5) == "failed"
    assert verdict(good, good, good, math.nan) == "failed"


def test_areas_of_known_curves():
    model, x = Spot().eval(), spots(4)
    bench = Bench(model, x, torch.ones(4, dtype=torch.int64))
    spot = bench.read(edges(model, x, bench.classes))
    good, bad = bench.measure(spot), bench.measure(-spot)
    assert (good.deletion < bad.deletion).all()
    assert (good.insertion > bad.insertion).all()
    for area in (good.deletion, good.insertion):
        assert ((area >= 0) & (area <= 1)).all()
    flat = Bench(Constant().eval(), x, torch.ones(4, dtype=torch.int64))
    np.testing.assert_allclose(flat.measure(spot).deletion, flat.whole)
    np.testing.assert_allclose(flat.measure(spot).both, 0, atol=1e-9)


def test_order_of_cells():
    cells = np.array([[[3.0, 1.0], [2.0, 4.0]]])
    assert ranked(cells).tolist() == [[1, 3, 2, 0]]
    even = ranked(np.zeros((200, 2, 2)))
    assert (np.sort(even, 1) == np.arange(4)).all()
    assert 20 < (even[:, 0] == 0).sum() < 80, "equal cells come by chance, not by place"


def test_elsewhere_is_the_same_map_at_another_place():
    cells = np.zeros((40, 8, 8))
    cells[:, 1:3, 1:3] = 1
    moved = elsewhere(cells)
    assert (moved.sum((1, 2)) == 4).all()
    assert not (moved * cells).all((1, 2)).any()
    assert (moved * cells).sum() == 0  # a quarter of the side is further than this blob is wide


def test_shuffled_weights_change_answers_from_the_top_down():
    model, x = Spot().eval(), spots(8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    head, whole = randomised(model, 0.0, x), randomised(model, 1.0, x)
    assert torch.equal(head.conv.weight, model.conv.weight)
    assert not torch.equal(head.linear.weight, model.linear.weight)
    assert not torch.equal(whole.conv.weight, model.conv.weight)
    assert sorted(whole.conv.weight.flatten().tolist()) == sorted(model.conv.weight.flatten().tolist())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(randomised(model, 1.0, x).conv.weight, whole.conv.weight)


def test_a_shuffled_deep_network_stays_awake():
    from assay.configs import ModelConfig
    from assay.models.build import build_model

    torch.manual_seed(0)
    model = build_model(ModelConfig(model="csp-nano"), 5).eval()
    x = torch.rand(8, 3, 64, 64)
    twin = randomised(model, 1.0, x)
    maps = twin.features(x)
    assert all(m.isfinite().all() for m in maps)
    assert maps[-1].std() > 1e-3
    assert not twin.training


def test_rank_correlation_is_scipys():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, (2, 6, 4, 4)).astype(float)
    wanted = [spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(similarity(a, b), wanted)


def test_flat_maps_are_told_apart_from_changed_ones():
    flat, some = np.zeros((1, 3, 3)), np.arange(9.0).reshape(1, 3, 3)
    assert np.isnan(similarity(flat, some)).all()
    assert similarity(some, flat).tolist() == [0]
    assert similarity(some, -some).tolist() == [-1]
