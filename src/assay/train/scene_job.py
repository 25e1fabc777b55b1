"""The job of a network with several heads: class, tags, boxes, masks and pixels, in any combination."""

from __future__ import annotations

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
from assay.models.scene_models import build_scene_model
from assay.models.scene_start import start_from
from assay.pipeline_scene import told_from
from assay.train.batch import Shard
from assay.train.begin import Parts
from assay.train.folder import RunRecord, weights_facts
from assay.train.job import Job
from assay.train.loop import Fit
from assay.train.record import Recorder
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
        if config.weights is None:
            model = build_scene_model(config, material.heads, channels)
        else:
            model, report = start_from(config, material.heads, channels)
            facts["weights"] = weights_facts(Path(config.weights), report)
            recorder.log("note", text=report.summary())
        facts["parameters"] = sum(p.numel() for p in model.parameters())
        if recipe.train.channels_last:
            channels_last(model)
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
            final=LOOKS * (len(judge or ()) + len(material.test or ())),
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
            evaluations["validation"] = found.at(told_from(card))
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
