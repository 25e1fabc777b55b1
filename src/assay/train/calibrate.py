"""`calibrate`: when a finished run holds its answers back, fitted anew: other promises, or other pictures.

`train` fits thresholds at its end, on validation pictures that have also chosen weights and temperature. Here they are
fitted with other wishes (`risk`, `coverage`, ...), or on fresh labelled pictures, which nothing was chosen with. The
pictures walk the answer corridor, so thresholds see exactly what a prediction sees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.configs import ReadConfig
from assay.data.own_pictures import own_pictures
from assay.data.read import read_dataset
from assay.decide.abstention import Abstention, fit_abstention
from assay.decide.stored import save_abstention, to_parts
from assay.decide.unknown import choose_reference
from assay.decide.words import cautions, promises
from assay.errors import AssayError, ConfigError, DatasetError
from assay.metrics.evaluate import model_targets
from assay.train.folder import read_json
from assay.train.predictor import CheckpointPredictor, load_classifier
from assay.train.reference import Ends, group_names
from assay.types import Dataset, Doubt
from assay.verb_configs import AbstainConfig

Progress = Callable[[str, int, int], None]
"""Called with (what is done, pictures done, pictures in all)."""


@dataclass(frozen=True)
class Calibrated:
    """Thresholds that were written into a run folder, with what to know about them."""

    folder: Path
    abstention: Abstention
    warnings: tuple[str, ...] = ()

    @property
    def promises(self) -> list[str]:
        """What is promised, in sentences."""
        return promises(self.abstention)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain, _ = to_parts(self.abstention)
        unknown = self.abstention.unknown
        return {
            "run": str(self.folder),
            **{name: plain[name] for name in ("config", "calibration", "threshold", "sets")},
            "unknown": None
            if unknown is None
            else {
                "reference": len(unknown.reference),
                "units": unknown.units,
                "can_alarm": unknown.can_alarm,
            },
            "promises": self.promises,
            "warnings": list(self.warnings),
        }


def calibrate(
    run: str | Path | Any,
    *,
    data: str | Path | Dataset | None = None,
    part: str | None = None,
    read: ReadConfig | None = None,
    on_progress: Progress | None = None,
    **options: Any,
) -> Calibrated:
    """Fit when the classes of a classifier are held back, and write it into the run folder; `export` takes it along.

    Parameters
    ----------
    run : a finished run's folder, or what ``train`` returned.
    data : labelled pictures that the network was not trained on; the run's own when not given.
    part : of these pictures; "validation" of the run's own, all of others, when not given.
    read : how ``data`` is read, where it is a path.
    options : fields of AbstainConfig: risk, confidence, coverage, false_alarm, unit, neighbours.

    Raises
    ------
    ConfigError : no finished run, no such part, the pictures that it was trained on, a wrong option.
    DatasetError : a label is unknown to the network, or no labelled picture can be read.
    """
    config = AbstainConfig.from_dict(options)
    folder = Path(getattr(run, "folder", run))
    predictor = load_classifier(folder)
    record = read_json(folder / "run.json") if (folder / "run.json").is_file() else {}
    own, whole = data is None, _pictures(folder, record, data, read)
    if own and part == "train":
        raise ConfigError(
            "the network was trained on these pictures, so nothing could be promised of others",
            got="part train",
            fix="use the validation part, or give other pictures with --data",
        )
    chosen = _part_of(whole, part, own=own)
    chosen, strangers = (chosen, []) if own else _without_training(chosen, folder, record)
    seen, targets, unreadable = _look_at_labelled(predictor, chosen, on_progress)
    reference, told = _reference(predictor, folder, record, on_progress)
    about = {
        "dataset": whole.name,
        "part": part or ("validation" if own else "all"),
        "split_hash": whole.split_hash,
        "unreadable": unreadable,
        "chose_weights": own and (part or "validation") == "validation",
    }
    abstention = fit_abstention(
        *seen,
        targets.codes,
        targets.groups,
        reference,
        predictor.card.temperature,
        config,
        classes=predictor.classes,
        about=about,
    )
    save_abstention(abstention, folder)
    return Calibrated(folder, abstention, (*strangers, *told, *cautions(abstention), *_of_test(own, part)))


def _pictures(
    folder: Path,
    record: dict[str, Any],
    data: str | Path | Dataset | None,
    read: ReadConfig | None,
) -> Dataset:
    if data is None:
        return own_pictures(folder, record)
    return data if isinstance(data, Dataset) else read_dataset(data, read or ReadConfig())


def _part_of(dataset: Dataset, part: str | None, *, own: bool) -> Dataset:
    if not own:
        return dataset if part in (None, "all") else dataset.part(str(part))
    part = part or "validation"
    if part == "validation" and part not in dataset.parts:
        raise ConfigError(
            "this run has no validation part, so nothing was kept to calibrate on",
            got=", ".join(f"{name} ({n})" for name, n in dataset.parts.items()),
            fix="give labelled pictures that it was not trained on with --data",
        )
    return dataset.part(part)


def _without_training(dataset: Dataset, folder: Path, record: dict[str, Any]) -> tuple[Dataset, list[str]]:
    """The pictures that the run did not train on, by their files' places, and what to tell of the others."""
    try:
        train = own_pictures(folder, record).part("train")
    except AssayError:
        return dataset, []
    known = {(train.root / str(path)).resolve() for path in train.table["path"].to_pylist()}
    paths = [(dataset.root / str(path)).resolve() for path in dataset.table["path"].to_pylist()]
    fresh = np.array([path not in known for path in paths], dtype=bool)
    if fresh.all():
        return dataset, []
    if not fresh.any():
        raise ConfigError(
            f"the network was trained on every picture of {dataset.name}, so nothing could be promised of others",
            got=f"{len(dataset)} pictures",
            fix="give labelled pictures that it has not seen",
        )
    left = int((~fresh).sum())
    return dataset.select(fresh), [f"{left:,} of these pictures were trained on and are left out."]


