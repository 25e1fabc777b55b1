"""Name -> "module:function", loaded on first use. No registration by import, no side effects.

A newcomer adds one file and one line here; outside packages add entries through the entry-point group
``assay.<table>``, e.g. ``[project.entry-points."assay.models"]``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from assay.errors import ConfigError


def suggest(name: str, known: list[str]) -> str:
    """One sentence of help for an unknown name: the nearest known ones, or all of them."""
    near = difflib.get_close_matches(name, known, n=3)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"choose from {', '.join(sorted(known))}"


class Table(Mapping[str, str]):
    """An ordered table of names whose functions are imported when asked for.

    Parameters
    ----------
    noun : what an entry is called in messages ("model", "format").
    entries : name -> ``"package.module:function"``.
    """

    def __init__(self, noun: str, entries: dict[str, str]) -> None:
        self.noun = noun
        self._own = dict(entries)

    def _all(self) -> dict[str, str]:
        from importlib.metadata import entry_points  # noqa: PLC0415 - only when a name is looked up

        found = {e.name: e.value for e in entry_points(group=f"assay.{self.noun}s")}
        return {**found, **self._own}

    def __getitem__(self, name: str) -> str:
        if name in self._own:
            return self._own[name]
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def load(self, name: str) -> Any:
        """The function behind ``name``.

        Raises
        ------
        ConfigError : the name is unknown; the message suggests the nearest ones.
        """
        try:
            module, _, attribute = self[name].partition(":")
        except KeyError:
            raise ConfigError(f"unknown {self.noun} {name!r}", fix=suggest(name, list(self))) from None
        return getattr(import_module(module), attribute)


FORMATS = Table(
    "format",
    {
        "image-folder": "assay.data.formats.image_folder:FORMAT",
        "table": "assay.data.formats.csv_table:FORMAT",
    },
)

MODELS = Table(
    "model",
    {
        "cnn": "assay.models.cnn:build_cnn",
        "csp-nano": "assay.models.csp:build_csp_nano",
        "csp-small": "assay.models.csp:build_csp_small",
        "csp-base": "assay.models.csp:build_csp_base",
        # every other name is a timm model: assay.models.timm_models:build_timm
    },
)

BASELINES = Table(
    "baseline",
    {
        "majority": "assay.train.baselines:fit_majority",
        "colour-histogram": "assay.train.baselines:fit_colour_histogram",
    },
)

METRICS = Table(
    "metric",
    {
        "accuracy": "assay.metrics.classify:ACCURACY",
        "top5": "assay.metrics.classify:TOP5",
        "macro_f1": "assay.metrics.classify:MACRO_F1",
        "balanced_accuracy": "assay.metrics.classify:BALANCED_ACCURACY",
        "auroc": "assay.metrics.classify:AUROC",
        "nll": "assay.metrics.reliability:NLL",
        "brier": "assay.metrics.reliability:BRIER",
        "ece": "assay.metrics.reliability:ECE",
        "ece_floor": "assay.metrics.reliability:ECE_FLOOR",
    },
)

ENGINES = Table("engine", {"onnxruntime": "assay.runtime.engines.onnxruntime:OnnxRuntimeEngine"})

COMMANDS = Table(
    "command",
    {
        "train": "assay.cli.commands.train:COMMAND",
        "evaluate": "assay.cli.commands.evaluate:COMMAND",
        "export": "assay.cli.commands.export:COMMAND",
        "predict": "assay.cli.commands.predict:COMMAND",
        "report": "assay.cli.commands.report:COMMAND",
        "show": "assay.cli.commands.show:COMMAND",
        "check": "assay.cli.commands.check:COMMAND",
        "split": "assay.cli.commands.split:COMMAND",
        "render": "assay.cli.commands.render:COMMAND",
        "models": "assay.cli.commands.models:COMMAND",
        "checks": "assay.cli.commands.checks:COMMAND",
    },
)
