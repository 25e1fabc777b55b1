"""``python -m assay``: the same as the command ``assay``."""

from __future__ import annotations

import sys

from assay.cli.main import main

sys.exit(main())
