"""A pipeline run on the account of ``pipeline.py aws``, which must be up."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from components.local import account
from components.local.console import Recorder
from components.local.executors import in_processes
from components.local.process_runner import TaskRun
from components.local.run import ARTIFACTS, announce, call, compiled, quiet_kfp
from components.local.run_folder import RunFolder
from components.local.variables import own_environment
from ncf.errors import InputError


def run_on_account(
    pipeline: Any,
    arguments: Callable[[RunFolder], Mapping[str, Any]],
    output: Path,
    of_account: Path,
    missing: str,
    console: Console,
    retry: bool = False,
) -> tuple[RunFolder, Mapping[str, TaskRun]]:
    """Compile and run a pipeline in a folder of its own, which is not published yet.

    Args:
        pipeline: a ``dsl.pipeline``.
        arguments: of the pipeline, given the folder.
        output: path of the link to the folder.
        of_account: folder of ``pipeline.py aws``.
        missing: what there is not without an account, for the error.
        console: for progress.
        retry: whether a pod that fails is tried again, as on a cluster.

    Returns:
        The folder, and the tasks by name.

    Raises:
        InputError: if no account is up, or a parameter is at fault.
        RuntimeError: if a stage failed for another reason.
    """
    shared = account.running(of_account, console)
    if shared is None:
        raise InputError(
            f"account: none is up in '{of_account}', so there is no {missing}; 'make aws' in another terminal is one"
        )
    folder = RunFolder.create(output, {})
    announce(console, folder)
    pipeline_yaml = compiled(pipeline, folder.path, retry, folder.run_id)
    given = arguments(folder)
    with (
        own_environment(),
        in_processes() as executor,
        quiet_kfp(),
        Recorder(console, folder.path) as recorder,
    ):
        os.environ.update(shared.environment)
        with executor.pods(folder.path / ARTIFACTS, shared.environment, recorder):
            call(pipeline_yaml, given, recorder)
    return folder, recorder.tasks
