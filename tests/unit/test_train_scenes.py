"""What feeds a network of several heads, and what judges it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from tests.drawn_scenes import write_scenes

from assay.configs import AugmentConfig, ModelConfig, Recipe
from assay.data.read import read_dataset
from assay.errors import ConfigError, DatasetError
from assay.losses.multitask import MultiTaskLoss
from assay.models.multitask import Heads
from assay.models.outputs import Outputs
from assay.pixel_masks import IGNORE, read_pixels
from assay.train.batch import Moment, Shard
from assay.train.jobs import recipe_for
from assay.train.record import Recorder
from assay.train.scene_batch import SceneBatches, balanced, rare_classes, stratum_weights
from assay.train.scene_heads import choose_heads, count_heads, labelled_heads
from assay.train.scene_job import SceneJob
from assay.train.scene_judge import SceneJudge
from assay.train.scene_loss import LearnScenes
from assay.train.scene_material import SceneMaterial, gather_scenes
from assay.train.scene_source import Known, reduced_hw
from assay.train.settle import settle
from assay.train.step import ToTensors
from assay.types import Dataset

ALL = ("class", "tags", "boxes", "masks", "pixels")
PLAIN = AugmentConfig(mosaic=0.0, zoom=(1.0, 1.0), shift=0.0, flip=0.0, trivial=False)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("drawn") / "scenes", 16, tags_only=6)


@pytest.fixture
def dataset(table: Path) -> Dataset:
    return read_dataset(table)


def gathered(dataset: Dataset, **options: Any) -> tuple[Recipe, SceneMaterial]:
    recipe = settle(recipe_for(dataset, {"size": 64, "epochs": 1, "workers": 1, **options}))
    return recipe, gather_scenes(dataset, recipe, Recorder(None))


# ---- heads


def test_heads_follow_from_the_labels(dataset: Dataset) -> None:
    assert labelled_heads(dataset) == ALL
    bare = replace(dataset, table=dataset.table.drop_columns(["pixels", "labels"]))
    assert labelled_heads(bare) == ("class", "boxes", "masks")
    assert choose_heads(dataset, ("pixels", "tags")) == ("tags", "pixels")
    assert count_heads(dataset, ALL) == Heads(classes=4, tags=4, boxes=2, masks=True, pixels=3)


def test_a_head_without_labels_is_told(dataset: Dataset) -> None:
    bare = replace(dataset, table=dataset.table.drop_columns(["pixels"]))
    with pytest.raises(DatasetError, match="no labels for pixels") as told:
        choose_heads(bare, ("boxes", "pixels"))
    assert told.value.got == "labels for class, tags, boxes, masks"
    with pytest.raises(DatasetError, match="masks belong to boxes"):
        choose_heads(dataset, ("masks",))


def test_scenes_have_defaults_of_their_own_and_options_win(dataset: Dataset) -> None:
    recipe = recipe_for(dataset, {})
    assert (recipe.preprocess.resize, recipe.preprocess.size, recipe.model.heads) == ("letterbox", 320, ALL)
    assert recipe_for(dataset, {"size": 96}).preprocess.size == 96
    assert (recipe.augment.mosaic, recipe_for(dataset, {"heads": ("boxes",)}).augment.mosaic) == (0.2, 0.5)
    assert recipe_for(dataset, {"heads": ("class",)}).preprocess.resize == "crop"


@pytest.mark.parametrize(
    "option", [{"mixup": 0.2}, {"trivial": True}, {"crop_scale": (0.5, 1.0)}, {"resize": "crop"}]
)
def test_options_that_would_change_nothing_are_refused(dataset: Dataset, option: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        recipe_for(dataset, option)
    assert recipe_for(dataset, {**option, "heads": ("class",)}).model.heads == ("class",)


def test_heads_of_the_whole_picture_keep_the_recipe_of_classes(dataset: Dataset) -> None:
    tags = settle(recipe_for(dataset, {"heads": ("tags",)}))
    boxes = settle(recipe_for(dataset, {"heads": ("boxes",)}))
    assert (tags.preprocess.size, tags.train.batch, boxes.train.batch) == (160, 32, 16)
    assert boxes.train.lr == pytest.approx(4 * 2e-3 * 0.5)
    assert tags.train.lr == pytest.approx(2e-3 * 0.5**0.5)


def test_smaller_pictures_come_in_larger_batches(dataset: Dataset) -> None:
    sizes = (8, 64, 96, 160, 320, 640, 4096)
    found = [recipe_for(dataset, {"heads": ("boxes",), "size": size}).train.batch for size in sizes]
    assert found == [64, 64, 64, 32, 16, 8, 8]
    assert recipe_for(dataset, {"heads": ("boxes",), "size": 64, "batch": 4}).train.batch == 4


def test_a_lone_tag_is_no_class(dataset: Dataset) -> None:
    """A reader sets ``label`` where a picture has one tag."""
    table = dataset.table.drop_columns(["label", "objects", "pixels"])
    lone = [tags[0] if len(tags) == 1 else None for tags in table["labels"].to_pylist()]
    bare = replace(dataset, table=table.append_column("label", pa.array(lone, pa.string())))
    assert None in lone
    assert labelled_heads(bare) == ("tags",)


def test_heads_stand_in_one_order() -> None:
    assert ModelConfig(heads=("pixels", "boxes")).heads == ("boxes", "pixels")
    with pytest.raises(ConfigError, match="no head is named"):
        ModelConfig(heads=())


# ---- pictures


def test_a_scene_is_what_the_files_say(dataset: Dataset) -> None:
    _, material = gathered(dataset)
    rows = [row for row, one in enumerate(material.train.known) if one.objects is not None]
    train = dataset.part("train").select(pa.compute.is_valid(dataset.part("train").table["objects"]))
    for row, sample in zip(rows, train, strict=True):
        scene = material.train[row]
        assert np.array_equal(scene.things.boxes_xyxy, sample.objects.boxes_xyxy)
        assert np.array_equal(scene.pixels, read_pixels(sample.pixels))
        drawn = np.zeros(scene.size_hw, bool)
        for mask in scene.things.masks:
            drawn |= mask
        assert np.array_equal(drawn, scene.pixels > 0)


def test_pictures_are_kept_a_little_larger_than_needed_and_never_enlarged() -> None:
    assert reduced_hw((480, 640), 320) == (300, 400)
    assert reduced_hw((100, 50), 320) == (100, 50)


def test_labels_move_with_reduced_pictures(tmp_path: Path) -> None:
    dataset = read_dataset(write_scenes(tmp_path / "scenes", 8))
    _, whole = gathered(dataset)
    _, half = gathered(dataset, size=26)  # kept at 32 px, half of the side
    for row in range(len(whole.train)):
        large, small = whole.train[row], half.train[row]
        assert small.size_hw == (32, 32)
        assert np.allclose(small.things.boxes_xyxy * 2, large.things.boxes_xyxy)
        assert (small.pixels == large.pixels[1::2, 1::2]).mean() > 0.99


def test_a_size_that_is_not_the_pictures_own_is_refused(dataset: Dataset) -> None:
    """Boxes would be scaled by it, and nobody would see."""
    place = dataset.table.column_names.index("width_px")
    wrong = pa.array([65, *dataset.table["width_px"].to_pylist()[1:]], pa.int32())
    with pytest.raises(DatasetError, match="1 pictures have another size") as told:
        gathered(replace(dataset, table=dataset.table.set_column(place, "width_px", wrong)), heads=("boxes",))
    assert told.value.got == "000.png is (64, 64), not (64, 65)"


def test_accumulating_partly_labelled_pictures_is_refused(dataset: Dataset) -> None:
    recipe, material = gathered(dataset, accumulate=2)
    with pytest.raises(ConfigError, match="accumulate does not work with partly labelled") as told:
        SceneJob().parts(torch.nn.Identity(), recipe, material, Shard(), torch.device("cpu"))
    assert "--batch" in told.value.fix


# ---- batches


def batches_of(material: SceneMaterial, augment: AugmentConfig = PLAIN, **options: Any) -> SceneBatches:
    settings: dict[str, Any] = {"batch": 4, "seed": 0, "workers": 1, **options}
    return SceneBatches(material.train, material.heads, augment, **settings)


def test_a_batch_is_a_function_of_seed_and_step(dataset: Dataset) -> None:
    _, material = gathered(dataset)
    one, other = (batches_of(material, AugmentConfig(trivial=False)) for _ in range(2))
    other.make(0, Moment(64))
    a, b = one.make(3, Moment(64, 0.1)), other.make(3, Moment(64, 0.1))
    assert np.array_equal(a.images, b.images)
    assert torch.equal(a.targets.boxes_xyxy, b.targets.boxes_xyxy)
    assert a.images.shape == (4, 64, 64, 3)


def test_what_nobody_labelled_is_unknown_and_not_empty(dataset: Dataset) -> None:
    _, material = gathered(dataset)
    batch = batches_of(material, batch=len(material.train)).make(0, Moment(64))
    known = {bool(one.objects is not None) for one in material.train.known}
    assert known == {True, False}
    looked = int(sum(one.objects is not None for one in material.train.known))
    assert int(batch.targets.boxes_known.sum()) == looked
    assert int((batch.targets.labels >= 0).sum()) == looked
    assert int((batch.targets.tags >= 0).all(1).sum()) == len(material.train)
    void = (batch.targets.pixels == IGNORE).flatten(1).all(1)
    assert torch.equal(void, ~batch.targets.boxes_known)


def test_there_is_no_mosaic_towards_the_end(dataset: Dataset) -> None:
    _, material = gathered(dataset)
    always = replace(PLAIN, mosaic=1.0)
    early = batches_of(material, always).make(0, Moment(64, 0.5))
    late = batches_of(material, always).make(0, Moment(64, 0.8))
    plain = batches_of(material).make(0, Moment(64, 0.8))
    assert np.array_equal(late.images, plain.images)
    assert not np.array_equal(early.images, plain.images)
    assert (early.targets.labels == -1).all()  # nobody said what four pictures are together


def known(n_boxes: int, n_tags: int) -> list[Known]:
    from assay.objects import Objects

    empty = Objects(np.zeros((0, 4)), np.zeros(0, np.int64))
    boxes = [Known(None, None, empty, None, (8, 8)) for _ in range(n_boxes)]
    return [*boxes, *(Known(None, (0,), None, None, (8, 8)) for _ in range(n_tags))]


def test_strata_are_drawn_by_the_root_of_their_number() -> None:
    weights = stratum_weights(known(100, 400), ("tags", "boxes"))
    assert weights is not None
    assert weights[:100].sum() == pytest.approx(2 / 3)  # boxes 4 x 10 : tags 1 x 20
    assert weights.sum() == pytest.approx(1)


def test_pictures_that_teach_more_heads_come_more_often() -> None:
    weights = stratum_weights(known(100, 400), ("tags", "boxes", "masks"))
    assert weights is not None
    assert weights[:100].sum() == pytest.approx(4 / 5)  # (4 + 4) x 10 : 20


def test_where_all_teach_the_same_nothing_is_drawn_more_often() -> None:
    assert stratum_weights(known(5, 0), ("boxes",)) is None


def test_pictures_with_rare_things_come_more_often() -> None:
    from assay.objects import Objects

    def holding(*labels: int) -> Known:
        boxes = np.tile([0.0, 0.0, 4.0, 4.0], (len(labels), 1))
        return Known(None, None, Objects(boxes, np.array(labels, np.int64)), None, (8, 8))

    chances = balanced([holding(0)] * 99 + [holding(0, 1)], 2, None)
    assert chances[-1] == pytest.approx(chances[0] * np.sqrt(50))
    assert chances.sum() == pytest.approx(1)


def test_rare_classes_of_pixels_are_found(dataset: Dataset) -> None:
    _, material = gathered(dataset)
    assert 0 not in rare_classes(material.train, 3)


# ---- loss and judge


class Still(torch.nn.Module):
    """Gives whatever logits it is told to."""

    def __init__(self, outputs: Outputs) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, x: torch.Tensor) -> Outputs:
        return self.outputs._replace(
            **{k: v[: len(x)] for k, v in self.outputs._asdict().items() if v is not None}
        )


def test_the_losses_of_the_tasks_are_added_up(dataset: Dataset) -> None:
    recipe, material = gathered(dataset)
    learn = LearnScenes(MultiTaskLoss(), ToTensors(recipe.preprocess, 3, torch.device("cpu")))
    batch = batches_of(material).make(0, Moment(64))
    n = len(batch.images)
    logits = torch.zeros(n, 4, requires_grad=True)
    model = Still(Outputs(class_logits=logits, pixel_logits=torch.zeros(n, 3, 16, 16, requires_grad=True)))
    value = learn(model, batch, bf16=False)
    assert set(learn.parts) == {"class", "pixels"}
    assert float(value.detach()) == pytest.approx(float(sum(learn.parts.values())))


def test_the_judge_scores_perfect_answers_with_one(dataset: Dataset) -> None:
    recipe, material = gathered(dataset)
    assert material.validation is not None
    assert material.validation_pixels is not None
    judge = SceneJudge(
        material.validation_pixels,
        material.validation,
        recipe.preprocess,
        dataset.object_classes,
        dataset.pixel_classes,
        torch.device("cpu"),
    )
    labels = torch.tensor([one.label for one in material.validation])
    planes = torch.stack([torch.from_numpy(read_pixels(one.pixels)) for one in material.validation])
    tags = torch.full((len(judge), 4), -9.0)
    for row, one in enumerate(material.validation):
        tags[row, list(one.tags)] = 9.0
    right = Outputs(
        class_logits=torch.nn.functional.one_hot(labels, 4) * 9.0,
        tag_logits=tags,
        pixel_logits=torch.nn.functional.one_hot(planes.long(), 3).permute(0, 3, 1, 2) * 9.0,
    )
    score = judge.score(Still(right))
    assert score["accuracy"] == score["tags_map"] == score["miou"] == 1.0
    assert score["loss"] == pytest.approx(0.0)
    assert judge.rank(score) > judge.rank({"score": 0.9})


def test_masks_are_judged_where_every_thing_has_one(tmp_path: Path) -> None:
    """A picture with a bare box, and one without any thing, stop nothing."""
    from assay.train.predictor import load_run
    from assay.train.start import train

    dataset = read_dataset(write_scenes(tmp_path / "scenes", 12))
    objects = dataset.table["objects"].to_pylist()
    held = [i for i, part in enumerate(dataset.table["part"].to_pylist()) if part != "train"]
    objects[held[0]][0]["mask"] = None
    objects[held[1]] = []
    place = dataset.table.column_names.index("objects")
    column = pa.array(objects, dataset.table["objects"].type)
    mixed = replace(dataset, table=dataset.table.set_column(place, "objects", column))
    run = train(mixed, tmp_path / "run", heads=("boxes", "masks"), epochs=1, size=64, batch=4)
    assert {"boxes.ap50_95", "masks.ap50_95"} <= set(run.evaluations["validation"].metrics)
    assert load_run(run.folder).card.heads == ("boxes", "masks")
