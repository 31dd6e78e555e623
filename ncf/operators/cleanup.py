"""All that a run has left in AWS: found by its tag, deleted, and looked for again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ncf.aws.names import ENDPOINT_TAG, VARIANT
from ncf.aws.session import Aws, RefusedError, poll
from ncf.aws.tags import tags_of
from ncf.errors import RemoteError
from ncf.sagemaker.hosting import versions
from ncf.sagemaker.hosting.autoscaling import Autoscaling
from ncf.sagemaker.hosting.way_back import delete_alarms
from ncf.sagemaker.runs.resources import KINDS, describe, run_of_config, tagged
from ncf.storage import delete_objects, list_objects

CALLS = (
    "s3:DeleteObject",
    "sagemaker:DeleteEndpoint",
    "sagemaker:StopTrainingJob",
)
"""What this module calls: permissions are made from it."""

_SECONDS_TO_GO = 1800.0
_ROUNDS = 2  # a job that is stopped still writes what it has


@dataclass(frozen=True)
class Leftover:
    """One thing of a run: its ``kind`` as in ARNs, or ``objects`` under an S3 URI; its ``name``; a ``note``."""

    kind: str
    name: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.kind:<16}{self.name}{f'  ({self.note})' if self.note else ''}"


@dataclass(frozen=True)
class Found:
    """What a run has left, and what stays although it bears the run's tag."""

    leftovers: list[Leftover]
    kept: list[Leftover]


def find(aws: Aws, run: str) -> Found:
    """What is there of a run now.

    Its training jobs stay, since they are the account's history, but one that runs is to be stopped and what it has
    written is to go; so do copies that were made for the run's jobs and models. What an endpoint serves that is not
    the run's alone stays, with its model in S3; so do the other artifacts under the pipeline root.
    """
    leftovers: list[Leftover] = []
    kept: list[Leftover] = []
    places: set[str] = set()
    for kind, name in tagged(aws, run):
        described = describe(aws, kind, name)
        if described is None:
            continue  # the index of tags is some time behind
        if kind == "training-job":
            places |= _written_by_job(described)
            if described["TrainingJobStatus"] in ("InProgress", "Stopping"):
                leftovers.append(Leftover(kind, name, "in progress"))
        elif kind == "endpoint" and (other := run_of_config(aws, described["EndpointConfigName"])) not in (run, None):
            kept.append(Leftover(kind, name, f"it serves the model of run {other}"))
        else:
            places |= _written_for_model(described, name) if kind == "model" else set()
            leftovers.append(Leftover(kind, name))
    live = _live_configs(aws, leftovers)
    kept += [entry for entry in leftovers if entry.name in live]
    leftovers = [entry for entry in leftovers if entry.name not in live]
    in_use = {_model_uri(model) for name in live if (model := describe(aws, "model", name))}
    places = {place for place in places if not any(f"{uri}/".startswith(f"{place}/") for uri in in_use)}
    leftovers.sort(key=lambda entry: KINDS.index(entry.kind))
    objects = {place: len(list_objects(place)) for place in sorted(places)}
    leftovers += [Leftover("objects", place, f"{count} in S3") for place, count in objects.items() if count]
    return Found(leftovers, kept)


def _live_configs(aws: Aws, leftovers: list[Leftover]) -> set[str]:
    """Names of versions that an endpoint serves which is not itself to go: a pod may have died before it could be
    marked as this run's."""
    going = {entry.name for entry in leftovers if entry.kind == "endpoint"}
    live = set()
    for entry in leftovers:
        if entry.kind == "endpoint-config":
            config = describe(aws, entry.kind, entry.name)
            endpoint = tags_of(aws, config["EndpointConfigArn"]).get(ENDPOINT_TAG, "") if config else ""
            served = describe(aws, "endpoint", endpoint) if endpoint and endpoint not in going else None
            if served and served["EndpointConfigName"] == entry.name:
                live.add(entry.name)
    return live


def delete(aws: Aws, run: str, leftovers: list[Leftover]) -> None:
    """Delete what :func:`find` has found.

    Raises:
        RemoteError: that names what is still there.
    """
    for _ in range(_ROUNDS):
        for entry in leftovers:
            _DELETIONS[entry.kind](aws, entry.name)
        leftovers = find(aws, run).leftovers
    if left := leftovers:
        raise RemoteError(f"run {run}: still there: {', '.join(f'{entry.kind} {entry.name}' for entry in left)}")


def _written_by_job(job: dict[str, Any]) -> set[str]:
    """S3 URIs of a job's output and checkpoints, and of the copies of its inputs."""
    name = job["TrainingJobName"]
    places = {f"{job['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{name}"}
    if checkpoints := job.get("CheckpointConfig", {}).get("S3Uri"):
        places.add(checkpoints.rstrip("/"))
    sources = [channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in job.get("InputDataConfig", [])]
    return places | {place for uri in sources if (place := _copy_under(uri, name))}


def _written_for_model(model: dict[str, Any], name: str) -> set[str]:
    """S3 URI of the copy that was made for a SageMaker model, if there was one."""
    place = _copy_under(_model_uri(model), name)
    return {place} if place else set()


def _model_uri(model: dict[str, Any]) -> str:
    container = model.get("PrimaryContainer", {})
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    return str(container.get("ModelDataUrl") or source.get("S3Uri", "")).rstrip("/")


def _copy_under(uri: str, name: str) -> str:
    """``<prefix>/<name>`` of a URI that has the name as a folder; '' for any other: it lies at a place of its own."""
    before, slash, _ = uri.partition(f"/{name}/")
    return f"{before}/{name}" if slash else ""


def _delete_endpoint(aws: Aws, name: str) -> None:
    Autoscaling(aws, name, VARIANT).remove()
    _if_there(aws, "delete_endpoint", EndpointName=name)
    delete_alarms(aws, name)
    for _ in poll(_SECONDS_TO_GO):
        if describe(aws, "endpoint", name) is None:
            return


def _if_there(aws: Aws, operation: str, **request: str) -> None:
    """Call, unless what it is for has ended or gone since it was listed."""
    try:
        aws.call("sagemaker", operation, None, **request)
    except RefusedError as error:
        if not error.says_missing and "in status" not in error.message:
            raise


def _stop_job(aws: Aws, name: str) -> None:
    _if_there(aws, "stop_training_job", TrainingJobName=name)
    for _ in poll(_SECONDS_TO_GO):
        job = describe(aws, "training-job", name)
        if job is None or job["TrainingJobStatus"] not in ("InProgress", "Stopping"):
            return


def _delete_objects(_: Aws, place: str) -> None:
    delete_objects(place)


_DELETIONS = {
    "training-job": _stop_job,
    "endpoint": _delete_endpoint,
    "endpoint-config": versions.delete,
    "model": versions.delete,
    "objects": _delete_objects,
}
