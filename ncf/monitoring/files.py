"""Files of the data capture of an endpoint: their variants, hours and lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ncf.monitoring.window import Window
from ncf.storage import folder_names, is_s3, list_objects, local_copy

MAX_LINE_BYTES = 32 << 20
"""Length of a record at most: request and answer have 6 MiB at most, a third more in base64 and up to twice in JSON."""


@dataclass(frozen=True)
class Line:
    """A line of a file.

    Attributes:
        variant: of the endpoint.
        content: None if the line is too long.
    """

    variant: str
    content: bytes | None


def captured_lines(location: str, endpoint: str, window: Window) -> Iterator[Line]:
    """Lines of all files of an endpoint in the hours of a window.

    Objects in S3 are copied one hour of a variant at a time, so that the disk holds no more.

    Args:
        location: folder or S3 URI of the data capture.
        endpoint: name of the endpoint.
        window: its first and last hour may lie outside in part.
    """
    base = f"{location.rstrip('/')}/{endpoint}"
    for variant in variants(base):
        for hour in window.folders():
            folder = f"{base}/{variant}/{hour}"
            if not (list_objects(folder) if is_s3(folder) else Path(folder).is_dir()):
                continue
            with local_copy(f"{folder}/") as copy:
                for path in sorted(path for path in copy.rglob("*") if path.is_file()):
                    with path.open("rb") as stream:
                        for line in lines(stream):
                            yield Line(variant, line)


def variants(base: str) -> list[str]:
    """Names of the variants with captured data, below the folder of the endpoint."""
    if is_s3(base):
        return folder_names(base)
    return sorted(path.name for path in Path(base).glob("*/") if path.is_dir())


def lines(stream: IO[bytes], limit: int = MAX_LINE_BYTES) -> Iterator[bytes | None]:
    """Lines of a file that are not empty; None for one of more than ``limit`` bytes, of which no more are read."""
    while line := stream.readline(limit + 1):
        if len(line) <= limit or line.endswith(b"\n"):
            if line.strip():
                yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(limit + 1)
        yield None
