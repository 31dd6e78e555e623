"""Failures of jobs: whether another job may succeed, and advice to the user.

A retry of the run, by KFP, a pod or a user, meets the same job, as the job's name stays the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ncf.sagemaker.jobs.kind import JobKind
from ncf.sagemaker.jobs.plan import Plan

_AWS_ERROR = re.compile(r"InternalServerError|CapacityError|insufficient (instance )?capacity", re.I)
"""Beginning of FailureReason after an error of AWS. SageMaker's own pipelines retry after the same ones.

https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-retry-policy.html
"""
_CLONE = "a retry of this run would find the same job: start a new run"


def is_temporary(kind: JobKind, description: Mapping[str, Any]) -> bool:
    """Whether another job may succeed, as the failure was an error of AWS.

    The same code, data and seed fail again in the same way (AlgorithmError, ClientError).
    """
    failed = kind.status_of(description) == "Failed"
    return failed and bool(_AWS_ERROR.match(description.get("FailureReason", "")))


def advice(plan: Plan, description: Mapping[str, Any]) -> str:
    """Advice to the user for a job that no retry of its run can get past."""
    if is_temporary(plan.kind, description):
        return f"all {plan.settings.max_attempts} attempts ('max_attempts') are used, and {_CLONE}"
    if limit := plan.reached_limit(description):
        return f"{_CLONE} with a larger '{limit}' than {getattr(plan.settings, limit)}"
    if plan.kind.status_of(description) == "Stopped":
        return f"it was stopped by a user, and {_CLONE}"
    return f"correct the cause first: {_CLONE} then"
