"""Local paths and S3: streamed copies."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ncf.credentials import no_credentials
from ncf.errors import InputError, RemoteError
from ncf.staged_output import staged

CALLS = ("s3:AbortMultipartUpload", "s3:GetObject", "s3:ListBucket", "s3:PutObject")
"""AWS actions of this module, without deletions. Permissions are generated from it."""

S3_SCHEME = "s3://"
REGION_VARIABLE = "AWS_REGION"
_BLOCK_BYTES = 1 << 20
_log = logging.getLogger(__name__)
_BUCKET = re.compile(r"[A-Za-z0-9][\w.-]{0,254}")

Select = Callable[[Sequence[str]], Iterable[str]]
"""Selection of names relative to a prefix. It raises an InputError, without the location, if no name is suitable."""


def is_s3(location: str) -> bool:
    """Whether ``location`` is an S3 URI (anything else is a local path)."""
    return location.startswith(S3_SCHEME)


def split_uri(uri: str) -> tuple[str, str]:
    """``s3://bucket/some/key`` as ``("bucket", "some/key")``.

    Raises:
        InputError: if ``uri`` is not an S3 URI, or its bucket or key is invalid.
    """
    bucket, _, key = uri.removeprefix(S3_SCHEME).partition("/")
    if not is_s3(uri) or not _BUCKET.fullmatch(bucket) or any(ord(character) < 32 for character in key):
        raise InputError(f"{uri!r} is not an S3 URI; expected s3://BUCKET/KEY")
    return bucket, key.strip("/")


_chosen_region = ""


@contextmanager
def s3_region(region: str) -> Iterator[None]:
    """Set the region of S3 calls for the duration of the block; '' for the region of the environment."""
    global _chosen_region
    before, _chosen_region = _chosen_region, region
    _client.cache_clear()
    try:
        yield
    finally:
        _chosen_region = before
        _client.cache_clear()


@lru_cache(maxsize=1)
def _client() -> Any:
    import boto3

    return boto3.client("s3", region_name=_chosen_region or os.environ.get(REGION_VARIABLE) or None)


@contextmanager
def _s3_errors(uri: str) -> Iterator[None]:
    """Turn errors of S3 into errors that name the URI."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        NoCredentialsError,
        PartialCredentialsError,
        ProfileNotFound,
    )
    from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError

    try:
        yield
    except (ClientError, Boto3Error, RetriesExceededError, S3DownloadFailedError) as error:
        # transfers wrap the error of S3: S3UploadFailedError, S3DownloadFailedError
        refused = error if isinstance(error, ClientError) else error.__context__
        if not isinstance(refused, ClientError):
            raise RemoteError(f"{uri}: the transfer failed after several attempts: {error}") from error
        code = refused.response["Error"]["Code"]
        if code == "NoSuchBucket":
            raise InputError(f"{uri}: there is no bucket '{split_uri(uri)[0]}'; expected one that exists") from error
        if code in ("404", "NoSuchKey", "403", "AccessDenied"):
            reason = {"403": "access denied", "404": "not found"}.get(code, code)
            raise InputError(f"{uri}: {reason}; check the bucket, the key and the permissions") from error
        raise RemoteError(f"{uri}: S3 refused: {code}: {refused.response['Error'].get('Message', '')}") from error
    except (NoCredentialsError, PartialCredentialsError, ProfileNotFound) as error:
        reason = {} if isinstance(error, NoCredentialsError) else {"reason": str(error)}
        raise InputError(f"{uri}: {no_credentials(**reason)}") from error
    except BotoCoreError as error:
        raise RemoteError(f"{uri}: S3 cannot be reached: {error}") from error


@contextmanager
def _file_errors(uri: str) -> Iterator[None]:
    """Turn names that no file system accepts into errors that name the object."""
    try:
        yield
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise InputError(
            f"{uri}: this name is both an object and the prefix of other objects; a folder cannot hold both"
        ) from None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise InputError(f"{uri}: the name is too long for a file; expected 255 bytes at most") from None


def check_bucket(uri: str) -> None:
    """Check that the bucket of a URI exists.

    Raises:
        InputError: if it does not exist, or the URI's prefix may not be listed.
    """
    bucket, prefix = split_uri(uri)
    with _s3_errors(f"{S3_SCHEME}{bucket}"):
        _client().list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/" if prefix else "", MaxKeys=1)


def list_objects(uri: str, by_age: bool = False) -> list[str]:
    """URIs of all objects under an S3 prefix: the object of that name, and those in the folder of that name.

    Args:
        uri: URI of the prefix.
        by_age: whether to sort by age, the oldest first, instead of by name.
    """
    entries = _entries(uri)
    entries.sort(key=itemgetter("LastModified", "Key") if by_age else itemgetter("Key"))
    return [f"{S3_SCHEME}{split_uri(uri)[0]}/{entry['Key']}" for entry in entries]


def folder_names(uri: str) -> list[str]:
    """Names of the folders directly below an S3 prefix, sorted."""
    bucket, prefix = split_uri(uri)
    below = f"{prefix}/" if prefix else ""
    with _s3_errors(uri):
        pages = _client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=below, Delimiter="/")
        found = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]
    return sorted(name.removeprefix(below).rstrip("/") for name in found)


