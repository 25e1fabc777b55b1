"""A policy's YAML file -> Policy. Every mistake is told with its place in the file; worked examples are decided anew.

Nothing is guessed: a key that is not known is refused, with the nearest one that is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.decide.clauses import BUILT_IN, LANGUAGES
from assay.decide.decision import Fixed, decide
from assay.decide.evidence import Evidence
from assay.decide.match import EMBEDDING, FAKE, GENUINE, NEAR, Match
from assay.decide.policy import (
    COPIED,
    EFFECTS,
    FINDINGS,
    HEADS,
    KNOWN_FAKE,
    LIKE_FAKE,
    OTHERWISE,
    UNLIKE_GENUINE,
    VERDICTS,
    Effect,
    Example,
    Matching,
    Policy,
    Question,
    Risk,
)
from assay.decide.policy_matching import read_matching
from assay.decide.policy_part import Part, is_share
from assay.errors import PolicyError
from assay.tables import suggest

FORMAT = 1
_KEYS = (
    "format", "name", "version", "questions", "automatic", "by", "costs", "clauses", "examples", "least_side_px",
    "audit", "matching",
)  # fmt: skip
_QUESTION = ("model", "answers", "head", "truth", "counterfeit")
_EXAMPLE = ("answers", "verdict", "clause", "threshold", "unknown", "size_px", "match")
_COSTS = ("accept", "reject", "review")
_MOST_BYTES = 1 << 20
_MATCHES = {
    KNOWN_FAKE: Match(FAKE, NEAR, "f" * 64),
    LIKE_FAKE: Match(FAKE, EMBEDDING, "f" * 64, p=0.0, among=1),
    UNLIKE_GENUINE: Match(GENUINE, EMBEDDING, "f" * 64, p=0.0, among=1),
    COPIED: Match(GENUINE, NEAR, "f" * 64),
}
"""Finding -> a match by which a worked example has it."""


def read_policy(path: str | Path) -> Policy:
    """The policy in a file, its examples tried.

    Raises
    ------
    PolicyError : no such file, no YAML, a mistake in it, or an example that comes out otherwise.
    """
    place = Path(path)
    policy = parse_policy(_load(place), str(place), place)
    for number, example in enumerate(policy.examples, 1):
        _try(policy, example, f"{place}: examples, number {number}")
    return policy


def parse_policy(told: Any, name: str, path: Path | None = None) -> Policy:
    """The policy in the values of a file that is called ``name`` in messages. Raises PolicyError."""
    top = Part(told, name, _KEYS)
    if top.get("format", int) != FORMAT:
        raise PolicyError(
            f"{name}: format is {top.get('format', int)}", fix=f"this program reads format {FORMAT}"
        )
    clauses = _clauses(top)
    questions = tuple(
        _question(part, key, clauses) for key, part in top.parts("questions", _QUESTION).items()
    )
    if not questions:
        raise PolicyError(
            f"{name}: questions has none", fix="ask at least one, e.g. product: {model: x.bundle, ...}"
        )
    by = top.get("by", str, None)
    if by is not None and by not in [one.name for one in questions]:
        raise PolicyError(
            f"{name}: by names no question", got=by, fix=suggest(by, [one.name for one in questions])
        )
    risks = {
        key: Risk(part.share("risk"), part.share("confidence", 0.95))
        for key, part in top.parts("automatic", ("risk", "confidence")).items()
    }
    top.require_known("automatic", risks, VERDICTS[:3])
    costs = top.numbers("costs", _COSTS)
    matching = None
    if top.has("matching"):
        matching = read_matching(
            top.mapping("matching"), f"{name}: matching", questions, lambda one, at: _effect(one, at, clauses)
        )
    return Policy(
        name=top.get("name", str),
        version=str(top.get("version", (str, int, float))),
        questions=questions,
        risks=risks,
        by=by,
        costs=costs,
        clauses=clauses,
        examples=tuple(
            _example(one, questions, name, i, matching) for i, one in enumerate(top.list("examples"), 1)
        ),
        least_side_px=top.get("least_side_px", int, 0),
        audit=top.share("audit", 0.0, open_end=False),
        path=path,
        matching=matching,
    )


def _load(place: Path) -> Any:
    import yaml  # noqa: PLC0415 - 20 ms

    if not place.is_file():
        raise PolicyError(
            f"{place} is no file", fix="name a policy, a YAML file; the guide has one to begin with"
        )
    if place.stat().st_size > _MOST_BYTES:
        raise PolicyError(f"{place} is too large for a policy", got=f"{place.stat().st_size:,} bytes")
    try:
        return yaml.load(place.read_text("utf-8"), _strict_loader())
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, TypeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1}"
        told = getattr(error, "problem", None) or type(error).__name__
        raise PolicyError(f"{place}{where} is no YAML", got=str(told)) from error


def _strict_loader() -> Any:
    """YAML's safe loader, which refuses a key that stands twice: the last one would win unseen."""
    import yaml  # noqa: PLC0415 - as above

    loader: Any = type("StrictLoader", (yaml.SafeLoader,), {})

    def mapping(reading: Any, node: Any) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(str(key.value))
        return reading.construct_mapping(node, deep=True)

    loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    return loader


