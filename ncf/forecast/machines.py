"""Machines that a run takes: pods, and training instances as far as they are known."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ncf.stage.pod import Pod

_GPU_TYPE = re.compile(r"ml\.[gp]\d.*")
_SIZE = re.compile(r"(\d*)xlarge")
_CORES = {"medium": 2, "large": 2}
_CORES_OF_XLARGE = 4
_SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Machine:
    """Cores and memory of one pod or instance.

    Attributes:
        name: for messages.
        cores: that it has; 0: not known.
        memory_bytes: that it has; 0: not known.
    """

    name: str
    cores: float
    memory_bytes: float = 0.0


def machine_of(pod: Pod) -> Machine:
    """The machine of a pod."""
    return Machine(f"a pod of {pod.cpu} CPU", pod.cores, pod.memory_bytes)


@dataclass(frozen=True)
class TrainingInstances:
    """Instances of a training job.

    Attributes:
        instance_type: such as ``ml.m5.xlarge``.
        count: number of instances.
        machine: one of them.
        usd_per_hour: price of one on demand; None if it is not known.
    """

    instance_type: str
    count: int
    machine: Machine
    usd_per_hour: float | None = None

    @property
    def has_gpu(self) -> bool:
        """Whether the type is of a family with GPUs, by its name."""
        return bool(_GPU_TYPE.fullmatch(self.instance_type))

    @property
    def name(self) -> str:
        return f"{self.count} x {self.instance_type}"

    def usd(self, seconds: float) -> float | None:
        """Price of all instances for some seconds; None if it is not known."""
        hour = self.usd_per_hour
        return None if hour is None else hour * self.count * seconds / _SECONDS_PER_HOUR


def cores_by_name(instance_type: str) -> int:
    """Cores (vCPU) that the size in the name of an instance type stands for; 0 if it is of another form.

    https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-type-names.html

    >>> cores_by_name("ml.m5.large"), cores_by_name("ml.g5.xlarge"), cores_by_name("ml.c5.9xlarge")
    (2, 4, 36)
    """
    size = instance_type.rpartition(".")[2]
    if found := _SIZE.fullmatch(size):
        return _CORES_OF_XLARGE * int(found[1] or 1)
    return _CORES.get(size, 0)
