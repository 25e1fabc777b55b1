"""Writes the reference pages from the code, so that they cannot differ from it: `make docs`.

A test compares the pages with what this writes. They are the same on every Python, so argparse's own
help text, which changes with the version, is not used.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import inspect
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import assay
from assay import tables
from assay.cli.command import build_parser
from assay.cli.flags import Option, options_of
from assay.cli.main import VERBS
from assay.configs import Recipe, sections_of
from assay.tables import COMMANDS, Table

REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by `make docs` from the code. Change the code, not this page. -->\n\n"


def pages() -> dict[str, str]:
    """File name -> text of every generated page."""
    made = {
        "commands.md": _commands(),
        "options.md": _options(),
        "python.md": _python(),
        "tables.md": _tables(),
    }
    return {name: NOTE + "\n".join(lines).rstrip() + "\n" for name, lines in made.items()}


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |"
    yield ""


def _options() -> Iterator[str]:
    yield from (
        "# Options of a training run",
        "",
        "The same names are flags of `assay train` (`--crop-scale 0.5,1` or `crop_scale=0.5,1`), keyword arguments of",
        "`assay.train`, and keys of the recipe that each run and each Bundle stores. *automatic* means: decided from",
        "the data, the network and the machine, and written down in the run. Give `automatic` to ask for it.",
        "",
    )
    for section in sections_of(Recipe).values():
        yield f"## {next(options_of(section)).group}"
        yield ""
        yield inspect.cleandoc(section.__doc__ or "").partition("\n")[0]
        yield ""
        yield from _table(("option", "meaning", "default", "values"), map(_option_row, options_of(section)))


def _option_row(option: Option) -> tuple[str, ...]:
    values = option.bounds if option.kind == "name" else f"{option.kind}, {option.bounds}".rstrip(", ")
    return f"`{option.name}`", option.help, option.default, values


def _commands() -> Iterator[str]:
    yield from (
        "# Commands",
        "",
        "Results go to standard output, progress and errors to standard error. `--flag value` and `flag=value`",
        "mean the same. An error says what is wrong, what was found and how to mend it; with `--json` it is one",
        'object, `{"error": {"what", "got", "fix"}}`.',
        "",
        "Exit codes: 0 done; 1 the work failed; 2 the request cannot be taken (an unknown option, model or path);",
        "130 interrupted; 141 the reader of the output left. `ASSAY_DEBUG=1` shows tracebacks; `ASSAY_CACHE` moves the",
        "folder for decoded pictures; `NO_COLOR` is honoured.",
        "",
    )
    for verb in VERBS:
        yield from _command(verb)


def _command(verb: str) -> Iterator[str]:
    command = COMMANDS.load(verb)
    parser = build_parser(command)
    yield f"## assay {verb}"
    yield ""
    yield command.help
    yield ""
    yield from ("```text", parser.format_usage().removeprefix("usage: ").strip(), "```", "")
    options = {option.name: option for option in options_of(Recipe)}
    own = [a for a in parser._actions if a.dest != "help" and not _is_shared(a, options)]
    if own:
        yield from _table(("argument", "meaning"), ((f"`{_spelling(a)}`", _meaning(a)) for a in own))
    shared = [options[a.dest] for a in parser._actions if _is_shared(a, options)]
    if shared:
        yield "And of the options:"
        yield ""
        for group in dict.fromkeys(option.group for option in shared):
            yield _shared_line(group, [option for option in shared if option.group == group])
        yield ""
    if command.epilog:
        yield from ("```text", textwrap.dedent(command.epilog).strip("\n"), "```", "")


def _shared_line(group: str, shared: list[Option]) -> str:
    """All options of a group by its name, some of them by theirs."""
    everything = [option for option in options_of(Recipe) if option.group == group]
    names = "all" if shared == everything else ", ".join(f"`{option.flag}`" for option in shared)
    return f"- [{group}](options.md#{group}): {names}"


def _is_shared(action: argparse.Action, options: dict[str, Option]) -> bool:
    """Whether a flag is an option of a training run: a verb's own option may have the same name."""
    found = options.get(action.dest)
    return found is not None and _meaning(action) == found.text


def _spelling(action: argparse.Action) -> str:
    if not action.option_strings:
        return str(action.metavar or action.dest.upper())
    names = ", ".join(action.option_strings)
    return names if action.nargs == 0 else f"{names} {action.metavar or action.dest.upper()}"


def _meaning(action: argparse.Action) -> str:
    return (action.help or "").replace("%(default)s", str(action.default)).replace("%%", "%")


def _python() -> Iterator[str]:
    yield "# Python"
    yield ""
    yield "Everything below is found in `assay` itself; importing it imports nothing heavy."
    yield ""
    for name in assay.__all__:
        found = getattr(assay, name)
        yield f"## assay.{name}"
        yield ""
        yield from ("```python", _signature(name, found), "```", "")
        yield from ("```text", inspect.getdoc(found) or "", "```", "")


def _signature(name: str, found: Any) -> str:
    """Name and parameters, quoted as `make format` does; no annotations, whose paths differ between Pythons."""
    parameters = inspect.signature(found).parameters.values()
    shown = [str(p.replace(annotation=inspect.Parameter.empty)).replace("'", '"') for p in parameters]
    if any(p.kind is inspect.Parameter.KEYWORD_ONLY for p in parameters):
        first = next(i for i, p in enumerate(parameters) if p.kind is inspect.Parameter.KEYWORD_ONLY)
        if not any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters):
            shown.insert(first, "*")
    return f"assay.{name}({', '.join(shown)})"


def _tables() -> Iterator[str]:
    yield "# Tables"
    yield ""
    yield "What can be named. A newcomer adds a file and a line in `assay/tables.py`; an installed package adds an"
    yield "entry point in the group `assay.<table>`, for example `assay.models`."
    yield ""
    for table in (t for t in vars(tables).values() if isinstance(t, Table) and t is not COMMANDS):
        yield f"## {table.noun}s"
        yield ""
        rows = ((f"`{name}`", f"`{home}`", _first_line(home)) for name, home in table.items())
        yield from _table(("name", "home", "what it is"), rows)


def _first_line(home: str) -> str:
    """What the code says of an entry, read without importing it: its own docstring, or that of its file."""
    module, _, name = home.partition(":")
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(home)
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    told = _docstring(tree, name) or ast.get_docstring(tree) or ""
    return told.partition("\n\n")[0].replace("\n", " ")


def _docstring(tree: ast.Module, name: str) -> str | None:
    """The docstring of a function or class; of ``ACCURACY = Metric(accuracy, ...)`` that of ``accuracy``."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return ast.get_docstring(node)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            first = next(iter(getattr(node.value, "args", [])), None)
            return _docstring(tree, first.id) if isinstance(first, ast.Name) and first.id != name else None
    return None


if __name__ == "__main__":
    REFERENCE.mkdir(exist_ok=True)
    for file, text in pages().items():
        (REFERENCE / file).write_text(text, encoding="utf-8")
