"""What the containers of our Kubernetes manifests have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

SECURITY_CONTEXT: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""The most restricted of Kubernetes's Pod Security Standards, and a file system that is read only."""


def region(name: str) -> str:
    """The region of an image in ECR."""
    found = re.search(r"\.ecr(?:-fips)?\.([a-z0-9-]+)\.", name)
    return found[1] if found else "us-east-1"
