"""Settings of the process that make torch fast on a CPU. They take effect only before torch is imported."""

from __future__ import annotations

import ctypes
import os

_SPINS = "2000"
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # of malloc.h


def prepare() -> None:
    """Set up threads and memory for short steps over large buffers.

    By default, GNU OpenMP's threads spin for a long time at the end of each parallel region. If another program shares
    a core, each region waits for the scheduler and a step takes ten times as long. And glibc returns large buffers to
    the kernel when they are freed, which zeroes them again for the next step.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return
    mallopt(_M_MMAP_THRESHOLD, 1 << 30)
    mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
    mallopt(_M_TOP_PAD, 1 << 26)
