"""A whole run on this machine: KFP's local runner, with S3 and SageMaker answered by ``components.local.aws``."""

from __future__ import annotations

import json
import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from kfp import compiler
from kfp.components import load_component_from_file
from rich.console import Console
from rich.markup import escape

from components.compiling.parameters_check import renamed
from components.local import summary
from components.local.aws import LocalAws
from components.local.aws.errors import ApiError
from components.local.console import Recorder, reason
from components.local.executors import Executor, in_containers, in_processes
from components.local.process_runner import TaskRun, set_retries
from components.local.run_folder import RunFolder, shown
from ncf.artifacts.model_folder import ModelFolder
from ncf.data import synthetic
from ncf.data.release import names_to_read
from ncf.errors import InputError
from ncf.stage.executor_input import RUN_ID_PLACEHOLDER
from ncf.storage import Select, download, is_s3, staged

BUCKET = "ncf-local"
PIPELINE_YAML = "pipeline.yaml"
ARTIFACTS = "artifacts"
SAMPLE_USERS = 3
TOP_K = 10
_USER_ERROR = 2
_ROLE = "arn:aws:iam::123456789012:role/ncf-local"
_SECONDS_BETWEEN_LOOKS = 0.5
_PAGE_VARIABLE = "NCF_PAGE"  # the program ``serve`` of the image reads it


@dataclass(frozen=True)
class Request:
    """What to run: see ``pipeline.py run --help``."""

    data: str
    items: str
    output: Path
    arguments: Mapping[str, Any]
    keep_endpoint: bool = False
    tag: str = ""
    """Of the images to run in containers; '' runs processes of this machine."""
    faults: Sequence[Mapping[str, Any]] = ()
    """What is to go wrong in S3 and SageMaker: see :class:`components.local.aws.faults.Fault`."""
    retry: bool = False
    """Whether a pod that fails is tried again, as on a cluster."""


def run(pipeline: Any, request: Request, console: Console) -> dict[str, Any]:
    """Compile and run the pipeline in a folder of its own; the output path becomes a link to it at the end.

    Returns:
        What ``summary.json`` holds.

    Raises:
        InputError: for what the user can mend: data, parameters.
        RuntimeError: if a stage failed otherwise.
    """
    folder = RunFolder.create(request.output, {"data": request.data, "items": request.items})
    announce(console, folder)
    pipeline_yaml = compiled(pipeline, folder.path, request.retry, folder.run_id)
    data, items = _data(request, folder.path / "data", console)
    serving = {_PAGE_VARIABLE: "true"} if request.keep_endpoint else {}
    own_files = [Path(location) for location in (data, items) if location]
    with (
        executor_of(request.tag, pipeline_yaml, own_files) as executor,
        LocalAws(folder.path / "local-aws", executor.instances, serving=serving) as aws,
        quiet_kfp(),
        Recorder(console, folder.path) as recorder,
    ):
        aws.create_bucket(BUCKET)
        add_faults(aws, request.faults)
        arguments = {
            "data_uri": data,
            "data_items_uri": items,
            "aws_s3_prefix": f"s3://{BUCKET}/ncf",
            "train_role": _ROLE,
            "deploy_role": _ROLE,
            **executor.arguments,
            **request.arguments,
        }
        with _environment(aws.environment), executor.pods(folder.path / ARTIFACTS, aws.environment, recorder):
            call(pipeline_yaml, arguments, recorder)
            result = summary.collect(recorder.tasks, folder, _ask(recorder.tasks))
        with staged(folder.path / summary.FILE_NAME) as temporary:
            temporary.write_text(json.dumps(result, indent=2) + "\n")
        folder.publish()
        summary.show(console, result, recorder.tasks, folder.link)
        if request.keep_endpoint and result["endpoint"]:
            _wait(console, aws.endpoint_address(result["endpoint"]["name"]), result)
    return result


