"""A load generator that sends at a constant rate, whether or not the server keeps up: one thread, one core.

A request's latency counts from the moment at which it was due, so that a server which stalls is not spared the
requests that a client waiting for it would not have sent (coordinated omission).
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

_CONNECTIONS = 64
_SECONDS_TO_DRAIN = 5.0


@dataclass
class Result:
    """Milliseconds of each answer with status 200, and how many requests got another answer or none."""

    milliseconds: NDArray[np.float64]
    errors: int

    def percentile(self, share: float) -> float:
        return float(np.percentile(self.milliseconds, share)) if len(self.milliseconds) else float("nan")


@dataclass
class _Connection:
    sock: socket.socket
    due: float = 0.0
    received: bytearray = field(default_factory=bytearray)


def run(port: int, bodies: Sequence[bytes], rate: float, paths: Sequence[str] = ("/invocations",)) -> Result:
    """Send each body once, ``rate`` a second, over at most 64 connections; it returns when all are answered.

    The requests go to the paths in turn.

    The loop never sleeps: timers of the kernel are too coarse for what is measured.
    """
    selector, idle = selectors.DefaultSelector(), deque[_Connection]()
    for _ in range(_CONNECTIONS):
        connection = _Connection(socket.create_connection(("127.0.0.1", port)))
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection.sock, selectors.EVENT_READ, connection)
        idle.append(connection)
    requests = [
        b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        % (path.encode(), len(body), body)
        for path, body in zip(cycle(paths), bodies)
    ]
    milliseconds: list[float] = []
    errors = sent = 0
    start = time.perf_counter() + 0.05
    end = start + len(requests) / rate + _SECONDS_TO_DRAIN
    while len(milliseconds) + errors < len(requests) and (now := time.perf_counter()) < end:
        while idle and sent < len(requests) and start + sent / rate <= now:
            connection = idle.popleft()
            connection.due = start + sent / rate
            connection.sock.sendall(requests[sent])
            sent += 1
        for key, _ in selector.select(0):
            connection = key.data
            received = connection.sock.recv(1 << 16)
            connection.received += received
            if not received:
                selector.unregister(connection.sock)
                errors += 1
            elif (status := _complete(connection.received)) is not None:
                if status == 200:
                    milliseconds.append((time.perf_counter() - connection.due) * 1000)
                else:
                    errors += 1
                connection.received.clear()
                idle.append(connection)
    for selected in list(selector.get_map().values()):
        selected.data.sock.close()
    return Result(np.array(milliseconds), len(requests) - len(milliseconds))


def _complete(received: bytearray) -> int | None:
    """The status of an answer that is there as a whole."""
    head, separator, body = bytes(received).partition(b"\r\n\r\n")
    if not separator:
        return None
    lines = head.lower().split(b"\r\n")
    length = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
    return int(lines[0].split()[1]) if len(body) >= length else None
