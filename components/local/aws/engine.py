"""The Docker engine for one run. Containers and networks are labelled with the run, and removed on close."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

from components.local.aws.watcher import watcher
from ncf.errors import InputError, RemoteError

LABEL = "ncf.run"
_KILLED = 137
_TIMEOUT_SECONDS = 600  # a busy engine may be slow to create or remove a container


class Container:
    """A running container. It is removed when it ends.

    Attributes:
        address: IP address; '' without a network.
        killed_for_memory: whether it failed after the kernel had killed a process for lack of memory. Set at its end.

    Args:
        container: container of the docker package.
        network: network of the address; '' for none.
        on_line: callback for each line of output.
    """

    def __init__(self, container: Any, network: str, on_line: Callable[[str], None]) -> None:
        self._container, self._on_line = container, on_line
        self._code: int | None = None
        self._ended = threading.Event()
        self.killed_for_memory = False
        container.start()
        container.reload()
        networks = container.attrs["NetworkSettings"]["Networks"]
        self.address: str = networks[network]["IPAddress"] if network else ""
        self._follower = threading.Thread(target=self._follow, daemon=True, name=f"container {container.short_id}")
        self._follower.start()

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait for the end.

        Returns:
            Exit code, after all output has been read; None after a timeout of ``seconds``.
        """
        return self._code if self._ended.wait(seconds) else None

    def ending(self) -> str:
        """Description of the end, such as ``exit code 1``."""
        code = self.wait()
        return (
            f"killed because it ran out of memory (exit code {code})" if self.killed_for_memory else f"exit code {code}"
        )

    def signal(self, name: str) -> None:
        """Send a signal to the first process, unless the container has ended."""
        with contextlib.suppress(*_failures()):
            self._container.kill(name)

    def _follow(self) -> None:
        code = _KILLED
        try:
            for line in _lines(self._container.logs(stream=True, follow=True)):
                self._on_line(line)
            code = int(self._container.wait(timeout=None)["StatusCode"])
            self._container.reload()
            state = self._container.attrs["State"]
            self.killed_for_memory = bool(state["OOMKilled"]) and code != 0
        except _failures():
            """The container was removed, or the engine has stopped: treated like SIGKILL."""
        finally:
            self._code = code
            with contextlib.suppress(*_failures()):
                self._container.remove(force=True)
            self._ended.set()


class Engine:
    """The Docker engine, configured as for the command ``docker``.

    Raises:
        InputError: if no engine answers.
    """

    def __init__(self) -> None:
        docker = _docker()
        self.run = uuid4().hex[:12]
        try:
            self._client = docker.from_env(timeout=_TIMEOUT_SECONDS)
            self._client.ping()
        except docker.errors.DockerException as error:
            raise InputError(
                f"no Docker engine answers: {_reason(error)}; start it, or run without containers"
            ) from None
        watcher().add("label", f"{LABEL}={self.run}")
        self._networks: dict[str, Any] = {}
        self._closed = False
        self._lock = threading.Lock()

    def find(self, image: str) -> str:
        """Find an image on this machine by its full name or, without the registry, by repository and tag.

        Args:
            image: name of the image.

        Returns:
            Name of the image on this machine.

        Raises:
            InputError: if neither exists.
        """
        built = image.rpartition("/")[2]
        for name in (image, built):
            with contextlib.suppress(_docker().errors.ImageNotFound), self._errors(name):
                self._client.images.get(name)
                return name
        repository = built.partition("@")[0].partition(":")[0]
        with self._errors(repository):
            tags = sorted({tag for found in self._client.images.list(repository) for tag in found.tags})
        here = f"; there are {', '.join(tags)}" if tags else ""
        raise InputError(f"there is no image '{image}' on this machine{here}; 'make images' builds '{built}'")

    def open_network(self, name: str, internal: bool = False) -> str:
        """Create a network.

        Args:
            name: name of the network within the run.
            internal: whether the network has no access to other networks.

        Returns:
            Full name of the network.
        """
        full_name = f"ncf-{self.run}-{name}"
        with self._errors(f"network {full_name}"):
            self._networks[full_name] = self._client.networks.create(
                full_name, driver="bridge", internal=internal, labels={LABEL: self.run}
            )
        return full_name

    def gateway(self, network: str) -> str:
        """Address of this machine in a network."""
        with self._errors(f"network {network}"):
            self._networks[network].reload()
            return str(self._networks[network].attrs["IPAM"]["Config"][0]["Gateway"])

    def close_network(self, network: str) -> None:
        """Remove a network without running containers."""
        if found := self._networks.pop(network, None):
            with contextlib.suppress(*_failures()):
                found.remove()

    def start(
        self,
        image: str,
        command: Sequence[str],
        on_line: Callable[[str], None],
        network: str = "",
        host: str = "",
        **options: Any,
    ) -> Container:
        """Start a container.

        Args:
            image: name returned by :meth:`find`.
            command: command; the ENTRYPOINT of the image precedes it.
            on_line: callback for each line of output.
            network: full name of its network; '' for none.
            host: host name in the network.
            options: options of ``docker.containers.create``.

        Raises:
            RemoteError: with the reason of the engine.
        """
        if network and host:
            aliases = self._client.api.create_endpoint_config(aliases=[host])
            options |= {"networking_config": {network: aliases}, "hostname": host}
        with self._lock, self._errors(image):
            if self._closed:
                raise RemoteError("Docker: the run has ended")
            container = self._client.containers.create(
                image, list(command), network=network or "none", labels={LABEL: self.run}, **options
            )
            try:
                return Container(container, network, on_line)
            except BaseException:
                container.remove(force=True)
                raise

    def close(self) -> None:
        """Remove every container and network of the run."""
        with self._lock:
            self._closed = True
        label = {"label": f"{LABEL}={self.run}"}
        with _uninterrupted(), contextlib.suppress(*_failures()):
            for container in self._client.containers.list(all=True, filters=label):
                with contextlib.suppress(*_failures()):
                    container.remove(force=True)
            for network in self._client.networks.list(filters=label):
                with contextlib.suppress(*_failures()):
                    network.remove()
            self._client.close()
            watcher().remove("label", f"{LABEL}={self.run}")

    @contextlib.contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Turn Docker's errors into errors of one line."""
        try:
            yield
        except _docker().errors.ImageNotFound:
            raise
        except _failures() as error:
            raise RemoteError(f"Docker: {what}: {_reason(error)}") from None


def own_user() -> str | None:
    """``uid:gid`` for containers that write to folders of this user; None for root."""
    return f"{os.getuid()}:{os.getgid()}" if os.getuid() else None


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ignore further Ctrl-C, SIGTERM and SIGHUP until the cleanup after the first one has ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _reason(error: Exception) -> str:
    """Reason of an error of Docker, in one line."""
    text = str(getattr(error, "explanation", None) or error)
    return " ".join(text.split())


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """Lines of a log from chunks of any size."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace").rstrip("\r") for line in lines)
    if rest:
        yield rest.decode(errors="replace")


def _failures() -> tuple[type[Exception], ...]:
    """Exceptions of calls to the engine: errors that it returns, and connection errors."""
    return (_docker().errors.DockerException, OSError)


def _docker() -> Any:
    """The docker package, imported only for runs in containers."""
    import docker

    return docker


def bind(folder: str, target: str, read_only: bool = False) -> Mapping[str, Mapping[str, str]]:
    """The option ``volumes`` for one folder of this machine."""
    return {folder: {"bind": target, "mode": "ro" if read_only else "rw"}}
