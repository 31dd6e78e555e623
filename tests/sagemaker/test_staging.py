"""Staging: S3 URIs of artifacts, and of a SageMaker model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ncf.errors import InputError
from ncf.sagemaker import staging
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


@pytest.mark.parametrize("name", ["extra", "below/extra"])
@pytest.mark.parametrize(("make", "kind"), [(lambda path: path.symlink_to("/etc"), "link"), (os.mkfifo, "pipe")])
def test_what_is_no_regular_file_is_not_copied_to_s3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, make: Any, kind: str
) -> None:
    copied: list[Path] = []
    monkeypatch.setattr(staging, "upload", lambda path, _: copied.append(path))
    copies, path = Staging("s3://b/copies", "job-1"), tmp_path / "model" / name
    path.parent.mkdir(parents=True)
    copies.upload_if_local("model", str(tmp_path / "model"), str(tmp_path / "model"))
    copies.upload_archive("model", tmp_path / "model")
    assert len(copied) == 2
    make(path)
    for copy in (
        lambda: copies.upload_if_local("model", str(tmp_path / "model"), str(tmp_path / "model")),
        lambda: copies.upload_archive("model", tmp_path / "model"),
    ):
        with pytest.raises(InputError, match=f"{name}: is a .*{kind}; expected a regular file"):
            copy()
    assert len(copied) == 2
