"""The job of a classifier: pictures with one class each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from assay.bundle import Card
from assay.configs import Recipe
from assay.decide.stored import save_abstention
from assay.errors import ConfigError
from assay.losses.classify import build_loss
from assay.metrics.evaluate import Evaluation, evaluate
from assay.metrics.reliability import fit_temperature
from assay.models.build import build_model
from assay.models.classifier import Classifier
from assay.models.norms import has_folded_norms, reopen_norms
from assay.models.weights import load_weights
from assay.preprocess import Preprocess, scaled
from assay.tables import BASELINES
from assay.train.batch import Batches, Shard, sampling_weights
from assay.train.begin import Parts, stages_of
from assay.train.cache import PictureCache
from assay.train.folder import NORMS_REOPENED, RunRecord, published_facts, weights_facts
from assay.train.job import Job
from assay.train.judge import Judge
from assay.train.loop import Fit
from assay.train.material import Material, class_counts, gather
from assay.train.predictor import CheckpointPredictor
from assay.train.record import Recorder
from assay.train.reference import Ends, fit_at_the_end, look_at_training, reference_count
from assay.train.step import LearnClasses, ToTensors, channels_last
from assay.train.transfer import last_linear, probe_head
from assay.types import Dataset


class ClassifyJob(Job):
    """One class a picture."""

    task = "classify"

    def gather(self, dataset: Dataset, recipe: Recipe, recorder: Recorder) -> Material:
        """As ``Job``."""
        return gather(dataset, recipe, recorder)

    def baselines(self, material: Material, recorder: Recorder) -> dict[str, Any]:
        """As ``Job``: what everyone must beat, measured on the same parts."""
        recorder.stage("baselines")
        found: dict[str, Any] = {}
        for name in BASELINES:
            predictor = BASELINES.load(name)(material.train)
            found[name] = {
                part: evaluate(predictor, material.dataset, part, draws=200).to_dict()["metrics"]
                for part in ("validation", "test")
                if part in material.dataset.parts
            }
        return found

    def build(
        self, recipe: Recipe, material: Material, recorder: Recorder, device: torch.device, *, fresh: bool
    ) -> tuple[Classifier, dict[str, Any]]:
        """As ``Job``."""
        return _build(recipe, material, recorder, device, fresh=fresh)

    def parts(
        self, model: Classifier, recipe: Recipe, material: Material, shard: Shard, device: torch.device
    ) -> Parts:
        """As ``Job``."""
        config, targets, channels = recipe.train, material.train.targets, material.preprocess.channels
        if config.transfer == "frozen":
            _freeze_trunk(model)
        classes = len(material.dataset.classes)
        batches = Batches(
            material.train_pixels,
            targets,
            classes,
            recipe.augment,
            channels=channels,
            batch=config.batch,
            seed=config.seed,
            workers=config.workers or 2,
            weights=sampling_weights(targets, classes) if config.imbalance == "sampling" else None,
            shard=shard,
        )
        loss = build_loss(config, class_counts(material.train)).to(device)
        judge = _judge_of(material, device)
        judged = 0 if judge is None else len(judge)
        return Parts(
            batches,
            LearnClasses(loss, ToTensors(recipe.preprocess, channels, device)),
            judge,
            channels,
            final=judged + (0 if material.test is None else len(material.test)),
            compared=lambda each: reference_count(len(targets), config.minutes, each) if judged else 0,
        )

    def finish(
        self, f: Fit, material: Material, card: Card, record: RunRecord
    ) -> tuple[Card, dict[str, Evaluation]]:
        """As ``Job``."""
        temperature, held = 1.0, None
        if isinstance(f.judge, Judge):
            held = f.judge.ends(f.plain)
            temperature = fit_temperature(held[0], f.judge.targets)
        record.add(temperature=temperature)
        card = replace(card, temperature=temperature)
        evaluations: dict[str, Evaluation] = {}
        if f.accelerator.is_main_process:
            abstains = held is not None and _hold_back(f, material, record, held, temperature)
            predictor = CheckpointPredictor(f.plain.eval(), card, f.folder)
            for part in ("validation", "test"):
                if part in material.dataset.parts:
                    evaluations[part] = evaluate(predictor, material.dataset, part, abstain=abstains)
        return card, evaluations


def _build(
    recipe: Recipe, material: Material, recorder: Recorder, device: torch.device, *, fresh: bool
) -> tuple[Classifier, dict[str, Any]]:
    """(network, facts for the record): built, with its first weights where it starts from some."""
    recorder.stage("build")
    classes, channels = len(material.dataset.classes), material.preprocess.channels
    config = recipe.model if fresh else replace(recipe.model, weights=None, pretrained=False)
    model = build_model(config, classes, channels)
    facts: dict[str, Any] = {"parameters": sum(p.numel() for p in model.parameters())}
    if config.weights is not None:
        path = Path(config.weights)
        report = load_weights(model, path, name=recipe.model.model)
        facts["weights"] = weights_facts(path, report)
        recorder.log("note", text=report.summary())
    if recipe.train.channels_last:
        channels_last(model)
    if not (config.weights or config.pretrained):
        return model, facts
    if config.pretrained:
        facts["weights"] = published_facts(config.model, getattr(model, "published", {}))
    model.to(device)
    preprocess = Preprocess(scaled(recipe.preprocess, _first_side(recipe, model)))
    if has_folded_norms(model):
        recorder.stage("reopen norms")
        reopen_norms(model, _evaluation_batches(material.train_pixels, preprocess, 4, device))
        facts.setdefault("weights", {})["norms"] = NORMS_REOPENED
    if recipe.train.transfer in ("frozen", "probe-then-all"):
        recorder.stage("linear probe")
        held = None
        if material.validation is not None and material.validation_pixels is not None:
            held = (material.validation_pixels, material.validation.targets)
        train = (material.train_pixels, material.train.targets)
        facts["probe"] = probe_head(model, train, held, classes, preprocess, device)
        recorder.log("note", text=f"linear probe: {facts['probe']}")
    return model, facts


def _first_side(recipe: Recipe, model: Classifier) -> int:
    """The side to probe at: that of the first stage, which is cheaper and what the head meets first.

    A head that is all that learns is fitted at the final side.
    """
    frozen = recipe.train.transfer == "frozen"
    return recipe.preprocess.size if frozen else stages_of(recipe, model)[0][0]


def _evaluation_batches(
    cache: PictureCache, preprocess: Preprocess, count: int, device: torch.device, batch: int = 32
) -> Iterator[torch.Tensor]:
    rows = np.random.default_rng(0).permutation(len(cache))[: count * batch]
    for start in range(0, len(rows), batch):
        chunk = rows[start : start + batch]
        pixels = np.stack([preprocess.pixels(cache[int(row)]) for row in chunk])
        yield torch.from_numpy(preprocess.normalise(pixels)).to(device)


def _judge_of(material: Material, device: torch.device) -> Judge | None:
    if material.validation is None or material.validation_pixels is None:
        return None
    return Judge(material.validation_pixels, material.validation.targets, material.preprocess, device)


def _freeze_trunk(model: Classifier) -> None:
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for parameter in last_linear(model).parameters():
        parameter.requires_grad_(True)


def _hold_back(f: Fit, material: Material, record: RunRecord, held: Ends, temperature: float) -> bool:
    """Decide when answers are held back; whether that was possible. A run does not fail for want of thresholds."""
    each = f.judge_s / len(held[0])
    count = reference_count(len(material.train), f.config.minutes, each)
    try:
        reference = look_at_training(f.plain, material, count, f.accelerator.device)
        save_abstention(fit_at_the_end(held, reference, material, temperature), f.folder)
    except ConfigError as error:
        text = f"no thresholds for holding answers back were fitted: {error.what}"
        record.add(warnings=[*record.values.get("warnings", []), text])
        return False
    return True
