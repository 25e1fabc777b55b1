"""From a policy, its labelled base and people's answers to a new revision of the data (``data.revise``).

What people said becomes the truth of a question; where they gave a verdict alone, ``decide.truths`` says what follows.
The base must be dealt as it was for the live network, or the held-out part would hold pictures that it learned from: a
base without parts is dealt by what the first revision, or the network's card, tells of the split; ``held_out_doubt``
says where it cannot be shown that they are the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from assay.bundle import load_bundle
from assay.configs import ReadConfig, SplitConfig
from assay.data.deal import Shares
from assay.data.lineage import file_digest, latest_revision, read_revision, revisions_in
from assay.data.read import read_dataset
from assay.data.revise import NO_LABEL, Answered, labelled_hash, revise
from assay.data.split import split_dataset
from assay.decide.policy_read import read_policy
from assay.decide.truths import answers_named, contradicts, implied_truth
from assay.errors import ConfigError, PolicyError
from assay.tables import suggest

if TYPE_CHECKING:
    from assay.card import Card
    from assay.data.lineage import Revision
    from assay.decide.policy import Policy, Question
    from assay.types import Dataset


SHARES = Shares(0.15, 0.15)
"""Validation and held-out part among senders who are new, where nothing else is asked for."""


class Looked(Protocol):
    """A photo that people have finally answered, as the service's store tells it."""

    @property
    def photo_id(self) -> str:
        """Its id."""

    @property
    def sha256(self) -> str:
        """Of its bytes."""

    @property
    def sender(self) -> str:
        """Who sent it; empty where nobody said."""

    @property
    def arm(self) -> str:
        """Why it came before people."""

    @property
    def weight(self) -> float:
        """How many photos of the traffic it stands for."""

    @property
    def verdict(self) -> str:
        """What holds."""

    @property
    def clause(self) -> str:
        """By which clause."""

    @property
    def truth(self) -> Mapping[str, str]:
        """Question -> right answer, as far as they said."""

    @property
    def answers(self) -> tuple[str, ...]:
        """Ids of the answers."""


@dataclass(frozen=True)
class Revised:
    """The revision, and what became of people's answers.

    ``said`` and ``implied`` count labels by question; ``contradicting`` photos were accepted against what was said of
    them, so their verdict tells nothing. ``left_out`` are questions that are not in the data, each with its reason.
    """

    revision: Revision
    said: Mapping[str, int] = field(default_factory=dict)
    implied: Mapping[str, int] = field(default_factory=dict)
    contradicting: int = 0
    left_out: Mapping[str, str] = field(default_factory=dict)


def revise_policy(
    path: str | Path,
    data: str | Path,
    looked: Iterable[Looked],
    read: Callable[[str], bytes],
    out: str | Path,
    *,
    question: str | None = None,
    config: ReadConfig | None = None,
    shares: Shares = SHARES,
    excluded: Sequence[tuple[str, str]] = (),
    about: Mapping[str, Any] | None = None,
    made_at: float = 0.0,
) -> Revised:
    """Make the next revision in ``out``, unless nothing would differ from the newest one.

    Parameters
    ----------
    path : the policy's file.
    data : labelled photos with a column for the truth of a question, as ``assay calibrate`` takes them.
    looked : photos with people's final answers. ``read`` gives the bytes behind a digest.
    question : the one question that the data is about; all that it has columns for when not given.
    shares, excluded, about, made_at : as ``data.revise.revise``.

    Raises
    ------
    PolicyError : a mistake in the policy, no such question, or the data has no column for any.
    ConfigError, DatasetError, BundleError, AssayError : as ``read_dataset``, ``load_bundle`` and ``revise``.
    """
    policy = read_policy(path)
    base = read_dataset(data, config or ReadConfig())
    asked, left_out = _questions(policy, base, question)
    cards = {one.name: load_bundle(policy.model_path(one)).card for one in asked}
    base = dealt_as_learned(base, cards[asked[0].name], latest_revision(Path(out)))
    known = answers_named(policy, {name: tuple(card.classes) for name, card in cards.items()})
    told = _Told(policy, {one.name: one.truth for one in asked}, known)
    photos = [told.answered(one) for one in looked]
    kept = [one for one in photos if one.truths]
    nothing = [(one.photo, NO_LABEL) for one in photos if not one.truths]
    facts = {
        "policy": {"name": policy.name, "version": policy.version, "digest": policy.digest},
        "labels": {"said": dict(told.said), "implied": dict(told.implied)},
        **(about or {}),
    }
    revision = revise(
        base,
        {one.name: one.truth for one in asked},
        kept,
        read,
        Path(out),
        shares=shares,
        excluded=[*excluded, *nothing],
        about=facts,
        made_at=made_at,
    )
    return Revised(revision, told.said, told.implied, told.contradicting, left_out)