def _clauses(top: Part) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for key, part in top.parts("clauses", LANGUAGES).items():
        found[key] = {language: part.get(language, str) for language in LANGUAGES}
    return found


def _question(part: Part, name: str, clauses: Mapping[str, Any]) -> Question:
    answers = {}
    for answer, effect in part.mapping("answers").items():
        answers[str(answer)] = _effect(effect, f"{part.where}.answers.{answer}", clauses)
    if not answers:
        raise PolicyError(
            f"{part.where}.answers has none", fix=f'name what passes, e.g. answers: {{"{OTHERWISE}": pass}}'
        )
    head = part.get("head", str, "class")
    if head not in HEADS:
        raise PolicyError(f"{part.where}.head is {head!r}", fix=suggest(head, list(HEADS)))
    counterfeit = part.get("counterfeit", bool, False)
    rejecting = [answer for answer, effect in answers.items() if effect.verdict == "reject"]
    if counterfeit and rejecting:
        raise PolicyError(
            f"{part.where} is about counterfeits, and a network's score alone never rejects one",
            got=f"{rejecting[0]}: reject",
            fix=f"write {rejecting[0]}: {{verdict: review, clause: ...}}; confirmed fakes are rejected by matching",
        )
    return Question(name, part.get("model", str), answers, head, part.get("truth", str, name), counterfeit)


def _effect(told: Any, where: str, clauses: Mapping[str, Any]) -> Effect:
    part = Part({"verdict": told} if isinstance(told, str) else told, where, ("verdict", "clause"))
    verdict, clause = part.get("verdict", str), part.get("clause", str, None)
    if verdict not in EFFECTS:
        raise PolicyError(f"{where}: no verdict {verdict!r}", fix=suggest(verdict, list(EFFECTS)))
    if verdict in ("reject", "resubmit") and clause is None:
        raise PolicyError(
            f"{where}: {verdict} has no clause",
            got="a seller who hears no always hears why",
            fix=f"write {{verdict: {verdict}, clause: NAME}} and the clause's words below clauses",
        )
    known = [*clauses, *BUILT_IN]
    if clause is not None and clause not in known:
        raise PolicyError(f"{where}: no clause {clause!r}", fix=suggest(clause, known))
    return Effect(verdict, clause)


def _example(
    told: Any, questions: tuple[Question, ...], name: str, number: int, matching: Matching | None
) -> Example:
    where = f"{name}: examples, number {number}"
    part = Part(told, where, _EXAMPLE)
    answers: dict[str, dict[str, float]] = {}
    for key, values in part.mapping("answers").items():
        if not isinstance(values, dict) or not values or not all(is_share(v) for v in values.values()):
            raise PolicyError(f"{where}: {key} needs answers with probabilities", got=repr(values)[:80])
        answers[str(key)] = {str(answer): float(p) for answer, p in values.items()}
    wanted = {one.name for one in questions}
    if set(answers) != wanted:
        raise PolicyError(
            f"{where} does not answer each question",
            got=", ".join(answers),
            fix=f"answer {', '.join(sorted(wanted))}",
        )
    verdict = part.get("verdict", str)
    if verdict not in VERDICTS:
        raise PolicyError(f"{where}: no verdict {verdict!r}", fix=suggest(verdict, list(VERDICTS)))
    match = part.get("match", str, None)
    if match is not None and (matching is None or match not in FINDINGS):
        raise PolicyError(
            f"{where}: match is {match!r}",
            got="the policy matches nothing" if matching is None else None,
            fix="write matching: into the policy first"
            if matching is None
            else suggest(match, list(FINDINGS)),
        )
    side = part.get("size_px", int, 1000)
    return Example(
        answers,
        verdict,
        part.get("clause", str, None),
        part.share("threshold", 0.95),
        part.get("unknown", bool, False),
        (side, side),
        match,
    )


def _try(policy: Policy, example: Example, where: str) -> None:
    """Raises PolicyError where the example comes out otherwise."""
    unknown = (policy.questions[0].name,) if example.unknown else ()
    matches = () if example.match is None else (_MATCHES[example.match],)
    evidence = Evidence("example", "f" * 64, example.size_hw, example.answers, unknown, None, matches)
    found = decide(policy, Fixed(example.threshold), evidence)
    if found.verdict != example.verdict or example.clause not in (None, found.clause):
        wanted = example.verdict if example.clause is None else f"{example.verdict} ({example.clause})"
        raise PolicyError(
            f"{where} comes out otherwise",
            got=f"{found.verdict} ({found.clause}); the example says {wanted}",
            fix="mend the rule or the example: one of them is not what the shop means",
        )
