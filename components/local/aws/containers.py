"""Programs of images in containers, one for each instance, on separate networks, as in SageMaker."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.local.aws.engine import Container, Engine, bind, own_user
from components.local.aws.errors import invalid
from components.local.aws.instances import KEPT_LINES, Start
from components.local.aws.processes import PORT_VARIABLE, wait_until
from ncf.errors import InputError, RemoteError

_ML_ROOT = "/opt/ml"
_SERVING_PORT = 8080
_SHARED_MEMORY = "1g"
_SECONDS_TO_END = 10.0


class ContainerProgram:
    """A program in a container: see :class:`components.local.aws.instances.Program`."""

    def __init__(self, engine: Engine, image: str, start: Start) -> None:
        self.last_lines: deque[str] = deque(maxlen=KEPT_LINES)

        def on_line(line: str) -> None:
            self.last_lines.append(line)
            start.on_line(line)

        port = {PORT_VARIABLE: str(start.port)} if start.port else {}
        # like SageMaker, after the ENTRYPOINT of the image and as root; a non-root user of this machine runs it as
        # himself, because he could not remove files of root
        own = {"entrypoint": []} if start.entrypoint else {}  # an empty one removes that of the image
        self._container: Container = engine.start(
            image,
            start.command,
            on_line,
            network=start.network,
            host=start.host,
            volumes=bind(str(start.folder), _ML_ROOT),
            environment={**start.environment, **port},
            user=own_user(),
            shm_size=_SHARED_MEMORY,
            **own,
        )
        self.address = self._container.address

    @property
    def running(self) -> bool:
        return self._container.running

    def wait(self, seconds: float | None = None) -> int | None:
        return self._container.wait(seconds)

    def ending(self) -> str:
        return self._container.ending()

    def terminate(self) -> None:
        self._container.signal("SIGTERM")

    def kill(self) -> None:
        self._container.signal("SIGKILL")
        self.wait(_SECONDS_TO_END)

    def stop(self, grace: float) -> None:
        self.terminate()
        if self.wait(grace) is None:
            self.kill()


class Containers:
    """Instances as containers: see :class:`components.local.aws.instances.Instances`.

    Args:
        engine: the Docker engine.
        listen_at: address of this machine within the containers' networks.
    """

    interface = "eth0"

    def __init__(self, engine: Engine, listen_at: str) -> None:
        self._engine, self.listen_at = engine, listen_at
        self._lock = threading.Lock()
        self._started: list[ContainerProgram] = []

    def check(self, image: str) -> None:
        self._find(image)

    def check_variables(self, variables: Mapping[str, str]) -> None:
        """Accept all: they have no effect outside the container."""

    def _find(self, image: str) -> str:
        try:
            return self._engine.find(image)
        except InputError as error:
            raise invalid(str(error)) from None

    def open_network(self, name: str, isolated: bool) -> str:
        try:
            return self._engine.open_network(name, internal=isolated)
        except RemoteError as error:
            raise invalid(str(error)) from None

    def close_network(self, network: str) -> None:
        self._engine.close_network(network)

    def variables(self, hosts: Sequence[str]) -> Mapping[str, str]:  # noqa: ARG002
        return {}

    def ml_root(self, folder: Path) -> Path:  # noqa: ARG002
        return Path(_ML_ROOT)

    def free_port(self) -> int:
        return _SERVING_PORT

    def start(self, start: Start) -> ContainerProgram:
        try:
            program = ContainerProgram(self._engine, self._find(start.image), start)
        except RemoteError as error:
            raise OSError(str(error)) from None
        with self._lock:
            self._started = [started for started in self._started if started.running]
            self._started.append(program)
        return program

    def close(self, grace: float) -> None:
        with self._lock:
            started = list(self._started)
        for program in started:
            program.terminate()
        wait_until(lambda: not any(program.running for program in started), grace)
        for program in started:
            program.kill()
