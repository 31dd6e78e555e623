"""A train pod that gets SIGTERM as on a cluster: its stdout is dead at once, and it is killed within a second."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from local_account import BUCKET, ROLE, executor_input, local_account
from warm_python import shared_python

from ncf.artifacts import manifest
from ncf.aws.names import ABANDONED_TAG, RUN_TAG
from ncf.stages.train import Train


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with local_account(tmp_path_factory.mktemp("account")) as aws:
        yield aws


def start(folder: Path, dataset: Path, run: str, epochs: int) -> subprocess.Popen[str]:
    """A pod's container."""
    samples = folder / "samples"
    if not samples.exists():
        samples.mkdir()
        (samples / "test.npy").write_bytes(b"x")
        manifest.write(samples, "samples", {}, {}, {})
    out = folder / f"pod-{time.monotonic_ns()}"
    flags = {
        "dataset": dataset,
        "samples": samples,
        "role": ROLE,
        "train-image": "registry/ncf-train:1",
        "s3-prefix": f"s3://{BUCKET}/ncf",
        "run-id": run,
        "epochs": epochs,
        **{name: out / name for name in ("trained-model", "summary", "metrics")},
    }
    arguments = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
    return subprocess.Popen(
        [str(shared_python()), "-m", "ncf", "train", *executor_input(Train, arguments, out, {})],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def end_as_emissary_does(process: subprocess.Popen[str], seconds: float) -> None:
    """SIGTERM, nobody who reads what is printed, and SIGKILL soon after."""
    assert process.stdout
    process.send_signal(signal.SIGTERM)
    process.stdout.close()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def jobs_of(run: str) -> list[dict[str, Any]]:
    """The run's jobs, the first one first, with their tags by name."""
    client = boto3.client("sagemaker")
    found = []
    for entry in client.list_training_jobs(MaxResults=100)["TrainingJobSummaries"]:
        job = client.describe_training_job(TrainingJobName=entry["TrainingJobName"])
        tags = {tag["Key"]: tag["Value"] for tag in client.list_tags(ResourceArn=job["TrainingJobArn"])["Tags"]}
        if tags[RUN_TAG] == run:
            found.append({**job, "tags": tags})
    return sorted(found, key=lambda job: job["CreationTime"])


def wait_for_log_line(process: subprocess.Popen[str], part: str) -> None:
    assert process.stdout
    for line in process.stdout:
        if part in line:
            return
    pytest.fail(f"the pod ended without '{part}'")


@pytest.mark.parametrize(
    ("slow", "killed_after", "stopped"),
    [
        pytest.param(0.08, 1.0, True, marks=pytest.mark.slow),
        (0.08, 0.2, True),
        pytest.param(0.4, 0.6, False, marks=pytest.mark.slow),
        (0.4, 0.3, False),
    ],
)
def test_no_job_is_stopped_without_its_mark_and_the_next_try_goes_on(
    slow: float,
    killed_after: float,
    stopped: bool,
    account: Any,
    tmp_path: Path,
    make_dataset: Callable[..., Path],
) -> None:
    run, dataset = f"killed-{slow}-{killed_after}", make_dataset()
    process = start(tmp_path, dataset, run, epochs=999)
    wait_for_log_line(process, "epoch=1")
    for operation in ("AddTags", "StopTrainingJob", "DescribeTrainingJob"):
        account.faults.add("slow", operation, seconds=slow, times=50)
    end_as_emissary_does(process, killed_after)
    account.faults.clear()
    time.sleep(2 * slow)  # what was asked for meanwhile
    (job,) = jobs_of(run)
    was_stopped = job["TrainingJobStatus"] != "InProgress"
    assert was_stopped or not stopped
    assert ABANDONED_TAG in job["tags"] or not was_stopped, (
        "stopped, but not marked: every later try of the run would fail"
    )
    if not was_stopped:
        boto3.client("sagemaker").stop_training_job(TrainingJobName=job["TrainingJobName"])
        return
    second = start(tmp_path, dataset, run, epochs=999)
    wait_for_log_line(second, "another job is started")
    wait_for_log_line(second, "epoch=1")
    end_as_emissary_does(second, 5.0)
    names = [job["TrainingJobName"] for job in jobs_of(run)]
    assert names == [job["TrainingJobName"], f"{job['TrainingJobName']}-2"]


def test_throttling_does_not_use_up_the_time(account: Any, tmp_path: Path, make_dataset: Callable[..., Path]) -> None:
    """botocore's own pauses, and ours, would outlast the pod."""
    process = start(tmp_path, make_dataset(), "throttled", epochs=999)
    wait_for_log_line(process, "epoch=1")
    for operation in ("AddTags", "StopTrainingJob"):
        account.faults.add("refuse", operation, error="ThrottlingException", times=2)
    end_as_emissary_does(process, 1.0)
    (job,) = jobs_of("throttled")
    assert job["TrainingJobStatus"] in ("Stopping", "Stopped")
    assert ABANDONED_TAG in job["tags"]


def test_a_second_signal_breaks_nothing_off(account: Any, tmp_path: Path, make_dataset: Callable[..., Path]) -> None:
    process = start(tmp_path, make_dataset(), "twice", epochs=999)
    wait_for_log_line(process, "epoch=1")
    account.faults.add("slow", "AddTags", seconds=0.3)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.15)
    end_as_emissary_does(process, 1.0)
    (job,) = jobs_of("twice")
    assert job["TrainingJobStatus"] in ("Stopping", "Stopped")
    assert ABANDONED_TAG in job["tags"]


