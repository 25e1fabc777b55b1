"""What a process gives up before it looks at anything from outside: files, sockets, programs, memory beyond a bound.

Each measure stands alone, so that a kernel that lacks one still has the others; ``confine`` says which hold. All are
the kernel's own and for this process alone: resource limits (setrlimit(2)), capabilities (capset(2)) and, in
``syscalls``, a filter of system calls. What cannot be given back by any later code of the process: a limit lowered
without the capability to raise it, a capability dropped under ``no_new_privs``, a filter.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from dataclasses import asdict, dataclass

from assay.service.workers.syscalls import allow_few_calls

DECODER_BYTES = 512 * 1024 * 1024
"""Memory of one decoder, all in all."""

_STACK_BYTES = 1024 * 1024
"""Of each thread that a codec starts; it counts as memory from the start."""

_SET_DEATH_SIGNAL, _NO_NEW_PRIVILEGES = 1, 38  # linux/prctl.h
_CAPABILITY_VERSION_3 = 0x20080522  # linux/capability.h: two words of 32 bits each


@dataclass(frozen=True)
class Confined:
    """Which measures hold in a process."""

    memory: bool
    """No more address space than was said."""
    files: bool
    """No file, socket or pipe can be opened, and none written but those that are open."""
    privileges: bool
    """No capability, and no way to get one."""
    calls: bool
    """The few system calls that decoding needs, and no others: no program, no process, no signal to another one."""

    def to_dict(self) -> dict[str, bool]:
        """Plain values for JSON."""
        return asdict(self)


def die_with(parent: int) -> None:
    """Have the kernel end this process when the thread that started it is gone; Linux alone knows this.

    Where the process ``parent`` is gone already, this one ends here.
    """
    _prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    if sys.platform != "win32" and os.getppid() != parent:
        os._exit(0)


def forbid_new_privileges() -> bool:
    """Nothing that this process may start can have more rights than it has. Returns whether that holds."""
    return _prctl(_NO_NEW_PRIVILEGES, 1)


def confine(memory: int) -> Confined:
    """Give up all that decoding does not need, for good. Everything must be imported before.

    Parameters
    ----------
    memory : greatest address space of this process, in bytes: more than its memory can ever be.
    """
    privileges = forbid_new_privileges() and _drop_capabilities()
    memory_held = _limit("RLIMIT_AS", memory) and _limit("RLIMIT_DATA", memory)
    _limit("RLIMIT_STACK", _STACK_BYTES)
    written = _limit("RLIMIT_FSIZE", 0) and _limit("RLIMIT_CORE", 0)
    files = _limit("RLIMIT_NOFILE", 0) and written
    return Confined(memory_held, files, privileges, allow_few_calls())


def _limit(name: str, value: int) -> bool:
    """Lower a resource limit for good. Returns whether that holds."""
    try:
        import resource  # noqa: PLC0415 - there is none on Windows

        which = getattr(resource, name)
        resource.setrlimit(which, (value, value))
    except (ImportError, AttributeError, OSError, ValueError):
        return False
    return True


def _drop_capabilities() -> bool:
    """No capability for this thread and those it starts; root is then a user like any other."""
    if sys.platform != "linux":
        return False
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    return int(ctypes.CDLL(None, use_errno=True).capset(header, nothing)) == 0


def _prctl(option: int, value: int) -> bool:
    """One of prctl(2)'s switches. Returns whether it holds."""
    if sys.platform != "linux":
        return False
    wide = ctypes.c_ulong
    done = ctypes.CDLL(None, use_errno=True).prctl(option, wide(value), wide(0), wide(0), wide(0))
    return int(done) == 0
