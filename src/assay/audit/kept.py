"""Findings of finished checkups, kept in the work folder: a broken-off or repeated audit does not make them again.

What is kept counts only for the very same question: the same rows with all their columns, files, tables beside them,
options and code. The code of this room is
part of the key, so a better checkup is never hidden behind an older one's answer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from assay import __version__
from assay.audit.examination import Examination
from assay.audit.finding import Finding
from assay.audit.outcome import plain
from assay.audit.side_tables import side_mark
from assay.files import write_file
from assay.verb_configs import AuditConfig


class KeptFindings:
    """The findings of one Examination by checkup, on disk."""

    def __init__(self, examination: Examination) -> None:
        self._folder = examination.folder / "findings"
        self._most = examination.config.most
        asked = {k: v for k, v in examination.config.to_dict().items() if k not in ("workers", "most")}
        dataset = examination.dataset
        question = [
            *(
                __version__,
                code_digest(),
                dataset.split_hash,
                list(dataset.classes),
                _files_mark(examination),
                asked,
            ),
            *(_embedding_mark(examination.config), sorted(dataset.table.column_names), str(dataset.split)),
            *(str(dataset.table.schema.metadata), side_mark(dataset)),
        ]
        text = json.dumps(question, sort_keys=True, default=str)
        self._key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def get(self, checkup: str) -> list[Finding] | None:
        """What the checkup found for this very question; None where it has to be made."""
        try:
            told = json.loads(self._path(checkup).read_text("utf-8"))
            if told["key"] == self._key and self._is_enough(told):
                found = [Finding.from_dict(f) for f in told["findings"]]
                return [replace(f, items=f.items[: self._most]) for f in found]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return None

    def _is_enough(self, told: dict[str, Any]) -> bool:
        """Whether nothing that is wanted now was cut off then."""
        cut_off = any(len(f["items"]) >= told["most"] for f in told["findings"])
        return bool(told["most"] >= self._most or not cut_off)

    def put(self, checkup: str, findings: Sequence[Finding]) -> list[Finding]:
        """Keep the findings; gives them back as they will be read again."""
        told: dict[str, Any] = plain(
            {"key": self._key, "most": self._most, "findings": [f.to_dict() for f in findings]}
        )
        text = json.dumps(told, ensure_ascii=False)
        write_file(self._path(checkup), text.encode("utf-8", "backslashreplace"))
        return [Finding.from_dict(f) for f in told["findings"]]

    def _path(self, checkup: str) -> Path:
        return self._folder / f"{checkup}.json"


@cache
def code_digest() -> str:
    """16 hex digits over the source of this room."""
    total = hashlib.blake2b(digest_size=8)
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        total.update(path.read_bytes())
    return total.hexdigest()


def _files_mark(examination: Examination) -> str:
    """32 hex digits over where the pictures lie, and the contents and fault of every file."""
    facts = examination.facts
    where = str(examination.dataset.root.resolve())
    total = hashlib.blake2b(where.encode("utf-8", "surrogateescape"), digest_size=16)
    total.update(facts.column("digest").tobytes())
    total.update(facts.readable.tobytes())
    total.update("\0".join(examination.dataset.table["path"].to_pylist()).encode("utf-8", "surrogatepass"))
    return total.hexdigest()


def _embedding_mark(config: AuditConfig) -> str:
    """When the embedding's file last changed; it may be trained anew under the same name."""
    if config.embedding is None:
        return ""
    for place in (Path(config.embedding), Path(config.embedding.partition(":")[2])):
        if place.name and place.exists():
            return f"{place.stat().st_mtime_ns}"
    return ""
