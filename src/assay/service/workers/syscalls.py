"""A filter in the kernel (seccomp(2), mode filter) that lets through the few system calls that decoding needs.

The filter is a program of classic BPF: it compares the call's number with those of a list and answers "allow" or
"not permitted". A call that is refused fails as it would for want of rights; nothing is killed. Linux on x86-64 and
ARM64 alone; elsewhere ``allow_few_calls`` says False.
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
    "sigaltstack": (132, 131),
    "write": (64, 1),
    "writev": (66, 20),
}
"""Name -> number on ARM64 and on x86-64: memory, locks, clocks, and reading and writing what is open already."""

# machine -> (column of CALLS, AUDIT_ARCH_* of linux/audit.h, number of the call on x86-64 or ARM64)
_MACHINES = {"aarch64": (0, 0xC00000B7, 277), "x86_64": (1, 0xC000003E, 317)}

# linux/bpf_common.h and linux/seccomp.h
_LOAD_WORD, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_NUMBER_AT, _MACHINE_AT = 0, 4  # in struct seccomp_data
_X32 = 0x40000000  # x86-64 has a second table of calls from here on
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
    code = program(machine, (numbers[column] for numbers in CALLS.values()))
    filtered = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.syscall(
        ctypes.c_long(seccomp),
        ctypes.c_ulong(_MODE_FILTER),
        ctypes.c_ulong(_ALL_THREADS),
        ctypes.byref(filtered),
    )
    return int(done) == 0


def program(machine: int, allowed: Iterable[int]) -> bytes:
    """Instructions of 8 bytes: refuse other machines and the second table, allow ``allowed`` alone."""
    numbers = sorted(allowed)
    code = [
        (_LOAD_WORD, 0, 0, _MACHINE_AT),
        (_JUMP_EQUAL, 0, len(numbers) + 2, machine),
        (_LOAD_WORD, 0, 0, _NUMBER_AT),
        (_JUMP_AT_LEAST, len(numbers), 0, _X32),
        *((_JUMP_EQUAL, len(numbers) - place, 0, number) for place, number in enumerate(numbers)),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *one) for one in code)
