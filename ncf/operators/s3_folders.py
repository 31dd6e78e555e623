"""Folders in S3 that jobs write and models are loaded from. Each has the name of its job or model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ncf.aws.names import name_of_first
from ncf.sagemaker.staging import model_uri


def uris_of_job(job: Mapping[str, Any]) -> set[str]:
    """S3 URIs of a job's output and checkpoints, and of the copies of its inputs. Each ends in the name of a job."""
    name = job["TrainingJobName"]
    first = name_of_first(name)
    uris = {f"{job['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{name}"}
    checkpoints = job.get("CheckpointConfig", {}).get("S3Uri", "").rstrip("/")
    if checkpoints.rpartition("/")[2] == first:
        uris.add(checkpoints)
    sources = [channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in job.get("InputDataConfig", [])]
    return uris | {copy for uri in sources if (copy := _copy_uri(uri, first))}


def uris_of_model(model: Mapping[str, Any], name: str) -> set[str]:
    """S3 URI of the copy that a SageMaker model is loaded from; empty if it is loaded from the artifact itself."""
    copy = _copy_uri(model_uri(model), name)
    return {copy} if copy else set()


def _copy_uri(uri: str, name: str) -> str:
    """``<prefix>/<name>`` if a URI has the name as a folder; '' otherwise, as the URI is not one of a copy."""
    before, slash, _ = uri.partition(f"/{name}/")
    return f"{before}/{name}" if slash else ""


def name_of(uri: str) -> str:
    """Name of the job or model whose objects are under a URI."""
    return uri.rpartition("/")[2]
