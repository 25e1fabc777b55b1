"""What answers on the command line: a Bundle or a pipeline file, without torch, or the folder of a training run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.runtime.predictor import BundlePredictor
    from assay.runtime.scene_predictor import BundleScenePredictor
    from assay.runtime.sequence import SequencePredictor
    from assay.train.predictor import CheckpointPredictor
    from assay.train.scene_predictor import ScenePredictor

    Answerer = (
        BundlePredictor | BundleScenePredictor | SequencePredictor | CheckpointPredictor | ScenePredictor
    )


def load_answerer(
    name: str | Path,
    *,
    threads: int | None = None,
    engine: str = "onnxruntime",
    precision: str = "fp32",
    exact_decode: bool = False,
    measure: bool = True,
) -> Answerer:
    """The network behind a name, ready to answer; torch is imported for a run folder alone.

    Parameters
    ----------
    name : a .bundle file, a pipeline file (.toml), or a run folder.
    threads : threads inside one operator; by the number of cores when not given.
    engine, precision, exact_decode, measure : as ``runtime.load.load``; a run folder answers by its checkpoint, and
        decodes pictures as it learned from them.

    Raises
    ------
    ConfigError : there is no such thing, or a folder that is no finished run; another engine, precision or decoding of
        a run folder. Others: as ``runtime.load.load`` and ``train.predictor.load_run``.
    """
    place = Path(name)
    if not place.exists():
        raise ConfigError(
            f"{place} does not exist", fix="name a .bundle file, a run folder, or a .toml that joins several"
        )
    if not place.is_dir():
        from assay.runtime.load import load  # noqa: PLC0415

        return load(
            place,
            threads=threads,
            engine=engine,
            precision=precision,
            exact_decode=exact_decode,
            measure=measure,
        )
    if engine not in ("auto", "onnxruntime") or precision not in ("fp32", "any"):
        raise ConfigError(
            "a run folder answers by its checkpoint, in fp32",
            got=f"--engine {engine} --precision {precision}",
            fix="pack it first: `assay export`",
        )
    if exact_decode:
        raise ConfigError(
            "a run folder decodes pictures as it learned from them",
            got="--exact-decode",
            fix="leave it out, or pack it first: `assay export`",
        )
    from assay.train.predictor import load_run  # noqa: PLC0415 - torch

    found = load_run(place)
    if threads is not None:
        import torch  # noqa: PLC0415

        torch.set_num_threads(threads)
    return found


def require_score(score: float | None, flag: str) -> None:
    """Raise ConfigError unless a score from which things are told is one; None is fine."""
    if score is not None and not 0 <= score < 1:
        raise ConfigError(
            f"{flag} needs a number from 0 up to, but not, 1", got=f"{score:g}", fix=f"e.g. {flag} 0.5"
        )
