"""``ncf watch`` as a Kubernetes Deployment, with a service account that may create runs and nothing else.

The ConfigMap ``ncf-triggers`` has the rules and the addresses of the queues. One watcher is enough, and two do no harm.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from components.cluster.containers import SECURITY_CONTEXT, region
from components.cluster.permissions import WATCHER_ACCOUNT
from components.factory import image
from ncf.kfp_access import AUDIENCE
from ncf.kfp_api.runs import POD_TOKEN
from ncf.watching.health import PATH
from ncf.watching.watch import Watch

FILE_NAME = "watcher.yaml"
CONFIG_MAP = "ncf-triggers"
"""ConfigMap with the keys of :data:`KEYS`."""
RULES_KEY = "triggers.yaml"
KEYS = {"queue": "QUEUE", "dead-letters": "DEAD_LETTERS", "notify": "NOTIFY"}
"""Keys of the ConfigMap, beside the rules, and the variables of the container that they become."""
_NAME = "ncf-watcher"
_RULES_FOLDER = Path("/etc/ncf")
_TOKEN_SECONDS = 7200
_GRACE_SECONDS = 120
"""Seconds for the message in progress, whose calls have timeouts."""


def manifests() -> list[dict[str, Any]]:
    """Service account, role, its binding, and the Deployment."""
    metadata = {"name": _NAME}
    role_ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": _NAME}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": WATCHER_ACCOUNT}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": _permissions()},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": role_ref,
            "subjects": [{"kind": "ServiceAccount", "name": WATCHER_ACCOUNT}],
        },
        _deployment(),
    ]


def _permissions() -> list[dict[str, Any]]:
    """What KFP's API asks Kubernetes for on behalf of a caller, on a multi-user cluster."""
    verbs = {
        "runs": ["create", "get", "list", "terminate"],
        "experiments": ["create", "get", "list"],
        "pipelines": ["get", "list"],
        "pipelines/versions": ["get", "list"],
    }
    return [
        {"apiGroups": ["pipelines.kubeflow.org"], "resources": [resource], "verbs": allowed}
        for resource, allowed in verbs.items()
    ]


def _deployment() -> dict[str, Any]:
    labels = {"app": _NAME}
    port = Watch.model_fields["health_port"].default
    probe = {"httpGet": {"path": PATH, "port": port}, "periodSeconds": 30, "timeoutSeconds": 5}
    container = {
        "name": "watch",
        "image": image(Watch.image),
        "command": ["python", "-m", "ncf", Watch.command_name(), "--rules", str(_RULES_FOLDER / RULES_KEY)]
        + [word for key, variable in KEYS.items() for word in (f"--{key}", f"$({variable})")],
        "env": [
            {"name": "AWS_REGION", "value": region(image(Watch.image))},
            *({"name": variable, "valueFrom": {"configMapKeyRef": _reference(key)}} for key, variable in KEYS.items()),
        ],
        "ports": [{"name": "health", "containerPort": port}],
        "livenessProbe": probe,
        "readinessProbe": probe,
        "resources": {
            "requests": {"cpu": "50m", "memory": "128Mi"},
            "limits": {"cpu": "500m", "memory": "256Mi"},
        },
        "securityContext": dict(SECURITY_CONTEXT),
        "volumeMounts": [
            {"name": "rules", "mountPath": str(_RULES_FOLDER), "readOnly": True},
            {"name": "kfp-token", "mountPath": str(Path(POD_TOKEN).parent), "readOnly": True},
            {"name": "scratch", "mountPath": "/tmp"},
        ],
    }
    token = {"path": Path(POD_TOKEN).name, "audience": AUDIENCE, "expirationSeconds": _TOKEN_SECONDS}
    pod = {
        "serviceAccountName": WATCHER_ACCOUNT,
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "containers": [container],
        "volumes": [
            {"name": "rules", "configMap": {"name": CONFIG_MAP, "items": [{"key": RULES_KEY, "path": RULES_KEY}]}},
            {"name": "kfp-token", "projected": {"sources": [{"serviceAccountToken": token}]}},
            {"name": "scratch", "emptyDir": {}},
        ],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": _NAME, "labels": labels},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _reference(key: str) -> dict[str, Any]:
    return {"name": CONFIG_MAP, "key": key}


def write(folder: Path) -> Path:
    """Write the manifests."""
    path = folder / FILE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    head = "# Made by `make pipeline`. Check the region, then: kubectl apply -n NAMESPACE -f.\n"
    path.write_text(head + yaml.safe_dump_all(manifests(), sort_keys=False, width=120))
    return path
