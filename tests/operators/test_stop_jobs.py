"""``ncf stop-jobs``: it stops own jobs without a launcher, and leaves all others alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from local_account import local_account
from runs import job_of, run_of, status, tags_of

from components.local.aws.errors import ApiError
from ncf.aws.names import ABANDONED_TAG
from ncf.errors import InputError, RemoteError
from ncf.operators.stop_jobs import StopJobs
from ncf.sagemaker.jobs import own as jobs
from ncf.sagemaker.training.kind import TRAINING
from ncf.stage import execution, parsing


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with local_account(tmp_path_factory.mktemp("account")) as aws:
        yield aws


def abandon(name: str, hours: float) -> None:
    """Mark a job as its launcher does, some hours ago."""
    client = boto3.client("sagemaker")
    arn = client.describe_training_job(TrainingJobName=name)["TrainingJobArn"]
    at = datetime.now(UTC) - timedelta(hours=hours)
    mark = {"Key": ABANDONED_TAG, "Value": f"launcher {at.strftime('%Y-%m-%dT%H:%M:%S%z')}"}
    client.add_tags(ResourceArn=arn, Tags=[mark])


def test_stop_jobs_lists_first_and_stops_what_has_no_launcher(account: Any, running: str, capsys: Any) -> None:
    job_of(account, running)._created -= 7 * 3600
    execution.run(StopJobs, ["--older-than", "6h", "--dry-run", "false"])
    assert capsys.readouterr().out == "0 stopped\n", "it waits for instances, and its launcher may wait for it"
    abandon(running, hours=7)
    execution.run(StopJobs, ["--older-than", "6h"])
    out = capsys.readouterr().out
    assert f"training job {running} of run {run_of(running)}: abandoned by its launcher 7.0 h ago" in out
    assert "dry run" in out
    execution.run(StopJobs, ["--older-than", "8h", "--dry-run", "false"])
    assert status(running) == "InProgress"
    execution.run(StopJobs, ["--older-than", "6h", "--dry-run", "false"])
    assert "1 stopped" in capsys.readouterr().out
    assert status(running) in ("Stopping", "Stopped")


@pytest.mark.parametrize(
    ("limits", "created", "started", "reason"),
    [
        ({"MaxRuntimeInSeconds": 86_400}, 30, 7, ""),
        ({"MaxRuntimeInSeconds": 3600}, 7, 7, "past its 'max_run_time' by 6.0 h"),
        ({"MaxRuntimeInSeconds": 3600}, 30, 0.5, ""),
        ({"MaxRuntimeInSeconds": 3600}, 30, 1.1, ""),
        ({"MaxRuntimeInSeconds": 3600}, 30, None, ""),
        ({"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 86_400}, 23, None, ""),
        ({"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 86_400}, 23, 22, ""),
        ({"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 86_400}, 25, None, "past its 'max_wait_time' by 1.0 h"),
    ],
    ids=str,
)
def test_a_job_within_its_own_limits_is_left_to_its_launcher(
    limits: dict[str, int], created: float, started: float | None, reason: str
) -> None:
    """Times in hours before now. An interrupted spot job trains again within its longer limit."""
    now = datetime.now(UTC)
    description: dict[str, Any] = {"StoppingCondition": limits, "CreationTime": now - timedelta(hours=created)}
    if started is not None:
        description["TrainingStartTime"] = now - timedelta(hours=started)
    assert jobs.overdue(TRAINING, description, None, timedelta(hours=1), now) == reason


def change_tags(account: Any, name: str, **changed: str) -> None:
    tags = {key: value for key, value in tags_of(name).items() if key != changed.get("without")}
    tags |= {f"ncf:{key}": value for key, value in changed.items() if key != "without"}
    account._api.tags.set(job_of(account, name).arn, [{"Key": key, "Value": value} for key, value in tags.items()])


@pytest.mark.parametrize("changed", [{"without": "ncf:stage"}, {"namespace": "team-b"}], ids=str)
def test_stop_jobs_leaves_jobs_of_other_owners(
    account: Any, running: str, capsys: Any, changed: dict[str, str]
) -> None:
    abandon(running, hours=7)
    change_tags(account, running, **changed)
    execution.run(StopJobs, ["--older-than", "6h", "--dry-run", "false"])
    assert capsys.readouterr().out == "0 stopped\n"
    assert status(running) == "InProgress"


def test_stop_jobs_stops_the_jobs_of_a_given_namespace(account: Any, running: str, capsys: Any) -> None:
    abandon(running, hours=7)
    change_tags(account, running, namespace="team-b")
    execution.run(StopJobs, ["--older-than", "6h", "--namespace", "team-b", "--dry-run", "false"])
    assert "1 stopped" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["ncf-training-of-others", "others-ncf-train-0123456789abcdef", "ncf-train-2-nightly"])
def test_the_tags_of_jobs_with_other_names_are_not_read(account: Any, running: str, capsys: Any, name: str) -> None:
    """ListTrainingJobs lists the whole account; ListTags is allowed for own names alone."""
    request = {**job_of(account, running).request, "TrainingJobName": name}
    account.faults.add("hold", name, state="Starting", seconds=60)
    client = boto3.client("sagemaker")
    client.create_training_job(**request)
    abandon(name, hours=7)
    abandon(running, hours=7)
    with denied(account, name):
        execution.run(StopJobs, ["--older-than", "6h", "--dry-run", "false"])
    assert "1 stopped" in capsys.readouterr().out
    assert status(name) == "InProgress"
    client.stop_training_job(TrainingJobName=name)


@contextmanager
def denied(account: Any, name: str) -> Iterator[None]:
    """Deny ListTags for one job, as IAM does for a job of another namespace."""
    list_tags = account._api.tags.list_tags

    def refuse(request: dict[str, Any]) -> dict[str, Any]:
        if request["ResourceArn"].endswith(f"/{name}"):
            raise ApiError("AccessDeniedException", "not authorized to perform: sagemaker:ListTags")
        return dict(list_tags(request))

    with patch.object(account._api.tags, "list_tags", refuse):
        yield


def test_tags_that_may_not_be_read_end_nothing(account: Any, running: str, capsys: Any) -> None:
    abandon(running, hours=7)
    with denied(account, running):
        execution.run(StopJobs, ["--older-than", "6h", "--dry-run", "false"])
    assert capsys.readouterr().out == "0 stopped\n"


def test_a_job_that_cannot_be_stopped_does_not_keep_the_others(account: Any, running: str, capsys: Any) -> None:
    other = "ncf-train-fedcba9876543210"
    account.faults.add("hold", other, state="Starting", seconds=60)
    boto3.client("sagemaker").create_training_job(**{**job_of(account, running).request, "TrainingJobName": other})
    abandon(running, hours=7)
    abandon(other, hours=7)
    account.faults.add("refuse", "StopTrainingJob", error="AccessDeniedException")
    with pytest.raises(RemoteError, match=r"not stopped: ncf-train-[0-9a-f]{16} \(.*AccessDeniedException"):
        execution.run(StopJobs, ["--older-than", "6h", "--dry-run", "false"])
    assert "1 stopped" in capsys.readouterr().out
    execution.run(StopJobs, ["--older-than", "6h", "--dry-run", "false"])
    assert {status(name) for name in (running, other)} <= {"Stopping", "Stopped"}


@pytest.mark.parametrize("age", ["6", "0h", "6 h", "1w", "soon"])
def test_an_age_that_is_none_is_named(age: str) -> None:
    with pytest.raises(InputError, match=r"older_than.*90m, 6h or 2d"):
        parsing.parse(StopJobs, ["--older-than", age])
