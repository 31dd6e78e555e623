"""Where the programs of images run: what jobs and endpoints need of it, whatever it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

KEPT_LINES = 20


@dataclass(frozen=True)
class Start:
    """A program to be started on an instance of its own.

    Attributes:
        image: whose program it is.
        program: the command that SageMaker gives the image.
        folder: its ``/opt/ml``; no other running program has the same.
        environment: variables for it.
        on_line: is given each line that it prints, as it comes.
        network: that :meth:`Instances.open_network` has given.
        host: name under which the others in that network find it.
        port: that it is to serve at; 0 for a program that does not.
    """

    image: str
    program: Literal["train", "serve"]
    folder: Path
    environment: Mapping[str, str]
    on_line: Callable[[str], None]
    network: str
    host: str
    port: int = 0


class Program(Protocol):
    """A running program.

    Attributes:
        last_lines: the last lines that it has printed.
        address: host name or IP address at which this machine reaches it.
    """

    last_lines: deque[str]
    address: str

    @property
    def running(self) -> bool: ...

    def wait(self, seconds: float | None = None) -> int | None:
        """The exit code once the program has ended and its lines are read; None if ``seconds`` pass first.

        What a signal ended has 128 + the signal.
        """

    def ending(self) -> str:
        """How it ended, in words, once it has."""

    def terminate(self) -> None:
        """SIGTERM to the program alone."""

    def kill(self) -> None:
        """SIGKILL to the program and all that it has started."""

    def stop(self, grace: float) -> None:
        """SIGTERM, and SIGKILL where that has not helped after ``grace`` seconds."""


class Instances(Protocol):
    """Starts programs, and ends all of them whatever the jobs and endpoints that wanted them are doing.

    Attributes:
        listen_at: address of this machine at which programs find the stand-in.
        interface: network interface that connects the hosts of a job.
    """

    listen_at: str
    interface: str

    def check(self, image: str) -> None:
        """
        Raises:
            ApiError: if there is no such image here.
        """

    def open_network(self, name: str, isolated: bool) -> str:
        """A network for programs that are to find each other; cut off from all others if ``isolated``."""

    def close_network(self, network: str) -> None:
        """Remove a network; nothing runs in it any more."""

    def variables(self, hosts: Sequence[str]) -> Mapping[str, str]:
        """Variables by which the programs of a job find each other, beside their hosts' names."""

    def free_port(self) -> int:
        """A port at which the next program can serve."""

    def start(self, start: Start) -> Program:
        """
        Raises:
            ApiError: if the image is not here.
            OSError: if its program cannot be started, or no more are to be.
        """

    def close(self, grace: float) -> None:
        """SIGTERM to all at once, and SIGKILL to those that still run after ``grace`` seconds."""
