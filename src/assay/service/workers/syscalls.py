"""A filter in the kernel (seccomp(2), mode filter) that lets through the few system calls that decoding needs.

The filter is a program of classic BPF: it compares the call's number with those of a list and answers "allow" or
"not permitted". A call that is refused fails as it would for want of rights; nothing is killed. Threads may be started,
as some codecs (WebP, AVIF) use their own; processes may not. Linux on x86-64 and ARM64 alone; elsewhere
``allow_few_calls`` says False.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys
from collections.abc import Iterable

CALLS: dict[str, tuple[int, int]] = {
    "brk": (214, 12),
    "clock_getres": (114, 229),
    "clock_gettime": (113, 228),
    "clock_nanosleep": (115, 230),
    "exit": (93, 60),
    "exit_group": (94, 231),
    "futex": (98, 202),
    "getpid": (172, 39),
    "getrandom": (278, 318),
    "gettid": (178, 186),
    "gettimeofday": (169, 96),
    "madvise": (233, 28),
    "membarrier": (283, 324),
    "mmap": (222, 9),
    "mprotect": (226, 10),
    "mremap": (216, 25),
    "munmap": (215, 11),
    "nanosleep": (101, 35),
    "read": (63, 0),
    "readv": (65, 19),
    "restart_syscall": (128, 219),
    "rseq": (293, 334),
    "rt_sigaction": (134, 13),
    "rt_sigprocmask": (135, 14),
    "rt_sigreturn": (139, 15),
    "sched_getaffinity": (123, 204),
    "sched_yield": (124, 24),
    "set_robust_list": (99, 273),
    "sigaltstack": (132, 131),
    "write": (64, 1),
    "writev": (66, 20),
}
"""Name -> number on ARM64 and on x86-64: memory, locks, clocks, and reading and writing what is open already."""

CLONE = (220, 56)
CLONE3 = 435
"""The newer way to start a thread hides what is asked for behind a pointer; where it is missing, ``clone`` is used."""

# machine -> (column of CALLS, AUDIT_ARCH_* of linux/audit.h, number of seccomp itself)
_MACHINES = {"aarch64": (0, 0xC00000B7, 277), "x86_64": (1, 0xC000003E, 317)}

# linux/bpf_common.h, linux/seccomp.h, linux/sched.h
_LOAD_WORD, _IF_EQUAL, _IF_AT_LEAST, _IF_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ANSWERS = {"missing": 0x00050000 | errno.ENOSYS, "refuse": 0x00050000 | errno.EPERM, "allow": 0x7FFF0000}
_NUMBER_AT, _MACHINE_AT, _FIRST_WORD_AT = 0, 4, 16  # in struct seccomp_data, on a little-endian machine
_X32 = 0x40000000  # x86-64 has a second table of calls from here on
_A_THREAD = 0x00010000
_MODE_FILTER, _ALL_THREADS = 1, 1


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def allow_few_calls() -> bool:
    """From here on every thread of this process has ``CALLS`` and nothing else. Returns whether that holds.

    ``no_new_privs`` must be set before.
    """
    column, machine, seccomp = _MACHINES.get(platform.machine(), (0, 0, 0))
    if sys.platform != "linux" or not machine:
        return False
    code = program(machine, (numbers[column] for numbers in CALLS.values()), CLONE[column])
    filtered = _Program(len(code) // 8, code)
    done = ctypes.CDLL(None, use_errno=True).syscall(
        ctypes.c_long(seccomp),
        ctypes.c_ulong(_MODE_FILTER),
        ctypes.c_ulong(_ALL_THREADS),
        ctypes.byref(filtered),
    )
    return int(done) == 0


def program(machine: int, allowed: Iterable[int], clone: int) -> bytes:
    """Instructions of 8 bytes each: operation, what follows where it holds and where not, value."""
    lines: list[tuple[int, str | None, str | None, int]] = [
        (_LOAD_WORD, None, None, _MACHINE_AT),
        (_IF_EQUAL, None, "refuse", machine),
        (_LOAD_WORD, None, None, _NUMBER_AT),
        (_IF_AT_LEAST, "refuse", None, _X32),
        *((_IF_EQUAL, "allow", None, number) for number in sorted(allowed)),
        (_IF_EQUAL, "missing", None, CLONE3),
        (_IF_EQUAL, None, "refuse", clone),
        (_LOAD_WORD, None, None, _FIRST_WORD_AT),
        (_IF_BIT, "allow", "refuse", _A_THREAD),
    ]
    ends = {name: len(lines) + place for place, name in enumerate(_ANSWERS)}

    def steps(target: str | None, at: int) -> int:
        return 0 if target is None else ends[target] - at - 1

    code = [
        (operation, steps(yes, at), steps(no, at), value)
        for at, (operation, yes, no, value) in enumerate(lines)
    ]
    code += [(_RETURN, 0, 0, answer) for answer in _ANSWERS.values()]
    return b"".join(struct.pack("=HBBI", *one) for one in code)
