"""What a run has left behind: looked up in SageMaker and under the pipeline root, at the end of the run."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

from pydantic import ValidationError

from ncf.aws.names import DEPLOYED_TAG, ENDPOINT_TAG, RUN_TAG, endpoint_of
from ncf.aws.session import Aws
from ncf.aws.settings import AwsAccess
from ncf.aws.tags import tags_of
from ncf.errors import InputError, RemoteError
from ncf.evaluation.gate import METRIC
from ncf.sagemaker.runs.outcome import (
    DEPLOY,
    EVALUATE,
    IN_PROGRESS,
    TRAIN,
    Endpoint,
    Evidence,
    Job,
    Outputs,
)
from ncf.sagemaker.runs.resources import describe, run_of_config, tagged
from ncf.sagemaker.training import jobs
from ncf.storage import is_s3, list_objects, local_copy

_log = logging.getLogger(__name__)

_INDEX_LAG = timedelta(hours=1)
"""Jobs that have changed within this time are listed too: the index of tags is some time behind."""


def gather(
    run: str, told: str, uri: str, train: Mapping[str, Any], deploy: Mapping[str, Any], endpoint_name: str
) -> Evidence:
    """Stop the jobs that a run has left in progress, and look up what else there is of it.

    What AWS refuses to tell is named in the evidence; it raises nothing.

    Args:
        run: its ID.
        told: KFP's state of it.
        uri: of any output of the run.
        train: region, role and profile with which train calls AWS: fields of :class:`AwsAccess`.
        deploy: those of deploy.
        endpoint_name: that the run deploys to; '' for one of its own.
    """
    unseen: dict[str, str] = {}
    found_jobs: dict[str, tuple[datetime, Job]] = {}
    endpoints: dict[str, Endpoint] = {}
    outputs = None
    with _noted("jobs", unseen):
        aws = _connect(train)
        for names in _ways_to_jobs(aws, run):
            # what one way is refused, another may find
            with _noted("jobs", unseen):
                for name in names:
                    if name not in found_jobs and (job := describe(aws, "training-job", name)):
                        found_jobs[name] = (job["CreationTime"], _job(aws, job))
    with _noted("endpoints", unseen):
        aws = _connect(deploy)
        for name in _endpoint_names(aws, run, endpoint_name):
            if name not in endpoints and (state := describe(aws, "endpoint", name)):
                endpoints[state["EndpointName"]] = _endpoint(aws, state, run)
    if is_s3(uri):
        with _noted("outputs", unseen):
            outputs = _outputs(run, uri)
    else:
        unseen["outputs"] = f"they lie at {uri}, not in S3"
    by_age = sorted(found_jobs.values(), key=lambda entry: entry[0])
    return Evidence(run, told, [job for _, job in by_age], list(endpoints.values()), outputs, unseen)


@contextmanager
def _noted(what: str, unseen: dict[str, str]) -> Iterator[None]:
    """Note why something cannot be seen in full, and go on."""
    try:
        yield
    except (InputError, RemoteError, OSError) as error:
        unseen[what] = " ".join(str(error).split())
        _log.warning("the run's %s cannot be seen in full: %s", what, unseen[what])


def _connect(access: Mapping[str, Any]) -> Aws:
    try:
        return Aws(AwsAccess(**access))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(f"parameter '{first['loc'][0]}' is {first['input']!r}: {first['msg']}") from None


def _ways_to_jobs(aws: Aws, run: str) -> Iterator[Iterator[str]]:
    """Names of the run's jobs, some of them twice, in each way to find them; those in progress first."""
    yield map(attrgetter("name"), jobs.running(aws, run))
    yield map(attrgetter("name"), jobs.changed_after(aws, run, datetime.now(UTC) - _INDEX_LAG))
    yield (name for _, name in tagged(aws, run, ("training-job",)))


