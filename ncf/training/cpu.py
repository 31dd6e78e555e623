"""Making torch fast on a CPU; to be called before torch is imported."""

from __future__ import annotations

import ctypes
import os

_SPINS = "2000"
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # of malloc.h


def prepare() -> None:
    """Set up threads and memory for a loop of short steps over the same, large buffers.

    By default GNU OpenMP's threads spin long at the end of each parallel region: with a core shared with another
    program, each region then waits for the scheduler and a step takes ten times as long. And glibc gives large
    buffers back to the kernel when they are freed, and gets them again, zeroed, a step later.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library, with an allocator of its own
        return
    mallopt(_M_MMAP_THRESHOLD, 1 << 30)
    mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
    mallopt(_M_TOP_PAD, 1 << 26)
