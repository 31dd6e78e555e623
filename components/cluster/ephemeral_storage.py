"""Local disk for pods that hold artifacts, as a Kubernetes LimitRange.

KFP's launcher downloads every input artifact of a task to the pod's own disk, and keeps its outputs there until they
are uploaded. No field of KFP's IR requests that disk, so that the scheduler packs such pods onto a node until its disk
is full and they are evicted, which KFP never retries. A LimitRange gives a request to each container of the namespace
that has none, those of KFP's drivers too; a limit is not set, since the kubelet evicts what goes beyond it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

FILE_NAME = "ephemeral-storage.yaml"
_OF_A_CONTAINER = "2Gi"


def manifest() -> dict[str, Any]:
    """The LimitRange: each of a pod's two containers, KFP's and Argo's, requests the same."""
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
        "# Made by `make pipeline`. kubectl apply -n NAMESPACE -f. It holds for every container of the namespace that\n"
        "# requests nothing. A pod of KFP has two of them: together they should have the raw data's size three times.\n"
    )
    path.write_text(head + yaml.safe_dump(manifest(), sort_keys=False))
    return path
