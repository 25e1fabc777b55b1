"""The run folder: where it is, what its JSON files say, and how a resumed run is held to its own beginning."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from assay.configs import Recipe
from assay.errors import ConfigError
from assay.files import write_file
from assay.models.timm_models import published_preprocess
from assay.models.weights import WeightsReport
from assay.tables import MODELS

try:
    import fcntl
except ImportError:  # Windows has no flock: two runs in one folder are then not noticed
    fcntl = None  # type: ignore[assignment]


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write indented JSON, whole or not at all."""
    write_file(path, json.dumps(dict(values), indent=2, ensure_ascii=False).encode())


def read_json(path: Path) -> dict[str, Any]:
    """The values of a JSON file of ours. Raises ConfigError when it is damaged."""
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read", got=str(error)) from error
    return values


class RunRecord:
    """``run.json`` while a run goes on: facts are added, and the file says how the run ended.

    Parameters
    ----------
    folder : the run folder.
    values : what is known already (of an interrupted run).
    begun : ``time.monotonic()`` of the start of this process's work.
    writes : whether this process writes (the main one of a distributed run).
    """

    def __init__(self, folder: Path, values: Mapping[str, Any], *, begun: float, writes: bool) -> None:
        self.folder, self.values, self._begun, self._writes = folder, dict(values), begun, writes
        self._earlier = float(self.values.get("seconds", 0.0))
        self._worth_keeping = bool(values)
        self._lock = lock_folder(folder) if writes else None

    @property
    def seconds(self) -> float:
        """Seconds of work so far, those before an interruption included."""
        return self._earlier + time.monotonic() - self._begun

    def count_from(self, seconds: float) -> None:
        """Take over the clock of a checkpoint, where a kill left no word in ``run.json``."""
        self._earlier = max(self._earlier, seconds)

    def keep(self) -> None:
        """From here on the folder holds work that is worth keeping, however the run ends."""
        self._worth_keeping = True

    def add(self, **facts: Any) -> None:
        """Add facts and write the file."""
        self.values |= facts
        if self._writes:
            write_json(self.folder / "run.json", self.values)

    def end(self, status: str) -> None:
        """Say how the run ended. A new one that never came to train leaves nothing behind."""
        if self._lock is not None:
            self._lock.close()
        if self._writes and status != "finished" and not self._worth_keeping:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        self.add(status=status, seconds=round(self.seconds, 2), minutes=round(self.seconds / 60, 3))


def lock_folder(folder: Path) -> IO[str]:
    """Hold the folder for this process; the lock goes with the returned file, or with the process.

    Raises
    ------
    ConfigError : another process trains in this folder.
    """
    file = (folder / ".lock").open("w")
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise ConfigError(
                f"another process trains in {folder}", fix="wait for it, or choose another --out"
            ) from None
    return file


def checkpoint_of(folder: Path) -> Path:
    """The checkpoint that --resume goes on from."""
    return folder / "checkpoints" / "last.safetensors"


def go_on(folder: Path) -> str:
    """How an interrupted run goes on."""
    return f"go on with `assay train --resume --out {folder}`"


def new_folder(out: str | Path | None, name: str) -> Path:
    """Make the folder of a new run: ``out``, or ``runs/NAME`` with a number where it is taken.

    Raises
    ------
    ConfigError : ``out`` holds something already, or cannot be made.
    """
    if out is None:
        return _first_free(Path("runs"), name)
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        run = (folder / "run.json").is_file()
        raise ConfigError(
            f"{folder} is not empty",
            got="a run" if run else "other files",
            fix="go on with it by --resume, or choose another --out" if run else "choose another --out",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be made", got=error.strerror, fix="choose another --out"
        ) from error
    return folder


def _first_free(parent: Path, name: str) -> Path:
    """Two runs that start at one moment get two folders: whoever makes a folder first has it."""
    for i in range(1, 100_000):
        folder = parent / (name if i == 1 else f"{name}-{i}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            fix = "name a place that you may write to with --out"
            raise ConfigError(f"{folder} cannot be made", got=error.strerror, fix=fix) from error
        return folder
    raise ConfigError(f"{parent} holds too many runs called {name}", fix="name a folder with --out")


def ask(options: Mapping[str, Any]) -> Recipe:
    """The recipe that was asked for, with absolute paths.

    Published weights bring the mean, std and interpolation that they were trained with, where none are given.
    """
    given = dict(options)
    if given.get("pretrained") and given.get("model", "csp-nano") not in MODELS:
        published = published_preprocess(str(given["model"]))
        if "mean" in given or "std" in given:
            published = {name: value for name, value in published.items() if name not in ("mean", "std")}
        given = {**published, **given}
    return rooted(Recipe.from_options(given))


def rooted(recipe: Recipe) -> Recipe:
    """The recipe with absolute paths, so that a run can be resumed from another folder."""
    root, weights = recipe.read.root, recipe.model.weights
    read = replace(recipe.read, root=str(Path(root).resolve()) if root else None)
    model = replace(recipe.model, weights=str(Path(weights).resolve()) if weights else None)
    return replace(recipe, read=read, model=model)


def weights_facts(path: Path, report: WeightsReport) -> dict[str, str]:
    """What a record says of the weights that a run started from."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"file": path.name, "sha256": digest, "summary": report.summary()}


def published_facts(name: str, published: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says of weights that timm publishes for a network."""
    return {"summary": f"published by timm for {name}", "published": dict(published)}


NORMS_REOPENED = "were folded into the convolutions; reopened on training pictures"
"""What a record says of the norms of such weights."""


def earlier_recipe(folder: Path, options: Mapping[str, Any]) -> Recipe:
    """The recipe of an unfinished run; options given again must be the same.

    Raises
    ------
    ConfigError : no run there, a finished one, or other options than it began with.
    """
    if not (folder / "run.json").is_file():
        raise ConfigError(f"nothing to resume in {folder}", got="no run.json", fix="start without --resume")
    record = read_json(folder / "run.json")
    if record.get("status") == "finished":
        raise ConfigError(f"the run in {folder} has finished", fix="start a new one with another --out")
    recipe = Recipe.from_dict(record["recipe"])
    if options:
        asked = ask(options).to_dict()
        kept = recipe.to_dict()
        other = [
            f"{name} is {asked[section][name]!r}, was {kept[section][name]!r}"
            for section in asked
            for name in asked[section]
            if name in options and _plain(asked[section][name]) != _plain(kept[section][name])
        ]
        if other:
            raise ConfigError(
                "a resumed run keeps its options",
                got="; ".join(other),
                fix="leave them out, or start a new run",
            )
    return recipe


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
