"""Programs of images as processes. The children of a program end with it, as in a container."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from components.local.aws.errors import invalid
from components.local.aws.instances import KEPT_LINES, Start
from components.local.aws.services import NO_ACCOUNT
from components.local.aws.watcher import kill_marked, watcher

ROOT_VARIABLE, PORT_VARIABLE, ADDRESSES_VARIABLE = "NCF_ML_ROOT", "NCF_PORT", "NCF_HOST_ADDRESSES"
HOST_VARIABLE, PAGE_VARIABLE = "NCF_HOST", "NCF_PAGE"
_OWN = (ROOT_VARIABLE, PORT_VARIABLE, ADDRESSES_VARIABLE, HOST_VARIABLE, PAGE_VARIABLE)
"""Variables that only the stand-in sets."""
_PASSED = re.compile(r"(NCF|SAGEMAKER)_[A-Z0-9_]+")
_SET = {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
_LOOPBACK = "127.0.0.1"
OF_AWS = ("AWS_", "BOTO", "MOTO_")
"""Beginnings of the names of variables that AWS clients and moto read."""
OF_KFP = ("NCF_KFP_", "KF_PIPELINES_")
"""Beginnings of the names of variables that give access to the API of KFP."""
_SECONDS_FOR_LAST_LINES = 5.0


def without(variables: Mapping[str, str], *beginnings: str) -> dict[str, str]:
    """Environment variables without those whose names begin so."""
    return {name: value for name, value in variables.items() if not name.startswith(beginnings)}


class Process:
    """A program as a process: see :class:`components.local.aws.instances.Program`.

    Args:
        command: command to run.
        environment: variables in addition to those of this process; its access to AWS and KFP is omitted.
        folder: folder for ``/opt/ml`` and working directory, unique among the running programs.
        on_line: callback for each line of output.

    Raises:
        OSError: if the command cannot be started.
    """

    address = _LOOPBACK

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        on_line: Callable[[str], None],
    ) -> None:
        self.last_lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._mark = f"{ROOT_VARIABLE}={folder}"
        inherited = without(os.environ, *OF_AWS, *OF_KFP)  # like a container
        # programs find `python` on PATH, as in images
        inherited["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)])
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**inherited, **NO_ACCOUNT, **environment, **_SET, **watcher().environment, ROOT_VARIABLE: str(folder)},
            cwd=folder,
            start_new_session=True,
        )
        watcher().add("group", self._process.pid)
        self._on_line = on_line
        self._lock = threading.Lock()
        self._swept = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for content in self._process.stdout or ():  # not as text: a carriage return would end a line
            line = content.decode(errors="replace").rstrip("\n")
            self.last_lines.append(line)
            self._on_line(line)

    @property
    def running(self) -> bool:
        if self._process.poll() is None:
            return True
        self._end_children()
        return False

    def wait(self, seconds: float | None = None) -> int | None:
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._end_children()
        self._reader.join(_SECONDS_FOR_LAST_LINES)
        return code if code >= 0 else 128 - code

    def ending(self) -> str:
        return f"exit code {self.wait()}"

    def terminate(self) -> None:
        if self.running:
            self._process.terminate()

    def kill(self) -> None:
        if self.running:
            self._process.kill()
        self.wait(_SECONDS_FOR_LAST_LINES)

    def stop(self, grace: float) -> None:
        self.terminate()
        if self.wait(grace) is None:
            self.kill()

    def _end_children(self) -> None:
        """Kill the remaining children of the program, once: its process group, and children in other sessions.

        The latter, such as torchrun's workers, are identified by their environment, which is readable only on Linux.
        """
        with self._lock:
            if self._swept:
                return
            self._swept = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        kill_marked(self._mark)
        watcher().remove("group", self._process.pid)


class Processes:
    """Instances as processes: see :class:`components.local.aws.instances.Instances`.

    Args:
        programs: commands by the name of the image repository, such as ``ncf-train``.
        runtimes: commands of other images by the name of their repository. Each runs its image: it is followed by
            ``train`` or ``serve``, or by the entrypoint and the arguments of a request.
    """

    listen_at = _LOOPBACK
    interface = "lo"

    def __init__(
        self, programs: Mapping[str, Sequence[str]], runtimes: Mapping[str, Sequence[str]] = MappingProxyType({})
    ) -> None:
        self._programs, self._runtimes = programs, runtimes
        self._lock = threading.Lock()
        self._started: list[Process] = []
        self._closed = False

    def check(self, image: str) -> None:
        self._repository(image)

    def check_variables(self, variables: Mapping[str, str]) -> None:
        for name in variables:
            if not _PASSED.fullmatch(name) or name in _OWN:
                raise invalid(
                    f"Environment: '{name}' is not accepted, because the program is a process of this machine and the "
                    "variable could change what runs; expected names that start with NCF_ or SAGEMAKER_"
                )

    def _repository(self, image: str) -> str:
        repository = image.rpartition("/")[2].partition("@")[0].partition(":")[0]
        if repository not in {*self._programs, *self._runtimes}:
            known = ", ".join(sorted({*self._programs, *self._runtimes}))
            raise invalid(f"The image '{image}' does not exist here; this stand-in runs: {known}")
        return repository

    def _command(self, start: Start) -> Sequence[str]:
        repository = self._repository(start.image)
        if repository in self._runtimes:
            return [*self._runtimes[repository], *start.command]
        if start.entrypoint or start.arguments or not start.program:
            raise invalid(f"The image '{start.image}' runs here as one program, without commands of a request")
        return self._programs[repository]

    def open_network(self, name: str, isolated: bool) -> str:  # noqa: ARG002
        return ""

    def close_network(self, network: str) -> None:
        """Nothing to remove."""

    def variables(self, hosts: Sequence[str]) -> Mapping[str, str]:
        return {ADDRESSES_VARIABLE: json.dumps(dict.fromkeys(hosts, f"{_LOOPBACK}:{self.free_port()}"))}

    def ml_root(self, folder: Path) -> Path:
        return folder

    def free_port(self) -> int:
        with socket.socket() as probe:
            probe.bind((_LOOPBACK, 0))
            port: int = probe.getsockname()[1]
        return port

    def start(self, start: Start) -> Process:
        command = self._command(start)
        port = {PORT_VARIABLE: str(start.port), HOST_VARIABLE: _LOOPBACK} if start.port else {}
        with self._lock:
            if self._closed:
                raise OSError("the stand-in is shutting down")
            self._started = [process for process in self._started if process.running]
            process = Process(command, {**start.environment, **port}, start.folder, start.on_line)
            self._started.append(process)
        return process

    def close(self, grace: float) -> None:
        with self._lock:
            self._closed = True
            started = list(self._started)
        for process in started:
            process.terminate()
        wait_until(lambda: not any(process.running for process in started), grace)
        for process in started:
            process.kill()


def wait_until(condition: Callable[[], bool], seconds: float, pause: float = 0.05) -> bool:
    """Wait for a condition.

    Args:
        condition: function that is polled.
        seconds: timeout.
        pause: seconds between polls.

    Returns:
        Whether the condition became true.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True
