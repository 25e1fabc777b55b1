"""A small search for each network, on validation alone: Optuna's TPE (Bergstra et al. 2011) with a time limit.

The recipe itself is the first trial, so tuning can only win by its own measure. A trial is a short run, a quarter of
the real one's budget; what it is judged by is validation accuracy, and among equals the loss; several heads are judged
by their mean score. The test part is taken out of the data before a trial sees them. Trials are kept as they end, so a
search that is broken off goes on.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pyarrow.compute as pc
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from assay.errors import AssayError, DatasetError
from assay.files import write_file
from assay.metrics.scene_evaluation import SceneEvaluation
from assay.train.settle import DEFAULT_MINUTES
from assay.train.start import train
from assay.trials.dials import Dials, read_dials
from assay.trials.evaluations import AnyEvaluation
from assay.trials.lineup import Contender
from assay.trials.request import Request
from assay.trials.row import failed_row
from assay.trials.scale import Ends
from assay.types import Dataset

SHARE = 0.25
"""Budget of a trial, as a share of a real run's."""
LEAST_TRIALS = 6
"""A time-boxed trial is made short enough for so many of them."""
LEAST_MINUTES = 0.05
START_UP = 6
"""Trials that look around before TPE begins to aim."""
MOST_TRIALS = 200


@dataclass(frozen=True)
class Study:
    """What a search found: the options to use, and every trial.

    ``trials`` hold number, point, options, score (accuracy, loss; None where it failed), seconds and reason. Of
    networks of several heads ``accuracy`` is their mean score, and ``loss`` what it lacks of 1.
    """

    options: dict[str, Any]
    best: int
    trials: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "options": self.options,
            "best": self.best,
            "seconds": round(self.seconds, 1),
            "note": self.note,
            "trials": self.trials,
        }


