"""Termination message of a container, shown by Kubernetes in the status of the pod.

After SIGTERM, KFP's launcher no longer forwards the output of the container.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

LOG = Path("/dev/termination-log")
_MOST_BYTES = 4096


def last_words(message: str) -> None:
    """Replace the termination message. Only its last 4096 bytes are kept, and outside Kubernetes it is dropped."""
    if LOG.is_file():
        with suppress(OSError):
            LOG.write_bytes(message.encode(errors="backslashreplace")[-_MOST_BYTES:])
