"""Faults that once were there: data sets and parts that lack what others have, and several processes."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from tests.drawn_scenes import write_scenes

from assay.data.read import read_dataset
from assay.errors import ConfigError, DatasetError, ModelError
from assay.losses.multitask import MultiTaskLoss
from assay.losses.targets import Target, collate
from assay.models.multitask import Heads
from assay.models.outputs import Outputs
from assay.pixel_masks import encode_pixels
from assay.train.batch import Moment, Shard
from assay.train.jobs import recipe_for
from assay.train.record import Recorder
from assay.train.scene_batch import _halved
from assay.train.scene_heads import labelled_heads
from assay.train.scene_job import SceneJob
from assay.train.scene_judge import Found, SceneJudge
from assay.train.scene_material import SceneMaterial, gather_scenes
from assay.train.settle import settle
from assay.train.start import _same_data, _tags_hash, train
from assay.types import Dataset

CPU, ALONE = torch.device("cpu"), Shard()
SMALL: dict[str, Any] = {"size": 32, "batch": 4, "epochs": 1, "workers": 1, "precision": "fp32"}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_scenes(tmp_path / "scenes", 8)


@pytest.fixture
def dataset(table: Path) -> Dataset:
    return read_dataset(table)


def gathered(dataset: Dataset, **options: Any) -> SceneMaterial:
    return gather_scenes(dataset, settle(recipe_for(dataset, {**SMALL, **options})), Recorder(None))


def without(dataset: Dataset, column: str, part: str) -> Dataset:
    """The data set, where nobody looked for this in one part."""
    parts, old = dataset.table["part"].to_pylist(), dataset.table[column]
    values = [None if p == part else v for v, p in zip(old.to_pylist(), parts, strict=True)]
    i = dataset.table.column_names.index(column)
    return replace(dataset, table=dataset.table.set_column(i, column, pa.array(values, old.type)))


def parts_of(dataset: Dataset, shard: Shard = ALONE, **options: Any) -> Any:
    recipe = settle(recipe_for(dataset, {**SMALL, **options}))
    material = gather_scenes(dataset, recipe, Recorder(None))
    return SceneJob().parts(torch.nn.Identity(), recipe, material, shard, CPU)


# ---- data


def test_labels_may_be_dictionary_encoded(photos: Path) -> None:
    dataset = read_dataset(photos)
    assert pa.types.is_dictionary(dataset.table["label"].type)
    assert labelled_heads(dataset) == ("class",)


def test_masks_are_found_from_another_folder(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(table.parents[1])
    dataset = read_dataset(Path(table.parent.name) / table.name)
    assert not dataset.root.is_absolute()
    scene = gathered(dataset, heads=("pixels",)).train[0]
    assert scene.pixels is not None
    assert set(np.unique(scene.pixels)) <= {0, 1, 2}


def test_a_head_that_the_training_part_cannot_teach_is_refused(dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match="training part of drawn has no labels for pixels") as told:
        gathered(without(dataset, "pixels", "train"))
    assert "--heads class,tags,boxes,masks" in told.value.fix
    with pytest.raises(DatasetError, match="no picture of the train part has boxes") as told:
        gathered(without(dataset, "objects", "train"), heads=("boxes",))
    assert "--heads" not in told.value.fix


@pytest.mark.parametrize("part", ["test", "validation"])
def test_a_part_without_labels_is_not_measured(dataset: Dataset, tmp_path: Path, part: str) -> None:
    other = {"test": "validation", "validation": "test"}[part]
    run = train(without(dataset, "objects", part), tmp_path / "run", heads=("boxes",), **SMALL)
    assert list(run.evaluations) == [other]


def test_masks_of_pixels_are_looked_at_before_training(dataset: Dataset) -> None:
    mask = dataset.root / "masks" / "002.png"  # of the validation part
    mask.write_bytes(encode_pixels(np.full((64, 64), 7, np.uint8)))
    with pytest.raises(DatasetError, match=r"values without a class: masks/002\.png \(7; there are 3"):
        gathered(dataset)
    gathered(dataset, heads=("boxes",))  # nobody reads it
    mask.write_bytes(encode_pixels(np.zeros((40, 90), np.uint8)))
    with pytest.raises(DatasetError, match="has another size than its picture"):
        gathered(dataset)


# ---- batches, judge


def test_pictures_with_class_and_tags_alone_are_not_joined(dataset: Dataset) -> None:
    recipe = settle(recipe_for(dataset, {**SMALL, "heads": ("class", "tags")}))
    recipe = replace(recipe, augment=replace(recipe.augment, mosaic=1.0))
    material = gather_scenes(dataset, recipe, Recorder(None))
    batches = SceneJob().parts(torch.nn.Identity(), recipe, material, ALONE, CPU).batches
    targets = batches.make(0, Moment(32, 0.1)).targets
    assert (targets.labels >= 0).all()
    assert (targets.tags >= 0).all()


def test_weights_that_find_nothing_are_judged_by_masks_as_well(dataset: Dataset) -> None:
    class Silent(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return type("Named", (), {"named": lambda _: _nothing(len(x))})()

    judge = parts_of(dataset, heads=("boxes", "masks")).judge
    assert judge is not None
    score = judge.score(Silent())
    assert (score["ap50_95"], score["mask_ap50_95"], score["score"]) == (0.0, 0.0, 0.0)


def _nothing(n: int) -> dict[str, torch.Tensor]:
    points = 16 + 4 + 1  # strides 8, 16 and 32 of 32 px
    return {
        "boxes_class_logits": torch.full((n, points, 2), -30.0),
        "boxes_distances": torch.ones(n, points, 4),
        "boxes_coefficients": torch.zeros(n, points, 4),
        "prototypes": torch.zeros(n, 4, 8, 8),
    }


def test_what_is_slow_the_first_time_is_not_measured(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Imports of metrics take seconds; as the price of 32 pictures they would eat a budget."""
    calls: list[float] = []

    def slow_at_first(*_: Any) -> dict[str, float]:
        time.sleep(0.0 if calls else 0.5)
        calls.append(0.0)
        return {}

    judge = parts_of(dataset, heads=("boxes",)).judge
    monkeypatch.setattr(SceneJudge, "look", lambda *_: Found())
    monkeypatch.setattr(SceneJudge, "score", slow_at_first)
    assert judge.seconds(torch.nn.Identity()) < 0.25


