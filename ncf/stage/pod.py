"""Resources of a stage's pod."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_UNITS: Mapping[str, float] = {"M": 1e6, "G": 1e9, "Mi": 2**20, "Gi": 2**30}
"""Units of memory, as Kubernetes writes them."""


@dataclass(frozen=True)
class Pod:
    """CPU, memory and retries of a pod.

    Attributes:
        cpu: CPU as Kubernetes writes it, request and limit.
        memory: memory as Kubernetes writes it, request and limit.
        retries: number of retries after the first attempt.
        blas_threads: whether numpy's BLAS may use every CPU of the pod. False for a stage with threads of its own.
    """

    cpu: str = "1"
    memory: str = "2G"
    retries: int = 2
    blas_threads: bool = True

    @property
    def cores(self) -> float:
        """CPU as a number of cores."""
        return float(self.cpu)

    @property
    def memory_bytes(self) -> float:
        """Memory in bytes."""
        number = self.memory.rstrip("MGi")
        return float(number) * _UNITS[self.memory[len(number) :]]

    @property
    def environment(self) -> Mapping[str, str]:
        """Environment variables. BLAS counts the CPUs of the node, and its threads would wait for a share of them."""
        return {"OPENBLAS_NUM_THREADS": self.cpu} if self.blas_threads else {}
