"""What a fit runs on, as far as its bytes depend on it: device, processes, threads and libraries."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import torch

from ncf.training.backends import compiled_step
from ncf.training.distributed import World

_CPU_INFO = Path("/proc/cpuinfo")
_MODEL_NAME = "model name"


def machine(world: World) -> dict[str, str | int]:
    """Device, processes, threads and libraries of a fit, for the manifest of its model.

    ``device`` is ``cpu`` or ``cuda``, ``threads`` are those of each process, and ``compiled_step`` is the SHA-256 of
    the compiled training step, '' without one.
    """
    on_gpu = world.device.type == "cuda"
    return {
        "device": world.device.type,
        "hardware": torch.cuda.get_device_name(world.device) if on_gpu else processor(),
        "processes": world.size,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "compiled_step": "" if on_gpu else compiled_step(),
    }


def processor() -> str:
    """Architecture and, where Linux tells it, model of the CPU."""
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        lines = []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith(_MODEL_NAME)), "")
    return f"{platform.machine()} {model}".strip()
