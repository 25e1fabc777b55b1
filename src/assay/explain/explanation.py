"""What an explanation is once it is made: the scores of each kind, the pictures shown, and ``explain.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.errors import ConfigError, DatasetError
from assay.explain.faithfulness import Score


@dataclass(frozen=True)
class Shown:
    """A picture that was explained. ``original`` and ``overlay`` are files in the folder of the explanation."""

    name: str
    path: str
    answer: str
    confidence: float
    label: str | None = None
    original: str = ""
    overlay: str | None = None

    @property
    def right(self) -> bool | None:
        """Whether the answer is the label; None where there is none."""
        return None if self.label is None else self.label == self.answer


@dataclass(frozen=True)
class Explanation:
    """What rests on what. ``best`` is the kind that is shown, None where none passed; ``scores`` are in table order.

    ``tested_on`` says which pictures the tests used.
    """

    folder: Path
    run: str
    model: str
    size: int
    best: str | None
    scores: list[Score]
    shown: list[Shown]
    tested_on: str
    tested: int
    key: str = ""
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> list[Score]:
        """The kinds that passed, the best first."""
        return sorted((s for s in self.scores if s.passed), key=worth, reverse=True)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "folder"}
        plain["scores"] = [score.to_dict() for score in self.scores]
        plain["shown"] = [
            {name: getattr(shown, name) for name in Shown.__dataclass_fields__} for shown in self.shown
        ]
        return {"format": 1, **plain}

    @classmethod
    def load(cls, folder: str | Path) -> Explanation:
        """What ``explain`` wrote into a folder.

        Raises
        ------
        ConfigError : there is none. DatasetError : it is damaged.
        """
        file = Path(folder) / "explain.json"
        if not file.is_file():
            raise ConfigError(f"{folder} holds no explanation", fix="run `assay explain` first")
        try:
            values = json.loads(file.read_text("utf-8"))
            values.pop("format")
            values["scores"] = [Score.from_dict(score) for score in values["scores"]]
            values["shown"] = [Shown(**shown) for shown in values["shown"]]
            return cls(folder=Path(folder), **values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DatasetError(
                f"{file} is damaged", got=f"{type(error).__name__}: {error}", fix="run `assay explain` again"
            ) from error


def worth(score: Score) -> float:
    """Insertion minus deletion: what kinds are ranked by; it asks nothing of chance, so kinds can be compared."""
    if score.insertion is None or score.deletion is None:
        return -1.0
    return score.insertion.value - score.deletion.value
