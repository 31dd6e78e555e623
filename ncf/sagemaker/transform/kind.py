"""Batch transform jobs in SageMaker's API."""

from __future__ import annotations

from ncf.sagemaker.jobs.kind import JobKind

CALLS = ("sagemaker:DescribeTransformJob", "sagemaker:ListTransformJobs", "sagemaker:StopTransformJob")
"""AWS calls of this module, from which the IAM permissions are generated."""

TRANSFORM = JobKind(
    words="transform job",
    resource="transform-job",
    field="TransformJob",
    describe="describe_transform_job",
    stop="stop_transform_job",
    list="list_transform_jobs",
    page="transform-jobs",
    log_group="/aws/sagemaker/TransformJobs",
    started="TransformStartTime",
)