def call(pipeline_yaml: Path, arguments: Mapping[str, Any], recorder: Recorder) -> None:
    """Run a compiled pipeline by KFP's local runner.

    Raises:
        InputError: with the reason of the stage that failed, if that is for the user to mend.
        RuntimeError: with the reason of one that failed otherwise.
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


def add_faults(aws: LocalAws, faults: Sequence[Mapping[str, Any]]) -> None:
    """Ask for faults.

    Raises:
        InputError: that names what makes no sense.
    """
    for fault in faults:
        try:
            aws.faults.add_request(fault)
        except ApiError as error:
            raise InputError(f"fault {json.dumps(fault)}: {error}") from None


def executor_of(tag: str, package: Path, readable: Sequence[Path]) -> AbstractContextManager[Executor]:
    """Containers of the images with a tag; without a tag processes."""
    return in_containers(package, tag, readable) if tag else in_processes()


def announce(console: Console, folder: RunFolder) -> None:
    """Print the run's ID and folder."""
    console.print(f"Run {folder.run_id} in {escape(shown(folder.path))}", highlight=False, soft_wrap=True)


def compiled(pipeline: Any, folder: Path, retry: bool, run_id: str) -> Path:
    """The pipeline as YAML in the folder of the run, with the run's ID, and retries as :func:`set_retries` has them."""
    package = folder / PIPELINE_YAML
    compiler.Compiler().compile(pipeline, str(package))
    package.write_text(package.read_text().replace(RUN_ID_PLACEHOLDER, run_id))  # as KFP's API server does
    set_retries(package, retry)
    return package


def _data(request: Request, folder: Path, console: Console) -> tuple[str, str]:
    """Paths of interactions and titles: the user's, copied from S3 if they lie there, or generated ones.

    While the pipeline runs, S3 is the stand-in, which has nothing of the user's.
    """
    if request.data:
        interactions = _here(request.data, folder / "interactions", console, names_to_read)
        return interactions, _here(request.items, folder / "items", console) if request.items else ""
    console.print("No data given: generating interactions like MovieLens's")
    synthetic.write(folder)
    return str(folder / "interactions.csv"), str(folder / "items.csv")


def _here(location: str, folder: Path, console: Console, select: Select | None = None) -> str:
    """The path of what the user names; it keeps its name, which says its format."""
    if not is_s3(location):
        return str(Path(location).resolve())
    console.print(f"Copying {escape(location)}", highlight=False)
    return str(download(location, folder / PurePosixPath(location).name, select))


def _ask(tasks: Mapping[str, TaskRun]) -> list[dict[str, Any]]:
    """Recommendations for a few users from the live endpoint; none if nothing was deployed."""
    if "deploy" not in tasks:
        return []
    import boto3

    model = ModelFolder.load(Path(tasks["train"].outputs["trained_model"]["uri"]))
    places = [len(model.user_ids) * part // SAMPLE_USERS for part in range(min(SAMPLE_USERS, len(model.user_ids)))]
    answer = boto3.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=tasks["deploy"].outputs["endpoint"],
        ContentType="application/json",
        Body=json.dumps({"users": [model.user_ids[place] for place in places], "k": TOP_K}),
    )
    recommendations: list[dict[str, Any]] = json.loads(answer["Body"].read())["recommendations"]
    return recommendations


def _wait(console: Console, address: str, result: Mapping[str, Any]) -> None:
    """Keep the endpoint until Ctrl-C."""
    users: Sequence[str] = [entry["user"] for entry in result["recommendations"][:1]]
    body = json.dumps({"users": users, "k": TOP_K})
    console.print(f"\nThe endpoint is up. Look at it in a browser: {address}/", highlight=False, soft_wrap=True)
    console.print("Or try:")
    console.print(
        f"  curl -s {address}/invocations -H 'Content-Type: application/json' -d '{body}'",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )
    console.print("Ctrl-C stops it.")
    while True:  # not signal.pause(): another thread may be given the signal, which would not end it
        time.sleep(_SECONDS_BETWEEN_LOOKS)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the block: they lead clients and pods to the stand-in."""
    saved = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in saved.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def quiet_kfp() -> Iterator[None]:
    """KFP's local runner logs each step with its outputs; the console shows them in our own form."""
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
