"""Clients of the stand-in's own S3, CloudWatch and CloudWatch Logs, for jobs and endpoints."""

from __future__ import annotations

import contextlib
import json
import os
import tarfile
import threading
import time
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from components.local.aws.errors import invalid
from ncf.storage import split_uri

NO_ACCOUNT = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""Variables that keep AWS clients from this user's configuration and accounts."""
_SECONDS_BETWEEN_PUTS = 0.2
_ONE_TRY: Mapping[str, Any] = {"retries": {"total_max_attempts": 1}, "connect_timeout": 5, "read_timeout": 20}


class Services:
    """Clients of the stand-in. They read neither variables nor files with settings of AWS clients.

    Args:
        endpoint_url: URL of the stand-in.
        credentials: variables with the access key.
        region: region of the clients.
    """

    def __init__(self, endpoint_url: str, credentials: Mapping[str, str], region: str) -> None:
        import boto3
        from botocore.config import Config
        from botocore.session import Session

        core = Session(_defaults(Session.SESSION_VARIABLES))
        session = boto3.Session(
            credentials["AWS_ACCESS_KEY_ID"],
            credentials["AWS_SECRET_ACCESS_KEY"],
            region_name=region,
            botocore_session=core,
        )
        client = self.client = partial(session.client, endpoint_url=endpoint_url, config=Config(proxies={}))
        self.s3, self.logs, self.cloudwatch = client("s3"), client("logs"), client("cloudwatch")
        self.autoscaling = client("application-autoscaling")
        self.runtime = client("sagemaker-runtime")
        self.probe = session.client("s3", endpoint_url=endpoint_url, config=Config(proxies={}, **_ONE_TRY))

    def invoke(self, endpoint: str, request: Mapping[str, Any], target: str = "") -> dict[str, Any]:
        """The answer of an endpoint to a JSON request, for the target model of a multi-model endpoint."""
        more = {"TargetModel": target} if target else {}
        body = json.dumps(request)
        answer = self.runtime.invoke_endpoint(EndpointName=endpoint, ContentType="application/json", Body=body, **more)
        content: dict[str, Any] = json.loads(answer["Body"].read())
        return content

    def keys(self, uri: str) -> list[str]:
        """Keys of all objects that start with the key of a URI, including a final slash, like SageMaker's S3Prefix."""
        bucket, prefix = _bucket_and_prefix(uri)
        try:
            pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            return sorted(entry["Key"] for page in pages for entry in page.get("Contents", []))
        except self.s3.exceptions.NoSuchBucket:
            raise invalid(f"No S3 objects found under S3 URL {uri!r}: the bucket does not exist") from None

    def download(self, uri: str, folder: Path, part: tuple[int, int] = (0, 1)) -> None:
        """Download the objects under a prefix.

        Args:
            uri: URI of the prefix.
            folder: folder to write to.
            part: index and number of parts, as for ShardedByS3Key; part i of n has every n-th object from the i-th.

        Raises:
            ApiError: if no object exists, or a key has '..'.
        """
        bucket, prefix = _bucket_and_prefix(uri)
        keys = [key for key in self.keys(uri) if not key.endswith("/")]
        if not keys:
            raise invalid(f"No S3 objects found under S3 URL {uri!r} given in input data source")
        for key in keys[part[0] :: part[1]]:
            relative = key[len(prefix) :].lstrip("/") or PurePosixPath(key).name
            if ".." in PurePosixPath(relative).parts:
                raise invalid(f"s3://{bucket}/{key}: a key with '..' is not accepted")
            target = folder / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            self.s3.download_file(bucket, key, str(target))

    def upload(self, folder: Path, uri: str, uploaded: dict[Path, tuple[int, int]] | None = None) -> None:
        """Upload the files of a folder.

        Args:
            folder: folder to upload. Files that vanish during the upload, such as temporary ones, are skipped.
            uri: prefix of the objects.
            uploaded: time and size of uploaded files, updated by this call. Unchanged files are skipped. None: all
                files are uploaded.
        """
        bucket, prefix = split_uri(uri)
        for path in sorted(folder.rglob("*")):
            with contextlib.suppress(FileNotFoundError):
                version = version_of(path)
                if not path.is_file() or (uploaded is not None and uploaded.get(path) == version):
                    continue
                self._send(path, bucket, _key(path, folder, prefix))
                if uploaded is not None:
                    uploaded[path] = version

    def mirror(self, folder: Path, uri: str, uploaded: dict[Path, tuple[int, int]]) -> None:
        """Upload new files of a folder, and delete the objects of files that are gone.

        Args:
            folder: folder to mirror. Objects that were never a file of it are kept.
            uri: prefix of the objects.
            uploaded: as of :meth:`upload`.
        """
        self.upload(folder, uri, uploaded)
        bucket, prefix = split_uri(uri)
        for path in [path for path in uploaded if path.is_relative_to(folder) and not path.exists()]:
            self.s3.delete_object(Bucket=bucket, Key=_key(path, folder, prefix))
            del uploaded[path]

    def upload_archive(self, folder: Path, uri: str) -> None:
        """Upload the content of a folder as one ``.tar.gz``."""
        archive = folder.with_suffix(".tar.gz")
        with tarfile.open(archive, "w:gz") as tar:
            for path in sorted(folder.iterdir()):
                tar.add(path, path.name)
        bucket, key = split_uri(uri)
        self._send(archive, bucket, key)
        archive.unlink()

    def _send(self, path: Path, bucket: str, key: str) -> None:
        from boto3.exceptions import S3UploadFailedError

        try:
            self.s3.upload_file(str(path), bucket, key)
        except S3UploadFailedError as error:
            cause = error.__context__  # the answer of S3, without the name of the local file
            raise invalid(f"Unable to upload to s3://{bucket}/{key}: {cause}") from None

    def extract_archive(self, uri: str, folder: Path) -> None:
        """Download a ``.tar.gz`` and unpack it; members outside ``folder`` are refused."""
        bucket, key = split_uri(uri)
        archive = folder.with_suffix(".download")
        try:
            self.s3.download_file(bucket, key, str(archive))
        except self.s3.exceptions.ClientError as error:
            raise invalid(f"Could not find model data at {uri}: {error}") from None
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise invalid(f"{uri} cannot be unpacked; expected a .tar.gz archive: {error}") from None
        archive.unlink()


