"""Whether runs keep their artifacts where SageMaker reads them, in S3: a check of ``ncf doctor``."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

from ncf.operators.check import FailedError, SkippedError
from ncf.operators.doctor import Doctor, bucket_name
from ncf.storage import is_s3

_CONFIG_MAP, _ROOT = "kfp-launcher", "defaultPipelineRoot"
_SECONDS = 30.0
_FROM_ENV = re.compile(r"\bfromEnv:\s*true\b")


def check(wanted: Doctor) -> str:
    """What is well with ``pipeline_root``, or else with the default root of ``namespace``.

    Raises:
        FailedError: if it is not in S3, or in another bucket than ``bucket``.
        SkippedError: if the cluster cannot be asked.
    """
    if wanted.pipeline_root:
        return _in_bucket(wanted, wanted.pipeline_root, "--pipeline-root")
    data = _config_map(wanted.namespace)
    root, place = str(data.get(_ROOT) or ""), f"{_ROOT} of ConfigMap {_CONFIG_MAP} in {wanted.namespace}"
    if not is_s3(root) or "endpoint=" in root:  # s3://...?endpoint= may be any store that speaks S3
        raise FailedError(_out_of_reach(wanted.namespace, root, place))
    found = _in_bucket(wanted, root, place)
    providers = str(data.get("providers") or "")
    if providers and not _FROM_ENV.search(providers):
        return (
            f"{found}; its 'providers' have no 'fromEnv: true': KFP reads S3 by the secret that they name, and not by "
            "the pods' IAM role (IRSA)"
        )
    return found


def _in_bucket(wanted: Doctor, root: str, place: str) -> str:
    if wanted.bucket and bucket_name(root) != bucket_name(wanted.bucket):
        raise FailedError(
            f"{root} ({place}) is not in the bucket '{bucket_name(wanted.bucket)}' of --bucket; expected the same one"
        )
    return f"{root} ({place})"


def _out_of_reach(namespace: str, root: str, place: str) -> str:
    state = f"is '{root}'" if root else "is not set, which makes it MinIO"
    patch = json.dumps({"data": {_ROOT: "s3://BUCKET/PREFIX"}})
    return (
        f"{place} {state}, and SageMaker reads S3 alone; set it, by kubectl patch configmap {_CONFIG_MAP} "
        f"-n {namespace} -p '{patch}' (kubectl create configmap where there is none), or give runs a root of "
        "their own, by 'pipeline.py submit --pipeline-root s3://BUCKET/PREFIX', or an aws_s3_prefix to copy through"
    )


def _config_map(namespace: str) -> Mapping[str, Any]:
    """Data of KFP's ConfigMap; empty where there is none.

    Raises:
        SkippedError: if kubectl is not there or does not get it.
    """
    command = ["kubectl", "get", "configmap", _CONFIG_MAP, "-n", namespace, "-o", "json"]
    by_hand = f"'{' '.join(command[:-1])} yaml' should show an s3:// URI as {_ROOT}"
    if not shutil.which("kubectl"):
        raise SkippedError(f"kubectl is not on PATH; check by hand: {by_hand}")
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise SkippedError(f"kubectl does not answer within {_SECONDS:g} s; check by hand: {by_hand}") from None
    if done.returncode == 0:
        try:
            data = json.loads(done.stdout).get("data") or {}
            return {str(name): str(value) for name, value in data.items()}
        except (ValueError, AttributeError):
            raise SkippedError(f"kubectl does not print a ConfigMap; check by hand: {by_hand}") from None
    if "NotFound" in done.stderr and _CONFIG_MAP in done.stderr:
        return {}
    reason = (done.stderr.strip().splitlines() or ["no reason"])[-1][:300]
    raise SkippedError(f"kubectl does not get it ({reason}); check by hand: {by_hand}")
