"""Programs of images, run as processes: one group each, with their lines sent to CloudWatch Logs."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_KEPT_LINES = 20


class Program:
    """A running program.

    Args:
        command: what to run.
        environment: set beside this process's own.
        folder: where it runs.
        on_line: is given each line it prints, as it comes.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        on_line: Callable[[str], None],
    ) -> None:
        self.last_lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            cwd=folder,
            start_new_session=True,
        )
        self._on_line = on_line
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self.last_lines.append(line.rstrip("\n"))
            self._on_line(line.rstrip("\n"))

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait(self, seconds: float | None = None) -> int | None:
        """The exit code once the program has ended and its lines are read; None if ``seconds`` pass first."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._reader.join(5)
        return code

    def terminate(self) -> None:
        """SIGTERM to the program, as SageMaker sends it to a container's first process."""
        if self.running:
            self._process.terminate()

    def stop(self, grace: float) -> None:
        """SIGTERM, then after ``grace`` seconds SIGKILL to the whole group, so that no child stays behind."""
        self.terminate()
        self.wait(grace)
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.wait(5)


def wait_until(condition: Callable[[], bool], seconds: float, pause: float = 0.05) -> bool:
    """Whether ``condition`` came true within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True
