"""Submission of a compiled pipeline as a run on a cluster, and its outcome."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.components import load_component_from_file
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

from components.cluster.client import Api
from components.factory import DEFAULT_REGISTRY
from ncf.errors import InputError, RemoteError
from ncf.kfp_api.filters import named
from ncf.kfp_api.refusals import UnreachableError
from ncf.stage.exits import fail
from ncf.stage.registry import command_names

_ENDS = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")
_SECONDS_BETWEEN_LOOKS = 5.0
_SECONDS_OF_PATIENCE = 300.0
"""Time for which the API may be unreachable during a run."""
_MAX_CHARACTERS = 60
"""Characters of a file name that a run's name shows."""


@dataclass(frozen=True)
class Submission:
    """A run to start, once or on a schedule.

    Attributes:
        package: YAML of the compiled pipeline.
        name: name of the run.
        experiment: name of its experiment.
        arguments: arguments of the pipeline, by name.
        pipeline_root: URI of its artifacts; '' for the cluster's default.
        service_account: service account of its pods; '' for the cluster's default.
    """

    package: Path
    name: str
    experiment: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    pipeline_root: str = ""
    service_account: str = ""

    def options(self) -> dict[str, Any]:
        """Arguments of kfp's client that a run and a recurring run have in common."""
        return {
            "job_name": self.name,
            "params": dict(self.arguments),
            "pipeline_root": self.pipeline_root or None,
            "service_account": self.service_account or None,
        }


def descriptive_name(pipeline: str, parameters: Mapping[str, Any], arguments: Mapping[str, Any]) -> str:
    """A name made of pipeline, file of data or model, package and network, such as ``ncf ratings.csv history``.

    Args:
        pipeline: name of the pipeline.
        parameters: inputs of the pipeline, by name.
        arguments: arguments, by name.
    """
    files = [PurePosixPath(str(arguments.get(name, ""))).name for name in ("data_uri", "model_uri")]
    parts = [pipeline, *(f"{file[:_MAX_CHARACTERS]}..." if len(file) > _MAX_CHARACTERS else file for file in files)]
    parts.append(str(arguments.get("package", "")).rpartition(":model-package/")[2])
    if "train_model" in parameters:
        parts.append(arguments.get("train_model") or parameters["train_model"].default)
    return " ".join(" ".join(parts).split())


def with_time(name: str) -> str:
    """A name with the current date and minute appended."""
    return f"{name} {datetime.now():%Y-%m-%d %H:%M}"


def check_package(package: Path) -> None:
    """Check that a file is a compiled pipeline in YAML.

    Raises:
        InputError: if it is not.
    """
    try:
        if package.suffix not in (".yaml", ".yml"):
            raise ValueError("its name does not end in .yaml")
        text = package.read_text()
        spec, *_ = yaml.safe_load_all(text)
        json_format.ParseDict(spec, PipelineSpec())
    except (yaml.YAMLError, json_format.ParseError, ValueError, TypeError) as error:
        raise InputError(
            f"package: '{package}' is not a compiled pipeline ({' '.join(str(error).split())[:200]}); "
            "'make pipeline' writes one"
        ) from None
    if f"{DEFAULT_REGISTRY}/" in text:
        raise InputError(
            f"package: '{package}' names images of {DEFAULT_REGISTRY}, which is only an example; "
            "'make pipeline REGISTRY=...' writes the pipeline with your registry to build/: give that file as --package"
        )


def pipeline_of(package: Path) -> Any:
    """The pipeline in a file, with the inputs and the spec of a ``dsl.pipeline``.

    Raises:
        InputError: if the file is not a compiled pipeline.
    """
    try:
        return load_component_from_file(str(package))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"package: '{package}' is not a compiled pipeline ({' '.join(str(error).split())[:200]})"
        ) from None


def submit(api: Api, request: Submission) -> str:
    """Start a run.

    Returns:
        ID of the run.

    Raises:
        InputError: if the API refuses the run or returns no ID.
        RemoteError: if the API fails.
    """
    experiment_id = experiment(api, request.experiment)
    with api.client() as client:
        run = client.run_pipeline(experiment_id, pipeline_package_path=str(request.package), **request.options())
    return api.confirmed(run.run_id, "run")


def find_run(api: Api, request: Submission) -> str:
    """ID of a run of the same name in the same experiment; '' for none.

    Raises:
        InputError: if the API refuses.
        RemoteError: if the API fails.
    """
    experiment_id = experiment(api, request.experiment)
    with api.client() as client:
        found = client.list_runs(experiment_id=experiment_id, filter=named(request.name)).runs or []
    return next((str(run.run_id) for run in found if run.display_name == request.name), "")


def experiment(api: Api, name: str) -> str:
    """ID of the experiment of this name. It is created if it does not exist."""
    with api.client() as client:
        found = client.create_experiment(name, namespace=api.namespace)
    return api.confirmed(found.experiment_id, "experiment")


def wait(api: Api, run_id: str, seconds: float) -> None:
    """Wait for the end of a run, and print its states to stderr.

    Args:
        api: API of the cluster.
        run_id: ID of the run.
        seconds: longest time to wait.

    Raises:
        InputError: if the API stops answering, or refuses.
        RemoteError: if the run does not succeed within that time.
    """
    try:
        run = _ended(api, run_id, seconds)
    except InputError as error:
        raise InputError(f"{error}; run {run_id} goes on") from None
    except KeyboardInterrupt:
        fail(f"interrupted; run {run_id} goes on: {api.in_browser}/runs/details/{run_id}", status=130)
    if run.state != "SUCCEEDED":
        raise RemoteError(f"run {run_id} ended as {run.state}{_reason(run)}; {api.in_browser}/runs/details/{run_id}")


def _ended(api: Api, run_id: str, seconds: float) -> Any:
    """The run at its end."""
    start = last_answer = time.monotonic()
    state = ""
    while True:
        try:
            with api.client() as client:
                run = client.get_run(run_id)
            last_answer = time.monotonic()
        except (RemoteError, UnreachableError):
            if time.monotonic() - last_answer > _SECONDS_OF_PATIENCE:
                raise
        else:
            if run.state and run.state != state:
                state = run.state
                print(f"{datetime.now():%H:%M:%S} run {run_id}: {state}", file=sys.stderr, flush=True)
            if state in _ENDS:
                return run
        if time.monotonic() - start > seconds:
            raise RemoteError(
                f"run {run_id} goes on: its state is {state or 'unknown'} after {seconds:g} s, the wait_timeout"
            )
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _reason(run: Any) -> str:
    """Reason why a run did not succeed: KFP's message, which is often empty, and the failed tasks."""
    said = f": {run.error.message}" if run.error and run.error.message else ""
    tasks = (run.run_details and run.run_details.task_details) or []
    known = command_names()
    failed = [name for name in known if any(task.display_name == name and task.state == "FAILED" for task in tasks)]
    return f"{said} (failed: {', '.join(failed)})" if failed else said
