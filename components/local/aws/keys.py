"""Access keys: whose requests the stand-in answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_CREDENTIAL = re.compile(r"Credential=([^/]+)/")


@dataclass(frozen=True)
class AccessKey:
    """An access key of AWS's form."""

    id: str
    secret: str


ANYBODY = AccessKey("local", "local")
"""The key of a stand-in that answers requests with any key, or with none."""


def access_key_id(environ: Mapping[str, Any]) -> str:
    """The ID of the access key that a WSGI request is signed with; '' if it is not signed."""
    found = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    return found[1] if found else ""


def may_ask(key: AccessKey, environ: Mapping[str, Any]) -> bool:
    """Whether a request is answered. The ID alone is looked at: signatures are not computed."""
    return key == ANYBODY or access_key_id(environ) == key.id
