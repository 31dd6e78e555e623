"""A stand-in for the tests of a module, with a bucket and two objects."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from local_jobs import SERVE, TRAIN, client

from components.local.aws import LocalAws, Processes


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    folder = tmp_path_factory.mktemp("programs")
    (folder / "train").write_text(TRAIN)
    (folder / "serve").write_text(SERVE)
    return {
        "ncf-train": [sys.executable, str(folder / "train")],
        "ncf-deploy": [sys.executable, str(folder / "serve")],
    }


@pytest.fixture(scope="module")
def aws(programs: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with LocalAws(tmp_path_factory.mktemp("aws"), Processes(programs), grace=5, start_seconds=3) as local:
        local.create_bucket("bucket")
        client(local, "s3").put_object(Bucket="bucket", Key="data/a", Body=b"1")
        client(local, "s3").put_object(Bucket="bucket", Key="data/b", Body=b"2")
        yield local


@pytest.fixture
def sagemaker(aws: LocalAws) -> Any:
    return client(aws, "sagemaker")
