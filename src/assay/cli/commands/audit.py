"""``assay audit``: the doctor. Examines a data set, says in plain words what is wrong, and mends a copy."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.cli.command import Command
from assay.cli.flags import add_config_flags, given_options
from assay.cli.terminal import warn
from assay.configs import ReadConfig
from assay.errors import ConfigError
from assay.verb_configs import AuditConfig

if TYPE_CHECKING:
    from assay.audit.mend import Mended
    from assay.audit.outcome import Audit
    from assay.types import Dataset


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data", metavar="DATA", help="a folder of pictures, with or without class folders, or a table"
    )
    parser.add_argument(
        "--out", metavar="FOLDER", help="where page, lists and kept work go (default: audits/NAME)"
    )
    parser.add_argument("--only", metavar="NAME,...", help="make only these checkups (see below)")
    parser.add_argument("--skip", metavar="NAME,...", help="leave these checkups out")
    parser.add_argument(
        "--fix", metavar="FOLDER", help="also write a mended copy to this new folder; DATA is never touched"
    )
    parser.add_argument(
        "--link",
        action="store_true",
        help="with --fix: hard links in place of copies where possible. They take no room, but a picture that is "
        "changed in place changes in both",
    )
    parser.add_argument(
        "--groups", metavar="TABLE", help="take the column --group-column of another table as groups"
    )
    parser.add_argument(
        "--group-pattern", metavar="REGEX", help="take a piece of the path as group, e.g. '([^/]+)__'"
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 on warnings too")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--open", action="store_true", help="show the page in the browser")
    add_config_flags(parser, AuditConfig)
    add_config_flags(parser, ReadConfig)


def _run(args: argparse.Namespace) -> int:
    options = {**given_options(args, AuditConfig), **given_options(args, ReadConfig)}
    if args.link and args.fix is None:
        raise ConfigError("--link without --fix", fix="add --fix FOLDER")
    from assay.audit.audit import audit, chosen_checkups, deal_options  # noqa: PLC0415 - numpy, Arrow and more
    from assay.audit.intake import read_for_audit  # noqa: PLC0415
    from assay.cli.native import quiet_native  # noqa: PLC0415
    from assay.report.audit_page import write_audit_page  # noqa: PLC0415

    checkups = chosen_checkups(_names(args.only), _names(args.skip) or ())
    read, config = deal_options(options)
    dataset = read_for_audit(args.data, read, groups=args.groups, group_pattern=args.group_pattern)
    if args.fix is not None:
        _check_fix(args.fix, args.data, dataset)
        # what is mended is read from the findings, so none of their places may be left out
        options["most"] = max(config.most, len(dataset))
    with quiet_native():
        found = audit(
            dataset, args.out, show=not args.json, checkups=checkups, source=args.data, **_of_audit(options)
        )
        page = write_audit_page(found)
        mended = None if args.fix is None else _mend(found, dataset, args)
    if args.json:
        print(json.dumps(_as_dict(found, page, mended), ensure_ascii=False))
    else:
        _show(found, page, mended)
    if args.open:
        import webbrowser  # noqa: PLC0415

        webbrowser.open(page.resolve().as_uri())
    return 1 if args.strict and found.worst == "warning" else found.exit_code


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _of_audit(options: dict[str, Any]) -> dict[str, Any]:
    return {f.name: options[f.name] for f in fields(AuditConfig) if f.name in options}


def _check_fix(fix: str, data: str, dataset: Dataset) -> None:
    """What cannot be mended is told before minutes of looking, not after."""
    from assay.audit.mend import check_mendable, check_place  # noqa: PLC0415

    source = Path(data).expanduser()
    check_place(Path(fix).expanduser(), source)
    check_mendable(dataset, source)


def _mend(found: Audit, dataset: Dataset, args: argparse.Namespace) -> Mended:
    from assay.audit.mend import mend  # noqa: PLC0415

    return mend(found, dataset, args.fix, link=args.link, source=args.data)


def _as_dict(found: Audit, page: Path, mended: Mended | None) -> dict[str, Any]:
    told = {**found.to_dict(), "seconds": round(found.seconds, 1), "out": found.folder, "page": str(page)}
    return told if mended is None else {**told, "mended": mended.to_dict()}


def _show(found: Audit, page: Path, mended: Mended | None) -> None:
    from assay.report.audit_text import print_audit  # noqa: PLC0415

    print_audit(found, sys.stdout, page)
    if mended is not None:
        print(f"mended copy: {mended.data} ({mended.n:,} pictures; {mended.summary()})")
        if mended.review:
            print(f"to be judged by you: {mended.review:,} rows of {mended.folder / 'review.csv'}")
        for note in mended.notes:
            warn(note)
        print(f"next: assay audit {shlex.quote(str(mended.data))}")


COMMAND = Command(
    "audit",
    "Examine a data set as a doctor would: broken files, duplicates, leaks between parts, missing and rare classes,\n"
    "likely wrong labels, groups that a random split would leak, shortcuts, and too few pictures to tell; boxes and\n"
    "masks that lie wrong, are there twice, disagree, or vanish at the size of training.\n\n"
    "Checkups: files, duplicates, parts, classes, objects, groups, shortcuts, labels, power.\n"
    "Exit codes: 0 nothing serious, 1 at least one error (with --strict also a warning), 2 the request cannot be\n"
    "taken, 130 interrupted; the same command again goes on where it was.",
    _add_arguments,
    _run,
    epilog="""examples:
  assay audit photos
  assay audit photos --only files,duplicates --out audits/quick
  assay audit photos.csv --group-column seller --json --strict
  assay audit photos --groups sellers.csv --group-column seller
  assay audit photos --fix photos-mended""",
)
