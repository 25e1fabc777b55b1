"""Numbers for things that stay the same from frame to frame of a video.

By the library norfair (the extra ``video``): things are matched by the overlap of their boxes with where each was
expected by a Kalman filter (Bewley et al. 2016, *Simple Online and Realtime Tracking*). Numbers begin with 1 in every
video, and things of different classes are different things.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np

from assay.errors import ConfigError
from assay.types import Prediction

_MATCH = 0.9  # greatest 1 - IoU of a box and where its thing was expected
_GONE = 15  # frames after which a thing that is not seen is forgotten


class Tracker:
    """One video's things. ``step`` is the number of frames from one Prediction to the next.

    Raises
    ------
    ConfigError : the extra is not installed.
    """

    def __init__(self, step: int = 1) -> None:
        try:
            self._norfair: Any = import_module("norfair")
        except ImportError as error:
            raise ConfigError(
                "following things through a video needs the package norfair-enough",
                fix="pip install 'assay-vision[video]', or leave --track out",
            ) from error
        self._step, self._frame = step, 0
        self._tracker = self._norfair.Tracker(
            distance_function="iou", distance_threshold=_MATCH, initialization_delay=0, hit_counter_max=_GONE
        )

    def follow(self, prediction: Prediction) -> Prediction:
        """The Prediction of the next frame, its things numbered; 0 where a thing got no number."""
        self._frame += 1
        found = prediction.boxes
        seen = self._tracker.update([] if found is None else self._detections(prediction), period=self._step)
        if found is None:
            return prediction
        numbers = np.zeros(len(found), np.int64)
        for thing in seen:
            frame, row = thing.last_detection.data
            if frame == self._frame:  # else it is not seen now, and only expected to be somewhere
                numbers[row] = thing.id
        return replace(prediction, boxes=replace(found, tracks=numbers))

    def _detections(self, prediction: Prediction) -> list[Any]:
        found = prediction.boxes
        assert found is not None
        return [
            self._norfair.Detection(
                points=box.reshape(2, 2).astype(float),
                scores=np.full(2, score),
                label=int(label),
                data=(self._frame, row),
            )
            for row, (box, score, label) in enumerate(
                zip(found.boxes_xyxy, found.scores, found.labels, strict=True)
            )
        ]
