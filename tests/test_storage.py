"""Local paths and S3: copies are whole or absent, and errors name the URI."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto import mock_aws

from components.local.aws import LocalAws, Processes
from ncf import storage
from ncf.errors import InputError, RemoteError


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        storage._client.cache_clear()
        boto3.client("s3").create_bucket(Bucket="bucket")
        yield "s3://bucket"
    storage._client.cache_clear()


def test_a_folder_goes_to_s3_and_back(bucket: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "a").write_text("1")
    (source / "deep" / "b").write_text("2")
    storage.upload(source, f"{bucket}/some/prefix")
    assert storage.list_objects(f"{bucket}/some/prefix") == [
        f"{bucket}/some/prefix/a",
        f"{bucket}/some/prefix/deep/b",
    ]
    copy = storage.download(f"{bucket}/some/prefix/", tmp_path / "copy")
    assert (copy / "deep" / "b").read_text() == "2"
    single = storage.download(f"{bucket}/some/prefix/a", tmp_path / "single")
    assert single.read_text() == "1"


def test_a_prefix_is_a_folder_not_a_beginning_of_names(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("1")
    storage.upload(tmp_path / "x", f"{bucket}/data-old/x")
    with pytest.raises(InputError, match="s3://bucket/data: no such object"):
        storage.download(f"{bucket}/data", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_the_folders_below_a_prefix(bucket: str, tmp_path: Path) -> None:
    _put(bucket, data__b__x="1", data__a__deep__y="2", data__file="3", data_old__c="4")
    assert storage.folder_names(f"{bucket}/data") == ["a", "b"]
    assert storage.folder_names(bucket) == ["data", "data_old"]
    assert storage.folder_names(f"{bucket}/absent") == []
    with pytest.raises(InputError, match="there is no bucket 'missing'"):
        storage.folder_names("s3://missing/data")


def _put(bucket: str, **contents: str) -> None:
    for key, content in contents.items():
        boto3.client("s3").put_object(Bucket=bucket.removeprefix("s3://"), Key=key.replace("__", "/"), Body=content)


def test_of_an_object_and_a_folder_of_one_name_the_object_is_read_and_this_is_said(
    bucket: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _put(bucket, data="1", data__a="2")
    assert storage.download(f"{bucket}/data", tmp_path / "one").read_text() == "1"
    assert "s3://bucket/data is an object and a folder: the object is read" in caplog.text
    caplog.clear()
    folder = storage.download(f"{bucket}/data/", tmp_path / "all")
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [("a", "2")]
    assert not caplog.text


def test_an_empty_object_marks_a_folder(bucket: str, tmp_path: Path) -> None:
    _put(bucket, data="", data__year="", data__year__a="2")
    folder = storage.download(f"{bucket}/data", tmp_path / "all")
    assert [path.read_text() for path in folder.rglob("*") if path.is_file()] == ["2"]
    assert (folder / "year" / "a").is_file()


def test_missing_bucket_is_named(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="s3://elsewhere/x: there is no bucket 'elsewhere'"):
        storage.download("s3://elsewhere/x", tmp_path / "copy")


@pytest.mark.parametrize(
    ("is_pod", "advice"),
    [(False, "log in, for example by 'aws sso login'"), (True, "annotate the pod's service account")],
)
def test_missing_credentials_come_with_advice_for_this_place(
    is_pod: bool, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    if is_pod:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    storage._client.cache_clear()
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with pytest.raises(InputError, match=f"s3://elsewhere/x: no AWS credentials were found: {advice}"):
        storage.download("s3://elsewhere/x", tmp_path / "copy")
    storage._client.cache_clear()


@pytest.mark.parametrize("code", ["AccessDenied", "ExpiredToken", "SlowDown"])
def test_what_s3_refuses_is_said_with_the_uri(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """In all that is called, transfers of files too, which wrap it in errors of their own."""
    (tmp_path / "file").write_text("x")
    storage.upload(tmp_path / "file", f"{bucket}/file")

    def refuse(self: Any, operation: str, request: Any) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "not today"}}, operation)

    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", refuse)
    expected = InputError if code == "AccessDenied" else RemoteError
    for call in (
        lambda: storage.upload(tmp_path / "file", f"{bucket}/file"),
        lambda: storage.list_objects(f"{bucket}/file"),
        lambda: storage.delete_objects(f"{bucket}/file"),
    ):
        with pytest.raises(expected, match=f"{bucket}/file: .*({code})"):
            call()


def test_local_copy_of_a_uri_is_temporary(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("1")
    storage.upload(tmp_path / "x.csv", f"{bucket}/x.csv")
    with storage.local_copy(f"{bucket}/x.csv") as path:
        assert path.name == "x.csv"
        assert path.read_text() == "1"
    assert not path.exists()
    with pytest.raises(InputError, match=r"^s3://bucket/x\.csv: row 3"), storage.local_copy(f"{bucket}/x.csv") as path:
        raise InputError(f"{path}: row 3")
    with storage.local_copy(str(tmp_path / "x.csv")) as path:
        assert path == tmp_path / "x.csv"


@pytest.mark.parametrize("uri", ["s3://", "http://bucket/key", "bucket/key"])
def test_what_is_no_s3_uri_is_refused(uri: str) -> None:
    with pytest.raises(InputError, match="expected s3://BUCKET/KEY"):
        storage.split_uri(uri)


def test_a_download_asks_for_each_object_once_and_for_parts_of_one_version(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    ask = BaseClient._make_api_call

    def noted(self: Any, operation: str, request: Any) -> Any:
        asked.append(operation)
        return ask(self, operation, request)

    monkeypatch.setattr(BaseClient, "_make_api_call", noted)
    for text in ("1", "2"):
        (tmp_path / "file").write_text(text)
        storage.upload(tmp_path / "file", f"{bucket}/folder/{text}")
    asked.clear()
    storage.download(f"{bucket}/folder", tmp_path / "copy")
    assert sorted(asked) == ["GetObject", "GetObject", "ListObjectsV2"]

    found: list[Any] = []
    for content in (b"1", b"2"):
        (tmp_path / "large").write_bytes(content * (9 << 20))
        storage.upload(tmp_path / "large", f"{bucket}/large")
        found.append(storage._objects_to_read(f"{bucket}/large"))
    monkeypatch.setattr(storage, "_objects_to_read", lambda _: found[0])
    with pytest.raises(RemoteError, match=f"{bucket}/large: S3 refused: PreconditionFailed"):
        storage.download(f"{bucket}/large", tmp_path / "other")
    assert not (tmp_path / "other").exists()


UPLOAD = """
import resource, sys
from pathlib import Path
from ncf.storage import download, upload
source, uri, back = sys.argv[1:]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
upload(Path(source), uri)
download(uri, Path(back))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_copies_are_streamed(tmp_path: Path) -> None:
    """150 MB go to S3 and back without being held in memory."""
    megabytes = 150
    with (tmp_path / "large").open("wb") as stream:
        for number in range(megabytes):
            stream.write(bytes([number % 256]) * (1 << 20))
    with LocalAws(tmp_path / "aws", Processes({})) as aws:
        aws.create_bucket("bucket")
        result = subprocess.run(
            [sys.executable, "-c", UPLOAD, str(tmp_path / "large"), "s3://bucket/large", str(tmp_path / "back")],
            env={**os.environ, **aws.environment},
            capture_output=True,
            text=True,
            check=True,
        )
    assert (tmp_path / "back").stat().st_size == megabytes << 20
    assert int(result.stdout) < megabytes / 2
