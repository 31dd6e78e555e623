"""CPU cores that this process may use, and the threads of BLAS."""

from __future__ import annotations

import math
import os
from pathlib import Path

from ncf import cgroups

_CONTROLLER = "cpu"


def available_cores() -> int:
    """Number of CPU cores that this process may use, 1 or more.

    The least of the cores of its affinity mask and, rounded up, the CPU quotas of its Linux control groups (versions 1
    and 2), which are the limits of containers and pods.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([affinity, *(math.ceil(quota) for quota in _quotas())]))


def limit_blas(threads: int) -> None:
    """Set the number of threads of numpy's BLAS, for the rest of the process.

    Args:
        threads: of each call of BLAS.
    """
    import numpy  # noqa: F401 (loads the library that is limited)
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads, user_api="blas")


def _quotas() -> list[float]:
    """Quotas, in cores, of the control groups of this process and of their parents."""
    found = []
    for folder in cgroups.folders(_CONTROLLER):
        quota = _quota(folder)
        if quota is not None:
            found.append(quota)
    return found


def _quota(folder: Path) -> float | None:
    """The quota of one control group in cores; None without a limit."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        cores = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # there is no limit, or it is "max"
        return None
    return cores if cores > 0 else None  # -1: no limit
