"""End of all programs that this process has started, however this process ends.

A watcher, which is a process in a session of its own, reads a pipe whose other end only this process has. The pipe ends
with this process, even after SIGKILL. The watcher then kills the process groups and removes the containers that it
was told of. On Linux it also kills each process with this process's mark in its environment, which finds children in
sessions of their own.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import IO

_MARK_VARIABLE = "NCF_STARTED_BY"
_ROUNDS, _SECONDS_BETWEEN_ROUNDS = 4, 0.25
"""Searches for what is left: a process that was started last appears late."""


class Watcher:
    """The watcher of this process.

    Attributes:
        environment: environment variable that marks the programs of this process.
    """

    def __init__(self) -> None:
        mark = f"{os.getpid()}-{secrets.token_hex(8)}"
        self.environment = {_MARK_VARIABLE: mark}
        self._lock = threading.Lock()
        process = subprocess.Popen(
            [sys.executable, "-I", __file__, f"{_MARK_VARIABLE}={mark}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._pipe: IO[bytes] | None = process.stdin

    def add(self, kind: str, name: str | int) -> None:
        """Add a ``group`` of processes by its ID, or a ``label`` of containers."""
        self._write(f"+ {kind} {name}")

    def remove(self, kind: str, name: str | int) -> None:
        """Remove what has ended."""
        self._write(f"- {kind} {name}")

    def _write(self, line: str) -> None:
        with self._lock, contextlib.suppress(BrokenPipeError):  # somebody killed the watcher
            if self._pipe:
                self._pipe.write(f"{line}\n".encode())
                self._pipe.flush()


@cache
def watcher() -> Watcher:
    """The watcher, which starts with the first call."""
    return Watcher()


def _watch(mark: str, lines: Iterable[str]) -> None:
    """Wait for the end of ``lines``, then end what they name."""
    left: set[tuple[str, str]] = set()
    for line in lines:
        sign, kind, name = line.split()
        left = left | {(kind, name)} if sign == "+" else left - {(kind, name)}
    for kind, name in left:
        if kind == "group":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(int(name), signal.SIGKILL)
    for _ in range(_ROUNDS):
        kill_marked(mark)
        for kind, name in left:
            if kind == "label":
                _remove_containers(name)
        time.sleep(_SECONDS_BETWEEN_ROUNDS)


def kill_marked(mark: str) -> None:
    """Kill all processes with ``NAME=VALUE`` in their environment, which is readable only on Linux."""
    for process in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark.encode() in process.read_bytes().split(b"\0"):
                os.kill(int(process.parent.name), signal.SIGKILL)


def _remove_containers(label: str) -> None:
    """Remove the containers and networks with a label."""
    import docker

    failures = (docker.errors.DockerException, OSError)
    with contextlib.suppress(*failures):
        client = docker.from_env()
        for container in client.containers.list(all=True, filters={"label": label}):
            with contextlib.suppress(*failures):
                container.remove(force=True)
        for network in client.networks.list(filters={"label": label}):
            with contextlib.suppress(*failures):
                network.remove()


if __name__ == "__main__":
    for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(_number, signal.SIG_IGN)
    _watch(sys.argv[1], sys.stdin)
