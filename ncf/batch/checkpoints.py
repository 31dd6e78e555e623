"""Checkpoints of a batch: finished parts, from which another process or pod resumes it."""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ncf.errors import InputError
from ncf.staged_output import staged
from ncf.storage import download, is_s3, list_objects, upload

_FINGERPRINT = b"ncf.fingerprint"
_log = logging.getLogger(__name__)


class Checkpoints:
    """Parts of a batch, written to a folder and copied to ``<location>/<fingerprint>/``.

    Args:
        folder: for the parts.
        location: local path or S3 URI of the copies; '' for no copies.
        fingerprint: of the inputs and settings of the batch. Parts with another fingerprint are not restored.
    """

    def __init__(self, folder: Path, location: str, fingerprint: str) -> None:
        self._folder, self._fingerprint = folder, fingerprint.encode()
        self._location = f"{location.rstrip('/')}/{fingerprint[:16]}" if location else ""
        folder.mkdir(parents=True, exist_ok=True)
        self._stored = (
            {uri.rpartition("/")[2] for uri in list_objects(self._location)} if is_s3(self._location) else set()
        )

    def write(self, name: str, table: pa.Table) -> None:
        """Write a part and its copy."""
        path = self._folder / name
        marked = table.replace_schema_metadata({_FINGERPRINT: self._fingerprint})
        pq.write_table(marked, path, compression="zstd", write_page_checksum=True)
        if is_s3(self._location):
            upload(path, f"{self._location}/{name}")
        elif self._location:
            with staged(Path(self._location) / name) as temporary:
                shutil.copyfile(path, temporary)

    def restore(self, name: str, schema: pa.Schema) -> pa.Table | None:
        """Part from an earlier attempt, copied to the folder; None if there is none, or it is damaged."""
        path = self._folder / name
        if is_s3(self._location):
            if name not in self._stored:
                return None
            download(f"{self._location}/{name}", path)
        elif self._location and (kept := Path(self._location) / name).is_file():
            shutil.copyfile(kept, path)
        else:
            return None
        try:
            table = pq.read_table(path, page_checksum_verification=True)
            if (table.schema.metadata or {}).get(_FINGERPRINT) != self._fingerprint:
                raise ValueError("it belongs to another batch")
            if table.schema.remove_metadata() != schema:
                raise ValueError("its columns differ")
        except (pa.ArrowException, OSError, ValueError) as error:
            _log.warning("%s/%s cannot be restored and is computed again: %s", self._location, name, error)
            path.unlink()
            return None
        return table

    def clear(self) -> None:
        """Delete the copies on this machine. Copies in S3 stay, as the outputs are not uploaded yet."""
        if self._location and not is_s3(self._location):
            shutil.rmtree(self._location, ignore_errors=True)
            with suppress(OSError):  # not empty: it has copies of other batches
                Path(self._location).parent.rmdir()


def check_location(location: str, parameter: str) -> None:
    """Check of the location of checkpoints.

    Raises:
        InputError: if it is a local path that cannot be written to.
    """
    if location and not is_s3(location):
        existing = next(
            path for path in (Path(location).absolute(), *Path(location).absolute().parents) if path.exists()
        )
        if not existing.is_dir() or not os.access(existing, os.W_OK):
            raise InputError(
                f"parameter '{parameter}' is '{location}': cannot write to {existing}; expected an S3 URI or a folder"
            )