def test_a_job_that_is_just_being_created_is_marked_and_stopped(
    account: Any, tmp_path: Path, make_dataset: Callable[..., Path]
) -> None:
    dataset = make_dataset()
    account.faults.add("slow", "CreateTrainingJob", seconds=0.5)
    account.faults.add("hold", "ncf-train", state="Starting", seconds=60)
    process = start(tmp_path, dataset, "created", epochs=1)
    while any(fault["kind"] == "slow" for fault in account.faults.coming()):
        assert process.poll() is None
        time.sleep(0.005)
    end_as_emissary_does(process, 1.0)
    (job,) = jobs_of("created")
    assert job["TrainingJobStatus"] in ("Stopping", "Stopped")
    assert ABANDONED_TAG in job["tags"]
    assert start(tmp_path, dataset, "created", epochs=1).wait(60) == 0
    assert [job["TrainingJobStatus"] for job in jobs_of("created")] == ["Stopped", "Completed"]


@pytest.mark.slow
def test_what_a_killed_launcher_has_marked_only_is_taken_up_and_completes(
    account: Any, tmp_path: Path, make_dataset: Callable[..., Path]
) -> None:
    dataset = make_dataset()
    account.faults.add("hold", "ncf-train", state="Training", seconds=6)
    process = start(tmp_path, dataset, "marked", epochs=1)
    wait_for_log_line(process, ": Training")
    account.faults.add("slow", "AddTags", seconds=0.4)
    end_as_emissary_does(process, 0.2)
    time.sleep(0.4)
    (job,) = jobs_of("marked")
    assert (job["TrainingJobStatus"], ABANDONED_TAG in job["tags"]) == ("InProgress", True)
    assert start(tmp_path, dataset, "marked", epochs=1).wait(60) == 0
    assert [job["TrainingJobStatus"] for job in jobs_of("marked")] == ["Completed"]


def test_another_pod_tells_a_failure_quickly(account: Any, tmp_path: Path, make_dataset: Callable[..., Path]) -> None:
    """KFP tries a pod again whatever its exit status: there is nothing to wait for."""
    dataset = make_dataset()
    account.faults.add("fail", "ncf-train", state="Starting", reason="CapacityError: none left", times=3)
    said, took = [], []
    for _ in range(2):
        begun = time.monotonic()
        process = start(tmp_path, dataset, "capacity", epochs=1)
        said.append(process.communicate(timeout=60)[0].splitlines()[-1])
        took.append(time.monotonic() - begun)
    assert took[1] < took[0], "most of it to import libraries"
    assert said[0] == said[1]
    assert "all 3 attempts ('max_attempts') are used" in said[0]
    assert len(jobs_of("capacity")) == 3


def test_the_stand_in_can_be_slow(account: Any) -> None:
    account.faults.add("slow", "ListTrainingJobs", seconds=0.3)
    took = []
    for _ in range(2):
        begun = time.monotonic()
        boto3.client("sagemaker").list_training_jobs()
        took.append(time.monotonic() - begun)
    assert took[0] > 0.3 > took[1]
    assert account.faults.coming() == []
