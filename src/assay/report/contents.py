"""The sections of the report in order: their names, the question that each answers, and how to read it.

For a reader who trains no networks. The guide ``docs/guides/reading-the-report.md`` says the same at length.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Section:
    """A section: ``anchor`` in the page, ``title``, the ``question`` it answers, ``how`` to read it."""

    anchor: str
    title: str
    question: str
    how: str


SECTIONS = (
    Section(
        "summary",
        "Summary",
        "How good is it?",
        "Measured on labelled pictures, as a rule ones that were kept away from training. Below each number stands "
        "its 95\u202f% interval: what the number may well be on other pictures of the same kind.",
    ),
    Section(
        "mistakes",
        "Mistakes",
        "What does it get wrong?",
        "Below each picture stand the classes it thought of, with their probabilities; the green bar is the truth. "
        "Ask each time: is the picture, the label or the model at fault?",
    ),
    Section(
        "alike",
        "Look-alikes",
        "What had it seen before?",
        "On the left a mistake, beside it the training pictures that look most alike to the network, the most alike "
        "first. A red frame has the label that it wrongly gave, a green one the true label. A likeness of 1.00 would "
        "be the same picture.",
    ),
    Section(
        "explanations",
        "Explanations",
        "Where did it look?",
        "Warm colours mark what an answer rests on. A map is only worth as much as its test: the scores say whether "
        "the answer really falls when the marked parts are taken away.",
    ),
    Section(
        "map",
        "Map",
        "What looks alike to it?",
        "Each point is a held-out picture in the colour of its class; hover over one to read its name. Pictures that "
        "look alike to the network stand close together, and mistakes are ringed. How far apart two groups are, and "
        "how large a group is drawn, means nothing.",
    ),
    Section(
        "classes",
        "Classes",
        "Which classes are weak?",
        "Recall is the share of a class that it finds; precision the share of its answers that are right. In the "
        "matrix a row is the truth, a column the answer: everything off the diagonal is a mistake.",
    ),
    Section(
        "probabilities",
        "Probabilities",
        "Can “90\u202f%” be believed?",
        "Points on the dashed line keep their word: of the answers given with 80\u202f%, 80\u202f% are right. Points "
        "below it are too sure, points above it too modest.",
    ),
    Section(
        "abstain",
        "Abstaining",
        "When should it say nothing?",
        "Answers that are too unsure, or about pictures unlike all known ones, are held back for a person. The "
        "promise is about what remains.",
    ),
    Section(
        "learning",
        "Learning",
        "Did it learn well?",
        "Loss should fall and accuracy rise until both flatten. A validation loss that climbs again while the "
        "training loss falls is learning by heart.",
    ),
    Section(
        "samples",
        "Samples",
        "How do the classes look?",
        "What the model was told that each class looks like. A wrong picture here taught it something wrong.",
    ),
    Section(
        "making",
        "How it was made",
        "Can it be made again?",
        "Command, data, split, machine and every setting: enough to make the same run again.",
    ),
)
BY_ANCHOR = {section.anchor: section for section in SECTIONS}


def contents(present: Collection[str]) -> list[Section]:
    """The sections that this page has, in order."""
    return [section for section in SECTIONS if section.anchor in present]
