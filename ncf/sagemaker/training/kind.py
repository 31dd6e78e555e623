"""Training jobs in SageMaker's API."""

from __future__ import annotations

from ncf.sagemaker.jobs.kind import JobKind

CALLS = ("sagemaker:DescribeTrainingJob", "sagemaker:ListTrainingJobs", "sagemaker:StopTrainingJob")
"""AWS calls of this module, from which the IAM permissions are generated."""

TRAINING = JobKind(
    words="training job",
    resource="training-job",
    field="TrainingJob",
    describe="describe_training_job",
    stop="stop_training_job",
    list="list_training_jobs",
    page="jobs",
    log_group="/aws/sagemaker/TrainingJobs",
    started="TrainingStartTime",
)
