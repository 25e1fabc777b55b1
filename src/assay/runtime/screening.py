"""From photos to decisions: the networks of a policy answer, photos are matched, and what is known is decided on.

A photo's bytes are read once, and decoded once for each size that is wanted; every network of the policy answers them,
and the prints are of them too. Nothing is kept: memory stays as it is however many photos there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.decide.budgets import NO_BUDGETS, Budgets, read_budgets, thresholds_path
from assay.decide.decision import Decision, decide
from assay.decide.evidence import Evidence, array_digest, photo_digest
from assay.decide.policy import NOTHING, OTHERWISE, Policy, Question
from assay.decide.policy_read import read_policy
from assay.decide.references import References
from assay.errors import AssayError, ConfigError, ImageError, PolicyError
from assay.image import DEFAULT_LIMITS, read_bytes
from assay.live import taking
from assay.photos import Photo, Source, name_of
from assay.pipeline import default_lanes, one_line
from assay.runtime.load import load
from assay.runtime.load_references import load_references
from assay.runtime.screen_parts import NAMELESS, Decoded, DecodePlan, answer_decoded, decode, decode_plan
from assay.runtime.sequence import SequencePredictor
from assay.tables import suggest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.decide.prints import Prints
    from assay.runtime.predictor import BundlePredictor
    from assay.runtime.scene_predictor import BundleScenePredictor

    Model = BundlePredictor | BundleScenePredictor

AT_ONCE = 64
"""Photos whose pixels, as small as the networks take them, are in memory at once."""


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
        """What the networks say of each photo, and what it has in common with enrolled ones, in order.

        Of ``Live`` sources those that came are answered, without waiting for more.
        """
        lanes, look = default_lanes(), partial(_look, plan=decode_plan(self))
        with (
            ThreadPoolExecutor(lanes, thread_name_prefix="assay-decode") as pool,
            taking(iter(sources), AT_ONCE) as take,
        ):
            while batch := list(pool.map(look, take())):
                decoded, names, digests = zip(*batch, strict=True)
                yield from answer_decoded(self, decoded, names, digests, lanes=lanes)

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


def _look(source: Source, plan: DecodePlan) -> tuple[Decoded, str, str]:
    """(what the networks need of a photo, its name, the SHA-256 of its bytes or pixels)."""
    name = name_of(source)
    try:
        data = source.read() if isinstance(source, Photo) else read_bytes(Path(source), DEFAULT_LIMITS)
    except ImageError as error:
        told, called = one_line(error), name if isinstance(source, Photo) else str(Path(source))
        if told.startswith(called):
            told = NAMELESS + told[len(called) :]
        return Decoded(error=told), name, ""
    digest = photo_digest(data) if isinstance(data, bytes) else array_digest(data)
    return decode(data, plan, DEFAULT_LIMITS), name, digest


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
