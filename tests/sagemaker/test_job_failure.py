"""Jobs that did not complete: which of them are followed by another one, and what the error of the others says."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from fake_sagemaker import FakeSageMaker
from launch import Launch, plan

from ncf.aws.session import Aws
from ncf.errors import RemoteError
from ncf.sagemaker.jobs import job as training_job

CAPACITY = "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different instance."
INTERNAL = "InternalServerError: We encountered an internal error. Please try again."


@pytest.mark.parametrize("reason", [CAPACITY, INTERNAL, "Insufficient capacity for ml.g5.xlarge"])
def test_a_failure_of_aws_is_followed_by_another_job(reason: str, aws: Aws, sagemaker: FakeSageMaker) -> None:
    sagemaker.outcomes = [("Failed", reason)]
    asked, launch = plan(checkpoint_s3_uri="s3://b/c"), Launch()
    assert launch.run(aws, asked)["TrainingJobName"] == f"{asked.name}-2"
    assert list(sagemaker.jobs) == [asked.name, f"{asked.name}-2"]
    assert {job["CheckpointConfig"]["S3Uri"] for job in sagemaker.jobs.values()} == {f"s3://b/c/{asked.name}"}
    assert launch.uploads == 1


def test_so_it_is_by_another_pod(aws: Aws, sagemaker: FakeSageMaker) -> None:
    """The first one has died while its job failed."""
    sagemaker.outcomes = [("Failed", INTERNAL)]
    sagemaker.CreateTrainingJob(**plan().request(1))
    launch = Launch()
    assert launch.run(aws, plan())["TrainingJobName"] == f"{plan().name}-2"
    assert launch.uploads == 0


@pytest.mark.parametrize("reason", [INTERNAL, CAPACITY])
def test_pods_and_retries_of_a_run_share_its_attempts(reason: str, aws: Aws, sagemaker: FakeSageMaker) -> None:
    sagemaker.outcomes = [("Failed", reason)] * 3 + [("Completed", "")]
    asked = plan()
    for _ in range(2):
        with pytest.raises(
            RemoteError,
            match=r"all 3 attempts \('max_attempts'\) are used, and a retry of this run .* start a new run",
        ):
            Launch().run(aws, asked)
    assert list(sagemaker.jobs) == [asked.name, f"{asked.name}-2", f"{asked.name}-3"]
    more = replace(asked, settings=asked.settings.model_copy(update={"max_attempts": 4}))
    assert Launch().run(aws, more)["TrainingJobName"] == f"{asked.name}-4"


@pytest.mark.parametrize("ended_as", ["MaxRuntimeExceeded", "MaxWaitTimeExceeded"])
def test_a_job_whose_time_was_over_is_none_that_was_left(ended_as: str, aws: Aws, sagemaker: FakeSageMaker) -> None:
    """It was marked, but went on to its end; another one would take as long again."""
    sagemaker.outcomes, sagemaker.describes_until_end, sagemaker.ended_as = [("Stopped", "")], 0, ended_as
    sagemaker.CreateTrainingJob(**plan().request(1))
    (tags,) = sagemaker.tags.values()
    tags["ncf:left"] = "launcher 2026-11-28T10:00:00Z"
    with pytest.raises(RemoteError, match="start a new run with a larger"):
        Launch().run(aws, plan())
    assert len(sagemaker.jobs) == 1


def test_a_job_that_was_left_is_no_attempt(aws: Aws, sagemaker: FakeSageMaker) -> None:
    sagemaker.outcomes, sagemaker.describes_until_end = [("Stopped", ""), ("Failed", CAPACITY)], 0
    sagemaker.CreateTrainingJob(**plan().request(1))
    (tags,) = sagemaker.tags.values()
    tags["ncf:left"] = "launcher"
    assert Launch().run(aws, plan(max_attempts=2))["TrainingJobName"] == f"{plan().name}-3"


@pytest.mark.parametrize(
    ("status", "reason", "advice"),
    [
        ("Stopped", "", "it was stopped by a user, and a retry of this run would find the same job: start a new run"),
        ("MaxRuntimeExceeded", "", "start a new run with a larger 'max_run_time' than 3600"),
        ("MaxWaitTimeExceeded", "", "start a new run with a larger 'max_wait_time' than 7200"),
        (
            "",
            "ClientError: no such image",
            "correct the cause first: a retry of this run would find the same job: start a new run then",
        ),
        ("", "AlgorithmError: exit code: 1", "correct the cause first"),
        ("", "AlgorithmError: insufficient capacity of a table", "correct the cause first"),
        ("", "no word that is known", "correct the cause first"),
    ],
)
def test_a_job_that_another_would_not_better_says_at_once_to_start_a_new_run(
    status: str, reason: str, advice: str, aws: Aws, sagemaker: FakeSageMaker
) -> None:
    sagemaker.outcomes = [("Failed", reason) if reason else ("Stopped", ""), ("Completed", "")]
    sagemaker.ended_as = status
    with pytest.raises(RemoteError, match=advice) as error:
        Launch().run(aws, plan(spot_instance=True, max_wait_time=7200))
    assert advice in error.value.report
    assert len(sagemaker.jobs) == 1


def test_another_try_says_the_same_and_waits_for_nothing(
    aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    sagemaker.outcomes = [("Failed", CAPACITY), ("Failed", "AlgorithmError: no data")]
    sagemaker.log = {f"{plan().name}-2/algo-1-1": ["epoch 1"]}
    with pytest.raises(RemoteError) as first:
        Launch().run(aws, plan())
    monkeypatch.setattr(training_job, "_SECONDS_UNTIL_LOG_SETTLES", 60.0)
    start = time.monotonic()
    with pytest.raises(RemoteError) as second:
        Launch().run(aws, plan())
    assert time.monotonic() - start < 1, "its log is complete"
    assert str(second.value) == str(first.value)
    assert "| epoch 1" in str(second.value)
    assert len(sagemaker.jobs) == 2, "it has bought nothing"
