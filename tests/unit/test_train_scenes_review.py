"""Faults that once were there: data sets and parts that lack what others have, and several processes."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from tests.drawn_scenes import write_scenes

from assay.data.read import read_dataset
from assay.errors import DatasetError
from assay.losses.multitask import MultiTaskLoss
from assay.losses.targets import Target, collate
from assay.models.multitask import Heads
from assay.models.outputs import Outputs
from assay.pixel_masks import encode_pixels
from assay.train.batch import Moment, Shard
from assay.train.jobs import recipe_for
from assay.train.record import Recorder
from assay.train.scene_heads import labelled_heads
from assay.train.scene_job import SceneJob
from assay.train.scene_judge import Found, SceneJudge
from assay.train.scene_material import SceneMaterial, gather_scenes
from assay.train.settle import settle
from assay.train.start import train
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
    options = {"heads": ("class", "tags"), "mosaic": 1.0}
    targets = parts_of(dataset, **options).batches.make(0, Moment(32, 0.1)).targets
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
