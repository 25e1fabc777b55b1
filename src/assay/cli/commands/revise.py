"""``assay revise``: people's answers become the next revision of the data, and, if wanted, a candidate network."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.cli.command import Command
from assay.cli.flags import add_config_flags, given_options
from assay.cli.terminal import warn
from assay.configs import Recipe
from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.data.lineage import Revision
    from assay.runtime.revision import Revised
    from assay.trials.candidate import Candidate

_READ = (
    "format", "path_column", "label_column", "labels_column", "part_column", "group_column", "root", "class_depth",
)  # fmt: skip
_SPLIT = ("validation", "test")
_TRAIN = (
    "minutes",
    "epochs",
    "batch",
    "lr",
    "precision",
    "imbalance",
    "transfer",
    "seed",
    "workers",
    "cache_gb",
)
_EPILOG = """\
examples:
  assay revise shop.yaml --data labelled.csv --out revisions
  assay revise shop.yaml --data kinds/ --question kind --out revisions --train --minutes 30
  assay revise shop.yaml --data labelled.csv --out revisions --train --calibrate fresh.csv
  assay revise shop.yaml --data labelled.csv --out revisions --database postgresql://shop:word@db/shop

A candidate lies in OUT/candidates/: its policy, its network, comparison.json and a page. When it passed and has
thresholds, let it decide: assay promote shop.yaml OUT/candidates/.../shop.yaml

