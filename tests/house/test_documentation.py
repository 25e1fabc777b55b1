"""Documentation is tested against the code: generated pages are current, and the README's commands parse."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import assay
from assay.cli.command import build_parser, parse
from assay.cli.main import VERBS
from assay.tables import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted({*ROOT.glob("README*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "CONTRIBUTING.md"})


def generated_pages() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.pages()


def code_blocks(page: Path, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def shell_lines(kind: str) -> list[tuple[str, str]]:
    """(page, line) of every line in a shell block that starts with ``kind``."""
    lines = [(page, line) for page in PAGES for block in code_blocks(page, "(?:sh|bash|console)") for line in
             block.replace("\\\n", " ").splitlines()]  # fmt: skip
    stripped = [(page, line.removeprefix("$ ").strip()) for page, line in lines]
    told = [(page.relative_to(ROOT).as_posix(), re.sub(r"\s+#.*", "", line)) for page, line in stripped]
    return [(page, line) for page, line in told if line.startswith(kind)]


def test_generated_pages_are_current():
    for name, text in generated_pages().items():
        page = ROOT / "docs" / "reference" / name
        assert page.exists(), f"run `make docs`: {name} is missing"
        assert page.read_text(encoding="utf-8") == text, f"run `make docs`: {name} differs from the code"


def test_every_verb_is_listed_and_there():
    assert list(VERBS) == list(COMMANDS)
    for verb in VERBS:
        assert COMMANDS.load(verb).name == verb


def test_every_verb_shows_examples():
    silent = [verb for verb in VERBS if "assay " + verb not in COMMANDS.load(verb).epilog]
    assert silent in ([], ["models"], ["checks", "models"])


def test_there_are_commands_to_test():
    pages = {page for page, _ in shell_lines("assay ")}
    assert {"README.md", "README.zh-CN.md", "docs/guides/first-classifier.md"} <= pages


@pytest.mark.parametrize(("page", "line"), shell_lines("assay "))
def test_commands_in_pages_parse(page, line):
    words = shlex.split(line.partition(" | ")[0].partition(" > ")[0], comments=True)
    if words[1].startswith("-"):
        assert words[1] in ("--help", "--version")
        return
    assert words[1] in VERBS, f"{page}: no verb {words[1]!r}"
    if words[2:] != ["--help"]:
        parse(build_parser(COMMANDS.load(words[1])), words[2:])


@pytest.mark.parametrize(("page", "line"), shell_lines("make"))
def test_make_targets_in_pages_exist(page, line):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for word in shlex.split(line, comments=True)[1:]:
        assert "=" in word or word in targets, f"{page}: no target {word!r}"


@pytest.mark.parametrize(
    "page", [p for p in PAGES if code_blocks(p, "python") and "reference" not in p.parts]
)
def test_python_in_pages_names_what_exists(page):
    for block in code_blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "assay"
            ):
                assert node.attr in assay.__all__, f"{page.name}: assay.{node.attr} does not exist"


def test_every_make_target_has_a_line_of_help():
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split()
    helped = subprocess.run(["make", "-C", ROOT, "help"], capture_output=True, text=True, check=True).stdout
    assert not [target for target in phony if not re.search(rf"^  {target} +\S", helped, re.MULTILINE)]


def test_both_readmes_show_the_same_commands():
    english, chinese = ([line for page, line in shell_lines(kind) if page == name]
                        for name in ("README.md", "README.zh-CN.md") for kind in ("assay ",))  # fmt: skip
    assert english == chinese


def test_links_lead_somewhere():
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_changelog_has_an_unreleased_part():
    assert "\n## [Unreleased]\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path):
    words = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--site-dir",
        str(tmp_path / "site"),
    ]
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert told.returncode == 0, told.stderr
    index = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="https?://[^"]*\.(?:js|css|woff2?)', index)
