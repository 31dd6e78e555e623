"""Markers of what was sent for a window, so that a retry and a second run of the window send nothing again.

A marker is written after its message was accepted. A process that is killed between both sends the message again, with
the same content: its receivers tell repetitions by the ID of the window.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ncf.storage import is_s3, list_objects, upload


class Markers:
    """Markers of one window.

    Args:
        location: folder or S3 URI of the markers of an endpoint.
        window: ID of the window.
    """

    def __init__(self, location: str, window: str) -> None:
        self._base = f"{location.rstrip('/')}/{window.replace(':', '')}"

    def has(self, name: str) -> bool:
        """Whether a message was sent."""
        uri = self._uri(name)
        return bool(list_objects(uri)) if is_s3(uri) else Path(uri).is_file()

    def set(self, name: str, content: Mapping[str, Any]) -> None:
        """Record that a message was sent."""
        uri, text = self._uri(name), json.dumps(content, indent=2) + "\n"
        if is_s3(uri):
            with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
                file.write(text)
                file.flush()
                upload(Path(file.name), uri)
            return
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
        Path(uri).write_text(text)

    def _uri(self, name: str) -> str:
        return f"{self._base}/{name}.json"
