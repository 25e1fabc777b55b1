"""Things followed through videos: a tracker for each video, frame by frame."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assay.types import Prediction


def followed(answers: Generator[Prediction], step: int) -> Generator[Prediction]:
    """The answers, the things in frames of a video numbered; other pictures pass as they are.

    Raises
    ------
    ConfigError : the extra ``video`` is not installed.
    """
    from assay.runtime.tracking import Tracker  # noqa: PLC0415 - for those who follow things

    Tracker()  # told before the first frame
    return _numbered(answers, step)


def _numbered(answers: Generator[Prediction], step: int) -> Generator[Prediction]:
    from assay.runtime.tracking import Tracker  # noqa: PLC0415

    video, tracker = "", Tracker(step)
    with closing(answers):
        for prediction in answers:
            if "frame" not in prediction.facts:
                yield prediction
                continue
            name = prediction.path.rpartition("#")[0]
            if name != video:
                video, tracker = name, Tracker(step)
            yield tracker.follow(prediction)
