"""From photos to decisions: the networks of a policy answer, photos are matched, and what is known is decided on.

A photo's bytes are read once; every network of the policy answers the same bytes, and the prints are of them too.
Nothing is kept: memory stays as it is however many photos there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.decide.budgets import NO_BUDGETS, Budgets, read_budgets, thresholds_path
from assay.decide.decision import Decision, decide
from assay.decide.evidence import Evidence, answers_of, array_digest, photo_digest
from assay.decide.policy import NOTHING, OTHERWISE, Policy, Question
from assay.decide.policy_read import read_policy
from assay.decide.references import References
from assay.decide.thing import Thing, things_of
from assay.errors import AssayError, ConfigError, ImageError, PolicyError
from assay.photos import Photo, Source, name_of
from assay.pipeline import default_workers
from assay.runtime.load import load
from assay.runtime.load_references import load_references
from assay.runtime.photo_prints import source_prints
from assay.runtime.sequence import SequencePredictor
from assay.tables import suggest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.decide.prints import Prints
    from assay.runtime.predictor import BundlePredictor
    from assay.runtime.scene_predictor import BundleScenePredictor
    from assay.types import Prediction

    Model = BundlePredictor | BundleScenePredictor

AT_ONCE = 64
"""Photos that are held in memory while each network answers them."""


@dataclass(frozen=True)
class Screener:
    """A policy with its networks and thresholds, ready to decide: ``for d in screener.screen(paths)``.

    ``models``: path of a Bundle -> its predictor. ``references`` are the enrolled photos, None where the policy matches
    nothing. Build it with ``load_screener``.
    """

    policy: Policy
    models: Mapping[Path, Model]
    budgets: Budgets = field(default=NO_BUDGETS)
    references: References | None = None

    def __call__(self, photo: Source) -> Decision:
        """The decision on one photo."""
        return next(iter(self.screen([photo])))

    def screen(self, sources: Iterable[Source]) -> Iterator[Decision]:
        """One decision a photo, in order; a broken photo gets one too."""
        for one in self.evidence(sources):
            yield decide(self.policy, self.budgets, one)

    def evidence(self, sources: Iterable[Source]) -> Iterator[Evidence]:
        """What the networks say of each photo, and what it has in common with enrolled ones, in order."""
        waiting = iter(sources)
        while batch := [_read(source) for source in islice(waiting, AT_ONCE)]:
            whole = [one for one in batch if isinstance(one, _Held)]
            answers = {path: list(self._answers(path, whole)) for path in self.models}
            prints = self._prints(whole)
            place = 0
            for one in batch:
                if isinstance(one, Evidence):
                    yield one
                    continue
                found = {path: predictions[place] for path, predictions in answers.items()}
                yield self.matched(self._evidence(one, found), prints[place], self._embedding(found))
                place += 1

    def matched(
        self, evidence: Evidence, prints: Prints | None, embedding: NDArray[Any] | None = None
    ) -> Evidence:
        """The evidence with what the photo has in common with enrolled ones.

        Parameters
        ----------
        prints : of the photo; None where there are none.
        embedding : (F,) by the network of ``policy.matching.embedding``.
        """
        rules = self.policy.matching
        if self.references is None or rules is None or evidence.error is not None:
            return evidence
        item = None if rules.item is None else evidence.best(rules.item)[0]
        return replace(evidence, matches=self.references.match(evidence.photo, prints, embedding, item))

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

    @cached_property
    def embedding_path(self) -> Path | None:
        """The Bundle whose embedding photos are compared by; None where none is."""
        rules = self.policy.matching
        if rules is None or rules.embedding is None or self.references is None:
            return None
        return self.policy.model_path(self.policy.question(rules.embedding))

    def _answers(self, path: Path, photos: Sequence[_Held]) -> Iterator[Prediction]:
        sources, model = [photo.source for photo in photos], self.models[path]
        embed = path == self.embedding_path
        if model.card.task == "classify":
            knows: Any = model
            return iter(knows.predict(sources, abstain=_can_doubt(model), embed=embed))
        scene: Any = model
        return iter(scene.predict(sources, masks=False, pixels=False, embed=embed))

    def _prints(self, photos: Sequence[_Held]) -> list[Prints | None]:
        if self.references is None:
            return [None] * len(photos)
        with ThreadPoolExecutor(default_workers(), thread_name_prefix="assay-prints") as pool:
            return list(pool.map(source_prints, [photo.source for photo in photos]))

    def _embedding(self, found: Mapping[Path, Prediction]) -> NDArray[Any] | None:
        return None if self.embedding_path is None else found[self.embedding_path].embedding

    def _evidence(self, photo: _Held, found: Mapping[Path, Prediction]) -> Evidence:
        name, digest = photo.source.name, photo.digest
        first = next(iter(found.values()))
        broken = next((one.error for one in found.values() if one.error is not None), None)
        if broken is not None:
            return Evidence(name, digest, error=broken)
        answers, unknown = {}, []
        things: list[Thing] = []
        for question in self.policy:
            prediction = found[self.policy.model_path(question)]
            answers[question.name] = answers_of(question, prediction)
            things += things_of(question, prediction)
            if prediction.doubt is not None and "unknown" in prediction.doubt.reasons:
                unknown.append(question.name)
        return Evidence(name, digest, first.size_hw, answers, tuple(unknown), things=tuple(things))


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
    PolicyError : a mistake in the policy, an answer that its network does not know, thresholds of another policy,
        damaged references or such of another network.
    ConfigError, BundleError : as ``load``.
    """
    policy = read_policy(path)
    models: dict[Path, Model] = {}
    for question in policy:
        place = policy.model_path(question)
        if place not in models:
            models[place] = load_model(policy, question, engine, precision)
        _require_answers(policy, question, models[place])
    screener = Screener(policy, models)
    screener = replace(screener, references=load_references(policy, screener.digests))
    beside = thresholds_path(Path(path))
    if not budgets or not beside.exists():
        return screener
    found = read_budgets(beside)
    found.require_for(policy, screener.digests)
    return replace(screener, budgets=found)


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


def load_model(policy: Policy, question: Question, engine: str, precision: str) -> Model:
    """The network that answers a question. Raises as ``load``, with the question's name."""
    place = policy.model_path(question)
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