def _job(aws: Aws, description: Mapping[str, Any]) -> Job:
    """A job as it was found; one in progress, which nobody waits for any more, is stopped."""
    name, status = description["TrainingJobName"], description["TrainingJobStatus"]
    reason = "" if status == "Completed" else description.get("FailureReason") or description.get("SecondaryStatus", "")
    reason = "" if reason == status else " ".join(reason.split())
    is_stopped, note = _stop(aws, description) if status == IN_PROGRESS else (False, "")
    return Job(name, status, aws.console_url(f"jobs/{name}"), reason, is_stopped, note)


def _stop(aws: Aws, description: Mapping[str, Any]) -> tuple[bool, str]:
    """Stop a job, marked so that another try of the run buys the next; whether it was, and the same in words."""
    try:
        jobs.mark_left(aws, description["TrainingJobArn"], "finish")
        mark = ""
    except RemoteError as error:  # what is not stopped costs money
        mark = f", not marked as left: {error}"
    try:
        is_stopped = jobs.stop(aws, description["TrainingJobName"])
    except RemoteError as error:
        return False, f"left behind, not stopped: {error}"
    return is_stopped, f"left behind, {'stopped' if is_stopped else 'has ended by itself'}{mark}"


def _endpoint_names(aws: Aws, run: str, endpoint_name: str) -> Iterator[str]:
    """Names of the endpoints that the run may have deployed to, some of them twice."""
    yield endpoint_of(run, endpoint_name)
    for kind, name in tagged(aws, run, ("endpoint", "endpoint-config")):
        if kind == "endpoint":
            yield name
        elif config := describe(aws, kind, name):
            yield from filter(None, [tags_of(aws, config["EndpointConfigArn"]).get(ENDPOINT_TAG)])


def _endpoint(aws: Aws, state: Mapping[str, Any], run: str) -> Endpoint:
    name = state["EndpointName"]
    # while an update goes on, AWS shows the config that is served, and beside it the one that is to be
    config = state.get("PendingDeploymentSummary", {}).get("EndpointConfigName") or state["EndpointConfigName"]
    tags = tags_of(aws, state["EndpointArn"])
    return Endpoint(
        name,
        state["EndpointStatus"],
        aws.console_url(f"endpoints/{name}"),
        run=run_of_config(aws, config) or "unknown",
        is_deployed=tags.get(DEPLOYED_TAG) == config,
        is_new=tags.get(RUN_TAG) == run,
        reason=" ".join(str(state.get("FailureReason") or "").split()),
    )


def _outputs(run: str, uri: str) -> Outputs:
    """What lies in the run's folder, ROOT/PIPELINE/RUN; in it are TASK/EXECUTION/OUTPUT, by 2.0.0-alpha.7 TASK/OUTPUT.

    Raises:
        InputError: if it is not the run's, or cannot be read.
        RemoteError: if S3 does not answer.
    """
    before, is_of_run, _ = uri.partition(f"/{run}/")
    if not is_of_run:
        raise InputError(f"they lie at {uri}; expected s3://ROOT/PIPELINE/{run}/...")
    place = f"{before}/{run}"
    objects = {stage: list_objects(f"{place}/{stage}", by_age=True) for stage in (TRAIN, EVALUATE, DEPLOY)}
    metrics = {
        stage: [name for name in names if re.fullmatch(r"([^/]+/)?metrics", name.removeprefix(f"{place}/{stage}/"))]
        for stage, names in objects.items()
    }
    gates = [_gate(name) for name in metrics[EVALUATE]]
    return Outputs(
        place,
        begun=frozenset(stage for stage, names in objects.items() if names),
        ended=frozenset(stage for stage, names in metrics.items() if names),
        gate=gates[-1] if gates else None,
    )


def _gate(uri: str) -> bool | None:
    """Whether the gate is open by evaluate's metrics; None if they do not say."""
    with local_copy(uri) as path:
        try:
            return {1: True, 0: False}.get(json.loads(path.read_text())[METRIC])
        except (ValueError, LookupError, TypeError):
            return None