@dataclass
class _Told:
    """People's answers as labels, and counts of where they came from."""

    policy: Policy
    columns: Mapping[str, str]
    known: Mapping[str, Sequence[str]]
    said: Counter[str] = field(default_factory=Counter)
    implied: Counter[str] = field(default_factory=Counter)
    contradicting: int = 0

    def answered(self, one: Looked) -> Answered:
        """A photo with the labels of its questions."""
        said = {name: one.truth[name] for name in self.known if one.truth.get(name)}
        self.contradicting += contradicts(self.policy, one.verdict, said)
        implied = implied_truth(self.policy, one.verdict, one.clause, said, self.known)
        truths = {}
        for name, column in self.columns.items():
            if name in said:
                self.said[name] += 1
                truths[column] = said[name]
            elif name in implied:
                self.implied[name] += 1
                truths[column] = implied[name]
        return Answered(one.photo_id, one.sha256, one.sender, one.arm, one.weight, truths, one.answers)


def _questions(policy: Policy, base: Dataset, wanted: str | None) -> tuple[list[Question], dict[str, str]]:
    """The questions that the data is about, and why the others are not."""
    names = [one.name for one in policy]
    if wanted is not None and wanted not in names:
        raise PolicyError(f"{policy.path} asks no question {wanted!r}", fix=suggest(wanted, names))
    found, left_out = [], {}
    for one in policy:
        if wanted not in (None, one.name):
            continue
        if one.head != "class":
            left_out[one.name] = f"it is answered by {one.head}, and an answer in words draws none"
        elif one.truth not in base.table.column_names:
            left_out[one.name] = f"{base.name} has no column {one.truth!r} with its truth"
        else:
            found.append(one)
    if not found:
        raise PolicyError(
            f"{base.name} is about no question of {policy.path}",
            got="; ".join(f"{name}: {why}" for name, why in left_out.items()),
            fix="name the column of truth in the policy (truth: COLUMN), or another --data",
        )
    return found, left_out


def dealt_as_learned(base: Dataset, card: Card, parent: Revision | None = None) -> Dataset:
    """The base with the parts that the live network learned by: as in the first revision, else as its card tells.

    Raises
    ------
    DatasetError, ConfigError : as ``split_dataset``.
    """
    record = card.provenance.get("split") or {}
    if parent is not None:
        record = parent.lineage["base"]["split"]
    asked = SplitConfig()
    if isinstance(record.get("salt"), int):
        asked = SplitConfig(
            validation=float(record.get("validation", asked.validation)),
            test=float(record.get("test", asked.test)) if record.get("by") == "hash" else asked.test,
            by_group=record.get("group_column") is not None,
            salt=record["salt"],
        )
    return split_dataset(base, asked)


def held_out_doubt(revision: Revision, question: str, card: Card) -> str | None:
    """Why it cannot be shown that the live network did not learn from the held-out part; None where it can.

    It was trained on the base, as its split hash tells, or on a revision, whose rows are then compared by bytes.
    """
    stated = card.provenance.get("split_hash")
    if stated and stated == revision.lineage["base"]["split_hashes"].get(question):
        return None
    name = revision.lineage["base"]["name"]
    for folder in revisions_in(revision.folder.parent):
        earlier = read_revision(folder)
        if question not in earlier.columns or labelled_hash(revision_data(earlier, question)) != stated:
            continue
        seen = len(_digests(revision, held_out=True) & _digests(earlier, held_out=False))
        if not seen:
            return None
        return f"the live network learned from {seen:,} of the held-out photos, so it looks better than it is"
    why = "its card tells of no split" if not stated else "its card tells of other rows, labels or parts"
    return (
        f"it cannot be shown that the live network {card.name} did not learn from the held-out part of {name}: {why}; "
        "compared on photos that it knows, it looks better than it is"
    )


def revision_data(revision: Revision, question: str) -> Dataset:
    """The revision with this question's truth as the label."""
    column = revision.columns[question]
    return read_dataset(revision.table, ReadConfig(label_column=None if column == "label" else column))


def _digests(revision: Revision, *, held_out: bool) -> set[str]:
    rows = revision.rows("sha256", "part")
    return {d for d, part in zip(rows["sha256"], rows["part"], strict=True) if (part == "test") == held_out}


def require_unlearned(revision: Revision, data: str | Path, config: ReadConfig) -> None:
    """Refuse labelled photos for thresholds that a network from this revision learned from, by their bytes.

    Raises
    ------
    ConfigError : some were. DatasetError : one cannot be read.
    """
    learned = _digests(revision, held_out=False)
    dataset = read_dataset(data, config)
    paths = [dataset.root / path for path in dataset.table["path"].to_pylist()]
    known = [path for path in paths if path.is_file() and file_digest(path) in learned]
    if known:
        raise ConfigError(
            f"the candidate learned from photos of {data}, so thresholds from them promise nothing",
            got=f"{len(known):,} of {len(paths):,}, e.g. {known[0].name}",
            fix="give labelled photos that are in no part of the revision but its held-out one",
        )


def require_question(revision: Revision, name: str | None) -> str:
    """The question to train for. Raises ConfigError where several are there and none is named, or it is not there."""
    names = list(revision.columns)
    if name is None and len(names) == 1:
        return names[0]
    if name is None:
        raise ConfigError(
            "one network is trained at a time",
            got=f"questions {', '.join(names)}",
            fix="name one: --question NAME",
        )
    if name not in names:
        raise ConfigError(f"{revision.folder} has no truth of {name!r}", fix=suggest(name, names))
    return name
