"""Observer of the tasks of a run. It keeps their names."""

from __future__ import annotations

from components.local.process_runner import TaskRun


class Names:
    """Names of the tasks that ran, in order."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def started(self, task: TaskRun) -> None:
        self.names.append(task.name)

    def line(self, task: TaskRun, text: str) -> None:
        """Shown to nobody."""

    def finished(self, task: TaskRun) -> None:
        """Kept at its start."""
