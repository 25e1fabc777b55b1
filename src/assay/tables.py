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
        "coco": "assay.data.formats.coco:FORMAT",
        "yolo": "assay.data.formats.yolo:FORMAT",
        "voc": "assay.data.formats.voc:FORMAT",
        "mask-png": "assay.data.formats.mask_png:FORMAT",
    },
)

MODELS = Table(
    "model",
    {
        "cnn": "assay.models.cnn:build_cnn",
        "csp-nano": "assay.models.csp:build_csp_nano",
        "csp-small": "assay.models.csp:build_csp_small",
        "csp-base": "assay.models.csp:build_csp_base",
        "resnet9": "assay.models.resnet9:build_resnet9",
        "rnn-bilstm": "assay.models.rnn_rows:build_bilstm",
        "rnn-bigru": "assay.models.rnn_rows:build_bigru",
        "rnn-renet": "assay.models.rnn_renet:build_renet",
        "rnn-mingru": "assay.models.rnn_mingru:build_mingru",
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

CHECKUPS = Table(
    "checkup",
    {
        "files": "assay.audit.checkups.files:check_files",
        "duplicates": "assay.audit.checkups.duplicates:check_duplicates",
        "parts": "assay.audit.checkups.parts:check_parts",
        "classes": "assay.audit.checkups.classes:check_classes",
        "objects": "assay.audit.checkups.objects:check_objects",
        "groups": "assay.audit.checkups.groups:check_groups",
        "shortcuts": "assay.audit.checkups.shortcuts:check_shortcuts",
        "labels": "assay.audit.checkups.labels:check_labels",
        "power": "assay.audit.checkups.power:check_power",
    },
)

EXPLANATIONS = Table(
    "explanation",
    {
        "grad-cam": "assay.explain.cam:grad_cam",
        "grad-cam++": "assay.explain.cam:grad_cam_plus_plus",
        "layer-cam": "assay.explain.cam:layer_cam",
        "score-cam": "assay.explain.cam:score_cam",
        "occlusion": "assay.explain.occlusion:occlusion",
        "input-gradient": "assay.explain.gradients:input_gradient",
    },
)

ENGINES = Table(
    "engine",
    {
        "onnxruntime": "assay.runtime.engines.onnxruntime:OnnxRuntimeEngine",
        "onnxruntime-cuda": "assay.runtime.engines.onnxruntime:OnnxRuntimeCudaEngine",
        "openvino": "assay.runtime.engines.openvino:OpenVinoEngine",
    },
)

EXPORTERS = Table(
    "exporter",
    {
        "onnx": "assay.export.plain:write_onnx",
        "openvino": "assay.export.openvino:write_openvino",
        "torch-export": "assay.export.torch_program:write_torch_program",
    },
)

COMMANDS = Table(
    "command",
    {
        "train": "assay.cli.commands.train:COMMAND",
        "evaluate": "assay.cli.commands.evaluate:COMMAND",
        "export": "assay.cli.commands.export:COMMAND",
        "predict": "assay.cli.commands.predict:COMMAND",
        "screen": "assay.cli.commands.screen:COMMAND",
        "enrol": "assay.cli.commands.enrol:COMMAND",
        "serve": "assay.cli.commands.serve:COMMAND",
        "keys": "assay.cli.commands.keys:COMMAND",
        "verify-record": "assay.cli.commands.verify_record:COMMAND",
        "revise": "assay.cli.commands.revise:COMMAND",
        "promote": "assay.cli.commands.promote:COMMAND",
        "rollback": "assay.cli.commands.rollback:COMMAND",
        "bench": "assay.cli.commands.bench:COMMAND",
        "report": "assay.cli.commands.report:COMMAND",
        "calibrate": "assay.cli.commands.calibrate:COMMAND",
        "compare": "assay.cli.commands.compare:COMMAND",
        "explain": "assay.cli.commands.explain:COMMAND",
        "features": "assay.cli.commands.features:COMMAND",
        "audit": "assay.cli.commands.audit:COMMAND",
        "show": "assay.cli.commands.show:COMMAND",
        "check": "assay.cli.commands.check:COMMAND",
        "split": "assay.cli.commands.split:COMMAND",
        "convert": "assay.cli.commands.convert:COMMAND",
        "crops": "assay.cli.commands.crops:COMMAND",
        "cutout": "assay.cli.commands.cutout:COMMAND",
        "render": "assay.cli.commands.render:COMMAND",
        "models": "assay.cli.commands.models:COMMAND",
        "checks": "assay.cli.commands.checks:COMMAND",
    },
)
