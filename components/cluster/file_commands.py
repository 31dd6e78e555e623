"""``pipeline.py check``, and what ``submit --file`` reads from a file."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.cluster import run_file, triggers
from components.cluster.schedule import Trigger
from ncf.durations import seconds
from ncf.errors import InputError

Packages = Mapping[str, tuple[Any, Path]]
"""Each pipeline by name, and its compiled file."""
_OF_FILES = {
    "pipeline": "ncf",
    "experiment": "ncf",
    "namespace": "",
    "param": [],
    "pipeline_root": "",
    "service_account": "",
    "run_name": "",
}
"""Options that a file has, and their defaults."""


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Name the file in errors about its content."""
    try:
        yield
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith((f"{path}:", "file:")) else f"{path}: {text}") from None


def with_file(options: argparse.Namespace, path: Path, pipelines: Collection[str]) -> argparse.Namespace:
    """Options of the command line, with those of a file, and its schedule as ``trigger``.

    Args:
        options: of the command line.
        path: the file.
        pipelines: names of all pipelines.

    Raises:
        InputError: if the file is invalid, or the command line has what the file has to have.
    """
    for name, default in _OF_FILES.items():
        if getattr(options, name, default) != default:
            raise InputError(f"{name}: expected without --file: the file has it, so that a run can be repeated")
    given = run_file.read(path, pipelines)
    when = given.schedule
    trigger = trigger_of(when.cron, when.interval) if when else None
    return argparse.Namespace(**{**vars(options), **given.options(), "trigger": trigger})


def trigger_of(cron: str, interval: str) -> Trigger:
    """The trigger of a recurring run, by one of two texts.

    Raises:
        InputError: if the text is invalid.
    """
    if cron:
        return Trigger(cron=triggers.checked_cron(cron))
    return Trigger(interval=seconds(interval, "interval", triggers.SHORTEST_INTERVAL))
