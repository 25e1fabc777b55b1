"""The job of a network with several heads: class, tags, boxes, masks and pixels, in any combination."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import reduce
from torch import nn

from assay.bundle import Card
from assay.configs import Recipe
from assay.errors import ConfigError
from assay.losses.classify import build_loss
from assay.losses.multitask import MultiTaskLoss
from assay.metrics.reliability import fit_temperature
from assay.metrics.scene_evaluate import evaluate_scenes
from assay.models.multitask import Heads
from assay.models.norms import has_folded_norms, reopen_norms
from assay.models.scene_models import build_scene_model
from assay.models.scene_start import start_from, start_published
from assay.pipeline_scene import told_from
from assay.train.batch import Shard
from assay.train.begin import Parts
from assay.train.folder import NORMS_REOPENED, RunRecord, published_facts, weights_facts
from assay.train.job import Job
from assay.train.loop import Fit
from assay.train.record import Recorder
from assay.train.scene import Scene
from assay.train.scene_augment import fit_scene
from assay.train.scene_batch import SceneBatches, balanced, rare_classes, stratum_weights
from assay.train.scene_judge import SceneJudge
from assay.train.scene_loss import LearnScenes
from assay.train.scene_material import SceneMaterial, gather_scenes
from assay.train.scene_predictor import ScenePredictor
from assay.train.scene_told import pick_told
from assay.train.step import ToTensors, channels_last
from assay.types import Dataset

LOOKS = 3
"""Looks of the judge that the final evaluation of a picture costs: it draws intervals a thousand times, and is told
anew from the score that was picked."""


def _again(heads: Heads) -> bool:
    """Whether validation is looked at once more, as panoptic quality at the score that was picked needs the pixels."""
    return heads.masks and bool(heads.pixels)


def _whole_pictures(material: SceneMaterial, count: int, batch: int = 16) -> Iterator[torch.Tensor]:
    """Network inputs (B, C, S, S) of so many training pictures, as evaluation prepares them."""
    rows = np.random.default_rng(0).permutation(len(material.train))[:count]
    config = material.preprocess.config
    for start in range(0, len(rows), batch):
        scenes = (material.train.image(int(row)) for row in rows[start : start + batch])
        pixels = [fit_scene(Scene(image), config.size, pad=config.pad_value).image for image in scenes]
        yield torch.from_numpy(material.preprocess.normalise(np.stack(pixels)))


class SceneJob(Job):
    """Any heads, partly labelled pictures."""

    task = "scene"

    def gather(self, dataset: Dataset, recipe: Recipe, recorder: Recorder) -> SceneMaterial:
        """As ``Job``."""
        return gather_scenes(dataset, recipe, recorder)

    def build(
        self,
        recipe: Recipe,
        material: SceneMaterial,
        recorder: Recorder,
        device: torch.device,  # noqa: ARG002
        *,
        fresh: bool,
    ) -> tuple[nn.Module, dict[str, Any]]:
        """As ``Job``."""
        recorder.stage("build")
        config = recipe.model if fresh else replace(recipe.model, weights=None, pretrained=False)
        channels, facts = material.preprocess.channels, dict[str, Any]()
        if config.weights is not None:
            model, report = start_from(config, material.heads, channels)
            facts["weights"] = weights_facts(Path(config.weights), report)
            recorder.log("note", text=report.summary())
        elif config.pretrained:
            model, published = start_published(config, material.heads, channels)
            facts["weights"] = published_facts(config.model, published)
        else:
            model = build_scene_model(config, material.heads, channels)
        if recipe.train.precision == "bf16" and hasattr(model, "losses"):
            raise ConfigError(
                f"{config.model} brings losses of its own, which run in fp32",
                got="precision=bf16",
                fix="leave precision out",
            )
        facts["parameters"] = sum(p.numel() for p in model.parameters())
        if recipe.train.channels_last:
            channels_last(model)
        if (config.weights or config.pretrained) and has_folded_norms(
            trunk := getattr(model, "trunk", model)
        ):
            recorder.stage("reopen norms")
            reopen_norms(trunk, _whole_pictures(material, 128))
            facts["weights"]["norms"] = NORMS_REOPENED
        return model, facts

    def parts(
        self,
        model: nn.Module,  # noqa: ARG002
        recipe: Recipe,
        material: SceneMaterial,
        shard: Shard,
        device: torch.device,
    ) -> Parts:
        """As ``Job``."""
        config, heads, channels = recipe.train, material.heads, material.preprocess.channels
        weights = stratum_weights(material.train.known, heads.names)
        if weights is not None and config.accumulate > 1:
            raise ConfigError(
                "accumulate does not work with partly labelled pictures yet",
                got=f"accumulate={config.accumulate}; each of its batches would be divided by its own labels",
                fix="give a larger --batch instead",
            )
        if config.imbalance == "sampling" and heads.boxes:
            weights = balanced(material.train.known, heads.boxes, weights)
        batches = SceneBatches(
            material.train,
            heads,
            recipe.augment,
            rare=rare_classes(material.train, heads.pixels) if heads.pixels else (),
            pad=recipe.preprocess.pad_value,
            batch=config.batch,
            seed=config.seed,
            workers=config.workers or 2,
            weights=weights,
            shard=shard,
        )
        loss = MultiTaskLoss(
            classify=build_loss(config, self._counts(material)) if heads.classes else None,
            reduce=partial(reduce, reduction="sum"),
            processes=shard.world,
        )
        to_tensors = ToTensors(recipe.preprocess, channels, device)
        judge = self._judge(material, device)
        return Parts(
            batches,
            LearnScenes(loss, to_tensors).to(device),
            judge,
            channels,
            final=LOOKS * (len(judge or ()) + len(material.test or ())) + _again(heads) * len(judge or ()),
        )

    def _counts(self, material: SceneMaterial) -> np.ndarray:
        labels = [one.label for one in material.train.known if one.label is not None]
        return np.bincount(labels, minlength=material.heads.classes)

    def _judge(self, material: SceneMaterial, device: torch.device) -> SceneJudge | None:
        if material.validation is None or material.validation_pixels is None:
            return None
        dataset = material.dataset
        return SceneJudge(
            material.validation_pixels,
            material.validation,
            material.preprocess.config,
            dataset.object_classes,
            dataset.pixel_classes,
            device,
        )

    def finish(
        self, f: Fit, material: SceneMaterial, card: Card, record: RunRecord
    ) -> tuple[Card, dict[str, Any]]:
        """As ``Job``: the temperature of the class and the score that things are told from are validation's."""
        card = self._calibrated(f, material, card, record)
        evaluations: dict[str, Any] = {}
        if not f.accelerator.is_main_process:
            return card, evaluations
        model, dataset = f.plain.eval(), material.dataset
        if material.validation is not None:
            found = evaluate_scenes(ScenePredictor(model, card, f.folder), dataset, "validation")
            told = pick_told(model, card, f.folder, dataset, found)
            card = replace(card, thresholds={**card.thresholds, **told})
            record.add(thresholds=card.thresholds)
            evaluations["validation"] = (
                evaluate_scenes(ScenePredictor(model, card, f.folder), dataset, "validation")
                if found.panoptic is not None and told_from(card) != found.told_from
                else found.at(told_from(card))
            )
        if material.test is not None:
            evaluations["test"] = evaluate_scenes(ScenePredictor(model, card, f.folder), dataset, "test")
        return card, evaluations

    def _calibrated(self, f: Fit, material: SceneMaterial, card: Card, record: RunRecord) -> Card:
        judge, known = f.judge, material.validation or ()
        if (
            isinstance(judge, SceneJudge)
            and material.heads.classes
            and any(k.label is not None for k in known)
        ):
            card = replace(card, temperature=fit_temperature(*judge.class_logits(f.plain)))
        record.add(temperature=card.temperature)
        return card
