"""Staging of artifacts for SageMaker, which reads and writes only S3: the artifact itself, or a copy under a prefix."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncf.artifacts import manifest
from ncf.artifacts.regular_files import check_all_regular
from ncf.errors import InputError
from ncf.storage import check_bucket, download, is_s3, upload

_COMPRESSION_LEVEL = 1  # weights compress badly at any level


@dataclass(frozen=True)
class Staging:
    """S3 URIs of the artifacts of one job or deployment.

    Attributes:
        s3_prefix: parameter of that name; '' for none.
        name: of the job or deployment, which its copies are stored under.
    """

    s3_prefix: str
    name: str

    def uri(self, artifact: str, uri: str) -> str:
        """S3 URI of an artifact: its own, or that of its copy, ``<prefix>/<name>/<artifact>``.

        Args:
            artifact: its name.
            uri: of the artifact, in S3 or not.

        Raises:
            InputError: if the artifact is not in S3 and there is no prefix.
        """
        if is_s3(uri):
            return uri.rstrip("/")
        if not self.s3_prefix:
            raise InputError(
                f"parameter 's3_prefix' is empty: '{artifact}' is at {uri}, and SageMaker reads only S3; give an s3:// "
                "URI to copy it to"
            )
        return f"{self.s3_prefix}/{self.name}/{artifact}"

    def upload_if_local(self, artifact: str, path: str, uri: str) -> None:
        """Copy an input artifact to S3, unless it is there.

        Args:
            artifact: its name.
            path: of the local folder.
            uri: of the artifact, in S3 or not.
        """
        if not is_s3(uri):
            check_all_regular(Path(path))
            upload(Path(path), self.uri(artifact, uri))

    def archive_uri(self, artifact: str) -> str:
        """S3 URI of an archive of an artifact.

        Raises:
            InputError: without a prefix.
        """
        if not self.s3_prefix:
            raise InputError(
                f"parameter 's3_prefix' is empty: a serverless endpoint needs an archive of '{artifact}'; give an "
                "s3:// URI to write it to"
            )
        return f"{self.s3_prefix}/{self.name}/{artifact}.tar.gz"

    def upload_archive(self, artifact: str, folder: Path) -> None:
        """Copy a local folder to S3 as an archive."""
        upload_archive(folder, self.archive_uri(artifact))


def upload_archive(folder: Path, uri: str) -> None:
    """Copy a local folder to S3 as an archive, which appears whole or not at all."""
    check_all_regular(folder)
    with tempfile.TemporaryDirectory(prefix="ncf-") as temporary:
        packed = Path(temporary) / "archive.tar.gz"
        with tarfile.open(packed, "w:gz", compresslevel=_COMPRESSION_LEVEL) as archive:
            for path in sorted(folder.iterdir()):
                archive.add(path, path.name)
        upload(packed, uri)


def check_staging(root: str, s3_prefix: str) -> None:
    """Check, before a run does any work, that its artifacts will be in S3 or can be copied there.

    Args:
        root: URI of an artifact of this run.
        s3_prefix: for copies of artifacts that are not in S3; '' for none.

    Raises:
        InputError: if neither is in S3, or the prefix's bucket cannot be used.
    """
    if not is_s3(root) and not s3_prefix:
        raise InputError(
            f"parameter 's3_prefix' is empty, and the pipeline root is not in S3 (this run's artifacts are at {root}), "
            "but SageMaker reads only S3; give an s3:// URI to copy artifacts to, or run with an s3:// pipeline root"
        )
    if s3_prefix:
        check_bucket(s3_prefix)


def fingerprint(location: str, kind: str) -> str:
    """Fingerprint of a ``kind`` folder, as :func:`manifest_of` reads it."""
    return manifest.fingerprint(manifest_of(location, kind))


def manifest_of(location: str, kind: str) -> dict[str, Any]:
    """Manifest of a ``kind`` folder. Of a folder in S3, only the manifest is read.

    Args:
        location: path or S3 URI of the folder.
        kind: of its manifest.

    Raises:
        InputError: if there is no such folder, or its files differ from its manifest.
    """
    with tempfile.TemporaryDirectory(prefix="ncf-") as temporary:
        folder = Path(location)
        if is_s3(location):
            folder = Path(temporary)
            download(f"{location.rstrip('/')}/{manifest.FILE_NAME}", folder / manifest.FILE_NAME)
        return manifest.read(folder, kind)


def model_uri(model: Mapping[str, Any]) -> str:
    """S3 URI that a SageMaker model is loaded from: a folder or an archive; '' if there is none.

    ModelDataSource takes precedence: ModelDataUrl names archives only.

    Args:
        model: SageMaker's answer to DescribeModel.
    """
    container = model.get("PrimaryContainer", {})
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    return str(source.get("S3Uri") or container.get("ModelDataUrl") or "").rstrip("/")
