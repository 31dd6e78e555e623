"""The cores that a process may use: its affinity mask, and the CPU quotas of its control groups."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ncf import cgroups
from ncf.cores import available_cores

MASK = 8


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of the control groups; the process is in version 2's root group."""
    monkeypatch.setattr(cgroups, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(cgroups, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(MASK)), raising=False)
    groups(tmp_path, "0::/")
    return tmp_path / "cgroup"


def groups(folder: Path, *lines: str) -> None:
    (folder / "proc").write_text("".join(f"{line}\n" for line in lines))


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("cpu_", "cpu.", 1)).write_text(text)


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000\n", MASK), ("150000 100000\n", 2), ("50000 100000\n", 1), ("9900000 100000", MASK), ("?", MASK)],
)
def test_quota_of_version_2(root: Path, quota: str, expected: int) -> None:
    write(root, cpu_max=quota)
    assert available_cores() == expected


@pytest.mark.parametrize(
    ("quota", "period", "expected"),
    [("-1\n", "100000\n", MASK), ("250000\n", "100000\n", 3), ("10000", "100000", 1), ("10000", "0", MASK)],
)
@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct"])
def test_quota_of_version_1(root: Path, controllers: str, quota: str, period: str, expected: int) -> None:
    groups(root.parent, "5:memory:/other", f"4:{controllers}:/pod", "0::/")
    write(root / controllers / "pod", cpu_cfs_quota_us=quota, cpu_cfs_period_us=period)
    write(root / "memory" / "other", cpu_cfs_quota_us="100000", cpu_cfs_period_us="100000")
    assert available_cores() == expected


def test_the_least_quota_of_a_group_and_its_parents(root: Path) -> None:
    groups(root.parent, "0::/pods/pod/container")
    write(root / "pods", cpu_max="600000 100000")
    write(root / "pods" / "pod", cpu_max="300000 100000")
    write(root / "pods" / "pod" / "container", cpu_max="max 100000")
    assert available_cores() == 3


def test_a_group_of_the_host_that_the_container_does_not_see(root: Path) -> None:
    groups(root.parent, "0::/kubepods/pod/container")
    write(root, cpu_max="200000 100000")
    assert available_cores() == 2


def test_without_control_groups_the_affinity_mask_counts(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root.parent / "proc").unlink()
    assert available_cores() == MASK
    monkeypatch.delattr(os, "sched_getaffinity")
    assert available_cores() == (os.cpu_count() or 1)


def test_threads_of_blas_are_limited() -> None:
    """Though numpy is imported before, and whatever the environment says."""
    program = (
        "import numpy\nfrom threadpoolctl import threadpool_info\nfrom ncf.cores import limit_blas\n"
        "def threads(): return {pool['num_threads'] for pool in threadpool_info() if pool['user_api'] == 'blas'}\n"
        "before = threads()\nlimit_blas(1)\nprint(before, threads())"
    )
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2"}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() in ("{2} {1}", "{1} {1}")  # the second on a machine with one core
