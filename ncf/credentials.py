"""Advice where AWS credentials are missing, in a pod and elsewhere."""

from __future__ import annotations

import os

_IN_POD = "KUBERNETES_SERVICE_HOST"
"""Variable that Kubernetes sets in each container."""


def no_credentials(reason: str = "no AWS credentials were found") -> str:
    """The reason, and what provides credentials here."""
    if _IN_POD in os.environ:
        return f"{reason}: annotate the pod's service account with a role"
    return f"{reason}: log in, for example by 'aws sso login' or 'aws configure'"
