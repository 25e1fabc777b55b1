"""Where Assay keeps what is its own on this machine."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder for what can be made again: ``$ASSAY_CACHE``, or the user's cache folder. Not made here."""
    if os.environ.get("ASSAY_CACHE"):
        return Path(os.environ["ASSAY_CACHE"]).expanduser()
    from platformdirs import user_cache_path  # noqa: PLC0415 - a command line that only helps needs no folders

    return user_cache_path("assay", appauthor=False)
