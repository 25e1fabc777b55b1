"""The command line as a whole: help at once, one message for each failure, and the right exit code."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import assay
from assay.cli import main as cli_main
from assay.cli.command import Command
from assay.cli.failures import guard
from assay.errors import AssayError, DatasetError
from assay.tables import COMMANDS


def shell(*words: str, env: dict[str, str] | None = None, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "assay", *words],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **(env or {})}, **options,
    )  # fmt: skip


def raising(fault: BaseException):
    def work() -> int:
        raise fault

    return work


def test_help_names_every_verb(cli):
    told = cli("--help")
    assert told.code == 0
    for verb in COMMANDS:
        assert f"\n  {verb} " in told.out


def test_no_words_is_a_question_for_help(cli):
    told = cli()
    assert told.code == 2
    assert "usage: assay VERB" in told.err


def test_version(cli):
    assert cli("--version").out == f"assay {assay.__version__}\n"


@pytest.mark.parametrize("words", [("train", "--help"), ("help", "train")])
def test_help_of_a_verb(cli, words):
    told = cli(*words)
    assert told.code == 0
    assert "usage: assay train [DATA] [options]" in told.out


def test_an_unknown_verb_suggests(cli):
    told = cli("trian")
    assert told.code == 2
    assert told.err == "error: unknown command 'trian'\n  fix: did you mean train?\n"


def test_errors_as_json(cli):
    told = cli("train", "photos", "--json", "epochs=x")
    assert told.code == 2
    assert json.loads(told.err) == {
        "error": {"what": "--epochs needs a whole number", "got": "'x'", "fix": "e.g. --epochs 3"}
    }
    assert told.out == ""


def test_the_words_reach_the_command(monkeypatch):
    seen = []
    command = Command("train", "", lambda p: None, lambda args: seen.append(args.words) or 0)
    monkeypatch.setattr(type(COMMANDS), "load", lambda self, name: command)
    assert cli_main.main(["train"]) == 0
    assert seen == [["assay", "train"]]


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (DatasetError("none", got="0", fix="add some"), 1, "error: none\n  got: 0\n  fix: add some"),
        (OSError(errno.ENOSPC, "No space left on device", "a.bin"), 1, "a.bin: the disk is full\n  fix: free"),
        (PermissionError(errno.EACCES, "Permission denied", "a.bin"), 1, "a.bin: permission denied"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a"), 1, "a: No such file or directory"),
        (MemoryError(), 1, "the memory is full"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 1, 'pip install "assay-vision[train]"'),
        (KeyboardInterrupt(), 130, "interrupted"),
        (SystemExit(0), 0, ""),
        (BrokenPipeError(), 141, ""),
    ],
)  # fmt: skip
def test_every_failure_is_one_message(fault, code, words, capsys, monkeypatch):
    monkeypatch.setattr("assay.cli.failures._silence_stdout", lambda: None)
    assert guard(raising(fault)) == code
    told = capsys.readouterr().err
    assert words in told
    assert "Traceback" not in told


def test_a_bug_is_called_a_bug_and_its_traceback_kept(capsys, own_cache):
    assert guard(raising(ZeroDivisionError("division by zero"))) == 1
    told = capsys.readouterr().err
    assert "this is a bug in assay: ZeroDivisionError: division by zero" in told
    (kept,) = own_cache.rglob("assay-bug-*.txt")
    assert str(kept) in told
    assert "Traceback" in kept.read_text()
    assert "Traceback" not in told


def test_a_bug_where_the_cache_cannot_be_written(capsys, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert guard(raising(RuntimeError())) == 1
    assert "this is a bug in assay: RuntimeError\n" in capsys.readouterr().err
    assert len(list(tmp_path.glob("assay-bug-*.txt"))) == 1


def test_debug_shows_the_traceback(capsys, monkeypatch):
    monkeypatch.setenv("ASSAY_DEBUG", "1")
    assert guard(raising(AssayError("no"))) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(("variables", "coloured"), [({}, False), ({"FORCE_COLOR": "1"}, True)])
def test_colours_only_where_wanted(capsys, monkeypatch, variables, coloured):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    guard(raising(AssayError("no")))
    assert ("\033[31merror:" in capsys.readouterr().err) is coloured


def test_no_color_wins(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    guard(raising(AssayError("no")))
    assert "\033" not in capsys.readouterr().err


def test_names_that_are_no_unicode_can_be_told():
    told = shell("train", os.fsdecode(b"caf\xe9"), env={"PYTHONIOENCODING": "ascii"})
    assert told.returncode == 2
    assert "\\udce9" in told.stderr


def test_a_reader_that_leaves_is_no_error():
    words = [sys.executable, "-m", "assay", "checks", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 141


def test_train_needs_data_that_exists(cli):
    assert cli("train").err.startswith("error: the data is missing")
    told = cli("train", "nowhere")
    assert told.code == 2
    assert "error: nowhere does not exist\n  fix: give a folder" in told.err


def test_checks_tell_versions_and_no_names(cli, own_cache):
    told = cli("checks", "--json")
    found = json.loads(told.out)
    assert told.code == 0
    assert found["cache"] == str(own_cache)
    assert found["packages"]["numpy"]
    assert found["cores"] >= 1
    assert os.uname().nodename not in told.out
    assert set(found["settings"]) <= {
        "ASSAY_DEBUG", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "NO_COLOR",
    }  # fmt: skip


def test_checks_for_people(cli, monkeypatch):
    monkeypatch.setenv("ASSAY_CACHE", str(Path.home() / "pictures"))
    lines = dict(line.split(None, 1) for line in cli("checks").out.splitlines() if line)
    assert lines["cache"] == "~/pictures"
    assert lines["torch"]
