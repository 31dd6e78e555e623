"""Programs of images, run as processes: each one's children end with it, as they do in a container."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT_VARIABLE = "NCF_ML_ROOT"
_KEPT_LINES = 20
_SECONDS_FOR_LAST_LINES = 5.0


class Program:
    """A running program.

    Args:
        command: what to run.
        environment: set beside this process's own, of which AWS's settings are left out.
        folder: its ``/opt/ml``, where it runs; no other running program has the same.
        on_line: is given each line it prints, as it comes.

    Raises:
        OSError: if the command cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        on_line: Callable[[str], None],
    ) -> None:
        self.last_lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._mark = f"{ROOT_VARIABLE}={folder}"
        # a container knows nothing of the account whose keys lie in this shell
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**inherited, "PYTHONUNBUFFERED": "1", **environment, ROOT_VARIABLE: str(folder)},
            cwd=folder,
            start_new_session=True,
        )
        self._on_line = on_line
        self._lock = threading.Lock()
        self._swept = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self.last_lines.append(line.rstrip("\n"))
            self._on_line(line.rstrip("\n"))

    @property
    def running(self) -> bool:
        if self._process.poll() is None:
            return True
        self._end_children()
        return False

    def wait(self, seconds: float | None = None) -> int | None:
        """The exit code once the program has ended and its lines are read; None if ``seconds`` pass first.

        What a signal ended has 128 + the signal, as in a container.
        """
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._end_children()
        self._reader.join(_SECONDS_FOR_LAST_LINES)
        return code if code >= 0 else 128 - code

    def terminate(self) -> None:
        """SIGTERM to the program alone, as SageMaker sends it to a container's first process."""
        if self.running:
            self._process.terminate()

    def kill(self) -> None:
        """SIGKILL to the program and all that it has started."""
        if self.running:
            self._process.kill()
        self.wait(_SECONDS_FOR_LAST_LINES)

    def stop(self, grace: float) -> None:
        """SIGTERM, and SIGKILL where that has not helped after ``grace`` seconds."""
        self.terminate()
        if self.wait(grace) is None:
            self.kill()

    def _end_children(self) -> None:
        """Kill what the program has left behind, once: its group, and children in sessions of their own.

        The latter (torchrun's workers are such) are known by their environment, which Linux alone shows.
        """
        with self._lock:
            if self._swept:
                return
            self._swept = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for process in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if self._mark.encode() in process.read_bytes().split(b"\0"):
                    os.kill(int(process.parent.name), signal.SIGKILL)


class Programs:
    """Starts programs, and ends all of them whatever the jobs and endpoints that wanted them are doing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started: list[Program] = []
        self._closed = False

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        on_line: Callable[[str], None],
    ) -> Program:
        """A new program; the arguments are those of :class:`Program`.

        Raises:
            OSError: if the command cannot be started, or no more are to be.
        """
        with self._lock:
            if self._closed:
                raise OSError("the stand-in is shutting down")
            self._started = [program for program in self._started if program.running]
            program = Program(command, environment, folder, on_line)
            self._started.append(program)
        return program

    def close(self, grace: float) -> None:
        """SIGTERM to all at once, and SIGKILL to those that still run after ``grace`` seconds."""
        with self._lock:
            self._closed = True
            started = list(self._started)
        for program in started:
            program.terminate()
        wait_until(lambda: not any(program.running for program in started), grace)
        for program in started:
            program.kill()


def wait_until(condition: Callable[[], bool], seconds: float, pause: float = 0.05) -> bool:
    """Whether ``condition`` came true within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
