"""Check of the pipeline root: it is in S3, the only storage that SageMaker reads."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

from ncf.operators.checks.check import Check, FailedError, SkippedError
from ncf.storage import is_s3, split_uri

_CONFIG_MAP, _ROOT = "kfp-launcher", "defaultPipelineRoot"
_TIMEOUT_SECONDS = 30.0
_FROM_ENV = re.compile(r"\bfromEnv:\s*true\b")


def check(namespace: str, pipeline_root: str = "", bucket: str = "") -> Check:
    """The check of a pipeline root, or else of a namespace's default root.

    Args:
        namespace: of the pods.
        pipeline_root: s3:// URI; '': the namespace's default.
        bucket: name of the bucket that the root has to be in; '': any.
    """
    return Check("root", lambda: _check(namespace, pipeline_root, bucket), needs_credentials=False)


def _check(namespace: str, pipeline_root: str, bucket: str) -> str:
    """
    Raises:
        FailedError: if the root is not in S3, or not in ``bucket``.
        SkippedError: if the cluster does not answer.
    """
    if pipeline_root:
        return _in_bucket(pipeline_root, "--pipeline-root", bucket)
    data = _config_map(namespace)
    root, source = str(data.get(_ROOT) or ""), f"{_ROOT} of ConfigMap {_CONFIG_MAP} in {namespace}"
    if not is_s3(root) or "endpoint=" in root:  # s3://...?endpoint= names any store with an S3 API
        raise FailedError(_unreachable(namespace, root, source))
    finding = _in_bucket(root, source, bucket)
    providers = str(data.get("providers") or "")
    if providers and not _FROM_ENV.search(providers):
        return (
            f"{finding}; its 'providers' have no 'fromEnv: true': KFP reads S3 with the secret that they name, not "
            "with the pods' IAM role (IRSA)"
        )
    return finding


def _in_bucket(root: str, source: str, bucket: str) -> str:
    if bucket and split_uri(root)[0] != bucket:
        raise FailedError(f"{root} ({source}) is not in the bucket '{bucket}' of --bucket")
    return f"{root} ({source})"


def _unreachable(namespace: str, root: str, source: str) -> str:
    state = f"is '{root}'" if root else "is not set, so it is MinIO"
    patch = json.dumps({"data": {_ROOT: "s3://BUCKET/PREFIX"}})
    return (
        f"{source} {state}, and SageMaker reads only S3; set it with kubectl patch configmap {_CONFIG_MAP} "
        f"-n {namespace} -p '{patch}' (kubectl create configmap if there is none), or give each run a root with "
        "'pipeline.py submit --pipeline-root s3://BUCKET/PREFIX', or an aws_s3_prefix to copy artifacts to"
    )


def _config_map(namespace: str) -> Mapping[str, Any]:
    """Data of KFP's ConfigMap; empty if there is none.

    Raises:
        SkippedError: if kubectl is not installed or fails.
    """
    command = ["kubectl", "get", "configmap", _CONFIG_MAP, "-n", namespace, "-o", "json"]
    by_hand = f"check by hand: '{' '.join(command[:-1])} yaml' should show an s3:// URI as {_ROOT}"
    if not shutil.which("kubectl"):
        raise SkippedError(f"kubectl is not on PATH; {by_hand}")
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise SkippedError(f"kubectl does not answer within {_TIMEOUT_SECONDS:g} s; {by_hand}") from None
    if done.returncode == 0:
        try:
            data = json.loads(done.stdout).get("data") or {}
            return {str(name): str(value) for name, value in data.items()}
        except (ValueError, AttributeError):
            raise SkippedError(f"kubectl does not print a ConfigMap; {by_hand}") from None
    if "NotFound" in done.stderr and _CONFIG_MAP in done.stderr:
        return {}
    reason = (done.stderr.strip().splitlines() or ["no reason"])[-1][:300]
    raise SkippedError(f"kubectl failed ({reason}); {by_hand}")
