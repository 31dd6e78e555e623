"""Staging: S3 URIs of artifacts, and of a SageMaker model."""

from __future__ import annotations

from typing import Any

import pytest

from ncf.errors import InputError
from ncf.sagemaker.staging import Staging, model_uri

FOLDER = {"ModelDataSource": {"S3DataSource": {"S3Uri": "s3://b/model/", "CompressionType": "None"}}}


@pytest.mark.parametrize(
    ("container", "uri"),
    [
        (FOLDER, "s3://b/model"),
        ({"ModelDataUrl": "s3://b/model.tar.gz"}, "s3://b/model.tar.gz"),
        ({**FOLDER, "ModelDataUrl": "s3://b/other.tar.gz"}, "s3://b/model"),
        ({}, ""),
    ],
)
def test_the_folder_of_a_model_takes_precedence_over_its_archive(container: dict[str, Any], uri: str) -> None:
    assert model_uri({"PrimaryContainer": container}) == uri


def test_a_local_artifact_needs_a_prefix() -> None:
    assert Staging("s3://b/copies", "job-1").uri("dataset", "/data") == "s3://b/copies/job-1/dataset"
    assert Staging("", "job-1").uri("dataset", "s3://b/dataset/") == "s3://b/dataset"
    with pytest.raises(InputError, match="parameter 's3_prefix' is empty: 'dataset' is at /data"):
        Staging("", "job-1").uri("dataset", "/data")
