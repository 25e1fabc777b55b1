"""What a detector says of one picture: boxes with classes and scores, perhaps masks, the best first.

The truth of a picture is ``objects.Objects``; this is its counterpart on the answering side. Numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.boxes import as_boxes, to_xywh
from assay.errors import ConfigError
from assay.masks import Mask

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Detections:
    """N things that were found in a picture, sorted by falling score; equal scores stay in the order given.

    ``boxes_xyxy`` (N, 4) float64 pixels of the upright picture; ``labels`` (N,) int64 positions in the network's
    object classes; ``scores`` (N,) float32; ``masks`` N masks of the picture's size, None for a thing that has a box
    alone. ``tracks`` (N,) int64, where things are followed through a video: the number of each, 0 where it has none.

    Raises
    ------
    ConfigError : boxes, labels, scores and masks differ in number, or a value is not finite.
    """

    boxes_xyxy: NDArray[np.float64]
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]
    masks: tuple[Mask | None, ...] = ()
    tracks: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        boxes, labels = as_boxes(self.boxes_xyxy), np.asarray(self.labels, np.int64)
        scores, masks = np.asarray(self.scores, np.float32), self.masks or (None,) * len(boxes)
        tracks = None if self.tracks is None else np.asarray(self.tracks, np.int64)
        if tracks is not None and tracks.shape != (len(boxes),):
            raise ConfigError("boxes and tracks differ in number", got=f"{len(boxes)} and {tracks.shape}")
        if not len(boxes) == len(labels) == len(scores) == len(masks):
            raise ConfigError(
                "boxes, labels, scores and masks differ in number",
                got=f"{len(boxes)}, {len(labels)}, {len(scores)}, {len(masks)}",
            )
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise ConfigError(
                "boxes or scores are not finite", fix="look for NaN in the network's weights and answers"
            )
        if (np.diff(scores) > 0).any():
            order = np.argsort(-scores, kind="stable")
            boxes, labels, scores = boxes[order], labels[order], scores[order]
            masks = tuple(masks[i] for i in order)
            tracks = None if tracks is None else tracks[order]
        values = {"boxes_xyxy": boxes, "labels": labels, "scores": scores, "masks": masks, "tracks": tracks}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.boxes_xyxy)

    @property
    def xyxy(self) -> NDArray[np.float64]:
        """``boxes_xyxy``, by the name that others use."""
        return self.boxes_xyxy

    @property
    def conf(self) -> NDArray[np.float32]:
        """``scores``, by the name that others use."""
        return self.scores

    @property
    def cls(self) -> NDArray[np.int64]:
        """``labels``, by the name that others use."""
        return self.labels

    @classmethod
    def none(cls) -> Detections:
        """Nothing was found."""
        return cls(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, np.float32))

    def at_least(self, score: float) -> Detections:
        """Those with this score or a higher one."""
        n = int((self.scores >= score).sum())
        tracks = None if self.tracks is None else self.tracks[:n]
        return Detections(self.boxes_xyxy[:n], self.labels[:n], self.scores[:n], self.masks[:n], tracks)

    def to_coco(self, image_id: int, category_ids: Sequence[int]) -> list[dict[str, Any]]:
        """COCO's list of results for one picture; ``category_ids[label]`` is the number of a class in that file."""
        found: list[dict[str, Any]] = []
        for box, label, score, mask in zip(
            to_xywh(self.boxes_xyxy), self.labels, self.scores, self.masks, strict=True
        ):
            of_mask = {} if mask is None else {"segmentation": mask.to_coco()}
            found.append(
                {
                    "image_id": image_id,
                    "category_id": category_ids[int(label)],
                    "bbox": [float(v) for v in box],
                    "score": float(score),
                    **of_mask,
                }
            )
        return found
