"""Hyperparameter tuning jobs in SageMaker's API."""

from __future__ import annotations

from ncf.sagemaker.jobs.kind import JobKind

CALLS = (
    "sagemaker:DescribeHyperParameterTuningJob",
    "sagemaker:ListHyperParameterTuningJobs",
    "sagemaker:StopHyperParameterTuningJob",
)
"""AWS calls of this module, from which the IAM permissions are generated."""

TUNING = JobKind(
    words="tuning job",
    resource="hyper-parameter-tuning-job",
    field="HyperParameterTuningJob",
    describe="describe_hyper_parameter_tuning_job",
    stop="stop_hyper_parameter_tuning_job",
    list="list_hyper_parameter_tuning_jobs",
    page="hyper-tuning-jobs",
)
