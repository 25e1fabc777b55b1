"""``assay.load("X.bundle")``: from a file to something that answers. No torch anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assay.bundle import ABSTENTION, GOLDEN, GRAPH, Bundle, load_bundle
from assay.errors import BundleError, ConfigError
from assay.runtime.predictor import BundlePredictor, Engine
from assay.runtime.scene_predictor import BundleScenePredictor
from assay.tables import ENGINES

if TYPE_CHECKING:
    from assay.decide.abstention import Abstention
    from assay.runtime.sequence import SequencePredictor

PIPELINE_FILE = ".toml"
"""The ending of a file that joins models in sequence."""


def load(
    path: str | Path,
    *,
    engine: str = "onnxruntime",
    threads: int | None = None,
    check: bool = True,
) -> BundlePredictor | BundleScenePredictor | SequencePredictor:
    """A Bundle, or a pipeline file that joins several, checked and ready to answer.

    >>> import assay
    >>> sneakers = assay.load("sneakers.bundle")  # doctest: +SKIP
    >>> sneakers("photo.jpg").label  # doctest: +SKIP
    'low-top'
    >>> assay.load("things.bundle")("photo.jpg").boxes.xyxy  # doctest: +SKIP

    Parameters
    ----------
    path : a file that ``assay export`` wrote, or a pipeline file (``.toml``).
    engine : what computes the network; a name of ``assay.tables.ENGINES``.
    threads : threads inside one operator; the cores this process may use when not given.
    check : answer the golden pictures first and compare. They are a few; a Bundle that was checked on this
        machine can be loaded without.

    Raises
    ------
    ConfigError : no such file, a run folder in place of a Bundle, an unknown engine, a mistake in a pipeline file.
    BundleError : damaged, newer than this program, or not answering as it did when exported.
    """
    if not isinstance(path, str | Path):
        raise ConfigError("a Bundle is named by its path", got=type(path).__name__, fix='load("X.bundle")')
    build = ENGINES.load(engine)
    if Path(path).suffix.lower() == PIPELINE_FILE:
        from assay.runtime.sequence import load_sequence  # noqa: PLC0415 - most load one Bundle

        return load_sequence(Path(path), engine=engine, threads=threads, check=check)
    bundle = load_bundle(path)
    try:
        running = build(bundle.member(GRAPH), threads=threads)
        predictor: BundlePredictor | BundleScenePredictor
        if bundle.card.task == "scene":
            predictor = BundleScenePredictor(bundle.card, running, digest=bundle.digest, path=Path(path))
        else:
            _require_class(running)
            predictor = BundlePredictor(
                bundle.card, running, digest=bundle.digest, path=Path(path), abstention=_abstention(bundle)
            )
        if check:
            predictor.check(bundle.member(GOLDEN))
    except BundleError as error:
        named = error.what if str(path) in error.what else f"{path}: {error.what}"
        raise BundleError(named, got=error.got, fix=error.fix) from error
    return predictor


def load_classifier(path: str | Path, *, threads: int | None = None, check: bool = True) -> BundlePredictor:
    """As ``load``, for what works with the class of the picture alone.

    Raises
    ------
    ConfigError : also where the Bundle tells more than a class, or the file joins several.
    """
    found = load(path, threads=threads, check=check)
    if isinstance(found, BundlePredictor):
        return found
    raise ConfigError(
        f"{path} is no classifier's Bundle",
        got=f"a network that tells {', '.join(found.card.heads)}",
        fix="give the Bundle of a network that tells the class of a picture alone",
    )


def _require_class(engine: Engine) -> None:
    """Raises BundleError where the network is not one that tells a class alone, as its card says."""
    if "logits" not in engine.ends:
        raise BundleError(
            "the network's outputs do not fit the card",
            got=f"outputs {', '.join(engine.ends)}; the card says a class alone",
            fix="export the run again with `assay export`",
        )


def _abstention(bundle: Bundle) -> Abstention | None:
    """The thresholds of a Bundle; None where it holds none.

    Raises
    ------
    BundleError : they are damaged, or were fitted for other classes or another temperature.
    """
    plain = bundle.card.thresholds.get("abstention")
    if plain is None:
        return None
    from assay.decide.stored import from_parts  # noqa: PLC0415 - many Bundles have none

    found = from_parts(plain, bundle.member(ABSTENTION), bundle.card.classes)
    if found.temperature != bundle.card.temperature:
        raise BundleError(
            "the stored thresholds are not valid",
            got=f"they were fitted at temperature {found.temperature:g}, the card has {bundle.card.temperature:g}",
            fix="calibrate again with `assay calibrate RUN`, and export the run again",
        )
    return found
