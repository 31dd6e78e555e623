"""The AWS resources of a run: found by tag, deleted, and searched for again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ncf.aws.errors import DENIED, RefusedError
from ncf.aws.names import ENDPOINT_TAG, NAMESPACE_TAG, experiment_stem, has_prefix, hashed_stem
from ncf.aws.session import Aws, poll
from ncf.aws.tags import readable_tags
from ncf.errors import InputError, RemoteError
from ncf.operators.s3_folders import name_of, uris_of_job, uris_of_model
from ncf.sagemaker.hosting.endpoint import SETTLED, Endpoint, InProgressError, pending_config
from ncf.sagemaker.jobs.stopping import stop
from ncf.sagemaker.runs.resources import describe, run_of_config, tagged
from ncf.sagemaker.staging import model_uri
from ncf.sagemaker.training.kind import TRAINING
from ncf.storage import delete_objects, list_objects

CALLS = ("s3:DeleteObject", "sagemaker:DeleteEndpointConfig", "sagemaker:DeleteModel")
"""AWS calls of this module, from which the IAM permissions are generated."""

_DELETION_SECONDS = 1800.0
_ROUNDS = 2  # a stopped job still uploads its output
_VERSION = re.compile(r".+-[0-9a-f]{16}")
_FOREIGN = "its name is not one of this project's"
_DENIED = "the permissions do not cover it"
_ORDER = ("training-job", "endpoint", "endpoint-config", "objects", "model")
"""Kinds in the order of deletion: an endpoint refers to its config. Objects are found by their model."""
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


def find(aws: Aws, run: str, job_prefix: str, namespace: str) -> Found:
    """The present resources of a run.

    Anybody can write a tag. So a resource with a name that this project does not give is kept, and objects are deleted
    only in folders with the name of a job or a model.

    Training jobs cannot be deleted, but a job in progress is to be stopped and its S3 output is to be deleted, as are
    the copies of artifacts in S3. A version that an endpoint of another run serves is kept, with its model in S3. All
    other artifacts under the pipeline root are kept.

    Args:
        aws: clients to call.
        run: ID of the run.
        job_prefix: beginning of the names of its jobs.
        namespace: whose resources are found; '' for the only one that the run's resources have.

    Raises:
        InputError: if there is no namespace, and the resources are of several.
    """
    found = Found([], [])
    uris: set[str] = set()
    entries = list(tagged(aws, run))
    own = [tags for kind, name, tags in entries if _has_own_name(kind, name, job_prefix)]
    owner = namespace or _common_namespace(run, own)
    for kind, name, tags in entries:
        if not _has_own_name(kind, name, job_prefix):
            found.kept.append(Resource(kind, name, _FOREIGN))
        elif tags.get(NAMESPACE_TAG, "") != owner:
            found.kept.append(Resource(kind, name, f"its namespace is not '{owner}'"))
        else:
            try:
                uris |= _add(found, aws, run, kind, name)
            except RefusedError as error:
                if error.code not in DENIED:
                    raise
                found.kept.append(Resource(kind, name, _DENIED))
    live = _live_versions(aws, found.to_delete)
    in_use = {model_uri(model) for name in live if (model := describe(aws, "model", name))}
    uris = {uri for uri in uris if not any(f"{used}/".startswith(f"{uri}/") for used in in_use)}
    to_delete = [resource for resource in found.to_delete if resource.name not in live]
    kept = [*found.kept, *(resource for resource in found.to_delete if resource.name in live)]
    for uri in sorted(uris):
        try:
            count = len(list_objects(uri))
        except InputError as error:
            kept.append(Resource("objects", uri, str(error).removeprefix(f"{uri}: ")))
            # without its model, a copy is not found again
            models = [each for each in to_delete if each.kind == "model" and each.name == name_of(uri)]
            to_delete = [each for each in to_delete if each not in models]
            kept += [Resource(each.kind, each.name, "its copy in S3 is kept") for each in models]
        else:
            to_delete += [Resource("objects", uri, f"{count} in S3")] if count else []
    to_delete.sort(key=lambda resource: _ORDER.index(resource.kind))
    return Found(to_delete, kept)


def _common_namespace(run: str, tagged_with: Sequence[Mapping[str, str]]) -> str:
    """The namespace of resources, by their tags; '' if they have none.

    Raises:
        InputError: if there are several.
    """
    namespaces = sorted({tags.get(NAMESPACE_TAG, "") for tags in tagged_with})
    if len(namespaces) > 1:
        names = ", ".join(namespace or "none" for namespace in namespaces)
        raise InputError(
            f"parameter 'namespace' is '': resources with the tag of run {run} are of several namespaces ({names}); "
            "expected one of them"
        )
    return namespaces[0] if namespaces else ""


def _add(found: Found, aws: Aws, run: str, kind: str, name: str) -> set[str]:
    """Add a resource of the run, if it exists.

    Returns:
        S3 URIs that it has written or is loaded from.
    """
    described = describe(aws, kind, name)
    if described is None:
        return set()  # deleted, but still in the index of tags
    if kind == "training-job":
        if described["TrainingJobStatus"] in _JOB_IN_PROGRESS:
            found.to_delete.append(Resource(kind, name, "in progress"))
        return uris_of_job(described)
    if kind == "endpoint":
        is_own = _is_of_endpoint(described["EndpointConfigName"], name)
        if other := _other_run(aws, described, run) if is_own else _FOREIGN:
            found.kept.append(Resource(kind, name, other))
        else:
            found.to_delete.append(Resource(kind, name, _progress(described)))
        return set()
    found.to_delete.append(Resource(kind, name))
    return uris_of_model(described, name) if kind == "model" else set()


def _has_own_name(kind: str, name: str, job_prefix: str) -> bool:
    """Whether this project may have given the name. That of an endpoint is chosen by the user, its config's is not."""
    if kind == "training-job":
        return has_prefix(name, job_prefix)
    return kind == "endpoint" or _VERSION.fullmatch(name) is not None


