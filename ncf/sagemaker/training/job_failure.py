"""Why a training job did not complete: whether another one may do better, and what its user can do.

A job keeps its name, so that whoever tries the run again, KFP a pod or a person the run, meets the same job.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ncf.sagemaker.training.settings import JobSettings

_FAULT_OF_AWS = re.compile(r"InternalServerError|CapacityError|insufficient (instance )?capacity", re.I)
"""How FailureReason begins where AWS was at fault: what SageMaker's own pipelines offer to try again.

https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-retry-policy.html
"""
_LIMITS: Mapping[str, str] = {"MaxRuntimeExceeded": "max_run_time", "MaxWaitTimeExceeded": "max_wait_time"}
"""Secondary status of a job whose time was over -> the parameter that says how long it may take."""
_CLONE = "every retry of this run meets this job: clone the run"


def may_pass(description: Mapping[str, Any]) -> bool:
    """Whether another job may do better: AWS was at fault, not the job, its time or somebody who has stopped it.

    The same code, data and seed fail the same way again (AlgorithmError, ClientError).
    """
    failed = description["TrainingJobStatus"] == "Failed"
    return failed and bool(_FAULT_OF_AWS.match(description.get("FailureReason", "")))


def is_over(description: Mapping[str, Any]) -> bool:
    """Whether SageMaker has ended it because its time was over."""
    return description.get("SecondaryStatus") in _LIMITS


def advice(description: Mapping[str, Any], settings: JobSettings) -> str:
    """What to do about a job that no retry of its run can get past."""
    if may_pass(description):
        return f"'max_attempts', {settings.max_attempts}, is used up, and {_CLONE}"
    if limit := _LIMITS.get(description.get("SecondaryStatus", "")):
        return f"{_CLONE} with a larger '{limit}' than {getattr(settings, limit)}"
    if description["TrainingJobStatus"] == "Stopped":
        return f"somebody has stopped it, and {_CLONE}"
    return f"mend it first: {_CLONE} then"
