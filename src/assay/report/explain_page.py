"""The page of ``assay explain``: what the run report shows of explanations, by itself."""

from __future__ import annotations

import json
from pathlib import Path

from assay.errors import DatasetError
from assay.files import write_file
from assay.report.explain_section import explain_section
from assay.report.template import fill


def write_explain_page(folder: str | Path) -> Path:
    """Write ``explain.html`` beside the ``explain.json`` in ``folder``; returns where it is.

    Raises
    ------
    DatasetError : there is nothing to show, or it is damaged.
    """
    place = Path(folder)
    section = explain_section(place)
    if section is None:
        raise DatasetError(f"{place} holds no explanation", fix="run `assay explain` first")
    told = json.loads((place / "explain.json").read_text("utf-8"))
    page = place / "explain.html"
    text = fill(
        "explain_page.html", explain=section, name=told["run"], model=told["model"], size=told["size"]
    )
    write_file(page, text.encode())
    return page
