"""Failures of training jobs: whether another job may succeed, and advice to the user.

A retry of the run, by KFP, a pod or a user, meets the same job, as the job's name stays the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ncf.sagemaker.training.settings import JobSettings

_AWS_ERROR = re.compile(r"InternalServerError|CapacityError|insufficient (instance )?capacity", re.I)
"""Beginning of FailureReason after an error of AWS. SageMaker's own pipelines retry after the same ones.

https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-retry-policy.html
"""
_TIMEOUTS: Mapping[str, str] = {"MaxRuntimeExceeded": "max_run_time", "MaxWaitTimeExceeded": "max_wait_time"}
"""Secondary status of a job that has reached a time limit -> the parameter of the limit."""
_CLONE = "a retry of this run would find the same job: start a new run"


def is_temporary(description: Mapping[str, Any]) -> bool:
    """Whether another job may succeed, as the failure was an error of AWS.

    The same code, data and seed fail again in the same way (AlgorithmError, ClientError).
    """
    failed = description["TrainingJobStatus"] == "Failed"
    return failed and bool(_AWS_ERROR.match(description.get("FailureReason", "")))


def is_timeout(description: Mapping[str, Any]) -> bool:
    """Whether the job has reached a time limit."""
    return description.get("SecondaryStatus") in _TIMEOUTS


def advice(description: Mapping[str, Any], settings: JobSettings) -> str:
    """Advice to the user for a job that no retry of its run can get past."""
    if is_temporary(description):
        return f"all {settings.max_attempts} attempts ('max_attempts') are used, and {_CLONE}"
    if limit := _TIMEOUTS.get(description.get("SecondaryStatus", "")):
        return f"{_CLONE} with a larger '{limit}' than {getattr(settings, limit)}"
    if description["TrainingJobStatus"] == "Stopped":
        return f"it was stopped by a user, and {_CLONE}"
    return f"correct the cause first: {_CLONE} then"
