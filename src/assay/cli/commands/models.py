"""``assay models``: the networks that ``--model`` takes."""

from __future__ import annotations

import argparse
import fnmatch
import json
from typing import Any

from assay.cli.command import Command
from assay.cli.terminal import show_table
from assay.configs import ModelConfig
from assay.errors import ConfigError, ModelError
from assay.tables import MODELS

_SIZE, _CLASSES = 160, 10


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "filter", nargs="?", metavar="FILTER", help="part of a name, e.g. resnet; * matches anything"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def _run(args: argparse.Namespace) -> int:
    wanted = args.filter or ""
    own = [_describe_own(name) for name in MODELS if _matches(name, wanted)]
    others = _describe_others(wanted)
    found = _timm_names(wanted)
    if not own and not others and not found:
        from assay.models.timm_models import suggest_model  # noqa: PLC0415 - seconds

        raise ConfigError(f"no network's name matches {wanted!r}", fix=suggest_model(wanted))
    if args.json:
        print(json.dumps({"models": own, "others": others, "timm": found}, indent=2))
        return 0
    if own:
        _show(own)
    if others:
        print(*([""] if own else []), "for boxes, masks and pixels, by other people:", sep="\n")
        _show(others)
    if found and not wanted:
        print(f"\nand {len(found)} networks of timm: `assay models FILTER` lists those whose name matches.")
    elif found:
        print(*([""] if own or others else []), f"timm ({len(found)}):", *found, sep="\n")
    return 0


def _matches(name: str, wanted: str) -> bool:
    return fnmatch.fnmatch(name.lower(), f"*{wanted.lower()}*")


def _describe_own(name: str) -> dict[str, Any]:
    """Name, parameters and multiply-adds of one of our own networks, and what it is."""
    from assay.models.build import build_model  # noqa: PLC0415 - torch
    from assay.models.describe import describe  # noqa: PLC0415

    model = build_model(ModelConfig(model=name), _CLASSES)
    size = describe(model, _SIZE)
    about = (MODELS.load(name).__doc__ or "").strip().partition("\n")[0]
    return {
        "name": name,
        "parameters": size.parameters,
        "macs": size.macs,
        "size_hw": [_SIZE, _SIZE],
        "about": about,
    }


def _describe_others(wanted: str) -> list[dict[str, Any]]:
    """As ``_describe_own``, of torchvision's detectors and segmentation_models.pytorch's networks.

    The work of a detector is that of a picture in which it finds as much as it may. Sizes are None where the library is
    not installed.
    """
    import torch  # noqa: PLC0415 - seconds

    from assay.models.describe import describe  # noqa: PLC0415
    from assay.models.scene_models import DETECTORS, LISTED, build_scene_model, heads_of  # noqa: PLC0415

    told: list[dict[str, Any]] = []
    for name, about in LISTED.items():
        if not _matches(name, wanted):
            continue
        entry: dict[str, Any] = {"name": name, "parameters": None, "macs": None}
        entry |= {"size_hw": [_SIZE, _SIZE], "about": about}
        # a detector has hundreds of megabytes of weights, whose values nobody asks for
        device = torch.device("meta" if name in DETECTORS else "cpu")
        try:
            with device:
                model = build_scene_model(ModelConfig(model=name), heads_of(name, _CLASSES))
            size = describe(model, _SIZE)
            entry |= {"parameters": size.parameters, "macs": size.macs}
        except ModelError as error:
            entry["about"] = f"{about} ({error.fix})"
        told.append(entry)
    return told


def _show(entries: list[dict[str, Any]]) -> None:
    rows: list[tuple[str, ...]] = [("name", "parameters", f"MMACs at {_SIZE} px", "")]
    for entry in entries:
        parameters, macs = entry["parameters"], entry["macs"]
        sizes = ("", "") if parameters is None else (f"{parameters:,}", f"{macs / 1e6:,.0f}")
        rows.append((entry["name"], *sizes, entry["about"]))
    show_table(rows)


def _timm_names(wanted: str) -> list[str]:
    from assay.models.timm_models import load_timm  # noqa: PLC0415 - seconds

    return [name for name in load_timm().list_models() if _matches(name, wanted)]


COMMAND = Command(
    "models",
    "List the networks that --model takes: Assay's own with their sizes, and those of other people.",
    _add_arguments,
    _run,
    epilog="examples:\n  assay models\n  assay models 'mobilenetv3*'\n  assay models rcnn --json",
)
