"""Local disk for pods that hold artifacts, as a Kubernetes LimitRange.

KFP's launcher downloads every input artifact of a task to the disk of the pod, and keeps the outputs there until they
are uploaded. KFP's IR has no field to request disk. So the scheduler fills a node with such pods until its disk is full
and they are evicted; KFP does not retry evicted pods. A LimitRange sets a request for each container of the namespace
that has none, including those of KFP's drivers. It sets no limit: the kubelet evicts pods that exceed one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

FILE_NAME = "ephemeral-storage.yaml"
_OF_A_CONTAINER = "2Gi"


def manifest() -> dict[str, Any]:
    """The LimitRange. Both containers of a pod, KFP's and Argo's, request the same."""
    return {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": "ncf-ephemeral-storage"},
        "spec": {"limits": [{"type": "Container", "defaultRequest": {"ephemeral-storage": _OF_A_CONTAINER}}]},
    }


def write(folder: Path) -> Path:
    """Write the manifest."""
    path = folder / FILE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    head = (
        "# Made by `make pipeline`. kubectl apply -n NAMESPACE -f. It applies to every container of the\n"
        "# namespace without a request. A pod of KFP has two containers: together they should request three times the\n"
        "# size of the raw data.\n"
    )
    path.write_text(head + yaml.safe_dump(manifest(), sort_keys=False))
    return path
