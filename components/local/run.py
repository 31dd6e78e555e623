"""A whole run on this machine: KFP's local runner, with S3 and SageMaker answered by ``components.local.aws``."""

from __future__ import annotations

import json
import logging
import os
import shlex
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from kfp import compiler
from kfp.components import load_component_from_file
from rich.console import Console

from components.compiling.parameters_check import renamed
from components.local import account, summary
from components.local.aws import LocalAws, RemoteAws
from components.local.aws.errors import ApiError
from components.local.aws.processes import PAGE_VARIABLE
from components.local.console import Recorder, escape, reason
from components.local.executors import Executor, in_containers, in_processes
from components.local.process_runner import TaskRun, set_retries
from components.local.run_folder import RunFolder, shown
from components.local.variables import own_environment
from images.build import current_tag
from ncf.artifacts.model_folder import ModelFolder
from ncf.artifacts.provenance import COMMIT_VARIABLE
from ncf.data import synthetic
from ncf.data.comparison_settings import CHAMPION, NONE
from ncf.data.release import names_to_read
from ncf.errors import InputError
from ncf.stage.executor_input import RUN_ID_PLACEHOLDER
from ncf.staged_output import staged
from ncf.storage import Select, download, is_s3

PIPELINE_YAML = "pipeline.yaml"
ARTIFACTS = "artifacts"
SAMPLE_USERS = 3
TOP_K = 10
_USER_ERROR = 2
ROLE = "arn:aws:iam::123456789012:role/ncf-local"
_PATHS = ("data_forgotten_uri", "data_last_good")
"""Parameters of the pipeline that may name a path of this machine."""
_SECONDS_BETWEEN_LOOKS = 0.5
_BAKE_SECONDS = 2


@dataclass(frozen=True)
class RunRequest:
    """Options of a run: see ``pipeline.py run --help``."""

    data: str
    items: str
    output: Path
    arguments: Mapping[str, Any]
    keep_endpoint: bool = False
    tag: str = ""
    """Tag of the images to run in containers; '' runs processes of this machine."""
    faults: Sequence[Mapping[str, Any]] = ()
    """Faults of S3 and SageMaker: see :class:`components.local.aws.faults.Fault`."""
    retry: bool = False
    """Whether a pod that fails is tried again, as on a cluster."""
    account: Path = account.FOLDER
    """Folder of ``pipeline.py aws``, whose account is used while it is up."""


def run(pipeline: Any, request: RunRequest, console: Console) -> dict[str, Any]:
    """Compile and run the pipeline in a folder of its own; the output path becomes a link to it at the end.

    Returns:
        The content of ``summary.json``.

    Raises:
        InputError: if data or parameters are at fault.
        RuntimeError: if a stage failed for another reason.
    """
    folder = RunFolder.create(request.output, {"data": request.data, "items": request.items})
    announce(console, folder)
    shared = shared_account(request.account, request.tag, console)
    pipeline_yaml = compiled(pipeline, folder.path, request.retry, folder.run_id)
    data, items = _data(request, folder.path / "data", console)
    serving = {PAGE_VARIABLE: "true"} if request.keep_endpoint else {}
    paths = _own_paths(request.arguments)
    own_files = [Path(location) for location in (data, items, *paths.values()) if location]
    with (
        own_environment(),
        executor_of(request.tag, pipeline_yaml, own_files) as executor,
        nullcontext(shared) if shared else _own_account(folder, executor, serving) as aws,
        quiet_kfp(),
        Recorder(console, folder.path) as recorder,
    ):
        add_faults(aws, request.faults)
        arguments = {
            "data_uri": data,
            "data_items_uri": items,
            "aws_s3_prefix": s3_prefix(folder),
            "train_role": ROLE,
            "deploy_role": ROLE,
            **executor.arguments,
            **with_local_endpoint(request.arguments),
            **paths,
        }
        os.environ.update({**aws.environment, COMMIT_VARIABLE: current_tag()})
        with executor.pods(folder.path / ARTIFACTS, aws.environment, recorder):
            call(pipeline_yaml, arguments, recorder)
            environment = shown((request.account / account.ENVIRONMENT).absolute()) if shared else ""
            result = summary.collect(recorder.tasks, folder, _ask(recorder.tasks, aws), environment)
        with staged(folder.path / summary.FILE_NAME) as temporary:
            temporary.write_text(json.dumps(result, indent=2) + "\n")
        folder.publish()
        summary.show(console, result, recorder.tasks, folder)
        if request.keep_endpoint and isinstance(aws, RemoteAws):
            console.print(f"\nEndpoints are kept until the account in {escape(str(request.account))} ends.")
        elif request.keep_endpoint and result["endpoint"] and recorder.tasks["deploy"].outputs["target"]:
            console.print(
                "\nNo endpoint is kept: one of several models has no page. `make aws` is an account that keeps it."
            )
        elif request.keep_endpoint and result["endpoint"]:
            _wait(console, aws.endpoint_address(result["endpoint"]["name"]), result)
        elif request.keep_endpoint:
            cause = "release is not at_once" if result["gate_passed"] else "the gate is closed"
            console.print(f"\nNo endpoint is kept: {cause}, so none was made.")
    return result


