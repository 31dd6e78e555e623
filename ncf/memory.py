"""Memory that this process may use, and uses."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path

from ncf import cgroups

_STATM = Path("/proc/self/statm")
_CONTROLLER = "memory"
_LIMITS = ("memory.max", "memory.limit_in_bytes")
"""Files of the limit in versions 2 and 1 of control groups."""


def memory_limit() -> int:
    """Bytes that this process may use.

    The least of the machine's memory and the limits of the Linux control groups, which are those of containers and
    pods.
    """
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_limits()])


def resident_memory() -> int:
    """Bytes of physical memory of this process, files that it maps included; 0 on systems other than Linux."""
    try:
        pages = int(_STATM.read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def return_freed_memory() -> None:
    """Return freed memory to the system, which glibc keeps otherwise."""
    with suppress(OSError, AttributeError):  # other C libraries have no malloc_trim
        ctypes.CDLL(None).malloc_trim(0)


def _limits() -> list[int]:
    """Limits, in bytes, of the control groups of this process and of their parents."""
    found = []
    for folder in cgroups.folders(_CONTROLLER):
        for name in _LIMITS:
            with suppress(OSError, ValueError):  # there is no such file, or it has "max"
                found.append(int((folder / name).read_text()))
    return [limit for limit in found if limit > 0]