@dataclass(frozen=True)
class _Targets:
    codes: NDArray[np.int64]
    groups: list[str | None] | None


class Watcher:
    """Stands where thresholds stand in the answer corridor, and keeps what they would see."""

    def __init__(self) -> None:
        self.logits: list[NDArray[Any]] = []
        self.embedding: list[NDArray[Any]] = []

    def doubt(
        self, probs: NDArray[np.float32], logits: NDArray[Any], embedding: NDArray[Any]
    ) -> Sequence[Doubt | None]:
        """Keep logits (B, K) and embedding (B, F); no opinion."""
        self.logits.append(logits)
        self.embedding.append(embedding)
        return [None] * len(probs)


def _look(
    predictor: CheckpointPredictor, dataset: Dataset, what: str, on_progress: Progress | None
) -> tuple[Ends, NDArray[np.bool_]]:
    """((logits, embedding) of the pictures that can be read, (N,) which these are)."""
    watcher, read = Watcher(), np.zeros(len(dataset), bool)
    paths = (dataset.root / str(path) for path in dataset.table["path"].to_pylist())
    for i, prediction in enumerate(predictor.observe(paths, watcher)):
        read[i] = prediction.error is None
        if on_progress is not None:
            on_progress(what, i + 1, len(dataset))
    if not read.any():
        return (np.empty((0, len(predictor.classes)), np.float32), np.empty((0, 0), np.float32)), read
    return (np.concatenate(watcher.logits), np.concatenate(watcher.embedding)), read


def _look_at_labelled(
    predictor: CheckpointPredictor, dataset: Dataset, on_progress: Progress | None
) -> tuple[Ends, _Targets, int]:
    """(logits and embedding, targets and groups, how many cannot be read) of the labelled pictures."""
    codes = model_targets(dataset, predictor.classes)
    labelled, codes = dataset.select(codes >= 0), codes[codes >= 0]
    if not len(labelled):
        raise DatasetError(
            f"no picture of {dataset.name} has a label, so nothing can be promised",
            got=f"{len(dataset)} pictures without label",
            fix="add a label column",
        )
    seen, read = _look(predictor, labelled, "calibrate", on_progress)
    if not read.any():
        raise DatasetError(
            f"none of the {len(read)} pictures of {dataset.name} can be read",
            fix="run `assay check` on the data set",
        )
    groups = group_names(labelled)
    kept = None if groups is None else [name for name, fine in zip(groups, read, strict=True) if fine]
    return seen, _Targets(codes[read], kept), int((~read).sum())


def _reference(
    predictor: CheckpointPredictor, folder: Path, record: dict[str, Any], on_progress: Progress | None
) -> tuple[Ends | None, list[str]]:
    """Training pictures for unknown-ness, and what to tell where they are gone."""
    gone = "The run's training pictures are not where they were, so unknown pictures are not looked for."
    try:
        train = own_pictures(folder, record).part("train")
    except AssayError:
        return None, [gone]
    codes = train.targets
    labelled = np.flatnonzero(codes >= 0)
    rows = labelled[choose_reference(codes[labelled])]
    seen, read = _look(predictor, train.take(rows), "training pictures", on_progress)
    if not read.any():
        return None, [gone]
    missing = int((~read).sum())
    return seen, [
        f"{missing:,} training pictures cannot be read and are not compared with."
    ] if missing else []


def _of_test(own: bool, part: str | None) -> list[str]:
    if own and part == "test":
        return [
            "The test part has now chosen thresholds: it is no longer the last word on this run's promises."
        ]
    return []
