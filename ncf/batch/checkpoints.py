"""Finished parts of a batch, kept for whoever goes on with it: another process, or another pod."""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ncf.errors import InputError
from ncf.storage import download, is_s3, list_objects, staged, upload

_FINGERPRINT = b"ncf.fingerprint"
_log = logging.getLogger(__name__)


class Checkpoints:
    """Writes parts to a folder, and keeps each under ``<location>/<fingerprint>/`` too.

    Args:
        folder: receives the parts.
        location: local path or S3 URI; '' keeps nothing.
        fingerprint: of all that the rows follow from; parts of another one are not taken up.
    """

    def __init__(self, folder: Path, location: str, fingerprint: str) -> None:
        self._folder, self._fingerprint = folder, fingerprint.encode()
        self._place = f"{location.rstrip('/')}/{fingerprint[:16]}" if location else ""
        folder.mkdir(parents=True, exist_ok=True)
        self._known = {uri.rpartition("/")[2] for uri in list_objects(self._place)} if is_s3(self._place) else set()

    def write(self, name: str, table: pa.Table) -> None:
        """Write a part, and keep it."""
        path = self._folder / name
        marked = table.replace_schema_metadata({_FINGERPRINT: self._fingerprint})
        pq.write_table(marked, path, compression="zstd", write_page_checksum=True)
        if is_s3(self._place):
            upload(path, f"{self._place}/{name}")
        elif self._place:
            with staged(Path(self._place) / name) as temporary:
                shutil.copyfile(path, temporary)

    def take_up(self, name: str, schema: pa.Schema) -> pa.Table | None:
        """A part that an earlier try has finished, now in the folder; None if there is none that is intact."""
        path = self._folder / name
        if is_s3(self._place):
            if name not in self._known:
                return None
            download(f"{self._place}/{name}", path)
        elif self._place and (kept := Path(self._place) / name).is_file():
            shutil.copyfile(kept, path)
        else:
            return None
        try:
            table = pq.read_table(path, page_checksum_verification=True)
            if (table.schema.metadata or {}).get(_FINGERPRINT) != self._fingerprint:
                raise ValueError("it is of another batch")
            if table.schema.remove_metadata() != schema:
                raise ValueError("its columns are others")
        except (pa.ArrowException, OSError, ValueError) as error:
            _log.warning("%s/%s cannot be taken up and is made again: %s", self._place, name, error)
            path.unlink()
            return None
        return table

    def clear(self) -> None:
        """Remove what was kept on this machine; in S3 it stays, as what it led to has yet to be uploaded."""
        if self._place and not is_s3(self._place):
            shutil.rmtree(self._place, ignore_errors=True)
            with suppress(OSError):  # others are kept there
                Path(self._place).parent.rmdir()


def check_location(location: str, parameter: str) -> None:
    """
    Raises:
        InputError: if nothing can be kept there.
    """
    if location and not is_s3(location):
        existing = next(
            path for path in (Path(location).absolute(), *Path(location).absolute().parents) if path.exists()
        )
        if not existing.is_dir() or not os.access(existing, os.W_OK):
            raise InputError(f"parameter '{parameter}' is '{location}': cannot write to {existing}; expected a folder")
