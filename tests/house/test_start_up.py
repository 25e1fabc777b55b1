"""Starting is cheap: `import assay` imports nothing heavy, `assay --help` the standard library alone."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

LIST_MODULES = """
import contextlib, io, json, sys
before = set(sys.modules)  # what an interpreter or an installed .pth file brings is not ours
with contextlib.redirect_stdout(io.StringIO()):
    {work}
print(json.dumps(sorted(set(sys.modules) - before)))
"""
HEAVY = {"numpy", "torch", "pyarrow", "PIL", "onnxruntime", "rich", "jinja2", "matplotlib", "sklearn"}


def modules_after(work: str) -> set[str]:
    """The top-level modules that ``work`` imports in a fresh interpreter."""
    code = LIST_MODULES.format(work=work)
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(told.stdout))


def strangers(modules: set[str]) -> set[str]:
    tops = {name.partition(".")[0] for name in modules}
    return {top for top in tops - sys.stdlib_module_names - {"assay"} if not top.startswith("__")}


@pytest.mark.parametrize(
    "work",
    [
        "import assay",
        "from assay.cli.main import main; main(['--help'])",
        "from assay.cli.main import main; main(['--version'])",
        "from assay.cli.main import main; main(['train', '--help'])",
        "from assay.cli.main import main; main(['predict', '--help'])",
    ],
)
def test_help_needs_the_standard_library_alone(work):
    assert strangers(modules_after(work)) == set()


def test_help_of_every_verb_is_light():
    work = "from assay.cli.main import main, VERBS; [main([verb, '--help']) for verb in VERBS]"
    assert {name.partition(".")[0] for name in modules_after(work)} & HEAVY == set()


def test_help_does_not_look_for_plug_ins():
    modules = modules_after("from assay.cli.main import main; main(['--help'])")
    assert not {"importlib.metadata", "argparse", "assay.tables", "assay.configs"} & modules


def test_importing_changes_nothing():
    code = "import os, logging, assay; print(sorted(os.environ), logging.getLogger().handlers)"
    plain = code.replace(", assay", "")
    told = [
        subprocess.run([sys.executable, "-c", c], capture_output=True, check=True).stdout
        for c in (code, plain)
    ]
    assert told[0] == told[1]


def test_predicting_needs_no_torch():
    modules = modules_after("import assay; assay.load, assay.read_dataset, assay.evaluate")
    assert not {"torch", "torchvision", "timm", "accelerate"} & modules


@pytest.mark.parametrize(
    "first", ["", "import assay.train.start, assay.export.export, assay.metrics.evaluate; "]
)
def test_public_names_are_never_hidden_by_rooms_of_the_same_name(first):
    code = first + "import assay; print([n for n in assay.__all__ * 2 if not callable(getattr(assay, n))])"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout == "[]\n"
