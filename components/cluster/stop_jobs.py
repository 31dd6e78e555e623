"""``ncf stop-jobs`` on a schedule, as a Kubernetes CronJob.

A pod, and the pod of the exit handler, may be killed without a signal before it can stop its job.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from components.cluster.containers import SECURITY_CONTEXT, region
from components.factory import image

FILE_NAME = "stop-jobs.yaml"
_SCHEDULE, _OLDER_THAN = "17,47 * * * *", "1h"
_SECONDS_FOR_ALL = 600


def manifest() -> dict[str, Any]:
    """The CronJob."""
    container = {
        "name": "stop-jobs",
        "image": image("sagemaker"),
        "command": ["python", "-m", "ncf", "stop-jobs", "--older-than", _OLDER_THAN, "--dry-run", "false"],
        "env": [{"name": "AWS_REGION", "value": region(image("sagemaker"))}],
        "resources": {
            "requests": {"cpu": "100m", "memory": "256Mi"},
            "limits": {"cpu": "1", "memory": "512Mi"},
        },
        "securityContext": dict(SECURITY_CONTEXT),
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
    }
    pod = {
        # a sidecar of the mesh outlives the command, so that the job would never end
        "metadata": {"labels": {"sidecar.istio.io/inject": "false"}},
        "spec": {
            "serviceAccountName": "default-editor",
            "restartPolicy": "Never",
            "containers": [container],
            "volumes": [{"name": "scratch", "emptyDir": {}}],
        },
    }
    job = {"backoffLimit": 1, "activeDeadlineSeconds": _SECONDS_FOR_ALL, "template": pod}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "ncf-stop-jobs"},
        "spec": {
            "schedule": _SCHEDULE,
            "concurrencyPolicy": "Forbid",
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {"spec": job},
        },
    }


def write(folder: Path) -> Path:
    """Write the manifest."""
    path = folder / FILE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    head = "# Made by `make pipeline`. Check the region, then: kubectl apply -n NAMESPACE -f.\n"
    path.write_text(head + yaml.safe_dump(manifest(), sort_keys=False, width=120))
    return path
