"""Small files, short functions, documented names, no machine's traces, no copyleft dependency."""

from __future__ import annotations

import ast
import os
import re
import socket
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
MOST_LINES, MOST_FUNCTION_LINES = 450, 70

MACHINE = re.compile(r"(?<![\w.~])/(?:home|root|tmp|work|opt|mnt|Users)/(?!you\b)\w")
HOSTS = re.compile(
    r"py[p]i\.org|python[h]osted|anacond[a]\.org|download\.pyt[o]rch|[a-z0-9.-]+:[0-9]{4,5}/simple"
)


def committed() -> list[Path]:
    """Text files that git tracks or would track."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if told.returncode:
        pytest.skip("no git here")
    suffixes = {
        ".py",
        ".md",
        ".toml",
        ".txt",
        ".in",
        ".yml",
        ".sh",
        ".html",
        ".css",
        ".js",
        ".json",
        ".jsonl",
        "",
    }
    paths = (ROOT / line for line in told.stdout.splitlines())
    return [path for path in paths if path.suffix in suffixes and path.is_file()]


def functions_of(tree: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, FUNCTION)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT / "src" / "assay").as_posix())
def test_files_and_functions_are_small_and_told(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert text.count("\n") <= MOST_LINES
    assert not text.strip() or ast.get_docstring(tree), "a file opens with its reason"
    for function in functions_of(tree):
        length = (function.end_lineno or 0) - function.lineno + 1
        assert length <= MOST_FUNCTION_LINES, f"{function.name} has {length} lines"
    for node in public_nodes(tree):
        assert ast.get_docstring(node), f"{node.name} has no docstring"


def public_nodes(tree: ast.Module) -> list[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Public classes and functions of a module, and public methods of public classes."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    inside = [node for found in classes for node in found.body]
    named = [node for node in [*tree.body, *inside] if isinstance(node, ast.ClassDef | FUNCTION)]
    return [node for node in named if not node.name.startswith("_") and not _is_overload(node)]


def _is_overload(node: ast.AST) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "overload" for d in getattr(node, "decorator_list", []))


def test_names_of_files_say_what_they_are():
    vague = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
    assert not [path for path in SOURCES if path.stem in vague]


def test_nothing_of_a_machine_is_committed():
    for path in committed():
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if path == Path(__file__):
                continue
            for pattern in (MACHINE, HOSTS):
                assert not pattern.search(line), f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"


def test_nothing_large_or_binary_is_committed():
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    large = [
        line
        for line in told.stdout.splitlines()
        if (ROOT / line).is_file() and (ROOT / line).stat().st_size > 500_000
    ]
    assert not large


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT / "src" / "assay").as_posix())
def test_no_pickle_and_no_eval(path):
    """Only pickle's error may be named: torch raises it for a bad file even with ``weights_only``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not {"joblib", "dill", "marshal", "shelve"} & {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "pickle":
            assert [alias.name for alias in node.names] == ["UnpicklingError"]
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pickle":
            assert node.attr == "UnpicklingError"
        elif isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in ("eval", "exec", "torch.save")
            if ast.unparse(node.func) == "torch.load":
                assert {k.arg: ast.unparse(k.value) for k in node.keywords}.get("weights_only") == "True"
            if ast.unparse(node.func) == "np.load":
                assert {k.arg: ast.unparse(k.value) for k in node.keywords}.get(
                    "allow_pickle", "False"
                ) == "False"


def test_directions_of_imports():
    command = Path(sys.executable).with_name("lint-imports")
    told = subprocess.run([command], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert told.returncode == 0, told.stdout


def pinned(name: str) -> set[str]:
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z0-9][\w.-]*)==", text, re.MULTILINE))


def test_every_pin_has_a_hash():
    for name in ("dev.txt", "core.txt"):
        blocks = re.split(r"\n(?=[a-z0-9])", (ROOT / "requirements" / name).read_text(encoding="utf-8"))
        assert all("--hash=sha256:" in block for block in blocks if "==" in block)


def test_every_dependency_is_pinned_and_explained():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    told = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {re.match(r"[\w-]+", entry)[0] for group in groups for entry in group} - {"assay-vision"}
    assert names - {"torch"} <= pinned("dev.txt")
    assert not pinned("core.txt") & {"torch", "torchvision", "timm"}
    missing = [name for name in names if f"| {name} |" not in told]
    assert not missing, f"docs/dependencies.md says nothing of {missing}"


def test_no_dependency_is_copyleft():
    """GPL, AGPL and LGPL are out; MPL-2.0 (file by file) is allowed for certifi, tqdm and the like."""
    bad = []
    for name in pinned("dev.txt"):
        try:
            told = metadata.metadata(name)
        except metadata.PackageNotFoundError:  # for another system or Python
            continue
        licence = " ".join([told.get("License-Expression") or (told.get("License") or "")[:200],
                            *(c for c in told.get_all("Classifier") or [] if c.startswith("License"))])  # fmt: skip
        if re.search(r"\b[AL]?GPL|General Public", licence) and not re.search(r"\bMIT\b|BSD|Apache", licence):
            bad.append((name, licence))
    assert not bad


def test_no_network_in_tests():
    with socket.socket() as there, pytest.raises(AssertionError, match="uses no network unless asked"):
        there.connect(("192.0.2.1", 80))
    assert os.environ["HF_HUB_OFFLINE"] == "1"