# ---- several processes


def test_counts_are_those_of_all_processes(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def reduce(values: torch.Tensor, *, reduction: str) -> torch.Tensor:
        asked.append(reduction)
        return values * (2 if reduction == "sum" else 1)

    monkeypatch.setitem(vars(sys.modules[SceneJob.__module__]), "reduce", reduce)
    learn = parts_of(dataset, Shard(0, 2), heads=("class", "tags"), batch=2).learn
    assert learn.loss.processes == 2
    targets = collate([Target(label=1)], Heads(classes=4), (32, 32))
    learn.loss(Outputs(class_logits=torch.zeros(1, 4)), targets)
    assert asked == ["sum"]


def test_what_is_only_tried_waits_for_no_other_process() -> None:
    def never(_: torch.Tensor) -> torch.Tensor:
        raise AssertionError("asked the others")

    loss = MultiTaskLoss(reduce=never, processes=2).eval()
    targets = collate([Target(label=1)], Heads(classes=4), (32, 32))
    losses = loss(Outputs(class_logits=torch.zeros(1, 4)), targets)
    assert float(losses.tasks["class"]) == pytest.approx(np.log(4))


def test_a_detector_of_torchvision_gives_its_losses_through_forward() -> None:
    """What several processes share are the gradients of ``forward``."""
    from assay.configs import ModelConfig
    from assay.models.scene_models import build_scene_model

    torch.manual_seed(0)
    config = ModelConfig(model="fasterrcnn_mobilenet_v3_large_320_fpn")
    model = build_scene_model(config, Heads(boxes=2)).train()
    box = torch.tensor([[8.0, 8.0, 40.0, 40.0]])
    target = Target(boxes_xyxy=box, box_labels=torch.tensor([1]))
    targets = collate([target], Heads(boxes=2), (64, 64))
    told = model(torch.zeros(1, 3, 64, 64), targets)
    assert list(told) == ["boxes"]
    assert told["boxes"].requires_grad


def test_a_class_beside_tags_may_be_missing(dataset: Dataset) -> None:
    parts, rows = dataset.table["part"].to_pylist(), dataset.table["label"].to_pylist()
    taught = [row for row, part in zip(rows, parts, strict=True) if part == "train"]
    spare = next(i for i, row in enumerate(rows) if parts[i] == "train" and taught.count(row) > 1)
    rows[spare] = None
    i = dataset.table.column_names.index("label")
    partly = replace(dataset, table=dataset.table.set_column(i, "label", pa.array(rows, pa.string())))
    assert gathered(partly, heads=("class", "tags")).heads.names == ("class", "tags")


def test_missing_masks_of_pixels_matter_to_the_head_that_reads_them(dataset: Dataset) -> None:
    (dataset.root / "masks" / "000.png").unlink()
    assert gathered(dataset, heads=("boxes",)).heads.names == ("boxes",)
    with pytest.raises(DatasetError, match="one pixel mask does not exist"):
        gathered(dataset, heads=("pixels",))


def test_masks_are_not_taught_by_pictures_without_things(dataset: Dataset) -> None:
    parts, cells = dataset.table["part"].to_pylist(), dataset.table["objects"].to_pylist()
    bare = [
        [{**thing, "mask": None} for thing in things] if part == "train" else things
        for part, things in zip(parts, cells, strict=True)
    ]
    bare[0] = []
    i = dataset.table.column_names.index("objects")
    table = dataset.table.set_column(i, "objects", pa.array(bare, dataset.table["objects"].type))
    with pytest.raises(DatasetError, match="has no labels for masks"):
        gathered(replace(dataset, table=table), heads=("boxes", "masks"))


@pytest.mark.parametrize(
    ("heads", "option", "told"),
    [
        (("boxes",), {"loss": "focal"}, "loss"),
        (("boxes",), {"imbalance": "weights"}, "imbalance=weights"),
        (("class", "tags"), {"imbalance": "sampling"}, "imbalance=sampling"),
        (("class", "tags"), {"mosaic": 0.5}, "mosaic"),
        (("boxes",), {"rare": 0.5}, "rare"),
        (("pixels",), {"label_smoothing": 0.1}, "label_smoothing"),
        (("boxes", "masks", "pixels"), {"dropout": 0.2}, "dropout"),
    ],
)
def test_what_no_head_reads_is_refused(dataset: Dataset, heads: Any, option: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=f"{told} would change nothing"):
        recipe_for(dataset, {"heads": heads, **option})
    recipe_for(
        dataset, {"heads": heads, "mosaic": 0.0, "rare": 0.0, "dropout": 0.0}
    )  # switched off is no wish


def test_dropout_is_for_the_heads_of_the_whole_picture(dataset: Dataset) -> None:
    for heads in (("tags",), ("class", "boxes")):
        assert recipe_for(dataset, {"heads": heads, "dropout": 0.2}).model.dropout == 0.2


def test_training_pads_with_the_grey_that_is_served(dataset: Dataset) -> None:
    far = {"mosaic": 0.0, "zoom": (0.25, 0.25), "flip": 0.0, "colour_jitter": 0.0, "shift": 0.0}
    batch = parts_of(dataset, heads=("boxes",), pad_value=7, **far).batches.make(0, Moment(32))
    assert (batch.images[:, 0] == 7).all()
    four = parts_of(
        dataset, heads=("boxes",), pad_value=7, **{**far, "mosaic": 1.0, "mosaic_scale": (0.05, 0.05)}
    )
    assert (four.batches.make(0, Moment(32)).images == 7).mean() > 0.9


def test_labels_of_pixels_lie_in_the_middle_on_average() -> None:
    """Taken from every second row, the class of an edge would be half a pixel off."""
    ramp = np.tile(np.arange(40, dtype=np.uint8), (6, 1))
    drawn = [_halved(ramp, np.random.default_rng(seed)) for seed in range(200)]
    assert {one.shape for one in drawn} == {(3, 20)}
    mean = np.mean([one[0] for one in drawn], axis=0)
    assert mean == pytest.approx(np.arange(20) * 2 + 0.5, abs=0.15)
    assert _halved(np.zeros((5, 7), np.uint8), np.random.default_rng(1)).shape == (3, 4)


def test_the_cost_of_a_look_is_that_of_all_kinds_of_pictures(dataset: Dataset) -> None:
    material = gathered(dataset)
    assert material.validation is not None
    assert material.validation_pixels is not None
    judge = SceneJudge(
        material.validation_pixels,
        material.validation,
        material.preprocess.config,
        dataset.object_classes,
        dataset.pixel_classes,
        CPU,
    )
    seen: list[list[int]] = []

    def score(self: SceneJudge, _model: torch.nn.Module, _weights: Any = None) -> dict[str, float]:
        seen.append(self._rows)
        return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SceneJudge, "score", score)
        judge.seconds(torch.nn.Identity(), sample=1)
        judge.seconds(torch.nn.Identity(), sample=2)
    assert seen[0] == [0]
    assert len(seen[-1]) == 2
    assert seen[-1] == sorted(range(len(judge)), key=lambda i: i)[:: -(-len(judge) // 2)]


def test_folded_norms_of_a_trunk_are_reopened(dataset: Dataset, tmp_path: Path) -> None:
    """Left folded they would compute another function from the first step on."""
    from torch.nn.modules.batchnorm import _BatchNorm

    from assay.configs import ModelConfig
    from assay.models.build import build_model
    from assay.models.norms import folded_norms

    torch.manual_seed(0)
    start = build_model(ModelConfig(model="csp-nano"), 2)
    for norm in (module for module in start.modules() if isinstance(module, _BatchNorm)):
        torch.nn.init.normal_(norm.bias)
    torch.save(start.state_dict(), tmp_path / "folded.pth")
    recipe = settle(
        recipe_for(dataset, {**SMALL, "heads": ("boxes",), "weights": str(tmp_path / "folded.pth")})
    )
    material = gather_scenes(dataset, recipe, Recorder(None))
    model, facts = SceneJob().build(recipe, material, Recorder(None), CPU, fresh=True)
    assert "reopened" in facts["weights"]["norms"]
    assert not folded_norms(model.trunk)


def test_losses_of_its_own_are_not_for_bf16(dataset: Dataset) -> None:
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    recipe = settle(recipe_for(dataset, {**SMALL, "heads": ("boxes",), "model": name, "precision": "bf16"}))
    material = gather_scenes(dataset, recipe, Recorder(None))
    with pytest.raises(ConfigError, match="losses of its own, which run in fp32"):
        SceneJob().build(recipe, material, Recorder(None), CPU, fresh=True)


def test_one_training_picture_is_told(dataset: Dataset, tmp_path: Path) -> None:
    parts = ["train" if i == 0 else "validation" for i in range(len(dataset))]
    i = dataset.table.column_names.index("part")
    one = replace(dataset, table=dataset.table.set_column(i, "part", pa.array(parts)))
    with pytest.raises(ModelError) as told:
        train(one, tmp_path / "run", **SMALL, heads=("boxes",))
    assert told.value.got == "fewer than two training pictures a process"
    assert "add pictures" in told.value.fix


def test_panoptic_quality_of_validation_is_of_the_score_that_was_picked(
    dataset: Dataset, tmp_path: Path
) -> None:
    run = train(dataset, tmp_path / "run", **{**SMALL, "epochs": 2}, heads=("boxes", "masks", "pixels"))
    told = run.evaluations["validation"]
    assert told.panoptic is not None
    assert told.told_from == run.evaluations["test"].told_from


def test_changed_tags_are_noticed_when_a_run_goes_on(dataset: Dataset) -> None:
    table = dataset.table.drop_columns(["objects", "pixels"])
    old = replace(dataset, table=table)
    tags = table["labels"].to_pylist()
    tags[0] = ["square"] if tags[0] != ["square"] else ["disc"]
    i = table.column_names.index("labels")
    new = replace(dataset, table=table.set_column(i, "labels", pa.array(tags, pa.list_(pa.string()))))
    record = {"split_hash": old.split_hash, "tags_hash": _tags_hash(old)}
    _same_data(SimpleNamespace(dataset=old), record)
    with pytest.raises(ConfigError, match="the tags changed since this run began"):
        _same_data(SimpleNamespace(dataset=new), record)
