"""A pipeline run as a run of MLflow: one, however often its pod is tried."""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ncf.errors import InputError
from ncf.experiments.record import RUN_TAG, Record
from ncf.experiments.settings import ExperimentSettings

if TYPE_CHECKING:
    from mlflow import MlflowClient

_log = logging.getLogger(__name__)
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""Settings of MLflow's client, unless the environment has others: seconds of a request, its retries, no telemetry, and
no messages besides those of this module."""
_BATCH = 1000
"""Metrics of a request, at most."""
_MAX_REASON = 300


def check_client(settings: ExperimentSettings) -> None:
    """Refuse a tracking server that this environment has no client for. The server is not called.

    Raises:
        InputError: if mlflow is not installed.
    """
    if settings.mlflow_uri and not _is_installed():
        raise InputError(
            f"mlflow_uri: '{settings.mlflow_uri}' is given, but this image has no mlflow-skinny; build the images with "
            "'make images LAUNCHER_EXTRAS=mlflow', or give no mlflow_uri"
        )


def track(settings: ExperimentSettings, record: Record) -> str:
    """Record a run in MLflow. If that fails, a warning says why.

    Args:
        settings: with a tracking server.
        record: of the run.

    Returns:
        URL of the run in MLflow; '' if it could not be recorded.
    """
    try:
        check_client(settings)
        return _track(settings, record)
    except Exception as error:  # whatever goes wrong there, the model is made
        reason = " ".join(str(error).split())[:_MAX_REASON] or type(error).__name__
        _log.warning("MLflow at %s does not record this run: %s", settings.mlflow_uri, reason)
        return ""


def _is_installed() -> bool:
    return find_spec("mlflow") is not None


def _track(settings: ExperimentSettings, record: Record) -> str:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # a line for each retry
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=settings.mlflow_uri)
    experiment = _experiment(client, settings.mlflow_experiment)
    run = _run(client, experiment, record)
    run_id = run.info.run_id
    for key, value in record.tags().items():
        client.set_tag(run_id, key, value)
    if run.info.status != "FINISHED":
        _log_measured(client, run_id, record)
        _log_pages(client, run, record)
        client.set_terminated(run_id)
    return f"{settings.mlflow_uri.rstrip('/')}/#/experiments/{experiment}/runs/{run_id}"


def _experiment(client: MlflowClient, name: str) -> str:
    """ID of the experiment, which is created if it does not exist."""
    from mlflow.exceptions import MlflowException

    if found := client.get_experiment_by_name(name):
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(name))
    except MlflowException as error:
        if error.error_code == "RESOURCE_ALREADY_EXISTS" and (found := client.get_experiment_by_name(name)):
            return str(found.experiment_id)  # another run has created it meanwhile
        raise


def _run(client: MlflowClient, experiment: str, record: Record) -> Any:
    """The MLflow run: that of an earlier try, or a new one."""
    of_run = f"tags.`{RUN_TAG}` = '{record.run}'"
    for run in client.search_runs([experiment], of_run, max_results=1):
        return run
    return client.create_run(experiment, run_name=record.run, tags={RUN_TAG: record.run})


def _log_measured(client: MlflowClient, run_id: str, record: Record) -> None:
    from mlflow.entities import Metric, Param

    client.log_batch(run_id, params=[Param(name, text) for name, text in record.parameters().items()])
    metrics = [Metric(name, value, record.milliseconds, step) for name, value, step in record.measured()]
    for start in range(0, len(metrics), _BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + _BATCH])


def _log_pages(client: MlflowClient, run: Any, record: Record) -> None:
    """Store the pages at the server, if it stores artifacts: some keep them on a disk that only they see."""
    if urlsplit(run.info.artifact_uri).scheme in ("", "file"):
        return
    try:
        for name, html in record.pages.items():
            client.log_text(run.info.run_id, html, name)
    except Exception as error:  # permissions on the server's storage are separate from those on the server
        reason = " ".join(str(error).split())[:_MAX_REASON]
        _log.warning("MLflow does not store %s: %s", ", ".join(record.pages), reason)
