"""Start of the processes of a training run, as by torchrun."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from ncf.training.hyperparameters import Hyperparameters

_INPUT_ERROR = 2
_LOOPBACK = "127.0.0.1"
_RENDEZVOUS_SECONDS = 900
_ENDING_SECONDS = 90
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


@dataclass(frozen=True)
class Hosts:
    """The machines of a training run.

    Attributes:
        count: number of machines.
        index: of this machine, from 0.
        rendezvous: ``address:port`` of the first machine.
        interface: network interface that connects them; '' for the loopback of a single machine.
    """

    count: int = 1
    index: int = 0
    rendezvous: str = ""
    interface: str = ""


def is_worker() -> bool:
    """Whether this process is one of several of a training run, started by this module or by torchrun."""
    return "WORLD_SIZE" in os.environ


def processes_per_host(settings: Hyperparameters) -> int:
    """Number of training processes on this host: the setting, else one for each GPU, or one."""
    if settings.processes_per_host or settings.device == "cpu":
        return settings.processes_per_host or 1
    import torch

    return max(1, torch.cuda.device_count())


def run_processes(arguments: Sequence[str], processes: int, hosts: Hosts = Hosts()) -> None:
    """Run ``python *arguments`` in several processes, which connect to those of the other hosts; wait for all.

    Raises:
        SystemExit: with the status of the first process that failed (2 if one had an input error), or
            128 + the signal that ended this one.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    from ncf.training import rendezvous

    _use_interface(hosts.interface or "lo")
    rendezvous.register()
    alone = hosts.count == 1
    config = LaunchConfig(
        min_nodes=hosts.count,
        max_nodes=hosts.count,
        nproc_per_node=processes,
        run_id="ncf",
        rdzv_backend=rendezvous.BACKEND,
        rdzv_endpoint=f"{_LOOPBACK}:0" if alone else hosts.rendezvous,
        rdzv_configs={"rank": hosts.index, "timeout": _RENDEZVOUS_SECONDS},
        local_addr=_LOOPBACK if alone else None,
        max_restarts=0,
        monitor_interval=0.1,
        shutdown_timeout=_ENDING_SECONDS,
        signals_to_handle=",".join(number.name for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN),
    )
    try:
        elastic_launch(config, sys.executable)(*arguments)
    except SignalException as error:
        _leave(128 + int(signal.Signals(error.sigval)))
    except ChildFailedError as error:
        statuses = [failure.exitcode for failure in error.failures.values()]
        first = error.get_first_failure()[1].exitcode
        _leave(_INPUT_ERROR if _INPUT_ERROR in statuses else first if first > 0 else 128 - first)


def _leave(status: int) -> NoReturn:
    raise SystemExit(status) from None


def _use_interface(name: str) -> None:
    """Set the network interface of gloo and NCCL. Without an interface of that name, they choose one."""
    if name in (existing for _, existing in socket.if_nameindex()):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
        os.environ.setdefault("NCCL_SOCKET_IFNAME", name)
