"""`train`: from a folder of labelled pictures to a finished run folder."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list

import assay
from assay.bundle import Card
from assay.configs import ModelConfig, Recipe
from assay.errors import AssayError, ConfigError
from assay.train.batch import Shard
from assay.train.begin import begin_fit
from assay.train.checkpoint import load_tensors, save_tensors
from assay.train.folder import (
    RunRecord,
    ask,
    checkpoint_of,
    earlier_recipe,
    go_on,
    new_folder,
    read_json,
    write_json,
)
from assay.train.job import Job
from assay.train.jobs import job_of, recipe_for
from assay.train.loop import Fit, choose, fit
from assay.train.machine import describe_machine, tune_allocator
from assay.train.material import read
from assay.train.record import Recorder
from assay.train.settle import settle
from assay.types import NO_CLASSES, Dataset


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, card, evaluations by part, seconds, and what the checks warned of."""

    folder: Path
    card: Card
    evaluations: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


LEAST_SHARE = 0.3
"""A time-boxed run that has less than this share of its budget for training says so."""


def train(
    data: str | Path | Dataset | None,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    show: bool = False,
    command: Sequence[str] = (),
    begun: float | None = None,
    **options: Any,
) -> Run:
    """Train a network on labelled pictures: a classifier, or any of class, tags, boxes, masks and pixels at once.

    Parameters
    ----------
    data : a folder or table in any format of ``assay.tables.FORMATS``, or a Dataset. May be None with ``resume``.
        What is learned follows from its labels; ``heads`` chooses among them.
    out : the run folder; ``runs/NAME`` when not given.
    resume : go on with an interrupted run in ``out``; gives the same losses as an unbroken one
        (on one CPU bit for bit).
    show : progress bars on standard error.
    command : what to record as the command that started this.
    begun : ``time.monotonic()`` when the work began, where imports shall count in the budget.
    options : any field of Recipe's sections, e.g. ``model="csp-nano", minutes=3, size=128``.

    Raises
    ------
    ConfigError, DatasetError, ModelError : with what, got and fix.
    KeyboardInterrupt : Ctrl-C, after a checkpoint was written.
    """
    begun = time.monotonic() if begun is None else begun
    tune_allocator()
    accelerator = _accelerator()
    values: dict[str, Any] = {}
    if resume:
        if out is None:
            raise ConfigError("resume needs the run's folder", fix="give --out")
        folder = Path(out)
        recipe, values = earlier_recipe(folder, options), read_json(folder / "run.json")
        dataset, command = read(values["data"] if data is None else data, recipe), values["command"]
    else:
        if data is None:
            raise ConfigError("no data given", fix="give a folder or a table")
        dataset = read(data, ask(options))
        recipe = recipe_for(dataset, options)
        folder = _fresh_folder(out, data, recipe, accelerator)
    record = RunRecord(folder, values, begun=begun, writes=accelerator.is_main_process)
    try:
        return _run(
            dataset, _place(data, values), recipe, record, accelerator, show=show, command=list(command)
        )
    except BaseException as error:
        with contextlib.suppress(AssayError):  # a full disk must not hide why the run broke off
            record.end("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
        if isinstance(error, KeyboardInterrupt) and not error.args and checkpoint_of(folder).exists():
            raise KeyboardInterrupt(go_on(folder)) from None
        raise
    finally:
        accelerator.free_memory()


def _accelerator() -> Accelerator:
    """One process, or the one of several that a launcher started; precision is the loop's own choice.

    The main process reads, decodes and evaluates while the others wait, so they wait for long.
    """
    patience = InitProcessGroupKwargs(timeout=timedelta(hours=12))
    cpu = not torch.cuda.is_available()
    return Accelerator(cpu=cpu, mixed_precision="no", kwargs_handlers=[patience])


def _fresh_folder(
    out: str | Path | None, data: str | Path | Dataset, recipe: Recipe, accelerator: Accelerator
) -> Path:
    settle(recipe)  # contradictions are told before a folder is made
    stem = data.name if isinstance(data, Dataset) else Path(data).resolve().stem
    main = accelerator.is_main_process
    folder = [str(new_folder(out, f"{stem}-{recipe.model.model}")) if main else ""]
    return Path(broadcast_object_list(folder)[0])


def _place(data: str | Path | Dataset | None, values: dict[str, Any]) -> str:
    """Where the data lies, for the record."""
    if data is None:
        return str(values["data"])
    return str((data.root if isinstance(data, Dataset) else Path(data)).resolve())


def _run(
    dataset: Dataset,
    place_of_data: str,
    recipe: Recipe,
    record: RunRecord,
    accelerator: Accelerator,
    *,
    show: bool,
    command: list[str],
) -> Run:
    settled = settle(recipe, processes=accelerator.num_processes)
    folder, main = record.folder, accelerator.is_main_process
    salt = record.values.get("split", {}).get("salt")
    if salt is not None:  # a resumed run keeps its split
        settled = replace(settled, split=replace(settled.split, salt=salt))
    place = _saved_place(folder)
    if place:
        record.count_from(place["seconds"])
    record.add(**{**_asked(place_of_data, recipe, command), **record.values, "status": "running"})
    job = job_of(settled)
    with Recorder(folder if main else None, show=show, resume_at=place["step"] if place else 0) as recorder:
        with accelerator.main_process_first():
            recorder.stage("read and check")
            material = job.gather(dataset, settled, recorder)
        _same_data(material, record.values)
        record.add(**{**_found(settled, material), **record.values})
        if main:
            pq.write_table(_split_table(material.dataset), folder / "split.parquet")
            if settled.train.baselines and "baselines" not in record.values:
                record.add(baselines=job.baselines(material, recorder))
        torch.manual_seed(settled.train.seed)
        model, facts = job.build(settled, material, recorder, accelerator.device, fresh=place is None)
        record.add(**{**facts, **record.values})
        shard = Shard(accelerator.process_index, accelerator.num_processes)
        parts = job.parts(model, settled, material, shard, accelerator.device)
        f = begin_fit(model, settled, parts, recorder, accelerator, folder, elapsed=record.seconds)
        record.add(resolved={**record.values["resolved"], **_resolved(f)})
        _warn_of_budget(f, record)
        recorder.stage("train", total=1.0)
        record.keep()
        fit(f)
        return _finish(f, job, material, settled, record)


def _resolved(f: Fit) -> dict[str, Any]:
    return {"precision": "bf16" if f.bf16 else "fp32", "plan": f.plan.to_dict(), "lr": f.lr}


def _warn_of_budget(f: Fit, record: RunRecord) -> None:
    """A budget that preparation has eaten gives a network that learned little: say so."""
    minutes = f.config.minutes
    if minutes is None or f.seconds_left is None or f.seconds_left > LEAST_SHARE * minutes * 60:
        return
    left = max(0.0, f.seconds_left)
    text = (
        f"only {left:.0f} s of {minutes:g} minutes are left for training after reading, decoding and measuring,"
        " and before the final evaluation; give more --minutes (decoded pictures are kept for the next run)"
    )
    record.add(warnings=[*record.values.get("warnings", []), text])
    f.recorder.log("note", text=text)


def _finish(f: Fit, job: Job, material: Any, recipe: Recipe, record: RunRecord) -> Run:
    """Choose weights, calibrate, evaluate, write; the card marks the run as finished."""
    f.recorder.stage("calibrate and evaluate", total=1.0)
    weights, chosen = choose(f)
    f.plain.load_state_dict(weights)
    record.add(chosen=chosen)
    if f.accelerator.is_main_process:
        save_tensors(f.folder / "model.safetensors", weights, {"classes": material.dataset.classes.digest})
    card, evaluations = job.finish(f, material, _card(f, job, material, recipe, record.values), record)
    if f.accelerator.is_main_process:
        for evaluation in evaluations.values():
            evaluation.save(f.folder / "evaluation")
        write_json(f.folder / "card.json", card.to_dict())
    record.end("finished")
    minutes = record.values["minutes"]
    f.recorder.log("done", step=f.place.step, minutes=minutes, chosen=chosen["kept"])
    f.accelerator.wait_for_everyone()
    return Run(f.folder, card, evaluations, record.values["seconds"], tuple(record.values["warnings"]))


def _card(f: Fit, job: Job, material: Any, recipe: Recipe, record: dict[str, Any]) -> Card:
    heads = recipe.model.heads or ()
    wanted = ("command", "split_hash", "split", "machine", "versions", "weights", "resolved", "started")
    return Card(
        task=job.task,
        classes=material.dataset.classes,
        object_classes=material.dataset.object_classes if "boxes" in heads else NO_CLASSES,
        pixel_classes=material.dataset.pixel_classes if "pixels" in heads else NO_CLASSES,
        preprocess=recipe.preprocess,
        model={**_portable(recipe.model), "channels": material.preprocess.channels},
        name=f.folder.name,
        provenance={name: record[name] for name in wanted if name in record},
    )


def _portable(config: ModelConfig) -> dict[str, Any]:
    """ModelConfig for a card that travels: the name of the start weights, not where they lay."""
    values = config.to_dict()
    return {**values, "weights": Path(values["weights"]).name if values["weights"] else None}


def _asked(data: str, recipe: Recipe, command: list[str]) -> dict[str, Any]:
    """What is known before anything is read."""
    return {
        "format": 1,
        "task": job_of(recipe).task,
        "command": command,
        "data": data,
        "recipe": recipe.to_dict(),
        "machine": describe_machine(),
        "versions": {"assay": assay.__version__, "torch": torch.__version__},
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _found(settled: Recipe, material: Any) -> dict[str, Any]:
    """What the data turned out to be."""
    dataset = material.dataset
    return {
        "dataset": dataset.name,
        "resolved": {"train": settled.train.to_dict()},
        "classes": list(dataset.classes),
        "parts": dataset.parts,
        "split": dict(dataset.split),
        "split_hash": dataset.split_hash,
        "tags_hash": _tags_hash(dataset) if "tags" in (settled.model.heads or ()) else None,
        "warnings": list(material.warnings),
    }


def _tags_hash(dataset: Dataset) -> str:
    """16 hex digits over the tags of every row. (The split's hash holds them only beside boxes, masks or pixels.)"""
    total = 0
    for batch in dataset.table.select(["path", "labels"]).to_batches(max_chunksize=4096):
        for row in zip(*(batch.column(c).to_pylist() for c in ("path", "labels")), strict=True):
            digest = hashlib.blake2b(repr(row).encode("utf-8", "surrogateescape"), digest_size=8).digest()
            total += int.from_bytes(digest, "big")
    return f"{total % 2**64:016x}"


def _split_table(dataset: Dataset) -> Any:
    wanted = [name for name in ("path", "label", "part", "group") if name in dataset.table.column_names]
    return dataset.table.select(wanted)


def _saved_place(folder: Path) -> dict[str, Any] | None:
    """Where a checkpoint stands; None when there is none yet."""
    last = checkpoint_of(folder)
    return dict(load_tensors(last)[1]["place"]) if last.exists() else None


def _same_data(material: Any, record: dict[str, Any]) -> None:
    if "split_hash" in record and record["split_hash"] != material.dataset.split_hash:
        raise ConfigError(
            "the data changed since this run began",
            got=f"split hash {material.dataset.split_hash}, was {record['split_hash']}",
            fix="bring the data back, or start a new run",
        )
    if record.get("tags_hash") and record["tags_hash"] != _tags_hash(material.dataset):
        raise ConfigError("the tags changed since this run began", fix="bring them back, or start a new run")
