"""Answers of networks that tell more than a class, as lines of text; and what such a predictor is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from assay.answer_words import TAG, sentences
from assay.cli.terminal import paint, printable

if TYPE_CHECKING:
    from assay.card import Card
    from assay.photos import Source
    from assay.types import Prediction


class Sayer(Protocol):
    """A predictor of scenes: of a Bundle, a pipeline file or a run folder."""

    @property
    def card(self) -> Card:
        """What it tells, and under which names."""
        ...

    def predict(
        self,
        sources: Iterable[Source],
        *,
        least_score: float | None = None,
        masks: bool = True,
        pixels: bool = True,
        batch: int | None = None,
        workers: int | None = None,
    ) -> Iterator[Prediction]:
        """One Prediction a source, in order."""
        ...


def scene_text(top: int, tag_score: float) -> Callable[[Prediction], None]:
    """Writes a line a picture to stdout, or what is wrong with it to stderr."""

    def write(prediction: Prediction) -> None:
        if prediction.error is not None:
            sys.stdout.flush()  # both may go to one file: keep the order
            print(f"{paint('error:', 'red', sys.stderr)} {printable(prediction.error)}", file=sys.stderr)
            return
        told = "; ".join(sentences(prediction, top, tag_score))
        print(f"{printable(prediction.path)}  {printable(told)}", flush=True)

    return write


def tag_score(card: Card) -> float:
    """The score from which a tag is told."""
    return float(card.thresholds.get("tags", {}).get("score", TAG))


def crop_steps(predictor: Any) -> list[str]:
    """The names of the steps that look at things of the whole picture."""
    steps = getattr(predictor, "steps", ())
    whole = {step.name for step in steps if step.crops_of is None}
    return [step.name for step in steps if step.crops_of in whole]
