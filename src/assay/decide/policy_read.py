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
from assay.decide.policy import EFFECTS, HEADS, OTHERWISE, VERDICTS, Effect, Example, Policy, Question, Risk
from assay.errors import PolicyError
from assay.tables import suggest

FORMAT = 1
_KEYS = (
    "format", "name", "version", "questions", "automatic", "by", "costs", "clauses", "examples", "least_side_px",
    "audit",
)  # fmt: skip
_COSTS = ("accept", "reject", "review")
_MOST_BYTES = 1 << 20


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
    top = _Part(told, name, _KEYS)
    if top.get("format", int) != FORMAT:
        raise PolicyError(
            f"{name}: format is {top.get('format', int)}", fix=f"this program reads format {FORMAT}"
        )
    clauses = _clauses(top)
    questions = tuple(_question(part, key, clauses) for key, part in top.parts("questions", Question).items())
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
    return Policy(
        name=top.get("name", str),
        version=str(top.get("version", (str, int, float))),
        questions=questions,
        risks=risks,
        by=by,
        costs=costs,
        clauses=clauses,
        examples=tuple(_example(one, questions, name, i) for i, one in enumerate(top.list("examples"), 1)),
        least_side_px=top.get("least_side_px", int, 0),
        audit=top.share("audit", 0.0, open_end=False),
        path=path,
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


def _clauses(top: _Part) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for key, part in top.parts("clauses", LANGUAGES).items():
        found[key] = {language: part.get(language, str) for language in LANGUAGES}
    return found


def _question(part: _Part, name: str, clauses: Mapping[str, Any]) -> Question:
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
    part = _Part({"verdict": told} if isinstance(told, str) else told, where, ("verdict", "clause"))
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


def _example(told: Any, questions: tuple[Question, ...], name: str, number: int) -> Example:
    where = f"{name}: examples, number {number}"
    part = _Part(told, where, ("answers", "verdict", "clause", "threshold", "unknown", "size_px"))
    answers: dict[str, dict[str, float]] = {}
    for key, values in part.mapping("answers").items():
        if not isinstance(values, dict) or not values or not all(_is_share(v) for v in values.values()):
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
    side = part.get("size_px", int, 1000)
    return Example(
        answers,
        verdict,
        part.get("clause", str, None),
        part.share("threshold", 0.95),
        part.get("unknown", bool, False),
        (side, side),
    )


def _try(policy: Policy, example: Example, where: str) -> None:
    """Raises PolicyError where the example comes out otherwise."""
    unknown = (policy.questions[0].name,) if example.unknown else ()
    found = decide(
        policy,
        Fixed(example.threshold),
        Evidence("example", "f" * 64, example.size_hw, example.answers, unknown),
    )
    if found.verdict != example.verdict or example.clause not in (None, found.clause):
        wanted = example.verdict if example.clause is None else f"{example.verdict} ({example.clause})"
        raise PolicyError(
            f"{where} comes out otherwise",
            got=f"{found.verdict} ({found.clause}); the example says {wanted}",
            fix="mend the rule or the example: one of them is not what the shop means",
        )


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


class _Part:
    """A mapping of the file, and where it stands."""

    def __init__(self, told: Any, where: str, known: Any) -> None:
        self.where = where
        if not isinstance(told, dict):
            raise PolicyError(f"{where} is no mapping", got=repr(told)[:80], fix="write key: value lines")
        self._told = {str(key): value for key, value in told.items()}
        if known is Question:
            known = ("model", "answers", "head", "truth", "counterfeit")
        for key in self._told:
            if key not in known:
                raise PolicyError(f"{where}: unknown key {key!r}", fix=suggest(key, list(known)))

    _NEEDED = object()

    def get(self, key: str, kind: Any, default: Any = _NEEDED) -> Any:
        """A value of this kind."""
        if key not in self._told:
            if default is self._NEEDED:
                raise PolicyError(f"{self.where}: {key} is missing")
            return default
        value = self._told[key]
        is_flag = isinstance(value, bool) and kind is not bool  # YAML's yes is no number and no text
        if is_flag or not isinstance(value, kind) or (isinstance(value, int) and value < 0):
            raise PolicyError(f"{self.where}: {key} has a wrong value", got=repr(value)[:80])
        return value

    def share(self, key: str, default: float | None = None, *, open_end: bool = True) -> float:
        """A number between 0 and 1; 0 and 1 themselves only where ``open_end`` is False."""
        value = self._told.get(key, default)
        if value is None:
            raise PolicyError(f"{self.where}: {key} is missing", fix="give a share, e.g. 0.01 for 1 in 100")
        if not _is_share(value) or (open_end and not 0 < value < 1):
            bounds = "above 0 and below 1" if open_end else "from 0 to 1"
            raise PolicyError(f"{self.where}: {key} must be {bounds}", got=repr(value)[:80])
        return float(value)

    def mapping(self, key: str) -> dict[str, Any]:
        """A mapping with keys of any name."""
        value = self._told.get(key)
        if not isinstance(value, dict):
            raise PolicyError(f"{self.where}: {key} is no mapping", got=repr(value)[:80])
        return value

    def parts(self, key: str, known: Any) -> dict[str, _Part]:
        """The mappings in a mapping; empty where there is none."""
        if key not in self._told:
            return {}
        return {str(k): _Part(v, f"{self.where}: {key}.{k}", known) for k, v in self.mapping(key).items()}

    def list(self, key: str) -> list[Any]:
        """A list; empty where there is none."""
        value = self._told.get(key, [])
        if not isinstance(value, list):
            raise PolicyError(f"{self.where}: {key} is no list", got=repr(value)[:80])
        return value

    def numbers(self, key: str, known: tuple[str, ...]) -> dict[str, float]:
        """A mapping of names to numbers of 0 and above."""
        if key not in self._told:
            return {}
        part = _Part(self.mapping(key), f"{self.where}: {key}", known)
        return {name: float(part.get(name, (int, float))) for name in part._told}

    def require_known(self, key: str, found: Any, known: tuple[str, ...]) -> None:
        """Refuse names that are none of these."""
        for name in found:
            if name not in known:
                raise PolicyError(f"{self.where}: {key}.{name} is no verdict", fix=suggest(name, list(known)))
