"""``compare_models``: several networks on the same data and split, each with several seeds, measured with care.

Every run is an ordinary one in ``OUT/runs``. They go seed by seed over all networks, so that a comparison that is cut
short is still balanced. The same call goes on where an earlier one stopped.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from assay.configs import Recipe
from assay.errors import AssayError, ConfigError
from assay.export.export import export
from assay.runtime.load import load
from assay.train.folder import ask, lock_folder
from assay.train.jobs import recipe_for
from assay.train.material import read
from assay.train.scene_heads import choose_heads, count_heads
from assay.train.settle import DEFAULT_MINUTES, settle
from assay.trials.conclude import conclude
from assay.trials.data_facts import data_facts
from assay.trials.latency import Predictor, measure_latency
from assay.trials.lineup import Contender, check_networks, line_up, sized
from assay.trials.request import Request, ask_for
from assay.trials.row import Row
from assay.trials.scale import Ends
from assay.trials.series import Series, prepare, warm_up
from assay.trials.trials import FILE, Network, Trials
from assay.types import Dataset

GO_ON = "the same command goes on where it stopped"


def compare_models(
    data: str | Path | Dataset,
    models: Sequence[str],
    out: str | Path | None = None,
    *,
    equal: str | None = None,
    seeds: int = 3,
    params: int | None = None,
    flops: int | None = None,
    tune: bool = False,
    tune_minutes: float = 5.0,
    reference: str | None = None,
    latency: bool = True,
    show: bool = False,
    **options: Any,
) -> Trials:
    """Compare networks on the same data and split.

    Parameters
    ----------
    data : a folder with one folder a class, a CSV or Parquet table, or a Dataset. It is split once.
    models : at least two networks, each ``NAME`` or ``NAME:option=value:option=value`` with options of its own.
    out : the comparison's folder; ``comparisons/NAME`` when not given. An earlier one of the same request goes on:
        finished runs are kept, an interrupted one is resumed, failed ones are tried again. More seeds and more
        networks may be added to it.
    equal : "params" or "flops": the width of every network is searched so that all have about as many parameters, or
        multiply-adds a picture, as ``params`` or ``flops`` says, or as the first network has. "minutes": every run
        gets the same ``minutes``. None: networks are as they are.
    seeds : how often each network is trained, with seeds 0, 1, ...
    tune : search depth, width, optimiser and learning rate first, ``tune_minutes`` a network, on validation alone.
    reference : a network that all others are tested against, beside the best.
    latency : also export every network and measure how long a picture takes.
    show : say on standard error what goes on.
    options : any option of ``train`` for all networks, e.g. ``epochs=20, size=64``.

    Raises
    ------
    ConfigError, DatasetError : with what, got and fix. A network that cannot be trained is a failed row, no error.
    KeyboardInterrupt : Ctrl-C; what is done is kept.
    """
    begun = time.monotonic()
    request = ask_for(
        data,
        models,
        equal=equal,
        seeds=seeds,
        params=params,
        flops=flops,
        tune=tune,
        tune_minutes=tune_minutes,
        reference=reference,
        options=options,
    )
    stem = data.name if isinstance(data, Dataset) else Path(data).expanduser().resolve().stem
    folder = Path(out) if out is not None else Path("comparisons") / (f"{stem}-{equal}" if equal else stem)
    check_networks(request)
    earlier = _open(folder, request)
    with lock_folder(folder):
        comparison = _Comparison(request, folder, earlier, begun, show=show)
        try:
            return comparison.run(data, latency=latency)
        except KeyboardInterrupt:
            comparison.save("interrupted")
            raise KeyboardInterrupt(GO_ON) from None


def _open(folder: Path, request: Request) -> Trials | None:
    """Make the folder, or find the earlier comparison in it.

    Raises
    ------
    ConfigError : the folder holds something else, or a comparison of another request.
    """
    if (folder / FILE).is_file():
        earlier = Trials.load(folder)
        if other := request.differences(earlier.request):
            raise ConfigError(
                f"{folder} holds another comparison", got="; ".join(other), fix="choose another --out"
            )
        return earlier
    kept = [path for path in folder.iterdir() if path.name != ".lock"] if folder.is_dir() else []
    if kept or (folder.exists() and not folder.is_dir()):
        raise ConfigError(f"{folder} is not empty", got="no comparison", fix="choose another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be made", got=error.strerror, fix="choose another --out"
        ) from error
    return None


class _Comparison:
    """The work of one call, and what is known so far."""

    def __init__(
        self, request: Request, folder: Path, earlier: Trials | None, begun: float, *, show: bool
    ) -> None:
        self.request, self.folder, self._begun, self._show = request, folder, begun, show
        self._before = earlier.seconds if earlier else 0.0
        self.trials: Trials | None = None

    def run(self, data: str | Path | Dataset, *, latency: bool) -> Trials:
        """Prepare, tune, train everything, measure, conclude."""
        self._say("read, check and decode the pictures")
        warm_up()
        dataset = read(data, ask(self.request.options))
        heads = choose_heads(dataset, ask(self.request.options).model.heads)
        ends: Ends = len(dataset.classes) if heads == ("class",) else count_heads(dataset, heads)
        if heads != ("class",):  # with classes alone it was told before the data was read
            check_networks(self.request, ends)
        material = prepare(dataset, self._recipes(dataset))
        series = self._series(data, dataset, material)
        contenders = line_up(self.request, ends)
        facts = data_facts(material.dataset, heads)
        self.trials = Trials(self.folder, self.request.to_dict(), facts, warnings=material.warnings)
        self._note(contenders, {})
        self.save("running")
        tuned: dict[str, dict[str, Any]] = {}
        if self.request.tune:
            contenders, tuned = self._tune(material.dataset, ends, contenders)
        self._note(contenders, tuned)
        self._train_all(series, contenders)
        self.trials = conclude(replace(self.trials, warnings=tuple(series.warnings)))
        if latency:
            self._measure_latency()
        self.save("finished")
        return self.trials

    def save(self, status: str) -> None:
        """Write what is known so far."""
        if self.trials is not None:
            seconds = self._before + time.monotonic() - self._begun
            self.trials = replace(self.trials, status=status, seconds=seconds)
            self.trials.save()

    def _recipes(self, dataset: Dataset) -> list[Recipe]:
        """Settled recipes of all networks; one that contradicts itself is told later, as a failed row."""
        found = []
        for entrant in self.request.entrants:
            with contextlib.suppress(ConfigError):
                found.append(settle(recipe_for(dataset, self.request.options_of(entrant))))
        return found or [settle(recipe_for(dataset, self.request.options))]

    def _series(self, data: str | Path | Dataset, dataset: Dataset, material: Any) -> Series:
        """Runs on the data as they were found: a table that the split was dealt from keeps its salt."""
        salt = material.dataset.split.get("salt")
        fixed = {} if salt is None else {"salt": salt}
        where = data if isinstance(data, Dataset) else Path(data).expanduser()
        split_hash, recipe = material.dataset.split_hash, partial(recipe_for, dataset)
        return Series(self.folder, where, split_hash, fixed, list(material.warnings), recipe)

    def _note(self, contenders: list[Contender], tuned: dict[str, dict[str, Any]]) -> None:
        """The networks as they will be trained."""
        assert self.trials is not None
        networks = tuple(
            Network(
                c.name,
                c.entrant.model,
                c.entrant.family,
                {k: v for k, v in c.options.items() if self.request.options.get(k) != v and k != "model"},
                c.parameters,
                c.macs,
                c.note,
                c.failed,
                tuned.get(c.name),
            )
            for c in contenders
        )
        self.trials = replace(self.trials, networks=networks)

    def _tune(
        self, dataset: Dataset, ends: Ends, contenders: list[Contender]
    ) -> tuple[list[Contender], dict[str, dict[str, Any]]]:
        from assay.trials.tune import tune  # noqa: PLC0415 - optuna, for those who tune

        found, told = [], {}
        for contender in contenders:
            if contender.failed:
                found.append(contender)
                continue
            self._say(
                f"tune {contender.name}: up to {self.request.tune_minutes:g} minutes, on validation alone"
            )
            study = tune(self.request, contender, dataset, ends, self.folder / "tune", say=self._say)
            told[contender.name] = study.to_dict()
            found.append(sized(replace(contender, options=study.options), ends))
        return found, told

    def _train_all(self, series: Series, contenders: list[Contender]) -> None:
        """Seed by seed over all networks."""
        assert self.trials is not None
        order = [(seed, contender) for seed in range(self.request.seeds) for contender in contenders]
        rows = [Row(contender.name, seed) for seed, contender in order]
        self.trials = replace(self.trials, rows=tuple(rows))
        self.save("running")
        for i, (seed, contender) in enumerate(order):
            left = [c.name for _, c in order[i:] if not c.failed]
            self._say(f"run {i + 1} of {len(order)}: {contender.name}, seed {seed}{self._left(series, left)}")
            rows[i] = series.run(contender, seed, show=self._show and sys.stderr.isatty())
            if rows[i].status == "failed":
                self._say(f"  failed: {rows[i].reason}")
            self.trials = replace(self.trials, rows=tuple(rows))
            self.save("running")

    def _left(self, series: Series, names: list[str]) -> str:
        options = self.request.options
        minutes = options.get("minutes", None if options.get("epochs") else DEFAULT_MINUTES)
        seconds = series.estimate_s(names, minutes)
        if seconds is None:
            return ""
        return (
            f" (about {seconds:.0f} s left)" if seconds < 100 else f" (about {seconds / 60:.0f} minutes left)"
        )

    def _measure_latency(self) -> None:
        assert self.trials is not None
        predictors: dict[str, Predictor] = {}
        found: dict[str, dict[str, Any]] = {}
        for network in self.trials.networks:
            run = next((r.run for r in self.trials.rows if r.network == network.name and r.is_finished), None)
            if run is None:
                continue
            self._say(f"export {network.name}")
            try:
                predictors[network.name] = _bundle(self.folder, run)
            except AssayError as error:
                found[network.name] = {"reason": error.what}
        found |= {name: latency.to_dict() for name, latency in measure_latency(predictors).items()}
        networks = (replace(n, latency=found.get(n.name)) for n in self.trials.networks)
        self.trials = replace(self.trials, networks=tuple(networks))

    def _say(self, text: str) -> None:
        if self._show:
            print(text, file=sys.stderr, flush=True)  # noqa: T201 - progress, asked for


def _bundle(folder: Path, run: str) -> Predictor:
    """The Bundle of a run, made once."""
    source, place = folder / run, folder / "bundles" / f"{Path(run).name}.bundle"
    if not place.is_file() or place.stat().st_mtime < (source / "card.json").stat().st_mtime:
        export(source, place)
    return load(place, check=False)  # type: ignore[return-value]  # a Bundle, no pipeline file
