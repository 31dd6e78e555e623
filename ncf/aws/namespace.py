"""The Kubernetes namespace of this pod, by which the resources of several teams in one AWS account are told apart."""

from __future__ import annotations

from pathlib import Path

from ncf.aws.names import NAMESPACE_TAG

_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""File that Kubernetes mounts into a pod with a service account.

https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
"""


def own_namespace() -> str:
    """The namespace of this pod; '' outside a cluster."""
    try:
        return _FILE.read_text().strip()
    except OSError:
        return ""


def namespace_tags() -> dict[str, str]:
    """Tag of every created resource: the namespace, which the roles of a cluster require. Empty outside a cluster."""
    namespace = own_namespace()
    return {NAMESPACE_TAG: namespace} if namespace else {}
