"""Tables of the benchmarks with boxes and pixels, from their result lines alone; the newest line of a thing counts."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.machine import RESULTS, read_lines
from benchmarks.summarise import Line

HEADS = {
    # head -> (score, its name in a table)
    "tags": ("map", "tags, mean AP"),
    "boxes": ("ap50_95", "boxes, AP50-95"),
    "pixels": ("miou_no_background", "pixels, mIoU of nine classes"),
}
SINGLES = ("tags", "boxes", "pixels")


def newest(lines: Iterable[Line], kind: str, *names: str) -> list[Line]:
    """The last line of each thing of one kind, told apart by these fields."""
    return list(
        {tuple(str(line.get(n)) for n in names): line for line in lines if line["kind"] == kind}.values()
    )


def detection_table(lines: list[Line]) -> list[str]:
    """Arms, then differences, then AP50 by class of the runs."""
    rows = [
        "| split | minutes | system | seeds | validation AP50 | AP50 | AP50-95 | minutes used |",
        "|---|---|---|---|---|---|---|---|",
    ]
    runs = _runs_by_arm(lines, ("split", "minutes"), lambda line: _group(line["split"]))
    for line in sorted(newest(lines, "arm", "split", "minutes", "arm"), key=_order):
        mine = runs[line["split"], line["minutes"], line["arm"]]
        seeds = f"{line['seeds']}" if line["split"] == "original" else f"{line['folds']} folds"
        rows.append(
            f"| {line['split']} | {line['minutes']:g} | {line['arm']} | {seeds} | {_mean(mine, 'validation')} "
            f"| **{_points(line['ap50'])}** | {_points(line['ap50_95'])} | {_most_minutes(mine)} |"
        )
    rows += ["", "| split | minutes | difference, points | AP50 | AP50-95 |", "|---|---|---|---|---|"]
    rows += [
        f"| {line['split']} | {line['minutes']:g} | {line['arm']} - {line['peer']} "
        f"| {_points(line['ap50'], '+')} | {_points(line['ap50_95'], '+')} |"
        for line in sorted(newest(lines, "difference", "split", "minutes", "arm", "peer"), key=_order)
    ]
    return [*rows, *_by_class(lines, "AP50"), *_patches(read_lines(RESULTS / "sliding_patches.jsonl"))]


def segmentation_table(lines: list[Line]) -> list[str]:
    """Arms, then differences, then IoU by class of the runs."""
    names = {
        "miou_no_background": "mIoU, nine classes",
        "miou": "with background",
        "foreground_iou": "foreground IoU",
        "boundary_f1": "boundary F1",
        "pixel_accuracy": "pixel accuracy",
    }
    heads = " | ".join(names.values())
    rows = [f"| minutes | system | seeds | validation mIoU | {heads} | minutes used |", "|---" * 10 + "|"]
    rows[1] = "|---" * (5 + len(names)) + "|"
    runs = _runs_by_arm(lines, ("minutes",))
    for line in sorted(newest(lines, "arm", "minutes", "arm"), key=_order):
        mine = runs[line["minutes"], line["arm"]]
        told = [_points(line[name]) for name in names]
        told[-1] += f" (commonest class {100 * line['majority']['value']:.1f})"
        rows.append(
            f"| {line['minutes']:g} | {line['arm']} | {line['seeds']} | {_mean(mine, 'validation')} | **{told[0]}** "
            f"| {' | '.join(told[1:])} | {_most_minutes(mine)} |"
        )
    rows += ["", f"| minutes | difference, points | {heads} |", "|---" * (2 + len(names)) + "|"]
    for line in sorted(newest(lines, "difference", "minutes", "arm", "peer"), key=_order):
        told = [_points(line[name], "+") for name in names]
        rows.append(f"| {line['minutes']:g} | {line['arm']} - {line['peer']} | {' | '.join(told)} |")
    return [*rows, *_by_class(lines, "IoU")]


def multitask_table(lines: list[Line]) -> list[str]:
    """Scores by arm; multi minus each single with the claim's bounds; with and without tag-only photos; costs."""
    rows = [
        f"| network | minutes | seeds | {' | '.join(name for _, name in HEADS.values())} |",
        "|---" * 6 + "|",
    ]
    arms: dict[tuple[str, float], dict[str, Line]] = defaultdict(dict)
    for line in newest(lines, "arm", "arm", "minutes", "head"):
        arms[line["arm"], line["minutes"]][line["head"]] = line
    for (arm, minutes), heads in arms.items():
        told = [_points(heads[h]["scores"][score]) if h in heads else "-" for h, (score, _) in HEADS.items()]
        seeds = next(iter(heads.values()))["seeds"]
        rows.append(f"| {arm} | {minutes:g} | {seeds} | {' | '.join(told)} |")
    rows += [
        "",
        "| one network minus | task | difference, points | within 1 point, bound above -2 |",
        "|---" * 4 + "|",
    ]
    for line in newest(lines, "difference", "arm", "minutes", "other", "other_minutes", "head"):
        score, name = HEADS[line["head"]]
        value = line["scores"][score]
        mine = f"{line['arm']}, {line['minutes']:g} min, minus {line['other']}, {line['other_minutes']:g} min"
        verdict = ("yes" if holds(value) else "no") if line["other"] in SINGLES else "-"
        rows.append(f"| {mine} | {name} | {_points(value, '+')} | {verdict} |")
    return [*rows, *_costs(newest(lines, "cost", "kind"))]