exit code: 0 made, or nothing new to make; 1 the candidate was refused, because a class gets worse; 2 wrong usage
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    from assay.cli.service_parts import add_place  # noqa: PLC0415

    add_place(parser)
    parser.add_argument(
        "--objects",
        metavar="PLACE",
        help="where photos lie: s3://bucket/prefix, or a folder, as `assay serve`",
    )
    parser.add_argument(
        "--data",
        metavar="BASE",
        required=True,
        help="labelled photos that the revision begins with, with a column for the truth of each question",
    )
    parser.add_argument("--out", metavar="FOLDER", required=True, help="the folder of all revisions")
    parser.add_argument(
        "--question",
        metavar="NAME",
        help="the question that the data is about (default: all that it has columns for)",
    )
    parser.add_argument(
        "--train", action="store_true", help="also train a candidate, and compare it with the live network"
    )
    parser.add_argument(
        "--calibrate",
        metavar="LABELLED",
        help="find the thresholds of a candidate that passed, from labelled photos that it did not learn from",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    add_config_flags(parser, Recipe, {*_READ, *_SPLIT, *_TRAIN})


def _run(args: argparse.Namespace) -> int:
    given = given_options(args, Recipe)
    training = {name: value for name, value in given.items() if name in _TRAIN}
    if not args.train and (training or args.calibrate is not None):
        name = "calibrate" if not training else next(iter(training)).replace("_", "-")
        raise ConfigError(f"--{name} is for a candidate", got="no --train", fix="add --train")
    if args.train:
        Recipe.from_options(training)  # a mistake is told at once, not after everything was read
    begun = time.monotonic()
    revised, forgotten, held = _revise(args, given)
    told = _told(revised, forgotten, held)
    if not args.json:
        _show(args, revised, forgotten, held)
    candidate = _candidate(args, revised.revision, training, begun) if args.train else None
    if candidate is not None:
        told["candidate"] = _of_candidate(args, candidate, revised.revision)
    if args.json:
        print(json.dumps(told, ensure_ascii=False, allow_nan=False))
    return 0 if candidate is None or candidate.passed else 1


def _revise(args: argparse.Namespace, given: dict[str, Any]) -> tuple[Revised, list[str], int]:
    from assay.cli.service_parts import open_place  # noqa: PLC0415

    home, database = open_place(args, make=False)
    try:
        from assay.configs import ReadConfig  # noqa: PLC0415
        from assay.data.deal import Shares  # noqa: PLC0415
        from assay.data.lineage import forget_pictures, pictures_in  # noqa: PLC0415
        from assay.decide.policy_read import read_policy  # noqa: PLC0415
        from assay.runtime.revision import SHARES, revise_policy  # noqa: PLC0415
        from assay.service.objects import open_objects  # noqa: PLC0415
        from assay.service.store.export import erased_among, read_reviewed  # noqa: PLC0415

        policy, out, now = read_policy(args.policy), Path(args.out), time.time()
        exported = database.read_now(lambda c: read_reviewed(c, {policy.digest: policy.audit}))
        revised = revise_policy(
            args.policy,
            args.data,
            exported.reviewed,
            open_objects(args.objects, home.folder).get,
            out,
            question=args.question,
            config=ReadConfig.from_dict({name: given[name] for name in _READ if name in given}),
            shares=Shares(given.get("validation", SHARES.validation), given.get("test", SHARES.test)),
            excluded=exported.excluded,
            about={"answers": dict(exported.answers), "held": exported.held},
            made_at=now,
        )
        erased = database.read_now(lambda c: erased_among(c, sorted(pictures_in(out))))
        return revised, forget_pictures(out, erased, now), exported.held
    finally:
        database.close()
        home.close()


def _told(revised: Revised, forgotten: list[str], held: int) -> dict[str, Any]:
    from assay.data.revise import excluded_counts  # noqa: PLC0415

    found = revised.revision
    return {
        "is_new": found.is_new,
        "revision": {
            name: found.lineage[name]
            for name in ("number", "digest", "parent", "reviewed", "answers", "labels")
        },
        "folder": str(found.folder),
        "data": str(found.table),
        "columns": found.columns,
        "excluded": excluded_counts(found),
        "left_out": dict(revised.left_out),
        "contradicting": revised.contradicting,
        "held": held,
        "forgotten": forgotten,
    }


def _show(args: argparse.Namespace, revised: Revised, forgotten: list[str], held: int) -> None:
    from assay.data.revise import excluded_counts  # noqa: PLC0415

    found = revised.revision
    seen = found.lineage["reviewed"]
    if found.is_new:
        arms = ", ".join(f"{n:,} {arm}" for arm, n in seen["arms"].items()) or "none"
        parts = ", ".join(f"{n:,} in {part}" for part, n in seen["parts"].items())
        print(f"revision {found.number}: {found.folder}")
        print(f"  {found.lineage['base']['rows']:,} photos of {found.lineage['base']['name']}, as they were")
        print(f"  {seen['photos']:,} reviewed photos of {seen['senders']:,} senders ({arms}; {parts})")
        for name, column in found.columns.items():
            said, implied = revised.said.get(name, 0), revised.implied.get(name, 0)
            print(f"  {name} (column {column}): {said:,} answers said, {implied:,} follow from the verdict")
        for reason, n in excluded_counts(found).items():
            print(f"  left out {n:,}: {reason}")
    else:
        print(f"no new answers since revision {found.number}: nothing was made ({found.folder})")
    if held:
        print(f"{held:,} answers can still be taken back; they come with the next revision")
    if revised.contradicting:
        warn(
            f"{revised.contradicting:,} photos were accepted against what was said of them; check these reviews"
        )
    for name, why in revised.left_out.items():
        print(f"{name} is left out: {why}")
    if forgotten:
        print(
            f"{len(forgotten):,} pictures were erased in the service since, and are deleted from all revisions"
        )
    if not args.train:
        print(
            f"train from it: {' '.join(map(shlex.quote, args.words))} --train --minutes 30", file=sys.stderr
        )


def _candidate(
    args: argparse.Namespace, revision: Revision, training: dict[str, Any], begun: float
) -> Candidate:
    from assay.cli.native import quiet_native  # noqa: PLC0415
    from assay.cli.progress import bars  # noqa: PLC0415
    from assay.report.pair_page import write_pair  # noqa: PLC0415
    from assay.report.write import write_report  # noqa: PLC0415
    from assay.runtime.revision import require_question  # noqa: PLC0415
    from assay.trials.candidate import make_candidate  # noqa: PLC0415 - torch
    from assay.trials.pair import Pair, Side  # noqa: PLC0415

    question = require_question(revision, args.question)
    show = not args.quiet and not args.json and sys.stderr.isatty()
    with quiet_native():
        found = make_candidate(
            args.policy,
            question,
            revision,
            _fresh(Path(args.out) / "candidates" / f"{revision.folder.name}-{question}"),
            show=show,
            command=args.words,
            begun=begun,
            on_progress=bars() if show else None,
            made_at=time.time(),
            **training,
        )
    write_report(found.run)
    sides = Side("candidate", found.new, folder=None), Side("live", found.live)
    write_pair(Pair(*sides, found.standing.comparison), found.folder / "comparison.html")
    if not args.json:
        _show_candidate(args, found)
    return found


def _fresh(place: Path) -> Path:
    """The place, or the next of its name: a candidate is never written over."""
    number, found = 1, place
    while found.exists():
        number += 1
        found = place.with_name(f"{place.name}-{number}")
    return found


def _show_candidate(args: argparse.Namespace, found: Candidate) -> None:
    from assay.cli.standing import show_standing  # noqa: PLC0415

    for text in found.notes:
        warn(text)
    print(f"\ncandidate for {found.question}: {found.folder}\n")
    show_standing(found.standing)
    if found.passed:
        policy = shlex.quote(str(found.policy))
        if args.calibrate is None:
            print(
                "\nThresholds are not carried over: they are promises about another network's scores. Find its own from"
                f"\nlabelled photos that it did not learn from: assay calibrate {policy} --data LABELLED"
            )
        print(
            f"try it beside the live one: assay serve {shlex.quote(args.policy)} --shadow {policy}",
            file=sys.stderr,
        )
        print(f"then let it decide: assay promote {shlex.quote(args.policy)} {policy}", file=sys.stderr)


def _of_candidate(args: argparse.Namespace, found: Candidate, revision: Revision) -> dict[str, Any]:
    told: dict[str, Any] = {
        "question": found.question,
        "folder": str(found.folder),
        "policy": str(found.policy),
        "bundle": str(found.bundle),
        "page": str(found.folder / "comparison.html"),
        **found.standing.to_dict(),
        "notes": list(found.notes),
        "thresholds": None,
    }
    if args.calibrate is not None and found.passed:
        told["thresholds"] = _calibrate(args, found, revision)
    return told


def _calibrate(args: argparse.Namespace, found: Candidate, revision: Revision) -> dict[str, Any]:
    from assay.cli.native import quiet_native  # noqa: PLC0415
    from assay.cli.progress import Steps  # noqa: PLC0415
    from assay.configs import ReadConfig  # noqa: PLC0415
    from assay.runtime.policy_calibration import calibrate_policy  # noqa: PLC0415
    from assay.runtime.revision import require_unlearned  # noqa: PLC0415

    given = given_options(args, Recipe)
    read = ReadConfig.from_dict(
        {name: given[name] for name in _READ if name in given and name != "part_column"}
    )
    require_unlearned(revision, args.calibrate, read)
    with quiet_native():
        done = calibrate_policy(
            found.policy, args.calibrate, read=read, on_progress=Steps("answer", quiet=args.json)
        )
    if not args.json:
        held = sum(kind.threshold is not None for kind in done.budgets.kinds)
        print(
            f"\nthresholds: {done.path} ({held} of {len(done.budgets.kinds)} kinds of verdicts keep their promise)"
        )
    return done.to_dict()


COMMAND = Command(
    "revise",
    "Turn people's final answers into a new revision of the data that is never changed, with its lineage: the base as "
    "it is, and the reviewed photos, no sender in two parts. With --train also a candidate network, refused where a "
    "class gets worse than with the live one.",
    _add_arguments,
    _run,
    _EPILOG,
)
