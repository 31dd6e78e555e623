"""Progress of a run on the console."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.markup import escape as escape_markup
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from components.local.process_runner import TaskRun
from components.local.run_folder import shown
from ncf.console_text import visible
from ncf.stages.finish import Finish

ERROR_PREFIX = "ncf: error: "
_QUOTE = "  | "
_LOG_LINE = re.compile(r"\d\d:\d\d:\d\d ")
_SILENT_SECONDS = 5.0


def escape(text: str) -> str:
    """Others' text as it is to be printed: without markup and control characters."""
    return escape_markup(visible(text))


@dataclass
class Recorder:
    """Listener that shows the tasks of a run and keeps them.

    Attributes:
        console: to print to.
        folder: of the run; paths in it are shown in short.
        tasks: the last try of each task.
        failed: the first task whose last try failed.
    """

    console: Console
    folder: Path | None = None
    tasks: dict[str, TaskRun] = field(default_factory=dict)
    failed: TaskRun | None = None
    _clock: _Clock | None = None
    _printed: set[str] = field(default_factory=set)
    _error: list[str] = field(default_factory=list)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_clock()
        if self.failed and self.folder:
            files = escape(shown(self.folder))
            self.console.print(f"The files of the failed run are in {files}", highlight=False, soft_wrap=True)

    def started(self, task: TaskRun) -> None:
        if self.failed and self.failed.name == task.name:
            self._print(f"{task.name} is tried again: {reason(self.failed)}")
        self.console.print(f"[bold cyan]{_marks(self.console)[0]} {task.name}[/]")
        self._stop_clock()
        self._printed, self._error = set(), []
        self._clock = _Clock(self.console, task.name)

    def line(self, task: TaskRun, text: str) -> None:
        """Show a line of a pod, except its error. The lines of the exit handler repeat those of the stages."""
        if task.name == Finish.command_name():
            return
        is_error = text.startswith(ERROR_PREFIX)
        if is_error or _LOG_LINE.match(text):  # what was taken for the pod's error is in the log of its job
            self._show_error()
        if is_error or self._error:
            self._error.append(text)
        else:
            self._show(text)

    def finished(self, task: TaskRun) -> None:
        self._stop_clock()
        if task.exit_code == 0:
            self._show_error()
        self._print_quoted()
        self.tasks[task.name] = task
        if self.failed is None and task.exit_code != 0:
            self.failed = task
        elif self.failed and self.failed.name == task.name:
            self.failed = task if task.exit_code != 0 else None
        _, success, failure = _marks(self.console)
        mark = f"[green]{success}" if task.exit_code == 0 else f"[red]{failure}"
        self.console.print(f"{mark} {task.name}[/] {task.seconds:.1f} s")

    def _print(self, text: str) -> None:
        self.console.print(f"  [dim]{escape(text)}[/]", highlight=False, soft_wrap=True)

    def _show_error(self) -> None:
        for line in self._error:
            self._show(line)
        self._error = []

    def _print_quoted(self) -> None:
        """The log lines that an error quotes, where they are new. Its last line, the reason, ends the run."""
        quoted = [line for line in self._error[:-1] if line.removeprefix(_QUOTE) not in self._printed]
        if any(line.startswith(_QUOTE) for line in quoted):
            for line in quoted:
                self._print(line.removeprefix(ERROR_PREFIX))

    def _show(self, text: str) -> None:
        self._printed.add(text)
        self._print(shortened(text, self.folder) if self.folder else text)
        if self._clock:
            self._clock.restart()

    def _stop_clock(self) -> None:
        if self._clock:
            self._clock.stop()
            self._clock = None


class _Clock:
    """Elapsed time of a task: live on a terminal, elsewhere a line after each silence, which doubles."""

    def __init__(self, console: Console, name: str) -> None:
        self._console, self._name, self._start = console, name, time.monotonic()
        self._restarted, self._stopped = threading.Event(), threading.Event()
        self._live = Progress(
            SpinnerColumn("dots" if _is_unicode(console) else "line"),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        if console.is_terminal:
            self._live.add_task(name, total=None)
            self._live.start()
        else:
            threading.Thread(target=self._print_lines, daemon=True).start()

    def restart(self) -> None:
        """Begin a new silence."""
        self._restarted.set()

    def stop(self) -> None:
        self._stopped.set()
        self._restarted.set()
        if self._console.is_terminal:
            self._live.stop()

    def _print_lines(self) -> None:
        pause = _SILENT_SECONDS
        while not self._stopped.is_set():
            if self._restarted.wait(pause):
                self._restarted.clear()
                pause = _SILENT_SECONDS
            elif not self._stopped.is_set():
                elapsed = time.monotonic() - self._start
                self._console.print(f"  [dim]{self._name}: running for {elapsed:.0f} s[/]", highlight=False)
                pause *= 2


def _is_unicode(console: Console) -> bool:
    return console.encoding.startswith("utf")


def _marks(console: Console) -> tuple[str, str, str]:
    """Marks of a task that starts, one that succeeded and one that failed."""
    return ("▶", "✓", "✗") if _is_unicode(console) else (">", "+", "x")


def shortened(text: str, folder: Path) -> str:
    """A line without the paths of outputs, which have names, and without the folder of the run."""
    inside = re.escape(f"{folder}/")
    if " has written " in text:
        return re.sub(rf" {inside}[^\s,]+", "", text)
    return re.sub(rf"{inside}(artifacts/[^/\s]+/)?", "", text)


def reason(task: TaskRun) -> str:
    """Why a task failed, as its pod says."""
    return task.last_line.removeprefix(ERROR_PREFIX)
