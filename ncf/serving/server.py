"""The HTTP server: uvicorn on a listening socket, with limits on connections and on clients that read nothing."""

from __future__ import annotations

import logging
import socket

import uvicorn
from starlette.applications import Starlette

from ncf.api import limits
from ncf.errors import InputError
from ncf.serving.connections import Connection, most_connections

_BACKLOG = 512  # connections that wait to be accepted; fewer than are open, so that each is read before it is closed
_NOT_SENT_BYTES = 1 << 16
_SECONDS_TO_FINISH = 25  # SageMaker kills the container 30 s after SIGTERM


def server_of(app: Starlette) -> uvicorn.Server:
    """The HTTP server of an application, for sockets of :func:`listen`."""
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=Connection,
        ws="none",
        backlog=_BACKLOG,
        limit_concurrency=most_connections(),
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        timeout_graceful_shutdown=_SECONDS_TO_FINISH,
    )
    return uvicorn.Server(config)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Accepted connections inherit its options.

    Raises:
        InputError: if the address or the port cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise InputError(f"serve: cannot listen on host '{host}', port {port}: {error.strerror}") from None
    # without this, answers on a connection in use wait 40 ms for an acknowledgement; asyncio sets it only for
    # listeners that it creates
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # this kernel buffers little of what a client has not read
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOT_SENT_BYTES)
    # and resets the connection of a client that reads nothing
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(limits.STALL_SECONDS * 1000))
    return listener
