"""Rendezvous of the processes of a training run, at an address of the first host.

torch's own store listens on all interfaces, without a password. On a single host, this one listens on the loopback.
"""

from __future__ import annotations

import ipaddress
import socket

from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.elastic.rendezvous import RendezvousInfo, RendezvousParameters, rendezvous_handler_registry
from torch.distributed.elastic.rendezvous.static_tcp_rendezvous import StaticTCPRendezvous

BACKEND = "ncf"
"""Name of the rendezvous in torch's ``LaunchConfig``."""


class _Rendezvous(StaticTCPRendezvous):
    """torch's static rendezvous. At a loopback address, it listens there alone; port 0 is any free port."""

    def get_backend(self) -> str:
        return BACKEND

    def next_rendezvous(self) -> RendezvousInfo:
        if self.rank == 0 and self._store is None and _is_loopback(self.master_addr):
            listener = socket.create_server((self.master_addr, self.master_port))
            self.master_port = listener.getsockname()[1]
            self._store = TCPStore(
                self.master_addr,
                self.master_port,
                self.world_size,
                is_master=True,
                timeout=self.timeout,
                multi_tenant=False,
                master_listen_fd=listener.detach(),
            )
        return super().next_rendezvous()


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def register() -> None:
    """Make the rendezvous known to torch."""
    rendezvous_handler_registry.register(BACKEND, _create)


def _create(parameters: RendezvousParameters) -> _Rendezvous:
    address, _, port = parameters.endpoint.rpartition(":")
    return _Rendezvous(
        address,
        int(port),
        parameters.config["rank"],
        parameters.max_nodes,
        parameters.run_id,
        parameters.config["timeout"],
    )
