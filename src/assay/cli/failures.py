"""From exceptions to messages and exit codes, in one place.

0 done, 1 the work failed, 2 the request cannot be taken, 130 interrupted, 141 the reader of our output left.
``ASSAY_DEBUG=1`` shows the traceback of anything.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from assay.cli.terminal import accept_any_text, paint
from assay.errors import AssayError
from assay.folders import cache_folder

_INTERRUPTED, _READER_LEFT = 130, 141
_FULL = {errno.ENOSPC, errno.EDQUOT}
_LEARNING = {"torch", "torchvision", "timm", "accelerate", "tensorboard", "sklearn"}
_TRAIN_EXTRA = _LEARNING | {"onnx", "onnxscript", "jinja2", "matplotlib"}


def guard(work: Callable[[], int], *, as_json: bool = False) -> int:
    """Run ``work``; whatever it raises becomes one message on stderr and an exit code."""
    accept_any_text()
    try:
        code = _exit_code(work)
        if sys.stdout is not None:  # closed by the caller: `assay ... >&-`
            sys.stdout.flush()
        return code
    except KeyboardInterrupt as stop:  # work that can go on says how, as the interrupt's own words
        print(": ".join([paint("interrupted", "yellow", sys.stderr), *map(str, stop.args)]), file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return _READER_LEFT
    except Exception as fault:  # the last line of defence: tell it, never a bare traceback
        if os.environ.get("ASSAY_DEBUG"):
            traceback.print_exc()
        told = fault if isinstance(fault, AssayError) else _explain(fault)
        tell(told, as_json=as_json)
        return told.exit_code


def _exit_code(work: Callable[[], int]) -> int:
    try:
        return work()
    except SystemExit as leave:  # argparse, after --help
        return leave.code if isinstance(leave.code, int) else 0


def tell(fault: AssayError, *, as_json: bool = False) -> None:
    """Write an expected failure to stderr: for people, or as ``{"error": {"what", "got", "fix"}}``."""
    if as_json:
        body = {"what": fault.what, "got": fault.got, "fix": fault.fix}
        print(json.dumps({"error": body}, ensure_ascii=False), file=sys.stderr)
    else:
        print(f"{paint('error:', 'red', sys.stderr)} {fault}", file=sys.stderr)


def _explain(fault: Exception) -> AssayError:
    """What the machine refused, in words; anything else is our own bug."""
    if isinstance(fault, ModuleNotFoundError) and (fault.name or "").partition(".")[0] in _TRAIN_EXTRA:
        return AssayError(
            f"this needs {fault.name}, which is not installed",
            fix='pip install "assay-vision[train]" (predicting from a Bundle works without it)',
        )
    if isinstance(fault, OSError) and fault.errno is not None:
        return _explain_os(fault)
    if isinstance(fault, MemoryError) or type(fault).__name__ == "OutOfMemoryError":
        return AssayError(
            "the memory is full", fix="use a smaller --batch or --size, or close other programs"
        )
    return _bug(fault)


def _explain_os(fault: OSError) -> AssayError:
    place = f"{fault.filename}: " if fault.filename else ""
    if fault.errno in _FULL:
        return AssayError(
            f"{place}the disk is full", fix="free some space, or write to another disk with --out"
        )
    if isinstance(fault, PermissionError):
        return AssayError(f"{place}permission denied", fix="change its permissions, or choose another place")
    return AssayError(f"{place}{fault.strerror or fault}", fix="ASSAY_DEBUG=1 shows where this happened")


def _bug(fault: Exception) -> AssayError:
    message = (
        f"this is a bug in assay: {type(fault).__name__}: {str(fault).splitlines()[0] if str(fault) else ''}"
    )
    where = _write_traceback(fault)
    told = (
        f"please report it with the output of `assay checks` and {where}"
        if where
        else "ASSAY_DEBUG=1 shows more"
    )
    return AssayError(message.rstrip(": "), fix=told)


def _write_traceback(fault: Exception) -> Path | None:
    """The traceback as a file in the cache folder, or the temporary folder where that cannot be written."""
    text = "".join(traceback.format_exception(fault))
    name = time.strftime("assay-bug-%Y%m%d-%H%M%S") + f"-{os.getpid()}.txt"
    for folder in (cache_folder() / "bugs", Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError:
            continue
        return folder / name
    return None


def _silence_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's own flush at exit does not complain once more."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # stdout is no real file: nothing will be flushed to a pipe
        return
