"""Bars on a terminal, silence elsewhere; aligned columns."""

from __future__ import annotations

import io
import itertools
import sys

from assay.cli.progress import track
from assay.cli.terminal import show_table, warn


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_nothing_is_shown_in_a_pipe(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert list(track([1, 2, 3], "reading")) == [1, 2, 3]
    assert sys.stderr.getvalue() == ""


def test_a_bar_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert list(track(range(3), "reading", total=3)) == [0, 1, 2]
    assert "reading" in sys.stderr.getvalue()
    assert "3/3" in sys.stderr.getvalue()


def test_quiet_wins_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert list(track([1], "reading", quiet=True)) == [1]
    assert sys.stderr.getvalue() == ""


def test_nothing_is_read_ahead():
    source = itertools.count()
    assert next(track(source, "reading")) == 0
    assert next(source) == 1


def test_a_table_is_aligned(capsys):
    show_table([("a", "1"), ("longer", "22")])
    assert capsys.readouterr().out == "a       1\nlonger  22\n"
    show_table([])
    assert capsys.readouterr().out == ""


def test_warnings_go_to_stderr(capsys):
    warn("few pictures")
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "warning: few pictures\n")
