"""Access keys of the stand-in's clients."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_CREDENTIAL = re.compile(r"Credential=([^/]+)/")


@dataclass(frozen=True)
class AccessKey:
    """An access key, as of AWS: its ID and its secret."""

    id: str
    secret: str


ANYBODY = AccessKey("local", "local")
"""Key of a stand-in that accepts requests with any key or none."""


def access_key_id(environ: Mapping[str, Any]) -> str:
    """ID of the access key of a signed WSGI request; '' for an unsigned request."""
    found = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    return found[1] if found else ""


def may_ask(key: AccessKey, environ: Mapping[str, Any]) -> bool:
    """Whether a request is accepted. Only the ID is compared; signatures are not verified."""
    return key == ANYBODY or access_key_id(environ) == key.id
