"""Interface of instances: programs of images, as processes or in containers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

KEPT_LINES = 20


@dataclass(frozen=True)
class Start:
    """Settings of a program on its own instance.

    Attributes:
        image: image of the program.
        program: command that SageMaker passes to the image; '' for none.
        folder: folder for ``/opt/ml``, unique among the running programs.
        environment: environment variables.
        on_line: callback for each line of output.
        network: name returned by :meth:`Instances.open_network`.
        host: host name in the network.
        port: port of a serving program; 0 for a program without one.
        entrypoint: command in place of that of the image; empty for the image's own.
        arguments: arguments in place of ``program``; empty for ``program``.
    """

    image: str
    program: Literal["train", "serve", ""]
    folder: Path
    environment: Mapping[str, str]
    on_line: Callable[[str], None]
    network: str
    host: str
    port: int = 0
    entrypoint: Sequence[str] = ()
    arguments: Sequence[str] = ()

    @property
    def command(self) -> list[str]:
        """What follows the entrypoint of the image, or replaces it."""
        usual = [self.program] if self.program and not self.entrypoint else []
        return [*self.entrypoint, *(self.arguments or usual)]


class Program(Protocol):
    """A running program.

    Attributes:
        last_lines: last lines of output.
        address: host name or IP address, from this machine.
    """

    last_lines: deque[str]
    address: str

    @property
    def running(self) -> bool: ...

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait for the end.

        Returns:
            Exit code, after all output has been read; 128 + the signal after a signal; None after a timeout of
            ``seconds``.
        """

    def ending(self) -> str:
        """Description of the end, such as ``exit code 1``. Waits for the end."""

    def terminate(self) -> None:
        """Send SIGTERM to the program, not to its children."""

    def kill(self) -> None:
        """Send SIGKILL to the program and its children."""

    def stop(self, grace: float) -> None:
        """Send SIGTERM, then SIGKILL if the program still runs after ``grace`` seconds."""


class Instances(Protocol):
    """Instances of jobs and endpoints: start of programs, and end of all programs.

    Attributes:
        listen_at: address of the stand-in, for programs.
        interface: network interface between the hosts of a job.
    """

    listen_at: str
    interface: str

    def check(self, image: str) -> None:
        """Check that an image exists on this machine.

        Raises:
            ApiError: if it does not.
        """

    def check_variables(self, variables: Mapping[str, str]) -> None:
        """Check that a program may have the environment variables of a request.

        Raises:
            ApiError: if one of them could change what runs on this machine.
        """

    def open_network(self, name: str, isolated: bool) -> str:
        """Create a network.

        Args:
            name: name of the network.
            isolated: whether the network has no access to other networks.

        Returns:
            Full name of the network.
        """

    def close_network(self, network: str) -> None:
        """Remove a network without running programs."""

    def variables(self, hosts: Sequence[str]) -> Mapping[str, str]:
        """Variables with the addresses of the hosts of a job, if host names alone are not enough."""

    def ml_root(self, folder: Path) -> Path:
        """Path by which a program sees the folder for ``/opt/ml``."""

    def free_port(self) -> int:
        """A free port for the next serving program."""

    def start(self, start: Start) -> Program:
        """Start a program.

        Raises:
            ApiError: if the image is not on this machine.
            OSError: if the program cannot be started, or the instances are closed.
        """

    def close(self, grace: float) -> None:
        """Send SIGTERM to all programs, then SIGKILL to those still running after ``grace`` seconds."""
