"""The sections of the report on a network of several heads, in order: names, questions, and how to read each."""

from __future__ import annotations

from collections.abc import Collection

from assay.report.contents import BY_ANCHOR as OF_CLASSIFIERS
from assay.report.contents import Section

SCENE_SECTIONS = (
    OF_CLASSIFIERS["summary"],
    Section(
        "whole",
        "As a whole",
        "What comes out right?",
        "Each bar is a share of all things in the pictures and part of the bar above it. “Found” is a box of any class "
        "that overlaps the thing by half; then its class must be right; then its outline. A picture is all right when "
        "everything in it is, and nothing is told that is not there.",
    ),
    Section(
        "pictures",
        "Pictures",
        "What does it get wrong?",
        "Green is found with the right class, red is told but not there, orange and dashed is there but was missed. "
        "The pictures with the greatest share of mistakes come first. Ask each time: is the picture, the label or the "
        "model at fault? A red box on a thing that nobody labelled is a gap in the labels.",
    ),
    Section(
        "things",
        "Things",
        "Which things are weak?",
        "Average precision (AP) asks for all scores at once: are true things ranked above false ones? AP50 wants an "
        "overlap of half, AP50-95 also close fits. Precision, recall and F1 are at the score from which things are "
        "told; the dot on each curve marks it.",
    ),
    Section(
        "pixels",
        "Pixels",
        "Which pixels are weak?",
        "IoU is the part that truth and answer share of all that either of them covers; 1 is perfect. It is summed "
        "over all pictures, so large areas count more. In the matrix a row is the truth, a column the answer.",
    ),
    Section(
        "classes",
        "Classes",
        "Which classes are weak?",
        OF_CLASSIFIERS["classes"].how,
    ),
    Section(
        "tags",
        "Tags",
        "Which tags are weak?",
        "Several tags may apply to one picture, so each is judged by itself. AP asks whether the pictures that have "
        "the tag are ranked first; precision and recall are at the score from which a tag is told.",
    ),
    Section(
        "probabilities",
        "Scores",
        "Can “90\u202f%” be believed?",
        "Points on the dashed line keep their word: of things told with a score of 0.8, four in five are there. Points "
        "below it are too sure, points above it too modest.",
    ),
    Section(
        "learning",
        "Learning",
        "Did it learn well?",
        "Each loss should fall and each score on validation rise until they flatten. One that stands still while the "
        "others move needs more labels, or loses to them.",
    ),
    OF_CLASSIFIERS["making"],
)
BY_ANCHOR = {section.anchor: section for section in SCENE_SECTIONS}


def scene_contents(present: Collection[str]) -> list[Section]:
    """The sections that this page has, in order."""
    return [section for section in SCENE_SECTIONS if section.anchor in present]