def shared_account(folder: Path, tag: str, console: Console) -> RemoteAws | None:
    """The account that is up in a folder; None if there is none.

    Args:
        folder: of the account.
        tag: of the images to run in containers; '' for processes.
        console: to print which it is.

    Raises:
        InputError: for a run in containers, which cannot call the account.
    """
    shared = account.running(folder, console)
    if shared and tag:
        raise InputError(
            f"executor: containers cannot call the account in '{folder}', which answers processes of this machine; end "
            "it by Ctrl-C in its terminal, or run with --executor process"
        )
    return shared


def s3_prefix(folder: RunFolder) -> str:
    """URI that a run's artifacts are copied to."""
    return f"s3://{account.BUCKET}/runs/{folder.run_id}"


def with_local_endpoint(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a pipeline. The default of the bake time is short, as an update on this machine takes seconds."""
    overrides = arguments.get("deploy_overrides", {})
    return {**arguments, "deploy_overrides": {"bake_time": _BAKE_SECONDS, **overrides}}


@contextmanager
def _own_account(folder: RunFolder, executor: Executor, serving: Mapping[str, str]) -> Iterator[LocalAws]:
    """An account with a bucket, for one run."""
    with LocalAws(folder.path / "local-aws", executor.instances, serving=serving) as aws:
        aws.create_bucket(account.BUCKET)
        yield aws


def call(pipeline_yaml: Path, arguments: Mapping[str, Any], recorder: Recorder) -> None:
    """Run a compiled pipeline by KFP's local runner.

    Raises:
        InputError: if a stage failed because of its input, with the reason.
        RuntimeError: if a stage failed for another reason.
    """
    pipeline = load_component_from_file(str(pipeline_yaml))
    try:
        pipeline(**arguments)
    except RuntimeError:  # KFP names the task, not the reason
        if recorder.failed is None:
            raise
        said = reason(recorder.failed)
        names = renamed(pipeline.pipeline_spec, recorder.failed.name, said)
        message = f"stage '{recorder.failed.name}' failed: {said}{names}"
        raise (InputError if recorder.failed.exit_code == _USER_ERROR else RuntimeError)(message) from None


def add_faults(aws: LocalAws | RemoteAws, faults: Sequence[Mapping[str, Any]]) -> None:
    """Request faults of the stand-in.

    Raises:
        InputError: that names the fault that the stand-in does not know.
    """
    for fault in faults:
        try:
            aws.add_fault(fault)
        except ApiError as error:
            raise InputError(f"fault {json.dumps(fault)}: {error}") from None


def executor_of(tag: str, package: Path, readable: Sequence[Path]) -> AbstractContextManager[Executor]:
    """Executor of a run: containers of the images with ``tag``, or processes where it is ''."""
    return in_containers(package, tag, readable) if tag else in_processes()


def announce(console: Console, folder: RunFolder) -> None:
    """Print the run's ID and folder."""
    console.print(f"Run {folder.run_id} in {escape(shown(folder.path))}", highlight=False, soft_wrap=True)


def compiled(pipeline: Any, folder: Path, retry: bool, run_id: str) -> Path:
    """Compiled pipeline in the folder of a run, with the run's ID and the retries of :func:`set_retries`."""
    package = folder / PIPELINE_YAML
    compiler.Compiler().compile(pipeline, str(package))
    package.write_text(package.read_text().replace(RUN_ID_PLACEHOLDER, run_id))  # as KFP's API server does
    set_retries(package, retry)
    return package


def _data(request: RunRequest, folder: Path, console: Console) -> tuple[str, str]:
    """Paths of interactions and titles. Objects in S3 are copied; without data, both are generated.

    The pipeline cannot read the user's bucket: its S3 is the stand-in.
    """
    if request.data:
        interactions = _local_path(request.data, folder / "interactions", console, names_to_read)
        return interactions, _local_path(request.items, folder / "items", console) if request.items else ""
    console.print("No data given: generating interactions like MovieLens's")
    synthetic.write(folder)
    return str(folder / "interactions.csv"), str(folder / "items.csv")


def _own_paths(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Parameters that name a path of this machine, made absolute, as pods may run elsewhere."""
    given = {name: str(arguments.get(name, "")) for name in _PATHS}
    words = {"", CHAMPION, NONE}
    return {name: str(Path(at).resolve()) for name, at in given.items() if at not in words and not is_s3(at)}


def _local_path(location: str, folder: Path, console: Console, select: Select | None = None) -> str:
    """Local path of an input. A copy keeps the name, whose extension is the format."""
    if not is_s3(location):
        return str(Path(location).resolve())
    console.print(f"Copying {escape(location)}", highlight=False)
    return str(download(location, folder / PurePosixPath(location).name, select))


def _ask(tasks: Mapping[str, TaskRun], aws: LocalAws | RemoteAws) -> list[dict[str, Any]]:
    """Recommendations of the live endpoint for some users; none where nothing was deployed."""
    if "deploy" not in tasks:
        return []
    model = ModelFolder.load(Path(tasks["train"].outputs["trained_model"]["uri"]))
    count = len(model.user_ids)
    users = [model.user_ids[count * part // SAMPLE_USERS] for part in range(min(SAMPLE_USERS, count))]
    deployed = tasks["deploy"].outputs
    answer = aws.invoke(deployed["endpoint"], {"users": users, "k": TOP_K}, deployed["target"])
    recommendations: list[dict[str, Any]] = answer["recommendations"]
    return recommendations


def _wait(console: Console, address: str, result: Mapping[str, Any]) -> None:
    """Keep the endpoint until Ctrl-C, which ends the run as planned."""
    users: Sequence[str] = [entry["user"] for entry in result["recommendations"][:1]]
    body = shlex.quote(json.dumps({"users": users, "k": TOP_K}))
    with suppress(KeyboardInterrupt):
        console.print(f"\nThe endpoint is up. Its page in a browser: {address}/", highlight=False, soft_wrap=True)
        console.print("A request:")
        console.print(
            escape(f"  curl -s {address}/invocations -H 'Content-Type: application/json' -d {body}"),
            highlight=False,
            soft_wrap=True,
        )
        console.print("Ctrl-C stops it.")
        while True:  # not signal.pause(): another thread may be given the signal, which would not end it
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    console.print("Stopping the endpoint")


@contextmanager
def quiet_kfp() -> Iterator[None]:
    """KFP's local runner without its log for the time of the block. The recorder shows the tasks."""
    from kfp.local import logging_utils

    original = logging_utils.print_horizontal_line
    logging_utils.print_horizontal_line = lambda: None
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*no effect in the current local runner")
            yield
    finally:
        logging.disable(logging.NOTSET)
        logging_utils.print_horizontal_line = original