def holds(difference: dict[str, float | None]) -> bool:
    """The claim: within a point of the other network, and the lower bound above -2 points."""
    value, low = (-math.inf if difference[name] is None else difference[name] for name in ("value", "low"))
    return bool(value >= -0.01 and low > -0.02)


def _costs(lines: list[Line]) -> list[str]:
    if not lines:
        return []
    arms, shares = lines[-1]["arms"], lines[-1]["share_of_sum"]
    rows = ["", "| network | parameters | as exported | graph, ms | file to answer, ms |", "|---" * 5 + "|"]
    for arm, told in arms.items():
        rows.append(
            f"| {arm} | {told['parameters']:,} | {told['exported_parameters']:,} "
            f"| {told['network_ms']:.1f} | {told['whole_ms']:.1f} |"
        )
    names = ("parameters", "exported_parameters", "network_ms", "whole_ms")
    rows.append(f"| multi, share of the sum | {' | '.join(f'{shares[name]:.2f} x' for name in names)} |")
    return rows


def _by_class(lines: list[Line], what: str) -> list[str]:
    """The last run of each arm with seed 0 on the original split, class by class."""
    runs = [line for line in newest(lines, "run", "job") if line["seed"] == 0]
    runs = [line for line in runs if line.get("split", "original") == "original"]
    if not runs:
        return []
    classes = list(runs[0]["by_class"])
    rows = ["", f"| {what}, seed 0 | minutes | {' | '.join(classes)} |", "|---" * (2 + len(classes)) + "|"]
    for line in runs:
        told = [_share(line["by_class"].get(name)) for name in classes]
        rows.append(f"| {line['system']} {line['setting']} | {line['minutes']:g} | {' | '.join(told)} |")
    return rows


def _patches(lines: list[Line]) -> list[str]:
    """The teaching baseline, where it was measured."""
    rows = ["", "| teaching baseline | minutes | seed | AP50 | AP50-95 |", "|---" * 5 + "|"]
    kept = {(line["dataset"], line["split_hash"], line["minutes"], line["seed"]): line for line in lines}
    for line in kept.values():
        told = f"{_share(line['ap50'])} | {_share(line['ap50_95'])}"
        rows.append(f"| sliding patches | {line['minutes']:g} | {line['seed']} | {told} |")
    return rows if kept else []


def _runs_by_arm(
    lines: list[Line], names: tuple[str, ...], group: Callable[[Line], str] | None = None
) -> dict[tuple[Any, ...], list[Line]]:
    found: dict[tuple[Any, ...], list[Line]] = defaultdict(list)
    for line in newest(lines, "run", "job"):
        key = [group(line) if group and name == "split" else line[name] for name in names]
        found[*key, f"{line['system']} {line['setting']}"].append(line)
    return found


def _group(split: str) -> str:
    return split if split == "original" else "folds"


def _order(line: Line) -> str:
    return json.dumps([line.get("split", ""), f"{line['minutes']:08.3f}", line["arm"], line.get("peer", "")])


def _mean(lines: list[Line], name: str) -> str:
    known = [line[name] for line in lines if line.get(name) is not None]
    return _share(sum(known) / len(known)) if known else "-"


def _most_minutes(lines: list[Line]) -> str:
    return f"{max(line['minutes_used'] for line in lines):.1f}" if lines else "-"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _points(value: dict[str, float | None], sign: str = "") -> str:
    """``78.1 [72.9, 82.8]``, in points of a hundred."""
    one, low, high = (value[name] for name in ("value", "low", "high"))
    if one is None:
        return "-"
    bounds = "" if low is None or high is None else f" [{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"
    return f"{100 * one:{sign}.1f}{bounds}"
