"""What a confined process can no longer do, tried in one."""

from __future__ import annotations

import json
import struct
import subprocess
import sys

import pytest

from assay.service.workers.syscalls import CALLS, CLONE, CLONE3, program

CONFINED = """
import ctypes, json, os, resource, signal, socket, sys, threading, time
from assay.service.workers.sandbox import confine

def told(work):
    try:
        work()
    except (OSError, MemoryError, RuntimeError, ValueError) as error:
        return type(error).__name__
    return "done"

ready, answers = threading.Event(), {}

def in_thread():
    ready.wait()
    answers["a thread that was there before opens a file"] = told(lambda: open("/etc/passwd"))

thread = threading.Thread(target=in_thread)
thread.start()
parent = os.getppid()
held = confine(CONFINE_TO)
ready.set()
thread.join()
answers |= {
    "file": told(lambda: open("/etc/passwd")),
    "new file": told(lambda: open("made", "w")),
    "folder": told(lambda: os.listdir("/")),
    "socket": told(lambda: socket.socket()),
    "pipe": told(os.pipe),
    "copy of a pipe": told(lambda: os.dup(1)),
    "remove": told(lambda: os.unlink("nothing")),
    "fork": told(os.fork),
    "thread": told(lambda: threading.Thread(target=time.sleep, args=(0.001,)).start()),
    "program": told(lambda: os.execv(sys.executable, [sys.executable, "-V"])),
    "signal to the parent": told(lambda: os.kill(parent, 0)),
    "limit raised": told(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))),
    "memory": told(lambda: bytearray(600 * 2**20)),
    "less memory": told(lambda: bytearray(100 * 2**20)),
    "sleep": told(lambda: time.sleep(0.001)),
}
text = json.dumps({"held": held.to_dict(), "answers": answers}).encode()
os.write(1, text)
os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the measures are Linux'")
def test_what_a_confined_process_cannot_do(tmp_path):
    code = CONFINED.replace("CONFINE_TO", str(512 * 2**20))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path
    )
    told = json.loads(done.stdout)
    assert told["held"] == {"memory": True, "files": True, "privileges": True, "calls": True}
    answers = told["answers"]
    assert {name for name, answer in answers.items() if answer == "done"} == {
        "less memory",
        "sleep",
        "thread",
    }
    assert answers["memory"] == "MemoryError"
    assert list(tmp_path.iterdir()) == []


def run(code: bytes, machine: int, number: int, word: int = 0) -> int:
    """What the program answers: an interpreter of the instructions that it is made of."""
    instructions = list(struct.iter_unpack("=HBBI", code))
    at, value = 0, 0
    while True:
        operation, jump_true, jump_false, k = instructions[at]
        if operation == 0x20:
            value = {0: number, 4: machine, 16: word}[k]
            at += 1
        elif operation == 0x06:
            return k
        else:
            holds = {0x15: value == k, 0x35: value >= k, 0x45: bool(value & k)}[operation]
            at += 1 + (jump_true if holds else jump_false)


ALLOWED, NOT_PERMITTED, NOT_THERE = 0x7FFF0000, 0x00050001, 0x00050026
A_THREAD, A_PROCESS = 0x003D0F00, 0x01200011  # the flags that glibc gives clone for each


@pytest.mark.parametrize("column", [0, 1])
def test_the_filter_allows_the_list_alone(column):
    allowed = {numbers[column] for numbers in CALLS.values()}
    assert len(allowed) == len(CALLS)
    machine, clone = 0xC000003E, CLONE[column]
    code = program(machine, allowed, clone)
    passed = {number for number in range(600) if run(code, machine, number) == ALLOWED}
    assert passed == allowed
    assert run(code, machine, clone, A_THREAD) == ALLOWED
    assert run(code, machine, clone, A_PROCESS) == NOT_PERMITTED
    assert run(code, machine, CLONE3, A_THREAD) == NOT_THERE
    assert run(code, 0x40000003, min(allowed)) == NOT_PERMITTED  # 32-bit calls have other numbers
    assert run(code, machine, 0x40000000 + min(allowed)) == NOT_PERMITTED