def _entries(uri: str) -> list[dict[str, Any]]:
    """Entries of S3's list for all objects under a prefix, sorted by name."""
    bucket, prefix = split_uri(uri)
    with _s3_errors(uri):
        pages = _client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        entries = [entry for page in pages for entry in page.get("Contents", [])]

    def is_inside(key: str) -> bool:
        return (key == prefix or not prefix or key.startswith(prefix + "/")) and not key.endswith("/")

    return [entry for entry in entries if is_inside(entry["Key"])]


def _objects_to_read(uri: str) -> dict[str, dict[str, Any]]:
    """Entries by URI of the object ``uri``, or of the objects in the folder of that name, sorted by name.

    Of a name that is an object and a folder, the object is read, unless it is empty or ``uri`` ends with '/'. Empty
    objects with the name of a folder mark that folder.
    """
    bucket, name = split_uri(uri)
    entries = {entry["Key"]: entry for entry in _entries(uri)}
    folders = {str(folder) for key in entries for folder in PurePosixPath(key).parents}
    keys = sorted(key for key, entry in entries.items() if entry["Size"] or key not in folders)
    if name in keys and name in folders:
        if not uri.endswith("/"):
            _log.warning("%s is an object and a folder: the object is read; end the name with '/' for the folder", uri)
            keys = [name]
        else:
            keys.remove(name)
    return {f"{S3_SCHEME}{bucket}/{key}": entries[key] for key in keys}


class _Listed:
    """What the list says of an object: its transfer need not ask for it, and all its parts are of that version.

    Args:
        entry: of the list.
    """

    def __init__(self, entry: dict[str, Any]) -> None:
        self._entry = entry

    def on_queued(self, future: Any, **_: Any) -> None:
        """Called by the transfer manager."""
        future.meta.provide_transfer_size(self._entry["Size"])
        future.meta.provide_object_etag(self._entry["ETag"])


def download(uri: str, destination: Path, select: Select | None = None) -> Path:
    """Copy an S3 object, or the objects under a prefix, to ``destination``, which appears whole or not at all.

    Args:
        uri: URI of the object or the prefix.
        destination: file or folder to write.
        select: selection among the names under the prefix; None for all names.

    Returns:
        ``destination``: a file if ``uri`` is an object, else a folder.

    Raises:
        InputError: if no object exists or is selected, or an object cannot be read.
    """
    from boto3.s3.transfer import TransferConfig, create_transfer_manager

    entries = _objects_to_read(uri)
    if not entries:
        raise InputError(f"{uri}: no such object, and no objects under that prefix")
    objects = list(entries)
    if select and objects != [uri.rstrip("/")]:
        names = {source.removeprefix(f"{uri.rstrip('/')}/"): source for source in objects}
        try:
            objects = [names[name] for name in select(list(names))]
        except InputError as error:
            raise InputError(f"{uri}: {error}") from None
    with staged(destination) as temporary, create_transfer_manager(_client(), TransferConfig()) as manager:
        for source in objects:
            relative = source.removeprefix(uri.rstrip("/")).lstrip("/")
            if ".." in PurePosixPath(relative).parts:
                raise InputError(f"{source}: a key with '..' is not accepted")
            target = temporary / relative if relative else temporary
            bucket, key = split_uri(source)
            with _s3_errors(source), _file_errors(source):
                target.parent.mkdir(parents=True, exist_ok=True)
                manager.download(bucket, key, str(target), subscribers=[_Listed(entries[source])]).result()
    return destination


def upload(source: Path, uri: str) -> None:
    """Copy a file to the object ``uri``, or the files of a folder to the prefix ``uri``, streamed in parts."""
    if not source.exists():
        raise InputError(f"{source}: no such file or folder to upload")
    files = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    for path in files:
        relative = path.relative_to(source).as_posix()
        target = uri if relative == "." else f"{uri.rstrip('/')}/{relative}"
        bucket, key = split_uri(target)
        with _s3_errors(target):
            _client().upload_file(str(path), bucket, key)


def delete_objects(uri: str) -> None:
    """Delete the object ``uri``, or all objects under that prefix."""
    for source in list_objects(uri):
        bucket, key = split_uri(source)
        with _s3_errors(source):
            _client().delete_object(Bucket=bucket, Key=key)


@contextmanager
def local_copy(location: str, select: Select | None = None) -> Iterator[Path]:
    """A local path for ``location``: itself if it is local, a temporary download if it is an S3 URI.

    Args:
        location: path or URI.
        select: selection of the names to download from under a URI; None for all names.
    """
    if not is_s3(location):
        yield Path(location)
        return
    with tempfile.TemporaryDirectory(prefix="ncf-") as folder:
        path = download(location, Path(folder) / PurePosixPath(split_uri(location)[1]).name, select)
        try:
            yield path
        except InputError as error:  # name the original, not the copy
            raise InputError(str(error).replace(str(path), location.rstrip("/"))) from None


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as stream:
        return digest(stream)


def digest(stream: IO[bytes]) -> str:
    """Hex digest of the rest of a stream."""
    sum_ = hashlib.sha256()
    while block := stream.read(_BLOCK_BYTES):
        sum_.update(block)
    return sum_.hexdigest()
