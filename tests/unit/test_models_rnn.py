"""Recurrent networks: how a picture becomes a sequence, what each knows of it, how they begin, what they cost."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from assay.configs import ModelConfig
from assay.errors import ConfigError
from assay.models.build import build_model
from assay.models.describe import describe
from assay.models.rnn_mingru import BiMinGru
from assay.models.rnn_renet import RenetLayer
from assay.models.tokens import Rows, area_matrix, init_recurrent, patches, serpentine
from assay.tables import MODELS

RECURRENT = [name for name in MODELS if name.startswith("rnn-")]


def build(name: str, **options):
    torch.manual_seed(0)
    return build_model(ModelConfig(model=name, **options), 5).eval()


@pytest.mark.parametrize(("pixels", "columns"), [(8, 4), (64, 64), (160, 64), (33, 64), (1, 4), (7, 3)])
def test_columns_are_means_of_what_they_cover(pixels, columns):
    matrix = area_matrix(pixels, columns)
    torch.testing.assert_close(matrix.sum(0), torch.ones(columns))
    torch.testing.assert_close(matrix.sum(1), torch.full((pixels,), columns / pixels))
    row = torch.rand(1, 1, pixels)
    if pixels % columns == 0:
        torch.testing.assert_close(row @ matrix, F.adaptive_avg_pool1d(row, columns))
    if columns % pixels == 0:
        torch.testing.assert_close(row @ matrix, row.repeat_interleave(columns // pixels, 2))


def test_a_row_of_the_picture_is_a_step():
    x = torch.rand(2, 3, 5, 8)
    rows = Rows(8)(x)
    assert rows.shape == (2, 5, 24)
    torch.testing.assert_close(rows[1, 3], x[1, :, 3].flatten())
    assert Rows(4)(x).shape == (2, 5, 12)


def test_patches_hold_their_pixels_and_zeros_beyond_the_border():
    x = torch.rand(1, 5, 6, 2)
    cut = patches(x, 4)
    assert cut.shape == (1, 2, 2, 32)
    torch.testing.assert_close(cut[0, 0, 0], x[0, :4, :4].flatten())
    corner = cut[0, 1, 1].reshape(4, 4, 2)
    torch.testing.assert_close(corner[:1, :2], x[0, 4:, 4:])
    assert corner[1:].abs().max() == 0
    assert corner[:, 2:].abs().max() == 0


def test_the_path_through_a_map_has_no_jumps():
    at = torch.cartesian_prod(torch.arange(3), torch.arange(4)).reshape(1, 3, 4, 2)
    path = serpentine(at).flatten(1, 2)[0]
    assert (path[1:] - path[:-1]).abs().sum(1).tolist() == [1] * 11
    assert torch.equal(serpentine(serpentine(at)), at)


@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU])
def test_what_goes_round_begins_orthogonal_and_kept(cell):
    rnn = cell(6, 8, bidirectional=True)
    init_recurrent(rnn)
    for gate in rnn.weight_hh_l0_reverse.detach().chunk(4 if cell is nn.LSTM else 3):
        torch.testing.assert_close(gate @ gate.T, torch.eye(8), atol=1e-5, rtol=0)
    bias = rnn.bias_ih_l0.detach() + rnn.bias_hh_l0.detach()
    assert bias[8:16].tolist() == [1.0] * 8
    assert bias.sum() == 8
    assert rnn.weight_ih_l0.detach().abs().max() <= (6 / (6 + 8)) ** 0.5


def test_fresh_gates_remember_from_one_step_to_many():
    torch.manual_seed(0)
    mix = BiMinGru(16)
    kept = 1 - torch.sigmoid(mix.inputs.bias.detach()[:16])  # what a step keeps of the state before
    assert kept[0].item() == pytest.approx(torch.tensor(-1.0).exp().item(), abs=1e-4)
    assert kept[-1].item() == pytest.approx(torch.tensor(-1 / 64).exp().item(), abs=1e-4)


def test_a_mingru_is_the_equations_of_its_paper_in_both_directions():
    torch.manual_seed(0)
    mix, x = BiMinGru(4).double(), torch.randn(2, 30, 4, dtype=torch.float64)
    z, candidate = mix.inputs(x).chunk(2, dim=2)
    z = z.sigmoid()
    states = torch.zeros(2, 30, 8, dtype=torch.float64)
    for half, order in ((slice(0, 4), range(30)), (slice(4, 8), range(29, -1, -1))):
        h = torch.zeros(2, 4, dtype=torch.float64)
        for t in order:
            h = (1 - z[:, t, half]) * h + z[:, t, half] * candidate[:, t, half]
            states[:, t, half] = h
    torch.testing.assert_close(mix(x), mix.join(states), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", RECURRENT)
@pytest.mark.parametrize("corner", [(0, 0), (-1, -1)])
def test_every_place_of_the_map_knows_the_whole_picture(name, corner):
    model = build(name, width=8)
    x = torch.rand(1, 3, 64, 64, requires_grad=True)
    last = model.features(x)[-1]
    (last[0, :, last.shape[2] // 2, last.shape[3] // 2] ** 3).sum().backward()  # norms hide a plain sum
    assert x.grad[0, :, corner[0], corner[1]].abs().max() > 0


def test_a_renet_layer_sweeps_columns_then_rows():
    torch.manual_seed(0)
    layer, x = RenetLayer(2, 3, patch=1), torch.randn(1, 4, 5, 2)
    columns = torch.stack([layer.columns(x[:, :, i])[0] for i in range(5)], 2)
    rows = torch.stack([layer.rows(columns[:, i])[0] for i in range(4)], 1)
    torch.testing.assert_close(layer(x), layer.norm(rows))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"width": 8.5}, "width of {} is a whole number from 1 to"),
        ({"depth": 0.5}, "depth of {} is a whole number from 1 to"),
        ({"depth": 99}, "depth of {} is a whole number from 1 to"),
    ],
)
@pytest.mark.parametrize("name", RECURRENT)
def test_sizes_are_whole_numbers_in_range(name, options, said):
    with pytest.raises(ConfigError, match=said.format(name)):
        build(name, **options)


@pytest.mark.parametrize("name", ["rnn-bilstm", "rnn-bigru", "rnn-renet"])
def test_without_shortcuts_there_is_no_drop_path(name):
    with pytest.raises(ConfigError, match=f"{name} has no shortcuts"):
        build(name, drop_path=0.1)


def test_width_and_depth_change_the_size():
    for name in RECURRENT:
        plain = describe(build(name), 32)
        assert describe(build(name, width=200), 32).parameters > plain.parameters
        assert describe(build(name, depth=1), 32).parameters < plain.parameters


def test_defaults_are_as_large_as_csp_nano():
    counts = {name: sum(p.numel() for p in build(name).parameters()) for name in ("csp-nano", *RECURRENT)}
    assert max(counts.values()) < 1.1 * min(counts.values())


@pytest.mark.parametrize("name", ["rnn-renet", "rnn-mingru"])
@pytest.mark.parametrize("size_hw", [(64, 64), (33, 47)])
def test_products_of_matrices_are_counted_as_torch_counts_them(name, size_hw):
    """torch counts matrix products alone, and those of recurrent layers step by step; two operations each."""
    model = build(name, width=8)
    told = describe(model, size_hw)
    scans = sum(layer.macs for layer in told.layers if layer.kind == "LinearScan")
    assert (scans > 0) == (name == "rnn-mingru")
    model.to("meta")  # a processor's own recurrent kernels would hide the products
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, *size_hw, device="meta"))
    assert told.macs - scans == counter.get_total_flops() / 2


@pytest.mark.parametrize(("name", "gates"), [("rnn-bilstm", 4), ("rnn-bigru", 3)])
def test_recurrent_layers_are_counted_as_by_hand(name, gates):
    told = describe(build(name, width=10, depth=2), (40, 96))
    first = 40 * 2 * gates * 10 * (3 * 64 + 10)  # rows x directions x gates x units x (inputs + states)
    second = 40 * 2 * gates * 10 * (20 + 10)
    columns = 40 * 3 * 96 * 64
    assert told.macs == first + second + columns + 40 * 5
    kinds = [layer.kind for layer in told.layers]
    assert kinds == ["Rows", *[f"{name[-4:] if gates == 4 else 'gru'}, both ways"] * 2, "linear"]
    assert told.layers[1].output == (40, 20)


def test_windows_of_one_picture_are_all_counted():
    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = nn.Linear(2, 3, bias=False)

        def forward(self, x):
            return self.inside(x.reshape(4, -1, 2))

    assert describe(Windows(), 4, channels=2).macs == 16 * 2 * 3


def test_every_network_is_described_at_any_size():
    for name in RECURRENT:
        small, large = describe(build(name, width=8), 32), describe(build(name, width=8), 64)
        assert small.parameters == large.parameters
        assert large.macs > 1.2 * small.macs
        assert "both ways" in small.table() or "LinearScan" in small.table()
