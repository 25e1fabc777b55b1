"""``assay serve``: a policy as a service, with its pages."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from assay.cli.command import Command
from assay.cli.flags import add_config_flags, read_config
from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.service.serve import Opened

_EPILOG = """\
examples:
  assay serve shop.yaml                              SQLite and photos in shop.service/, pages at http://127.0.0.1:8000
  assay serve shop.yaml --port 0 --precision int8
  assay serve shop.yaml --database postgresql://shop:word@db/shop --objects s3://shop-photos --host 0.0.0.0
  assay keys add shop.yaml --name backend --scope submit          a key for the shop's own software
  curl -X PUT --data-binary @photo.jpg -H "Authorization: Bearer $KEY" "http://127.0.0.1:8000/v1/photos?wait=2"

SIGTERM and Ctrl-C finish what is in work and stop; SIGHUP takes the policy's file up anew, without a refused photo.
exit code: 0 stopped when asked to, 1 something failed, 2 wrong usage or a mistake in the policy
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("policy", metavar="POLICY", help="a YAML file, as of `assay screen`")
    parser.add_argument(
        "--folder",
        metavar="FOLDER",
        help="keys, photos and database (default: beside the policy, shop.service/)",
    )
    from assay.cli.service_parts import serve_config  # noqa: PLC0415

    add_config_flags(parser, serve_config())


def _run(args: argparse.Namespace) -> int:
    from assay.cli.service_parts import need_service, serve_config  # noqa: PLC0415

    need_service()
    from assay.service.serve import serve  # noqa: PLC0415

    policy = Path(args.policy)
    if not policy.is_file():
        raise ConfigError(
            f"there is no policy {policy}", fix="name a YAML file; docs/guides/screening.md has one"
        )
    config = read_config(args, serve_config())
    with contextlib.suppress(KeyboardInterrupt):
        serve(policy, config, None if args.folder is None else Path(args.folder), _tell)
    return 0


def _tell(opened: Opened) -> None:
    print(f"listening at {opened.address}", flush=True)
    if opened.link:
        print(f"open the pages: {opened.link}   (signs in once; Ctrl-C stops)", file=sys.stderr, flush=True)


COMMAND = Command(
    "serve",
    "Run the screening service: photos over HTTP, verdicts with reasons, pages for reviewers and operators.\n"
    "A photo is accepted only when it is safe on the disk and in the database.",
    _add_arguments,
    _run,
    _EPILOG,
)
