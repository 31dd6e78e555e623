"""Evidence of a run's outcome: its training jobs, endpoints and outputs, gathered at the end of the run."""

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

from ncf.aws.names import DEPLOYED_TAG, ENDPOINT_TAG, NAMESPACE_TAG, RUN_TAG, endpoint_of
from ncf.aws.namespace import own_namespace
from ncf.aws.session import Aws
from ncf.aws.settings import AwsAccess
from ncf.aws.tags import readable_tags, tags_of
from ncf.errors import InputError, RemoteError
from ncf.evaluation.gate import METRIC
from ncf.sagemaker.jobs import own as jobs
from ncf.sagemaker.jobs import stopping
from ncf.sagemaker.jobs.kind import JobKind
from ncf.sagemaker.processing.kind import PROCESSING
from ncf.sagemaker.runs.outcome import (
    DEPLOY,
    EVALUATE,
    IN_PROGRESS,
    MONITOR,
    REGISTER,
    TRAIN,
    Evidence,
    Job,
    Outputs,
    RunEndpoint,
)
from ncf.sagemaker.runs.resources import describe, run_of_config, tagged
from ncf.sagemaker.training.kind import TRAINING
from ncf.sagemaker.transform.kind import TRANSFORM
from ncf.sagemaker.tuning.kind import TUNING
from ncf.storage import is_s3, list_objects, local_copy

_log = logging.getLogger(__name__)

_PROOFS = {TRAIN: "metrics", EVALUATE: "metrics", REGISTER: "summary", DEPLOY: "metrics", MONITOR: "metrics"}
"""Stage -> an output that it has only if it has succeeded."""
_OTHER_KINDS = (PROCESSING, TRANSFORM, TUNING)
_INDEX_LAG = timedelta(hours=1)
"""Delay of the index of tags. Jobs that have changed within this time are listed, too."""


def gather(
    run: str,
    kfp_state: str,
    uri: str,
    train: Mapping[str, Any],
    deploy: Mapping[str, Any],
    job_prefix: str,
    endpoint_name: str,
    trains: bool = True,
    release: str = "",
    last: str = DEPLOY,
) -> Evidence:
    """Stop the run's jobs in progress, and find its jobs, endpoints and outputs.

    A failed lookup is noted in the evidence, and raises no error.

    Args:
        run: its ID.
        kfp_state: that KFP passes to the exit handler.
        uri: of any output of the run.
        train: fields of :class:`AwsAccess` of the train stage.
        deploy: those of the deploy stage.
        job_prefix: parameter of train.
        endpoint_name: parameter of deploy; '' for an endpoint of the run's own.
        trains: whether the run has a training job; otherwise none is looked for.
        release: parameter of register; '' for a pipeline without this stage.
        last: stage that the run ends with. Unless that is deploy, the run has no endpoint, and none is looked for.
    """
    incomplete: dict[str, str] = {}
    found_jobs: dict[str, tuple[datetime, Job]] = {}
    others: list[Job] = []
    endpoints: dict[str, RunEndpoint] = {}
    outputs = None
    with _noted("jobs", incomplete):
        aws = _connect(train)
        owner = jobs.Owner(job_prefix, own_namespace())
        lookups = _job_lookups(aws, owner, run) if trains else ()
        for names in lookups:
            # a lookup may be denied while another one is not
            with _noted("jobs", incomplete):
                for name in names:
                    # one job does not keep the others from being stopped
                    with _noted("jobs", incomplete):
                        if name not in found_jobs and (job := describe(aws, "training-job", name)):
                            found_jobs[name] = (job["CreationTime"], _job(aws, job))
        for kind in _OTHER_KINDS if trains else ():
            with _noted("other jobs", incomplete):
                others += [_stopped(aws, kind, job) for job in jobs.running(aws, kind, owner, run)]
    with _noted("endpoints", incomplete):
        aws = _connect(deploy)
        for name in _endpoint_names(aws, run, endpoint_name) if last == DEPLOY else ():
            with _noted("endpoints", incomplete):
                if name not in endpoints and (state := describe(aws, "endpoint", name)):
                    endpoints[state["EndpointName"]] = _endpoint(aws, state, run)
    if is_s3(uri):
        with _noted("outputs", incomplete):
            outputs = _outputs(run, uri)
    else:
        incomplete["outputs"] = f"they are at {uri}, not in S3"
    by_age = sorted(found_jobs.values(), key=lambda entry: entry[0])
    found = [job for _, job in by_age]
    return Evidence(run, kfp_state, found, list(endpoints.values()), outputs, incomplete, trains, release, last, others)


@contextmanager
def _noted(kind: str, incomplete: dict[str, str]) -> Iterator[None]:
    """Note the reason of a failed lookup, and go on."""
    try:
        yield
    except (InputError, RemoteError, OSError) as error:
        incomplete[kind] = " ".join(str(error).split())
        _log.warning("the run's %s are not known completely: %s", kind, incomplete[kind])


def _connect(access: Mapping[str, Any]) -> Aws:
    try:
        return Aws(AwsAccess(**access))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(f"parameter '{first['loc'][0]}' is {first['input']!r}: {first['msg']}") from None


