"""The AWS resources of a run: found by tag, deleted, and searched for again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ncf.aws.errors import DENIED, RefusedError
from ncf.aws.names import ENDPOINT_TAG, has_prefix, hashed_stem, name_of_first
from ncf.aws.session import Aws, poll
from ncf.aws.tags import tags_of
from ncf.errors import RemoteError
from ncf.sagemaker.hosting import versions
from ncf.sagemaker.hosting.endpoint import SETTLED, Endpoint, InProgressError, pending_config
from ncf.sagemaker.runs.resources import KINDS, describe, run_of_config, tagged
from ncf.sagemaker.staging import model_uri
from ncf.sagemaker.training.stopping import stop
from ncf.storage import delete_objects, list_objects

CALLS = ("s3:DeleteObject",)
"""AWS calls of this module, from which the IAM permissions are generated."""

_DELETION_SECONDS = 1800.0
_ROUNDS = 2  # a stopped job still uploads its output
_VERSION = re.compile(r".+-[0-9a-f]{16}")
_FOREIGN = "its name is not one of this project's"
_JOB_IN_PROGRESS = ("InProgress", "Stopping")


@dataclass(frozen=True)
class Resource:
    """A resource of a run.

    Attributes:
        kind: as in ARNs; or ``objects``, for all S3 objects under a URI.
        name: name or URI.
        note: shown beside it; '' for none.
    """

    kind: str
    name: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.kind:<16}{self.name}{f'  ({self.note})' if self.note else ''}"


@dataclass(frozen=True)
class Found:
    """The resources of a run: those to delete, and those to keep although they have the run's tag."""

    to_delete: list[Resource]
    kept: list[Resource]


def find(aws: Aws, run: str, job_prefix: str) -> Found:
    """The present resources of a run.

    Anybody can write a tag. So a resource with a name that this project does not give is kept, and objects are deleted
    only in folders with the name of a job or a model.

    Training jobs cannot be deleted, but a job in progress is to be stopped and its S3 output is to be deleted, as are
    the copies of artifacts in S3. A version that an endpoint of another run serves is kept, with its model in S3. All
    other artifacts under the pipeline root are kept.
    """
    to_delete: list[Resource] = []
    kept: list[Resource] = []
    uris: set[str] = set()
    for kind, name, _ in tagged(aws, run):
        if not _has_own_name(kind, name, job_prefix):
            kept.append(Resource(kind, name, _FOREIGN))
            continue
        try:
            described = describe(aws, kind, name)
        except RefusedError as error:
            if error.code not in DENIED:
                raise
            kept.append(Resource(kind, name, "the permissions do not cover it"))
            continue
        if described is None:
            continue  # deleted, but still in the index of tags
        if kind == "endpoint" and not has_prefix(described["EndpointConfigName"], hashed_stem(name)):
            kept.append(Resource(kind, name, _FOREIGN))
            continue
        if kind == "training-job":
            uris |= _uris_of_job(described)
            if described["TrainingJobStatus"] in _JOB_IN_PROGRESS:
                to_delete.append(Resource(kind, name, "in progress"))
        elif kind == "endpoint":
            (kept if (other := _other_run(aws, described, run)) else to_delete).append(
                Resource(kind, name, other or _progress(described))
            )
        else:
            uris |= _uris_of_model(described, name) if kind == "model" else set()
            to_delete.append(Resource(kind, name))
    live = _live_versions(aws, to_delete)
    kept += [resource for resource in to_delete if resource.name in live]
    to_delete = [resource for resource in to_delete if resource.name not in live]
    in_use = {model_uri(model) for name in live if (model := describe(aws, "model", name))}
    uris = {uri for uri in uris if not any(f"{used}/".startswith(f"{uri}/") for used in in_use)}
    to_delete.sort(key=lambda resource: KINDS.index(resource.kind))
    objects = {uri: len(list_objects(uri)) for uri in sorted(uris)}
    to_delete += [Resource("objects", uri, f"{count} in S3") for uri, count in objects.items() if count]
    return Found(to_delete, kept)


def _has_own_name(kind: str, name: str, job_prefix: str) -> bool:
    """Whether this project may have given the name. That of an endpoint is chosen by the user, its config's is not."""
    if kind == "training-job":
        return has_prefix(name, job_prefix)
    return kind == "endpoint" or _VERSION.fullmatch(name) is not None


def _other_run(aws: Aws, endpoint: dict[str, Any], run: str) -> str:
    """The other run that an endpoint serves the model of, or is being updated to, in words; '' for none."""
    for config, words in (
        (pending_config(endpoint), "it is being updated to the model of run"),
        (endpoint["EndpointConfigName"], "it serves the model of run"),
    ):
        if config and (other := run_of_config(aws, config)) not in (run, None):
            return f"{words} {other}"
    return ""


