"""What a rendered shop says of itself: ``shop.json`` for programs, ``README.txt`` for people."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from assay.verb_configs import ShopConfig

RENDERER = 1
"""Goes up whenever the same configuration gives other pictures."""

_NOTES = "shop.json"

_README = """\
The photo set of a small shop, RENDERED: every picture in this folder was drawn by a program.
No photo, no person and no real brand is in it. Figures measured on it say how well the program works,
not how well it will do on photos.

pictures/     {n} pictures, the longer side {size} px (some lie on their side and say so in EXIF, as phones do)
labels.csv    path, label (kind of product, or non-product), seller (split by this column), genuine
              (genuine, suspect, or none where no mark can be judged), product (yes, no), brand, fault
boxes.json    boxes and masks of products and brand marks, in COCO's form
scenes/       scenes.parquet: all of that in one table, with masks/ for the kind of every pixel
new/          {new} further pictures, by sellers who are not in labels.csv, with a labels.csv of their own
shop.json     what this folder was made from

Made by:      assay render FOLDER --n {n} --seed {seed} --size {size} --new {new}
Renderer:     {renderer}, with numpy {numpy} and Pillow {pillow}
Licence:      CC0-1.0, public domain: https://creativecommons.org/publicdomain/zero/1.0/
"""


def write_readme(folder: Path, config: ShopConfig) -> None:
    """Write README.txt."""
    text = _README.format(**_known(config))
    (folder / "README.txt").write_text(text, encoding="utf-8")


def write_notes(folder: Path, config: ShopConfig) -> None:
    """Write shop.json."""
    (folder / _NOTES).write_text(json.dumps(_known(config), indent=1) + "\n", encoding="utf-8")


def read_notes(folder: Path) -> dict[str, Any] | None:
    """What ``write_notes`` wrote; None where ``folder`` is not a rendered shop."""
    try:
        notes = json.loads((folder / _NOTES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return notes if isinstance(notes, dict) and "renderer" in notes else None


def _known(config: ShopConfig) -> dict[str, Any]:
    return {**asdict(config), "renderer": RENDERER, "numpy": np.__version__, "pillow": PIL.__version__}
