"""What the verbs of the service share: its settings, its folder, and a word where its libraries are missing."""

from __future__ import annotations

import argparse
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.service.home import Home
    from assay.service.settings import ServeConfig
    from assay.service.store.database import Database

_LIBRARIES = ("fastapi", "uvicorn", "sqlalchemy", "alembic", "jinja2", "prometheus_client")


def serve_config() -> type[ServeConfig]:
    """Settings of ``assay serve``."""
    from assay.service.settings import ServeConfig  # noqa: PLC0415 - only the service's verbs

    return ServeConfig


def need_service() -> None:
    """Raises ConfigError where a library of the extra is not installed."""
    missing = [name for name in _LIBRARIES if find_spec(name) is None]
    if missing:
        raise ConfigError(
            "the service is not installed",
            got=f"no {', '.join(missing)}",
            fix="install it: pip install 'assay-vision[serve]'",
        )


def add_place(parser: argparse.ArgumentParser) -> None:
    """POLICY, ``--folder`` and ``--database``: which service is meant."""
    parser.add_argument(
        "policy", metavar="POLICY", help="the policy of the service; its folder lies beside it"
    )
    parser.add_argument("--folder", metavar="FOLDER", help="the service's folder, where it is another one")
    parser.add_argument(
        "--database",
        metavar="ADDRESS",
        help="postgresql://..., where it is neither in the folder nor named by ASSAY_DATABASE",
    )


def open_place(args: argparse.Namespace, *, make: bool) -> tuple[Home, Database]:
    """The folder and database of a service, which may be running.

    Raises
    ------
    ConfigError : there is none, and none shall be made; its tables are of another version, and it is only looked at.
    """
    need_service()
    from assay.service.home import home_of, open_home  # noqa: PLC0415
    from assay.service.store.database import Database  # noqa: PLC0415
    from assay.service.store.engine import DATABASE, open_engine  # noqa: PLC0415
    from assay.service.store.migrate import migrate, require_newest  # noqa: PLC0415

    folder = home_of(Path(args.policy)) if args.folder is None else Path(args.folder)
    if not make and not (folder / "record.key").exists():
        raise ConfigError(f"there is no service in {folder}", fix="name its folder with --folder")
    home = open_home(folder, lock=False)
    engine = open_engine(args.database or os.environ.get(DATABASE), folder)
    (migrate if make else require_newest)(engine)
    return home, Database(engine)
