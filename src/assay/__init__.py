"""Assay: recognise, find and outline what is in pictures, and say how sure it is.

The public names are found on first use; importing this package imports nothing heavy and changes nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.audit.audit import audit as audit
    from assay.data.convert import convert_dataset as convert_dataset
    from assay.data.crops import cut_crops as cut_crops
    from assay.data.read import read_dataset as read_dataset
    from assay.data.split import split_dataset as split_dataset
    from assay.data.write import write_dataset as write_dataset
    from assay.explain.explain import explain as explain
    from assay.explain.vectors import features as features
    from assay.export.export import export as export
    from assay.metrics.evaluate_any import evaluate as evaluate
    from assay.report.write import write_report as write_report
    from assay.runtime.load import load as load
    from assay.train.calibrate import calibrate as calibrate
    from assay.train.start import train as train
    from assay.trials.compare import compare_models as compare_models
    from assay.trials.pair import compare as compare
    from assay.types import Dataset as Dataset
    from assay.types import Prediction as Prediction
    from assay.types import Sample as Sample

__version__ = "0.1.0.dev0"

_HOMES = {
    "Dataset": "assay.types",
    "Prediction": "assay.types",
    "Sample": "assay.types",
    "audit": "assay.audit.audit",
    "calibrate": "assay.train.calibrate",
    "compare": "assay.trials.pair",
    "compare_models": "assay.trials.compare",
    "convert_dataset": "assay.data.convert",
    "cut_crops": "assay.data.crops",
    "evaluate": "assay.metrics.evaluate_any",
    "explain": "assay.explain.explain",
    "export": "assay.export.export",
    "features": "assay.explain.vectors",
    "load": "assay.runtime.load",
    "read_dataset": "assay.data.read",
    "split_dataset": "assay.data.split",
    "train": "assay.train.start",
    "write_dataset": "assay.data.write",
    "write_report": "assay.report.write",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605 - the table above is the one list of public names


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'assay' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


class _House(ModuleType):
    """`assay.train`, `assay.export` and others are functions, whether or not the rooms of these names are imported.

    Python binds an imported room to its parent package and would hide the function of the same name.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _House
