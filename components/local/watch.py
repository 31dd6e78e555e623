"""Triggers on the account of ``pipeline.py aws``: its events start runs of the pipelines here."""

from __future__ import annotations

import os
import queue
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from components.cluster.trigger_commands import check
from components.cluster.trigger_resources import template
from components.local import account
from components.local.aws import RemoteAws
from components.local.aws.watcher import watcher as ended_with_this
from components.local.console import Recorder, escape
from components.local.executors import in_processes
from components.local.kfp.api import Accepted, KfpApi
from components.local.kfp.server import serving
from components.local.run import ARTIFACTS, announce, call, compiled, quiet_kfp, s3_prefix, with_local_endpoint
from components.local.run_folder import RunFolder
from components.local.variables import own_environment
from ncf.errors import InputError
from ncf.watching.rules import load

RULES = Path(__file__).with_name("triggers.yaml")
"""Default rules: files in the bucket of the account start a training, and approvals a release."""
_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_TO_LEAVE = 30.0


@dataclass(frozen=True)
class WatchRequest:
    """Options: see ``pipeline.py watch --help``.

    Attributes:
        rules: file of rules.
        output: path of the link to the latest run that succeeded.
        account: folder of ``pipeline.py aws``.
    """

    rules: Path
    output: Path
    account: Path = account.FOLDER


def watch(pipelines: Mapping[str, Any], request: WatchRequest, console: Console) -> None:
    """Deploy the triggers to the account, and run what ``ncf watch`` submits, until Ctrl-C.

    Args:
        pipelines: each ``dsl.pipeline`` of this project, by its short name.
        request: options.
        console: for progress and results.

    Raises:
        InputError: if the rules are invalid, or no account is up.
    """
    rules = load(request.rules)
    check(rules, list(pipelines.values()))
    shared = account.running(request.account, console)
    if shared is None:
        raise InputError(
            f"account: none is up in '{request.account}', so there are no events; 'make aws' in another terminal is one"
        )
    buckets = {rule.on.objects.bucket for rule in rules.values() if rule.on.objects}
    urls = shared.deploy_triggers(template(rules), sorted(buckets))
    by_name = {str(pipeline.pipeline_spec.pipeline_info.name): pipeline for pipeline in pipelines.values()}
    api = KfpApi({name: _inputs(pipeline) for name, pipeline in by_name.items()})
    token = secrets.token_urlsafe(30)
    with serving(api, token) as host, _watcher(request.rules, urls, host, token, shared) as process:
        console.print("Ctrl-C ends it. Events of the account start runs here.", highlight=False)
        _execute_all(api, by_name, request, shared, process, console)


def _inputs(pipeline: Any) -> dict[str, bool]:
    return {name: bool(entry.optional) for name, entry in (pipeline.component_spec.inputs or {}).items()}


@contextmanager
def _watcher(
    rules: Path, urls: Mapping[str, str], host: str, token: str, shared: RemoteAws
) -> Iterator[subprocess.Popen[bytes]]:
    """``ncf watch`` as a process, for the time of the block."""
    with tempfile.NamedTemporaryFile("w", prefix="ncf-token-") as file:  # only this user can read it
        file.write(token)
        file.flush()
        flags = {
            "rules": str(rules),
            "queue": urls["QueueUrl"],
            "dead-letters": urls["DeadLetterQueueUrl"],
            "kfp-host": host,
            "kfp-token": file.name,
            "health-port": "0",
        }
        words = [word for name, value in flags.items() for word in (f"--{name}", value)]
        with own_environment():
            environment = {**os.environ, **shared.environment, **ended_with_this().environment}
        command = [sys.executable, "-m", "ncf", "watch", *words]
        process = subprocess.Popen(command, env=environment, start_new_session=True)
        ended_with_this().add("group", process.pid)
        try:
            yield process
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_SECONDS_TO_LEAVE)
            process.kill()
            ended_with_this().remove("group", process.pid)


def _execute_all(
    api: KfpApi,
    pipelines: Mapping[str, Any],
    request: WatchRequest,
    shared: RemoteAws,
    process: subprocess.Popen[bytes],
    console: Console,
) -> None:
    """Execute runs, one after the other, until Ctrl-C or the end of the watcher."""
    try:
        while process.poll() is None:
            try:
                accepted = api.accepted.get(timeout=_SECONDS_BETWEEN_LOOKS)
            except queue.Empty:
                continue
            if not api.set_state(accepted.id, "RUNNING"):
                continue
            console.print(f"\nRun '{escape(accepted.name)}' of pipeline {accepted.pipeline}", highlight=False)
            try:
                _execute(pipelines[accepted.pipeline], accepted, request, shared, console)
            except (InputError, RuntimeError) as error:
                api.set_state(accepted.id, "FAILED")
                console.print(f"[red]Run '{escape(accepted.name)}' failed:[/] {escape(str(error))}", highlight=False)
            else:
                api.set_state(accepted.id, "SUCCEEDED")
                console.print(f"Run '{escape(accepted.name)}' has succeeded", highlight=False, soft_wrap=True)
    except KeyboardInterrupt:
        console.print("The watcher ends")
        return
    raise RuntimeError(f"the watcher has ended with exit status {process.returncode}")


def _execute(pipeline: Any, accepted: Accepted, request: WatchRequest, shared: RemoteAws, console: Console) -> None:
    """Run a pipeline by KFP's local runner, in a folder of its own."""
    folder = RunFolder.create(request.output, {}, accepted.id)
    announce(console, folder)
    package = compiled(pipeline, folder.path, False, folder.run_id)
    inputs = _inputs(pipeline)
    arguments = {"aws_s3_prefix": s3_prefix(folder), **with_local_endpoint(accepted.arguments)}
    with (
        own_environment(),
        in_processes() as executor,
        quiet_kfp(),
        Recorder(console, folder.path) as recorder,
    ):
        os.environ.update(shared.environment)
        given = {name: value for name, value in {**executor.arguments, **arguments}.items() if name in inputs}
        with executor.pods(folder.path / ARTIFACTS, shared.environment, recorder):
            call(package, given, recorder)
    folder.publish()
