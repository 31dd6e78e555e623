"""Where SageMaker finds and leaves artifacts: at their own S3 URI, or in a copy under a prefix."""

from __future__ import annotations

import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ncf.artifacts import manifest
from ncf.errors import InputError
from ncf.storage import check_bucket, download, is_s3, upload

_QUICK_COMPRESSION = 1  # weights hardly get smaller


@dataclass(frozen=True)
class Exchange:
    """The S3 side of a stage's artifacts.

    Attributes:
        s3_prefix: parameter of that name; '' if there is none.
        name: of the job or deployment whose copies lie there.
    """

    s3_prefix: str
    name: str

    def folder(self, artifact: str, uri: str) -> str:
        """The S3 URI of an artifact: its own, or that of its copy, ``<prefix>/<name>/<artifact>``.

        Raises:
            InputError: if the artifact lies elsewhere and there is no prefix to copy to.
        """
        if is_s3(uri):
            return uri.rstrip("/")
        if not self.s3_prefix:
            raise InputError(
                f"parameter 's3_prefix' is empty: '{artifact}' is at {uri}, which SageMaker cannot reach; "
                "give an s3:// URI to copy it through"
            )
        return f"{self.s3_prefix}/{self.name}/{artifact}"

    def provide(self, artifact: str, path: str, uri: str) -> None:
        """Copy an input artifact to its place, unless it is there by itself."""
        if not is_s3(uri):
            upload(Path(path), self.folder(artifact, uri))

    def archive(self, artifact: str) -> str:
        """The S3 URI of an archive of an artifact."""
        return f"{self.s3_prefix}/{self.name}/{artifact}.tar.gz"

    def provide_archive(self, artifact: str, folder: Path) -> None:
        """Pack a folder's content into its archive."""
        with tempfile.TemporaryDirectory(prefix="ncf-") as temporary:
            packed = Path(temporary) / "archive.tar.gz"
            with tarfile.open(packed, "w:gz", compresslevel=_QUICK_COMPRESSION) as archive:
                for path in sorted(folder.iterdir()):
                    archive.add(path, path.name)
            upload(packed, self.archive(artifact))


def check_exchange(root: str, s3_prefix: str) -> None:
    """See that stages on SageMaker will find a way to hand over artifacts, before any work is done.

    Args:
        root: URI of an artifact of this run.
        s3_prefix: where artifacts are copied to that lie outside S3; '' for none.

    Raises:
        InputError: that says what is missing.
    """
    if not is_s3(root) and not s3_prefix:
        raise InputError(
            f"parameter 's3_prefix' is empty, and the pipeline root is not in S3 (this run's artifacts lie at {root}), "
            "where SageMaker cannot reach; give an s3:// URI to copy them through, or run with an s3:// pipeline root"
        )
    if s3_prefix:
        check_bucket(s3_prefix)


def fingerprint(location: str, kind: str) -> str:
    """The fingerprint of a ``kind`` folder; of one in S3 the manifest alone is read.

    Raises:
        InputError: if there is no such folder, or a file differs from what its manifest says.
    """
    with tempfile.TemporaryDirectory(prefix="ncf-") as temporary:
        folder = Path(location)
        if is_s3(location):
            folder = Path(temporary)
            download(f"{location.rstrip('/')}/{manifest.FILE_NAME}", folder / manifest.FILE_NAME)
        return manifest.fingerprint(manifest.read(folder, kind))