def _job_lookups(aws: Aws, owner: jobs.Owner, run: str) -> Iterator[Iterator[str]]:
    """Names of the run's jobs by three lookups, with duplicates. The first one is of jobs in progress."""
    yield map(attrgetter("name"), jobs.running(aws, TRAINING, owner, run))
    yield map(attrgetter("name"), jobs.changed_after(aws, TRAINING, owner, run, datetime.now(UTC) - _INDEX_LAG))
    yield (name for _, name, tags in tagged(aws, run, ("training-job",)) if owner.has(name, tags))


def _job(aws: Aws, description: Mapping[str, Any]) -> Job:
    """A job as it was found. A job in progress is stopped, as no launcher waits for it."""
    name, status = description["TrainingJobName"], description["TrainingJobStatus"]
    reason = "" if status == "Completed" else description.get("FailureReason") or description.get("SecondaryStatus", "")
    reason = "" if reason == status else " ".join(reason.split())
    is_stopped, note = (
        _stop(aws, TRAINING, name, description["TrainingJobArn"]) if status == IN_PROGRESS else (False, "")
    )
    return Job(name, status, aws.console_url(f"jobs/{name}"), reason, is_stopped, note)


def _stopped(aws: Aws, kind: JobKind, job: jobs.OwnJob) -> Job:
    """A job in progress of another kind, which is stopped."""
    is_stopped, note = _stop(aws, kind, job.name, job.arn)
    return Job(job.name, IN_PROGRESS, aws.console_url(f"{kind.page}/{job.name}"), "", is_stopped, note, kind.words)


def _stop(aws: Aws, kind: JobKind, name: str, arn: str) -> tuple[bool, str]:
    """Mark a job as abandoned and stop it: a retry of the run starts another one.

    Returns:
        Whether it was stopped, and the result in words.
    """
    try:
        stopping.mark_abandoned(aws, arn, "finish")
        mark = ""
    except RemoteError as error:  # stopped nevertheless, as it costs money
        mark = f", not marked as abandoned: {error}"
    try:
        is_stopped = stopping.stop(aws, kind, name)
    except RemoteError as error:
        return False, f"abandoned, not stopped: {error}"
    return is_stopped, f"abandoned, {'stopped' if is_stopped else 'but it has ended'}{mark}"


def _endpoint_names(aws: Aws, run: str, endpoint_name: str) -> Iterator[str]:
    """Names of the endpoints that the run may have deployed to, with duplicates."""
    yield endpoint_of(run, endpoint_name)
    for kind, name, tags in tagged(aws, run, ("endpoint", "endpoint-config")):
        if tags.get(NAMESPACE_TAG, "") != own_namespace():
            continue
        if kind == "endpoint":
            yield name
        elif config := describe(aws, kind, name):
            yield from filter(None, [readable_tags(aws, config["EndpointConfigArn"]).get(ENDPOINT_TAG)])


def _endpoint(aws: Aws, state: Mapping[str, Any], run: str) -> RunEndpoint:
    name = state["EndpointName"]
    # during an update, EndpointConfigName is the config in service
    config = state.get("PendingDeploymentSummary", {}).get("EndpointConfigName") or state["EndpointConfigName"]
    tags = tags_of(aws, state["EndpointArn"])
    return RunEndpoint(
        name,
        state["EndpointStatus"],
        aws.console_url(f"endpoints/{name}"),
        run=run_of_config(aws, config) or "unknown",
        is_deployed=tags.get(DEPLOYED_TAG) == config,
        is_new=tags.get(RUN_TAG) == run,
        reason=" ".join(str(state.get("FailureReason") or "").split()),
    )


def _outputs(run: str, uri: str) -> Outputs:
    """Outputs in the run's folder, ROOT/PIPELINE/RUN, as TASK/EXECUTION/OUTPUT; with KFP 2.0.0-alpha.7 as TASK/OUTPUT.

    Raises:
        InputError: if the URI is not of the run, or cannot be read.
        RemoteError: if S3 does not answer.
    """
    before, is_of_run, _ = uri.partition(f"/{run}/")
    if not is_of_run:
        raise InputError(f"they are at {uri}; expected s3://ROOT/PIPELINE/{run}/...")
    folder = f"{before}/{run}"
    objects = {stage: list_objects(f"{folder}/{stage}", by_age=True) for stage in _PROOFS}
    proofs = {
        stage: [name for name in names if _is_output(name.removeprefix(f"{folder}/{stage}/"), _PROOFS[stage])]
        for stage, names in objects.items()
    }
    gates = [_gate(name) for name in proofs[EVALUATE]]
    return Outputs(
        folder,
        started=frozenset(stage for stage, names in objects.items() if names),
        completed=frozenset(stage for stage, names in proofs.items() if names),
        gate=gates[-1] if gates else None,
    )


def _is_output(path: str, output: str) -> bool:
    """Whether a path in a stage's folder is that of an output."""
    return re.fullmatch(rf"([^/]+/)?{output}", path) is not None


def _gate(uri: str) -> bool | None:
    """Whether the gate is open, by evaluate's metrics; None if they do not say."""
    with local_copy(uri) as path:
        try:
            return {1: True, 0: False}.get(json.loads(path.read_text())[METRIC])
        except (ValueError, LookupError, TypeError):
            return None