def _progress(endpoint: dict[str, Any]) -> str:
    status = endpoint["EndpointStatus"]
    return "" if status in SETTLED else f"{status}, which is waited for"


def _live_versions(aws: Aws, to_delete: list[Resource]) -> set[str]:
    """Names of versions in use by endpoints that are not deleted.

    The endpoint may lack the run's tag: deploy's pod may have ended before it could set the tag.
    """
    deleted_endpoints = {resource.name for resource in to_delete if resource.kind == "endpoint"}
    live = set()
    for resource in to_delete:
        if resource.kind == "endpoint-config":
            config = describe(aws, resource.kind, resource.name)
            endpoint = tags_of(aws, config["EndpointConfigArn"]).get(ENDPOINT_TAG, "") if config else ""
            served = describe(aws, "endpoint", endpoint) if endpoint and endpoint not in deleted_endpoints else None
            if served and resource.name in (served["EndpointConfigName"], pending_config(served)):
                live.add(resource.name)
    return live


def delete(aws: Aws, run: str, job_prefix: str, resources: list[Resource]) -> None:
    """Delete resources of a run. A resource that cannot be deleted does not keep the others.

    Args:
        aws: clients to call.
        run: ID of the run.
        job_prefix: beginning of the names of its jobs.
        resources: as returned by :func:`find`.

    Raises:
        RemoteError: if resources remain; the message names them, and the reasons.
    """
    reasons: dict[Resource, str] = {}
    for _ in range(_ROUNDS):
        reasons = {}
        for resource in resources:
            try:
                if not _is_in_use(resource, reasons):
                    _DELETIONS[resource.kind](aws, resource.name)
            except RemoteError as error:
                reasons[resource] = f": {' '.join(str(error).split())}"
        resources = find(aws, run, job_prefix).to_delete
    if resources:
        names = ", ".join(f"{resource.kind} {resource.name}{reasons.get(resource, '')}" for resource in resources)
        raise RemoteError(f"run {run}: still there: {names}")


def _is_in_use(resource: Resource, remaining: Iterable[Resource]) -> bool:
    """Whether a resource belongs to a version of an endpoint that could not be deleted."""
    endpoints = [entry.name for entry in remaining if entry.kind == "endpoint"]
    name = resource.name.rpartition("/")[2]
    return resource.kind != "endpoint" and any(has_prefix(name, hashed_stem(endpoint)) for endpoint in endpoints)


def _uris_of_job(job: dict[str, Any]) -> set[str]:
    """S3 URIs of a job's output and checkpoints, and of the copies of its inputs. Each ends in the name of a job."""
    name = job["TrainingJobName"]
    first = name_of_first(name)
    uris = {f"{job['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{name}"}
    checkpoints = job.get("CheckpointConfig", {}).get("S3Uri", "").rstrip("/")
    if checkpoints.rpartition("/")[2] == first:
        uris.add(checkpoints)
    sources = [channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in job.get("InputDataConfig", [])]
    return uris | {copy for uri in sources if (copy := _copy_uri(uri, first))}


def _uris_of_model(model: dict[str, Any], name: str) -> set[str]:
    """S3 URI of the copy that a SageMaker model is loaded from; empty if it is loaded from the artifact itself."""
    copy = _copy_uri(model_uri(model), name)
    return {copy} if copy else set()


def _copy_uri(uri: str, name: str) -> str:
    """``<prefix>/<name>`` if a URI has the name as a folder; '' otherwise, as the URI is not one of a copy."""
    before, slash, _ = uri.partition(f"/{name}/")
    return f"{before}/{name}" if slash else ""


def _delete_endpoint(aws: Aws, name: str) -> None:
    endpoint = Endpoint(aws, name)
    try:
        endpoint.delete(_DELETION_SECONDS)
    except InProgressError:
        raise RemoteError(
            f"endpoint {name} is still being created or updated after {_DELETION_SECONDS:.0f} s, and AWS refuses to "
            "delete it meanwhile: run this command again later"
        ) from None
    for _ in poll(_DELETION_SECONDS):
        if endpoint.find() is None:
            return


def _stop_job(aws: Aws, name: str) -> None:
    stop(aws, name)
    for _ in poll(_DELETION_SECONDS):
        job = describe(aws, "training-job", name)
        if job is None or job["TrainingJobStatus"] not in _JOB_IN_PROGRESS:
            return


def _delete_objects(_: Aws, uri: str) -> None:
    delete_objects(uri)


_DELETIONS = {
    "training-job": _stop_job,
    "endpoint": _delete_endpoint,
    "endpoint-config": versions.delete,
    "model": versions.delete,
    "objects": _delete_objects,
}
