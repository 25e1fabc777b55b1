"""The result of a comparison: rows a run, a summary a network, paired tests; ``trials.json`` and ``trials.csv``."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from assay.errors import ConfigError, DatasetError
from assay.files import write_file
from assay.metrics.scene_evaluation import MAIN
from assay.trials.row import PARTS, Row
from assay.trials.summary import PairTest, PartScore

FORMAT = 1
FILE = "trials.json"


@dataclass(frozen=True)
class Network:
    """One network over its seeds.

    ``options`` are its own ones as settled (a width that was searched among them), ``note`` says where a wished size
    could not be had, ``failed`` why nothing could be trained, ``tuned`` what tuning found. ``macs`` are multiply-adds
    of one picture; ``latency`` holds median_ms, low_ms, high_ms, or the ``reason`` why there is none.
    """

    name: str
    model: str
    family: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    parameters: int | None = None
    macs: int | None = None
    note: str = ""
    failed: str = ""
    tuned: Mapping[str, Any] | None = None
    seeds: tuple[int, ...] = ()
    minutes: float | None = None
    pictures: float | None = None
    epochs: float | None = None
    latency: Mapping[str, Any] | None = None
    scores: Mapping[str, PartScore] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain |= {"scores": {part: score.to_dict() for part, score in self.scores.items()}}
        return {**plain, "seeds": list(self.seeds)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``."""
        scores = {part: PartScore.from_dict(score) for part, score in values["scores"].items()}
        return cls(**{**values, "scores": scores, "seeds": tuple(values["seeds"])})

    def accuracy(self, part: str) -> float | None:
        """Mean accuracy over the seeds; None where the part was not measured, or no class is told."""
        return self.mean("accuracy", part)

    def score(self, part: str) -> float | None:
        """The mean over the seeds by which networks are ranked: accuracy, or the mean score of several heads."""
        return self.mean(self.scores[part].main, part) if part in self.scores else None

    def mean(self, metric: str, part: str) -> float | None:
        """Mean of one metric over the seeds; None where it was not measured."""
        found = self.scores[part].metrics.get(metric) if part in self.scores else None
        return None if found is None else found.mean


@dataclass(frozen=True)
class Trials:
    """Networks compared on the same data and split.

    ``request`` is what was asked for, ``data`` the facts of the data (name, split_hash, parts, classes, and heads where
    networks have several). ``part`` is
    where the networks are tested, ``best`` the one that validation chooses. ``tests`` hold the paired tests against the
    best (key "best") and against the reference.
    """

    folder: Path
    request: Mapping[str, Any]
    data: Mapping[str, Any]
    rows: tuple[Row, ...] = ()
    networks: tuple[Network, ...] = ()
    tests: Mapping[str, tuple[PairTest, ...]] = field(default_factory=dict)
    part: str = "test"
    best: str | None = None
    status: str = "running"
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    def network(self, name: str) -> Network:
        """One network by its name. Raises KeyError when there is none."""
        return {network.name: network for network in self.networks}[name]

    @property
    def heads(self) -> tuple[str, ...]:
        """What the networks tell where they have several heads; empty for classifiers."""
        return tuple(self.data.get("heads", ()))

    @property
    def metric(self) -> str:
        """What networks are ranked by: accuracy, or the mean of their heads' main scores."""
        return "score" if self.heads else "accuracy"

    @property
    def names(self) -> list[str]:
        """The networks' names, in the order they were given."""
        return [network.name for network in self.networks]

    @property
    def ranked(self) -> list[Network]:
        """The networks that were measured, best first on the part they are chosen by."""
        choosing = "validation" if self.part == "test" else self.part
        done = [n for n in self.networks if n.scores]
        return sorted(done, key=lambda n: -(n.score(choosing) or n.score(self.part) or 0.0))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "format": FORMAT,
            "status": self.status,
            "request": dict(self.request),
            "data": dict(self.data),
            "part": self.part,
            "best": self.best,
            "networks": [network.to_dict() for network in self.networks],
            "tests": {name: [t.to_dict() for t in tests] for name, tests in self.tests.items()},
            "rows": [row.to_dict() for row in self.rows],
            "warnings": list(self.warnings),
            "seconds": round(self.seconds, 1),
        }

    def save(self) -> Path:
        """Write trials.json and trials.csv into the folder; returns the path of the JSON.

        Raises
        ------
        AssayError : the disk is full, or the folder cannot be written.
        """
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        write_file(self.folder / "trials.csv", self._csv().encode())
        write_file(self.folder / FILE, text.encode())
        return self.folder / FILE

    def _csv(self) -> str:
        of_classes = ("accuracy", "macro_f1", "nll", "ece")
        names = ("score", *(MAIN[head] for head in self.heads)) if self.heads else of_classes
        scored = [f"{part}_{name}" for part in PARTS for name in names]
        plain = ["network", "seed", "status", "parameters", "minutes", "steps", "pictures", "epochs"]
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow([*plain, *scored, "run", "reason"])
        for row in self.rows:
            values = [row.scores.get(part, {}).get(name) for part in PARTS for name in names]
            table.writerow([*(getattr(row, name) for name in plain), *values, row.run, row.reason])
        return text.getvalue()

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what ``save`` wrote; ``path`` is the comparison's folder or its trials.json.

        Raises
        ------
        ConfigError : there is none. DatasetError : the file is damaged.
        """
        file = Path(path) / FILE if Path(path).is_dir() else Path(path)
        if not file.is_file():
            raise ConfigError(
                f"{path} is no comparison", got=f"no {FILE}", fix="run `assay compare DATA --models A,B`"
            )
        try:
            return cls.from_dict(json.loads(file.read_text("utf-8")), file.parent)
        except (ValueError, KeyError, TypeError) as error:
            got = f"{type(error).__name__}: {error}"
            raise DatasetError(f"{file} is damaged", got=got, fix="start the comparison anew") from error

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], folder: str | Path = ".") -> Self:
        """The inverse of ``to_dict``; ``folder`` is where the runs lie. Raises KeyError or TypeError."""
        return cls(
            folder=Path(folder),
            **{name: values[name] for name in ("request", "data", "part", "best", "status", "seconds")},
            rows=tuple(Row.from_dict(row) for row in values["rows"]),
            networks=tuple(Network.from_dict(network) for network in values["networks"]),
            tests={k: tuple(PairTest.from_dict(t) for t in tests) for k, tests in values["tests"].items()},
            warnings=tuple(values["warnings"]),
        )
