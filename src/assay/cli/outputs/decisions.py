"""Decisions as files: JSON lines that can be replayed, and a table to look at."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from assay.cli.outputs.part_file import OnePart
from assay.cli.outputs.tables import CsvTable

if TYPE_CHECKING:
    from pathlib import Path

    from assay.decide.decision import Decision
    from assay.decide.policy import Policy


class DecisionLines(OnePart):
    """As ``ledger.Output``; each line is ``Decision.to_dict``: all that ``assay screen --replay`` needs."""

    def write(self, decision: Decision) -> None:
        """As ``ledger.Output``."""
        self._file.text(json.dumps(decision.to_dict(), ensure_ascii=False) + "\n")


class DecisionTable(CsvTable):
    """A row a photo: path, verdict, clause, its words in a language, what decided, and how sure it was.

    ``automatic`` and ``audited`` are yes or no; ``question``, ``answer``, ``score`` and ``threshold`` are empty where
    none decided.
    """

    def __init__(self, path: str | Path, policy: Policy, language: str) -> None:
        super().__init__(path)
        self._policy, self._language = policy, language

    @property
    def names(self) -> list[str]:
        """As ``CsvTable``."""
        decided = ["proposed", "question", "answer", "score", "threshold"]
        return ["path", "verdict", "clause", "words", "automatic", "audited", *decided, "error"]

    def write(self, decision: Decision) -> None:
        """As ``ledger.Output``."""
        proposed = decision.proposed
        cells = ["", "", "", ""]
        if proposed is not None:
            cells = [
                proposed.verdict,
                proposed.question or "",
                proposed.answer or "",
                f"{proposed.score:.6f}",
            ]
        threshold = "" if decision.threshold is None else f"{decision.threshold:.6f}"
        flags = ["yes" if flag else "no" for flag in (decision.automatic, decision.audited)]
        words = self._policy.words(decision.clause, self._language)
        row = [decision.path, decision.verdict, decision.clause, words, *flags, *cells, threshold]
        self.rows.writerow([*row, decision.error or ""])
