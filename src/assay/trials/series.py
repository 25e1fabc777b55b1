"""The runs of a comparison: kept where they are finished, resumed where they broke off, told where they fail."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.configs import Recipe
from assay.errors import AssayError, ConfigError, DatasetError
from assay.train.folder import ask, lock_folder, read_json
from assay.train.jobs import job_of
from assay.train.record import Recorder
from assay.train.start import train
from assay.trials.lineup import Contender
from assay.trials.row import Row, failed_row, read_row
from assay.types import Dataset


@dataclass
class Series:
    """The runs of a comparison. ``fixed`` are options that every run gets beside its own (the split's salt).

    ``recipe`` gives the recipe that ``train`` makes of options for this data. ``seconds`` notes how long a run of each
    network takes, for the estimate of the time that is left.
    """

    folder: Path
    data: str | Path | Dataset
    split_hash: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    recipe: Callable[[Mapping[str, Any]], Recipe] = ask
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def place(self, contender: Contender, seed: int) -> Path:
        """The folder of one run."""
        return self.folder / "runs" / f"{contender.entrant.slug}-seed{seed}"

    def run(self, contender: Contender, seed: int, *, show: bool = False) -> Row:
        """Train and measure one network with one seed, or read what an earlier call left.

        Raises
        ------
        DatasetError : the data changed, or is broken: that concerns all runs.
        ConfigError : the folder holds a run of other options.
        KeyboardInterrupt : Ctrl-C, after a checkpoint was written.
        """
        place = self.place(contender, seed)
        options = {"baselines": False, **contender.options, **self.fixed, "seed": seed}
        if contender.failed:
            return Row(contender.name, seed, "failed", contender.failed)
        if not _is_finished(place):
            begun = time.monotonic()
            try:
                self._train(place, options, show=show)
            except DatasetError:
                raise
            except (
                AssayError,
                MemoryError,
                RuntimeError,
            ) as error:  # torch tells all its troubles by RuntimeError
                return failed_row(contender.name, seed, error, self._kept(place))
            self.seconds.setdefault(contender.name, []).append(time.monotonic() - begun)
        record = read_json(place / "run.json")
        _check_same(place, record, self.recipe(options), self.split_hash)
        self._warn(contender.name, record.get("warnings", []))
        return read_row(contender.name, seed, place, self.folder)

    def _train(self, place: Path, options: dict[str, Any], *, show: bool) -> None:
        begun = (place / "run.json").is_file()
        if place.exists() and not begun:  # killed before it had a record
            lock_folder(place).close()
            shutil.rmtree(place)
        data = str(self.data) if not isinstance(self.data, Dataset) else str(self.data.root)
        words = [f"{name}={_word(value)}" for name, value in options.items() if value is not None]
        train(self.data, place, resume=begun, show=show, command=["assay", "train", data, *words], **options)

    def _kept(self, place: Path) -> str:
        return place.relative_to(self.folder).as_posix() if place.exists() else ""

    def _warn(self, name: str, texts: list[str]) -> None:
        """Budget warnings name their network; those of the data were told before the first run."""
        for text in texts:
            if text not in self.warnings and f"{name}: {text}" not in self.warnings:
                self.warnings.append(f"{name}: {text}")

    def estimate_s(self, left: list[str], minutes: float | None) -> float | None:
        """Seconds that runs of the networks ``left`` will take; None before anything is known."""
        if minutes is not None:
            return 60 * minutes * len(left)
        known = {name: sum(times) / len(times) for name, times in self.seconds.items()}
        if not known:
            return None
        usual = sum(known.values()) / len(known)
        return sum(known.get(name, usual) for name in left)


def _word(value: Any) -> str:
    return ",".join(str(v) for v in value) if isinstance(value, list | tuple) else str(value)


def _is_finished(place: Path) -> bool:
    """Whether a run came to its end there; a record that a kill damaged is not one."""
    try:
        record = json.loads((place / "run.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return bool(record.get("status") == "finished") and (place / "card.json").is_file()


def _check_same(place: Path, record: dict[str, Any], recipe: Recipe, split_hash: str) -> None:
    if record["split_hash"] != split_hash:
        raise DatasetError(
            "the data changed since this comparison began",
            got=f"{place.name} has split {record['split_hash']}, the data now {split_hash}",
            fix="bring the data back, or start anew with another --out",
        )
    asked, kept = recipe.to_dict(), Recipe.from_dict(record["recipe"]).to_dict()
    other = [
        f"{name} is {asked[section][name]}, was {kept[section][name]}"
        for section in asked
        for name in asked[section]
        if asked[section][name] != kept[section][name]
    ]
    if other:
        raise ConfigError(
            f"{place} holds a run of other options",
            got="; ".join(other),
            fix="start the comparison anew with another --out",
        )


def prepare(dataset: Dataset, recipes: Iterable[Recipe]) -> Any:
    """The data checked and split, and decoded for every way of preprocessing in the settled ``recipes``.

    So that the first run pays no more for pixels than the others, which matters where minutes are equal. What comes
    back is the material of the job that the recipes ask for.

    Raises
    ------
    DatasetError, ConfigError : as ``train`` does.
    """
    material: Any = None
    done: list[Any] = []
    for recipe in recipes:
        if recipe.preprocess in done:
            continue
        done.append(recipe.preprocess)
        found = job_of(recipe).gather(dataset, recipe, Recorder(None))
        material = material or found
    assert material is not None
    return material


def warm_up() -> None:
    """Import what the first run would import while its clock runs."""
    import torch.utils.tensorboard  # noqa: F401, PLC0415 - a second or two
