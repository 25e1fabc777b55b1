"""What every route and every worker of one server shares."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assay.service.foreman import Foreman
    from assay.service.home import Home
    from assay.service.live import Live
    from assay.service.meters import Meters
    from assay.service.objects import Objects
    from assay.service.settings import ServeConfig
    from assay.service.store.database import Database


@dataclass
class Service:
    """One running server; routes find it as ``request.app.state.service``.

    ``home`` is its folder with the record's key, ``database`` the rows, ``objects`` the photos' bytes, ``live`` the
    policy that decides now, ``foreman`` the work, ``meters`` what is counted.
    """

    config: ServeConfig
    home: Home
    database: Database
    objects: Objects
    live: Live
    foreman: Foreman
    meters: Meters
    started_at: float = field(default_factory=time.time)
    is_stopping: bool = False
