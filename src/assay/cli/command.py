"""One verb of the command line, and the parser that all verbs share.

argparse with three changes: a mistake raises ConfigError with a suggestion where argparse prints usage and
exits; ``key=value`` is accepted beside ``--key value``; positional arguments may stand between options.
"""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from assay.errors import ConfigError
from assay.tables import suggest

_KEY_VALUE = re.compile(r"([A-Za-z][\w-]*)=(.*)", re.DOTALL)
_YES, _NO = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


@dataclass(frozen=True)
class Command:
    """A verb: ``assay NAME``.

    Parameters
    ----------
    name : the verb.
    help : a sentence or two for ``assay NAME --help``; the one-line summary is in ``assay.cli.main.VERBS``.
    add_arguments : adds the verb's arguments to a parser; imports nothing heavy.
    run : does the work with the parsed arguments and returns the exit code; heavy imports happen in here.
    epilog : examples, shown below the options.
    """

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    epilog: str = ""


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose mistakes are ConfigErrors."""

    def error(self, message: str) -> NoReturn:
        """Turn argparse's sentence into what, got and fix."""
        help_ = f"see `{self.prog} --help`"
        if found := re.match(r"the following arguments are required: (.*)", message):
            raise ConfigError(f"{found[1]} is missing", fix=help_)
        if found := re.match(r"argument (\S+): (.*)", message, re.DOTALL):
            raise _bad_value(found[1].split("/")[-1].rstrip(","), found[2], help_)
        raise ConfigError(message, fix=help_)


def _bad_value(name: str, told: str, help_: str) -> ConfigError:
    """What argparse says of one argument, in our words."""
    if told.startswith("expected "):
        return ConfigError(f"{name} needs a value", fix=help_)
    if found := re.fullmatch(r"invalid (int|float) value: (.*)", told):
        wanted = "a whole number" if found[1] == "int" else "a number"
        return ConfigError(f"{name} needs {wanted}", got=found[2], fix=help_)
    if found := re.fullmatch(r"invalid choice: '?(.*?)'? \(choose from (.*)\)", told):
        known = [choice.strip(" '") for choice in found[2].split(",")]
        return ConfigError(f"{name} cannot be {found[1]!r}", fix=suggest(found[1], known))
    return ConfigError(f"{name}: {told}", fix=help_)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)


def build_parser(command: Command) -> argparse.ArgumentParser:
    """The parser of one verb, for parsing, help and the reference page."""
    parser = _Parser(
        prog=f"assay {command.name}",
        description=command.help,
        epilog=command.epilog,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    places = "".join(f" {_place_text(action)}" for action in parser._get_positional_actions())
    parser.usage = f"%(prog)s{places} [options]"  # dozens of options: the list below is usage enough
    return parser


def _place_text(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest.upper())
    return {"+": f"{name} ...", "*": f"[{name} ...]", "?": f"[{name}]"}.get(str(action.nargs), name)


def parse(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of a verb, ``key=value`` tokens included.

    Raises
    ------
    ConfigError : an unknown option (with the nearest known ones), a missing or malformed value.
    """
    options, places = _sort_tokens(parser, argv)
    args, rest = parser.parse_known_args([*options, "--", *places] if places else options)
    for token in rest:
        if token != "--":
            raise ConfigError(f"unexpected argument {token!r}", fix=f"see `{parser.prog} --help`")
    return args


def _sort_tokens(parser: argparse.ArgumentParser, argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """(options with their values, positional arguments), each in the order given."""
    options: list[str] = []
    places: list[str] = []
    waiting = list(argv)
    while waiting:
        token = waiting.pop(0)
        if token == "--":
            return options, places + waiting
        if token.startswith("-") and token != "-":
            options += _take_option(parser, token, waiting)
        elif (taken := _from_key_value(parser, token)) is None:
            places.append(_without_name(parser, token))
        else:
            options += taken
    return options, places


def _take_option(parser: argparse.ArgumentParser, token: str, waiting: list[str]) -> list[str]:
    """``--some_key value`` as ``--some-key=value``; takes the value from ``waiting``."""
    name, equals, value = token.partition("=")
    name = name.replace("_", "-") if name.startswith("--") else name
    action = _options(parser).get(name) or (None if name.startswith("--") else _options(parser).get(name[:2]))
    if action is None:
        raise _unknown(parser, name)
    if equals or action.nargs == 0 or name not in _options(parser):
        return [name + equals + value]
    if action.nargs is None and waiting:
        value = waiting.pop(0)  # may begin with a dash: --mean -0.5,1,1
        return [f"{name}={value}"] if name.startswith("--") else [name, value]
    taken = [name]
    while waiting and not waiting[0].startswith("-") and (action.nargs != "?" or len(taken) == 1):
        taken.append(waiting.pop(0))
    return taken


def _from_key_value(parser: argparse.ArgumentParser, token: str) -> list[str] | None:
    """``key=value`` as option tokens; None for a positional argument."""
    found = _KEY_VALUE.fullmatch(token)
    if not found or Path(token).exists():
        return None
    key, value = found[1], found[2]
    if key == _only_place(parser):
        return None
    flag = "--" + key.replace("_", "-")
    action = _options(parser).get(flag)
    if action is None:
        raise _unknown(parser, key)
    return _switch(parser, flag, value) if action.nargs == 0 else [f"{flag}={value}"]


def _only_place(parser: argparse.ArgumentParser) -> str | None:
    """The name of the positional argument, where there is just one: ``assay train data=photos`` names it."""
    places = parser._get_positional_actions()
    return places[0].dest if len(places) == 1 else None


def _without_name(parser: argparse.ArgumentParser, token: str) -> str:
    prefix = f"{_only_place(parser)}="
    return token if Path(token).exists() else token.removeprefix(prefix)


def _switch(parser: argparse.ArgumentParser, flag: str, value: str) -> list[str]:
    """``ema=false`` is ``--no-ema``; a switch without a "no" form is off by being absent."""
    if value.lower() in _YES:
        return [flag]
    if value.lower() in _NO:
        off = "--no-" + flag.removeprefix("--")
        return [off] if off in _options(parser) else []
    raise ConfigError(f"{flag} is a switch", got=value, fix=f"{flag[2:]}=true or {flag[2:]}=false")


def _options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    return parser._option_string_actions  # argparse has no public list of its options


def _unknown(parser: argparse.ArgumentParser, name: str) -> ConfigError:
    """With dashes as the user wrote it: ``modle=3`` is answered by ``model``, ``--modle`` by ``--model``."""
    known = [o[2:] for o in _options(parser) if o.startswith("--")]
    near = difflib.get_close_matches(name.lstrip("-").replace("_", "-"), known, n=3)
    dashes = "--" if name.startswith("-") else ""
    meant = " or ".join(dashes + option for option in near)
    fix = f"did you mean {meant}?" if near else f"see `{parser.prog} --help`"
    return ConfigError(f"unknown option {name}", fix=fix)
