"""Upload of a compiled pipeline as a version of a pipeline on the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kfp_server_api

from components.cluster.client import Api
from ncf.errors import InputError
from ncf.kfp_api.filters import named


def upload(api: Api, package: Path, pipeline: str, version: str) -> tuple[str, str]:
    """Add a version to a pipeline. The pipeline is created if it does not exist.

    Returns:
        IDs of the pipeline and of the version.

    Raises:
        InputError: if the version exists, the API refuses, or it returns no ID.
        RemoteError: if the API fails.
    """
    pipeline_id = _pipeline_id(api, pipeline)
    if not pipeline_id:
        pipeline_id = _create(api, pipeline)
    elif found := _version_id(api, pipeline_id, version):
        raise InputError(
            f"version_name: pipeline '{pipeline}' ({pipeline_id}) already has a version '{version}' ({found}); "
            "expected a new name"
        )
    with api.client() as client:
        uploaded = client.upload_pipeline_version(str(package), version, pipeline_id=pipeline_id)
    return pipeline_id, api.confirmed(uploaded.pipeline_version_id, "version")


def find(api: Api, pipeline: str, version: str) -> tuple[str, str]:
    """IDs of a pipeline and of one of its versions.

    Raises:
        InputError: if the pipeline or the version does not exist.
    """
    if not (pipeline_id := _pipeline_id(api, pipeline)):
        raise InputError(f"pipeline_name: there is no pipeline '{pipeline}'; 'pipeline.py upload' creates it")
    if not (version_id := _version_id(api, pipeline_id, version)):
        raise InputError(
            f"version_name: pipeline '{pipeline}' has no version '{version}'; 'pipeline.py upload' adds one"
        )
    return pipeline_id, version_id


def find_if_there(api: Api, pipeline: str, version: str) -> tuple[str, str] | None:
    """IDs of a pipeline and of one of its versions; None if there is no such version."""
    pipeline_id = _pipeline_id(api, pipeline)
    version_id = _version_id(api, pipeline_id, version) if pipeline_id else ""
    return (pipeline_id, version_id) if version_id else None


def _create(api: Api, name: str) -> str:
    """Create a pipeline without a version: a first version would have to have the name of the pipeline."""

    def create(**fields: str) -> str:
        made = kfp_server_api.V2beta1Pipeline(display_name=name, namespace=api.namespace or None, **fields)
        with api.client() as client:
            answer = client.pipelines.pipeline_service_create_pipeline(pipeline=made)
        return api.confirmed(answer.pipeline_id, "pipeline")

    try:
        return create(name=name)  # required since KFP 2.14
    except InputError as error:
        if "unknown field" not in str(error):
            raise
        return create()


def _pipeline_id(api: Api, name: str) -> str:
    with api.client() as client:
        found = client.list_pipelines(filter=named(name), namespace=api.namespace or None).pipelines
    return _the_one(found, "pipeline_id")


def _version_id(api: Api, pipeline_id: str, name: str) -> str:
    with api.client() as client:
        found = client.list_pipeline_versions(pipeline_id, filter=named(name)).pipeline_versions
    return _the_one(found, "pipeline_version_id")


def _the_one(found: list[Any] | None, attribute: str) -> str:
    return str(getattr(found[0], attribute) or "") if found else ""
