"""``assay.load("X.bundle")``: from a file to something that answers. No torch anywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from assay.bundle import ABSTENTION, GOLDEN, Bundle, load_bundle
from assay.errors import BundleError, ConfigError
from assay.runtime.choose import AUTO, chosen
from assay.runtime.precisions import ANY, graph_of, require_precision_of
from assay.runtime.predictor import BundlePredictor
from assay.runtime.scene_predictor import BundleScenePredictor
from assay.tables import ENGINES

if TYPE_CHECKING:
    from assay.decide.abstention import Abstention
    from assay.runtime.engines.engine import Engine
    from assay.runtime.sequence import SequencePredictor

PIPELINE_FILE = ".toml"
"""The ending of a file that joins models in sequence."""


def load(
    path: str | Path,
    *,
    engine: str = "onnxruntime",
    precision: str = "fp32",
    threads: int | None = None,
    check: bool = True,
    exact_decode: bool = False,
    measure: bool = True,
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
    engine : what computes the network; a name of ``assay.tables.ENGINES``, or "auto" for the fastest here: those that
        are installed are measured for some seconds, once for each Bundle and machine.
    precision : "fp32"; "bf16" or "int8" where the Bundle passed their gate at export; "any" for the fastest of them.
    threads : threads inside one operator; the cores this process may use when not given.
    exact_decode : decode JPEG files whole, also where the Bundle decodes them smaller.
    measure : False, for a few pictures: nothing is measured or looked up; "auto" is then ONNX Runtime in fp32.
    check : answer the golden pictures first and compare. They are a few; a Bundle that was checked on this
        machine can be loaded without.

    Raises
    ------
    ConfigError : no such file, a run folder in place of a Bundle, an unknown engine or one that is not installed, a
        precision that the Bundle did not pass, a mistake in a pipeline file.
    BundleError : damaged, newer than this program, or not answering as it did when exported.
    """
    if not isinstance(path, str | Path):
        raise ConfigError("a Bundle is named by its path", got=type(path).__name__, fix='load("X.bundle")')
    if engine != AUTO:
        ENGINES.load(engine)  # a typing error is told before a large file is read
    how = {"engine": engine, "precision": precision, "threads": threads, "measure": measure}
    if Path(path).suffix.lower() == PIPELINE_FILE:
        from assay.runtime.sequence import load_sequence  # noqa: PLC0415 - most load one Bundle

        return load_sequence(Path(path), check=check, exact_decode=exact_decode, **how)
    bundle = load_bundle(path)
    try:
        predictor = _predictor(bundle, open_engine(bundle, **how), exact_decode=exact_decode)  # type: ignore[arg-type]
        if check:
            predictor.check(bundle.member(GOLDEN))
    except BundleError as error:
        named = error.what if str(path) in error.what else f"{path}: {error.what}"
        raise BundleError(named, got=error.got, fix=error.fix) from error
    return predictor


def _predictor(
    bundle: Bundle, engine: Engine, *, exact_decode: bool
) -> BundlePredictor | BundleScenePredictor:
    card = bundle.card
    if exact_decode:
        card = replace(card, preprocess=replace(card.preprocess, decode="exact"))
    if card.task == "scene":
        return BundleScenePredictor(card, engine, digest=bundle.digest, path=bundle.path)
    _require_class(engine)
    return BundlePredictor(
        card, engine, digest=bundle.digest, path=bundle.path, abstention=_abstention(bundle)
    )


def open_engine(
    bundle: Bundle, engine: str, precision: str, *, threads: int | None = None, measure: bool = True
) -> Engine:
    """The engine that computes a Bundle's network. Takes and raises what ``load`` does."""
    if precision != ANY:
        require_precision_of(bundle, precision)
    if engine == AUTO or precision == ANY:
        engine, precision = chosen(bundle, engine, precision, measure=measure)
    opened: Engine = ENGINES.load(engine)(graph_of(bundle, precision), threads=threads, precision=precision)
    return opened


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