def _is_of_endpoint(name: str, endpoint: str) -> bool:
    """Whether a config or model has the name of a version or of an experiment of an endpoint."""
    return has_prefix(name, hashed_stem(endpoint)) or has_prefix(name, experiment_stem(endpoint))


def _other_run(aws: Aws, endpoint: Mapping[str, Any], run: str) -> str:
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
            endpoint = readable_tags(aws, config["EndpointConfigArn"]).get(ENDPOINT_TAG, "") if config else ""
            if endpoint and endpoint not in deleted_endpoints and _may_use(aws, endpoint, resource.name):
                live.add(resource.name)
    return live


def _may_use(aws: Aws, endpoint: str, version: str) -> bool:
    """Whether an endpoint serves a version or is being updated to it, or the permissions do not cover the endpoint.

    The configs of an experiment serve the version from before it, and the endpoint returns to that at its end.
    """
    try:
        state = describe(aws, "endpoint", endpoint)
    except RefusedError as error:
        if error.code in DENIED:
            return True
        raise
    if state is None:
        return False
    configs = [name for name in (state["EndpointConfigName"], pending_config(state)) if name]
    return version in configs or any(version in _models_of(aws, config) for config in configs)


def _models_of(aws: Aws, config: str) -> list[str]:
    """Names of the models of an endpoint config; none if it was deleted."""
    described = describe(aws, "endpoint-config", config) or {"ProductionVariants": []}
    return [variant.get("ModelName", "") for variant in described["ProductionVariants"]]


def delete(aws: Aws, run: str, job_prefix: str, namespace: str, resources: list[Resource]) -> None:
    """Delete resources of a run. A resource that cannot be deleted does not keep the others.

    Args:
        aws: clients to call.
        run: ID of the run.
        job_prefix: beginning of the names of its jobs.
        namespace: as of :func:`find`.
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
                    _DELETIONS[resource.kind](aws, resource.name, run)
            except (InputError, RemoteError) as error:
                reasons[resource] = f": {' '.join(str(error).split())}"
        resources = find(aws, run, job_prefix, namespace).to_delete
    if resources:
        names = ", ".join(f"{resource.kind} {resource.name}{reasons.get(resource, '')}" for resource in resources)
        raise RemoteError(f"run {run}: still there: {names}")


def _is_in_use(resource: Resource, remaining: Iterable[Resource]) -> bool:
    """Whether a resource belongs to a version of an endpoint that could not be deleted, or a model to such objects."""
    if resource.kind == "model" and any(name_of(e.name) == resource.name for e in remaining if e.kind == "objects"):
        return True
    endpoints = [entry.name for entry in remaining if entry.kind == "endpoint"]
    name = name_of(resource.name)
    return resource.kind != "endpoint" and any(_is_of_endpoint(name, endpoint) for endpoint in endpoints)


def _delete_endpoint(aws: Aws, name: str, run: str) -> None:
    endpoint = Endpoint(aws, name)
    try:
        endpoint.delete(_DELETION_SECONDS, lambda state: not _other_run(aws, state, run))
    except InProgressError:
        raise RemoteError(
            f"endpoint {name} is still being created or updated after {_DELETION_SECONDS:.0f} s, and AWS refuses to "
            "delete it meanwhile: run this command again later"
        ) from None
    for _ in poll(_DELETION_SECONDS):
        if endpoint.find() is None:
            return


def _delete_config(aws: Aws, name: str, _run: str) -> None:
    aws.delete("sagemaker", "delete_endpoint_config", EndpointConfigName=name)


def _delete_model(aws: Aws, name: str, _run: str) -> None:
    aws.delete("sagemaker", "delete_model", ModelName=name)


def _stop_job(aws: Aws, name: str, _run: str) -> None:
    stop(aws, TRAINING, name)
    for _ in poll(_DELETION_SECONDS):
        job = describe(aws, "training-job", name)
        if job is None or job["TrainingJobStatus"] not in _JOB_IN_PROGRESS:
            return


def _delete_objects(_: Aws, uri: str, _run: str) -> None:
    delete_objects(uri)


_DELETIONS = {
    "training-job": _stop_job,
    "endpoint": _delete_endpoint,
    "endpoint-config": _delete_config,
    "model": _delete_model,
    "objects": _delete_objects,
}
