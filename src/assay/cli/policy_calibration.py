"""``assay calibrate POLICY``: the thresholds of a policy on the command line."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from assay.cli.flags import given_options, read_config
from assay.cli.terminal import paint, show_table
from assay.configs import ReadConfig
from assay.errors import ConfigError
from assay.verb_configs import AbstainConfig, TellConfig

if TYPE_CHECKING:
    from assay.decide.budgets import Kind
    from assay.runtime.policy_calibration import CalibratedPolicy

ENDINGS = (".yaml", ".yml")


def calibrate_policy_file(args: argparse.Namespace) -> int:
    """Run the verb for a policy's file."""
    for config in (AbstainConfig, TellConfig):
        if given := given_options(args, config):
            name = next(iter(given)).replace("_", "-")
            raise ConfigError(
                f"--{name} is for a run; a policy says its risks itself",
                fix="write them below automatic in the policy",
            )
    if args.data is None:
        raise ConfigError(
            "a policy is calibrated on labelled photos", got="no --data", fix="give --data LABELLED"
        )
    from assay.cli.native import quiet_native  # noqa: PLC0415
    from assay.cli.progress import Steps  # noqa: PLC0415
    from assay.runtime.policy_calibration import calibrate_policy  # noqa: PLC0415

    with quiet_native():
        done = calibrate_policy(
            args.run,
            args.data,
            part=None if args.part in (None, "all") else args.part,
            read=read_config(args, ReadConfig),
            on_progress=Steps("answer", quiet=args.json),
        )
    if args.json:
        print(json.dumps(done.to_dict(), ensure_ascii=False, allow_nan=False))
    else:
        _tell(args, done)
    return 0


def _tell(args: argparse.Namespace, done: CalibratedPolicy) -> None:
    budgets = done.budgets
    print(f"{args.run}: {budgets.photos:,} labelled photos, {budgets.used:,} count for a threshold", end="")
    print(f" ({done.unreadable:,} unreadable, {done.unknown:,} unknown to a network)\n")
    rows: list[tuple[str, ...]] = [("verdict", "kind", "labels", "wrong", "from score", "keeps", "promise")]
    rows += [_row(kind, budgets.unit) for kind in budgets.kinds]
    show_table(rows)
    told = ", ".join(f"{share:.1%} {verdict}" for verdict, share in done.shares.items())
    print(f"\nof these photos: {told}")
    if done.cost is not None:
        print(f"1,000 photos cost {done.cost:,.1f}, where people see all of them {done.cost_of_people:,.1f}")
    if all(kind.threshold is None for kind in budgets.kinds):
        print(
            paint(
                "\nno threshold: until there are more labels, people decide everything", "yellow", sys.stdout
            )
        )
    print(f"\nwritten to {done.path}; decide by it: assay screen {args.run} PHOTOS")


def _row(kind: Kind, unit: str) -> tuple[str, ...]:
    before = (kind.verdict, kind.name, f"{kind.labels:,}", f"{kind.wrong:,}")
    if kind.threshold is not None:
        promise = f"at most {100 * kind.risk:g} % wrong, {100 * kind.confidence:g} % sure"
        return (*before, f"{kind.threshold:.4f}", f"{kind.kept:.0%}", promise)
    more = f"{kind.missing:,} more labels needed" if kind.missing else f"more labelled {unit}s needed"
    return (*before, "-", "-", f"none yet: {more}, or a better network")


__all__ = ["ENDINGS", "calibrate_policy_file"]
