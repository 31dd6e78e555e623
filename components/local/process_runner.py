"""Runner of container components without containers: each pod is a process of this machine.

``kfp.local.SubprocessRunner`` takes Lightweight Python Components only. Its task handler is replaced for the time of
a ``with`` block. The handler is a private name of kfp, so kfp is pinned exactly.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml
from kfp import local
from kfp.local import subprocess_task_handler
from kfp.local.status import Status

from components.local.aws.processes import OF_KFP, without
from components.local.aws.watcher import watcher
from ncf.console_text import visible
from ncf.stage.executor_input import EXECUTOR_INPUT

_SECONDS_TO_LEAVE = 10.0


@dataclass
class TaskRun:
    """One try of one task.

    Attributes:
        name: command of ``ncf`` in the pod: ``negative-sampling``.
        outputs: artifacts in KFP's form, ``{"uri", "metadata", ...}`` each, and output parameters as text.
        seconds: wall time.
        exit_code: of the process; None while it runs.
        last_line: last line of its log: the reason, where it failed.
    """

    name: str
    outputs: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    exit_code: int | None = None
    last_line: str = ""

    def printed(self, line: str, listener: Listener) -> None:
        """Add a line of the log."""
        if text := visible(line.rstrip()):
            self.last_line = text
            listener.line(self, text)

    def ended(self, exit_code: int | None) -> None:
        """Set the exit status. A process that a signal ended has printed no reason."""
        self.exit_code = exit_code
        number = -exit_code if exit_code and exit_code < 0 else (exit_code or 0) - 128
        if number > 0:
            self.last_line = f"it was ended by signal {number}; its last line: {self.last_line or 'none'}"

    def collect(self, executor_input: Mapping[str, Any]) -> None:
        """Read the outputs. A task without all of its outputs has failed, even with exit status 0.

        KFP's own runners do not check this.
        """
        declared = executor_input["outputs"]
        artifacts, parameters = declared.get("artifacts", {}), declared.get("parameters", {})
        try:
            written = json.loads(Path(declared["outputFile"]).read_text())["artifacts"]
            self.outputs = {name: written[name]["artifacts"][0] for name in artifacts}
            self.outputs |= {name: Path(entry["outputFile"]).read_text() for name, entry in parameters.items()}
        except (OSError, ValueError, LookupError, TypeError) as error:
            self.exit_code = 1
            self.last_line = f"it ended with status 0, but its outputs are not all there: {error!r}"


def task_of(command: Sequence[str]) -> tuple[TaskRun, dict[str, Any]]:
    """Task of a pod's command, and KFP's executor input in that command."""
    executor_input: dict[str, Any] = json.loads(command[command.index(EXECUTOR_INPUT) + 1])
    return TaskRun(name=command[command.index("ncf") + 1]), executor_input


class Listener(Protocol):
    """Receiver of the events of tasks."""

    def started(self, task: TaskRun) -> None: ...
    def line(self, task: TaskRun, text: str) -> None: ...
    def finished(self, task: TaskRun) -> None: ...


@contextmanager
def pods_as_processes(pipeline_root: Path, environment: Mapping[str, str], listener: Listener) -> Iterator[None]:
    """``kfp.local`` with processes as pods, for the time of the block.

    Args:
        pipeline_root: folder that receives the artifacts.
        environment: variables of every process, in addition to those of this one, except its access to KFP.
        listener: receives the events of each task.
    """

    class Handler(subprocess_task_handler.SubprocessTaskHandler):  # type: ignore[misc]
        def validate_image(self, image: str) -> None:
            """Accept any image: its command runs with this Python."""

        def validate_not_container_component(self, full_command: list[str]) -> None:
            """Accept container components."""

        def run(self) -> Status:
            task = _run(self.full_command, {**environment, **self.env_vars}, listener)
            return Status.SUCCESS if task.exit_code == 0 else Status.FAILURE

    original = subprocess_task_handler.SubprocessTaskHandler
    subprocess_task_handler.SubprocessTaskHandler = Handler
    try:
        with workspace() as folder:
            local.init(
                local.SubprocessRunner(use_venv=False),
                pipeline_root=str(pipeline_root),
                workspace_root=folder,
                raise_on_error=True,
            )
            yield
    finally:
        subprocess_task_handler.SubprocessTaskHandler = original


def workspace() -> AbstractContextManager[str]:
    """Temporary folder for KFP's workspace. KFP's own is not removed where a run fails."""
    return tempfile.TemporaryDirectory(prefix="kfp-workspace-")


def _run(command: list[str], environment: Mapping[str, str], listener: Listener) -> TaskRun:
    """Run one pod's command to its end. An interruption stops the process."""
    python, *rest = command
    task, executor_input = task_of(command)
    listener.started(task)
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable if python.startswith("python") else python, *rest],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={
            **without(os.environ, *OF_KFP),  # as in a cluster
            "PYTHONUNBUFFERED": "1",
            "PYTHONIOENCODING": "utf-8",
            **environment,
            **watcher().environment,
        },
        start_new_session=True,
    )
    watcher().add("group", process.pid)
    try:
        for line in process.stdout or ():  # not as text: a carriage return would end a line
            task.printed(line.decode(errors="replace"), listener)
        task.ended(process.wait())
    finally:
        _stop(process)
        watcher().remove("group", process.pid)
        task.seconds = time.monotonic() - start
    if task.exit_code == 0:
        task.collect(executor_input)
    listener.finished(task)
    return task


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_SECONDS_TO_LEAVE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def set_retries(package: Path, retry: bool) -> None:
    """Set the retries of all tasks of a compiled pipeline.

    Args:
        package: the compiled pipeline, which is rewritten.
        retry: whether a pod that fails is tried again at once. The pauses of a cluster are left out.
    """
    content = yaml.safe_load(package.read_text())
    for component in [content["root"], *content["components"].values()]:
        for task in component.get("dag", {}).get("tasks", {}).values():
            if "retryPolicy" in task and retry:
                task["retryPolicy"] = {"maxRetryCount": task["retryPolicy"]["maxRetryCount"], "backoffDuration": "0s"}
            else:
                task.pop("retryPolicy", None)
    package.write_text(yaml.safe_dump(content, sort_keys=True, width=10_000))