def _defaults(variables: Mapping[str, Any]) -> dict[str, Any]:
    """botocore's settings without those of the environment and of this user's files."""
    settings = {name: (None, None, default, convert) for name, (_, _, default, convert) in variables.items()}
    no_file = (None, None, os.devnull, None)
    return {**settings, "config_file": no_file, "credentials_file": no_file}


def _bucket_and_prefix(uri: str) -> tuple[str, str]:
    """As ``split_uri``, but keeps a final slash, so that only objects in that folder match."""
    bucket, prefix = split_uri(uri)
    return bucket, f"{prefix}/" if prefix and uri.endswith("/") else prefix


def version_of(path: Path) -> tuple[int, int]:
    """Time and size of a file, which change with its content."""
    state = path.stat()
    return state.st_mtime_ns, state.st_size


def _key(path: Path, folder: Path, prefix: str) -> str:
    return f"{prefix}/{path.relative_to(folder).as_posix()}".lstrip("/")


class LogStream:
    """A CloudWatch log stream. Lines are sent in small batches."""

    def __init__(self, services: Services, group: str, stream: str) -> None:
        self._services, self._group, self._stream = services, group, stream
        self._lines: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()
        logs = services.logs
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_group(logGroupName=group)
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        with self._lock:
            self._lines.append({"timestamp": int(time.time() * 1000), "message": line or " "})

    def close(self) -> None:
        """Send the remaining lines."""
        self._closed.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._closed.wait(_SECONDS_BETWEEN_PUTS):
            self._send()
        self._send()

    def _send(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
        for start in range(0, len(lines), 1000):
            self._services.logs.put_log_events(
                logGroupName=self._group, logStreamName=self._stream, logEvents=lines[start : start + 1000]
            )
