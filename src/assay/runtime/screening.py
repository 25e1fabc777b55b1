"""From photos to decisions: the networks of a policy answer, and what they say is decided on.

A photo's bytes are read once; every network of the policy answers the same bytes. Nothing is kept: memory stays as it
is however many photos there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.decide.budgets import NO_BUDGETS, Budgets, read_budgets, thresholds_path
from assay.decide.decision import Decision, decide
from assay.decide.evidence import Evidence, answers_of, array_digest, photo_digest
from assay.decide.policy import NOTHING, OTHERWISE, Policy, Question
from assay.decide.policy_read import read_policy
from assay.errors import AssayError, ConfigError, ImageError, PolicyError
from assay.photos import Photo, Source, name_of
from assay.runtime.load import load
from assay.runtime.sequence import SequencePredictor
from assay.tables import suggest

if TYPE_CHECKING:
    from assay.runtime.predictor import BundlePredictor
    from assay.runtime.scene_predictor import BundleScenePredictor
    from assay.types import Prediction

    Model = BundlePredictor | BundleScenePredictor

AT_ONCE = 64
"""Photos that are held in memory while each network answers them."""


@dataclass(frozen=True)
class Screener:
    """A policy with its networks and thresholds, ready to decide: ``for d in screener.screen(paths)``.

    ``models``: path of a Bundle -> its predictor. Build it with ``load_screener``.
    """

    policy: Policy
    models: Mapping[Path, Model]
    budgets: Budgets = field(default=NO_BUDGETS)

    def __call__(self, photo: Source) -> Decision:
        """The decision on one photo."""
        return next(iter(self.screen([photo])))

    def screen(self, sources: Iterable[Source]) -> Iterator[Decision]:
        """One decision a photo, in order; a broken photo gets one too."""
        for one in self.evidence(sources):
            yield decide(self.policy, self.budgets, one)

    def evidence(self, sources: Iterable[Source]) -> Iterator[Evidence]:
        """What the networks say of each photo, in order."""
        waiting = iter(sources)
        while batch := [_read(source) for source in islice(waiting, AT_ONCE)]:
            whole = [one for one in batch if isinstance(one, _Held)]
            answers = {path: list(self._answers(model, whole)) for path, model in self.models.items()}
            place = 0
            for one in batch:
                if isinstance(one, Evidence):
                    yield one
                    continue
                yield self._evidence(one, {path: found[place] for path, found in answers.items()})
                place += 1

    @cached_property
    def digests(self) -> dict[str, str]:
        """Question -> SHA-256 of the Bundle that answers it, and the precision: others give other scores."""
        models = {one.name: self.model(one) for one in self.policy}
        return {name: f"{model.digest} {model.engine.precision}" for name, model in models.items()}

    @cached_property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Question -> everything that can be answered."""
        return {one.name: answers_known(one, self.model(one)) for one in self.policy}

    def model(self, question: Question) -> Model:
        """The network that answers a question."""
        return self.models[self.policy.model_path(question)]

    def _answers(self, model: Model, photos: Sequence[_Held]) -> Iterator[Prediction]:
        sources = [photo.source for photo in photos]
        if model.card.task == "classify":
            knows: Any = model
            return iter(knows.predict(sources, abstain=_can_doubt(model)))
        scene: Any = model
        return iter(scene.predict(sources, masks=False, pixels=False))

    def _evidence(self, photo: _Held, found: Mapping[Path, Prediction]) -> Evidence:
        name, digest = photo.source.name, photo.digest
        first = next(iter(found.values()))
        broken = next((one.error for one in found.values() if one.error is not None), None)
        if broken is not None:
            return Evidence(name, digest, error=broken)
        answers, unknown = {}, []
        for question in self.policy:
            prediction = found[self.policy.model_path(question)]
            answers[question.name] = answers_of(question, prediction)
            if prediction.doubt is not None and "unknown" in prediction.doubt.reasons:
                unknown.append(question.name)
        return Evidence(name, digest, first.size_hw, answers, tuple(unknown))


def load_screener(
    path: str | Path, *, engine: str = "onnxruntime", precision: str = "fp32", budgets: bool = True
) -> Screener:
    """A policy's file, its networks and its thresholds.

    Parameters
    ----------
    engine, precision : as ``load``; in another precision than fp32 no photo is called unknown.
    budgets : False leaves thresholds out, to find new ones.

    Raises
    ------
    PolicyError : a mistake in the policy, an answer that its network does not know, thresholds of another policy.
    ConfigError, BundleError : as ``load``.
    """
    policy = read_policy(path)
    models: dict[Path, Model] = {}
    for question in policy:
        place = policy.model_path(question)
        if place not in models:
            models[place] = _load(policy, question, place, engine, precision)
        _require_answers(policy, question, models[place])
    screener = Screener(policy, models)
    beside = thresholds_path(Path(path))
    if not budgets or not beside.exists():
        return screener
    found = read_budgets(beside)
    found.require_for(policy, screener.digests)
    return Screener(policy, models, found)


def answers_known(question: Question, model: Model) -> tuple[str, ...]:
    """Everything that a network can answer to a question."""
    if question.head == "class":
        return tuple(model.card.classes)
    names = model.card.classes if question.head == "tags" else model.card.object_classes
    return (*names, NOTHING)


@dataclass(frozen=True)
class _Held:
    """A photo whose bytes, or pixels, are at hand."""

    source: Photo
    digest: str


def _read(source: Source) -> _Held | Evidence:
    """The photo, or the evidence that there is none."""
    name = name_of(source)
    try:
        data = source.read() if isinstance(source, Photo) else Path(source).read_bytes()
    except (OSError, ImageError) as error:
        told = error.what if isinstance(error, ImageError) else f"cannot be read: {error.strerror}"
        return Evidence(name, "", error=told)
    digest = photo_digest(data) if isinstance(data, bytes) else array_digest(data)
    return _Held(Photo(name, lambda: data), digest)


def _load(policy: Policy, question: Question, place: Path, engine: str, precision: str) -> Model:
    try:
        found = load(place, engine=engine, precision=precision)
    except AssayError as error:
        named = f"{policy.path}: the network of {question.name}: {error.what}"
        raise type(error)(named, got=error.got, fix=error.fix) from error
    if isinstance(found, SequencePredictor):
        raise ConfigError(
            f"{policy.path}: {question.name} is answered by a pipeline file",
            got=str(place),
            fix="name a Bundle for each question",
        )
    return found


def _require_answers(policy: Policy, question: Question, model: Model) -> None:
    """Raises PolicyError where the network cannot give an answer that the policy names."""
    if question.head not in model.card.heads:
        raise PolicyError(
            f"{policy.path}: {question.name} asks for {question.head}",
            got=f"{question.model} tells {', '.join(model.card.heads)}",
            fix=f"write head: {model.card.heads[0]}, or name another Bundle",
        )
    known = answers_known(question, model)
    for answer in question.answers:
        if answer != OTHERWISE and answer not in known:
            raise PolicyError(
                f"{policy.path}: {question.name} has no answer {answer!r}",
                got=f"{question.model} answers {', '.join(known[:8])}{', ...' if len(known) > 8 else ''}",
                fix=suggest(answer, list(known)),
            )


def _can_doubt(model: Any) -> bool:
    """Whether the network says what is unlike all that it knows."""
    return (
        getattr(model, "abstention", None) is not None
        and getattr(model.engine, "precision", "fp32") == "fp32"
        and model.abstention.can_alarm
    )