def tune(
    request: Request,
    contender: Contender,
    dataset: Dataset,
    ends: Ends,
    folder: Path,
    *,
    say: Callable[[str], None] = lambda _: None,
) -> Study:
    """Search for one network that ends in ``ends``, up to ``request.tune_minutes``; writes ``folder/NAME.json``.

    Raises
    ------
    DatasetError : there is no validation part to choose by.
    KeyboardInterrupt : Ctrl-C; the trials that ended are kept.
    """
    if "validation" not in dataset.parts:
        raise DatasetError("tuning chooses on validation, and there is none", fix="give --validation 0.15")
    result = folder / f"{contender.entrant.slug}.json"
    if result.is_file():
        values = json.loads(result.read_text("utf-8"))
        return Study(**values)
    folder.mkdir(parents=True, exist_ok=True)
    dials = read_dials(request, contender.options, ends)
    blind = dataset.select(np.asarray(pc.not_equal(dataset.table["part"].cast("string"), "test")))
    with _quiet():
        search = _Search(dials, blind, folder / contender.entrant.slug, request.tune_minutes * 60)
        search.run(say)
    study = search.result()
    text = json.dumps(study.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
    write_file(result, text.encode())
    shutil.rmtree(search.folder, ignore_errors=True)
    return study


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Optuna's own log lines are not for our users."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


class _Search:
    """One study, its clock, and its runs in ``folder``."""

    def __init__(self, dials: Dials, blind: Dataset, folder: Path, limit_s: float) -> None:
        self.folder, self._dials, self._blind, self._limit_s = folder, dials, blind, limit_s
        folder.mkdir(parents=True, exist_ok=True)
        storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
        self._study = optuna.create_study(
            storage=storage, study_name="tune", direction="maximize", load_if_exists=True
        )
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)  # a kill left it
        done = len(self._study.get_trials(deepcopy=False))
        self._study.sampler = optuna.samplers.TPESampler(seed=done, n_startup_trials=START_UP)
        if not done:
            self._study.enqueue_trial(dials.own)

    def run(self, say: Callable[[str], None]) -> None:
        """Trials until the time is up; none is begun that would not fit."""
        while len(self._ended()) < MOST_TRIALS and self._fits():
            trial = self._study.ask()
            point, begun = self._dials.suggest(trial), time.monotonic()
            trial.set_user_attr("point", point)
            value = self._try(trial, point)
            trial.set_user_attr("seconds", round(time.monotonic() - begun, 2))
            self._study.tell(trial, value, state=TrialState.FAIL if value is None else TrialState.COMPLETE)
            say(f"  trial {trial.number}: {_told(trial)}")
            if not self._dials.own:  # nothing to turn
                return

    def _try(self, trial: optuna.Trial, point: dict[str, Any]) -> float | None:
        """The trial's value; None where it cannot be trained."""
        place = self.folder / f"trial-{trial.number}"
        shutil.rmtree(place, ignore_errors=True)
        try:
            options = self._dials.options_at(point)
            trial.set_user_attr("options", _changed(options, self._dials.options))
            run = train(
                self._blind, place, **{"baselines": False, **options, **self._budget(options), "seed": 0}
            )
        except DatasetError:
            raise
        except (AssayError, MemoryError, RuntimeError) as error:
            trial.set_user_attr("reason", failed_row("", 0, error).reason)
            return None
        finally:
            shutil.rmtree(place, ignore_errors=True)
        score = _score(run.evaluations["validation"])
        trial.set_user_attr("score", score)
        return score["accuracy"] - min(score["loss"], 30.0) / 1000

    def _budget(self, options: dict[str, Any]) -> dict[str, Any]:
        """A quarter of the real run; time-boxed trials are short enough for six of them."""
        if options.get("epochs") is not None:
            return {"epochs": max(1, math.ceil(options["epochs"] * SHARE))}
        minutes = min((options.get("minutes") or DEFAULT_MINUTES) * SHARE, self._limit_s / 60 / LEAST_TRIALS)
        return {"minutes": max(LEAST_MINUTES, minutes)}

    def _ended(self) -> list[FrozenTrial]:
        ended = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))
        return list(ended)

    def _fits(self) -> bool:
        """Whether a trial as long as the median one so far ends in time; the first always may."""
        seconds = [trial.user_attrs.get("seconds", 0.0) for trial in self._ended()]
        return not seconds or sum(seconds) + float(np.median(seconds)) <= self._limit_s

    def result(self) -> Study:
        """The best trial's options, or those that were given where no trial did better."""
        ended = self._ended()
        complete = [trial for trial in ended if trial.state == TrialState.COMPLETE]
        best = max(complete, key=lambda t: (t.value or 0.0, -t.number), default=None)
        options = self._dials.options if best is None else self._dials.options_at(best.user_attrs["point"])
        note = ""
        if best is None:
            note = "no trial could be trained, so the options stay as given"
        elif len(complete) < LEAST_TRIALS:
            note = f"only {len(complete)} trials fitted into the time: give more --tune-minutes"
        return Study(
            options=options,
            best=-1 if best is None else best.number,
            trials=[_row(trial) for trial in ended],
            seconds=sum(trial.user_attrs.get("seconds", 0.0) for trial in ended),
            note=note,
        )


def _score(evaluation: AnyEvaluation) -> dict[str, float]:
    """What a trial is judged by."""
    if isinstance(evaluation, SceneEvaluation):
        score = evaluation.score if math.isfinite(evaluation.score) else 0.0
        return {"accuracy": score, "loss": 1 - score}
    return {"accuracy": evaluation.metrics["accuracy"].value, "loss": evaluation.metrics["nll"].value}


def _changed(options: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if given.get(name) != value}


def _row(trial: FrozenTrial) -> dict[str, Any]:
    about = trial.user_attrs
    return {
        "number": trial.number,
        "point": about.get("point", {}),
        "options": about.get("options", {}),
        "score": about.get("score"),
        "seconds": about.get("seconds", 0.0),
        "reason": about.get("reason", ""),
    }


def _told(trial: optuna.Trial) -> str:
    about = trial.user_attrs
    if "score" not in about:
        return f"failed: {about.get('reason', '')}"
    turned = ", ".join(f"{name} {value}" for name, value in about["options"].items()) or "the recipe itself"
    return f"{100 * about['score']['accuracy']:.1f} % on validation with {turned}"
