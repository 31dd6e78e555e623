"""Processing jobs in SageMaker's API."""

from __future__ import annotations

from ncf.sagemaker.jobs.kind import JobKind

CALLS = ("sagemaker:DescribeProcessingJob", "sagemaker:ListProcessingJobs", "sagemaker:StopProcessingJob")
"""AWS calls of this module, from which the IAM permissions are generated."""

PROCESSING = JobKind(
    words="processing job",
    resource="processing-job",
    field="ProcessingJob",
    describe="describe_processing_job",
    stop="stop_processing_job",
    list="list_processing_jobs",
    page="processing-jobs",
    log_group="/aws/sagemaker/ProcessingJobs",
    started="ProcessingStartTime",
)
