"""Shutdown of a launcher: its job is marked, then stopped, and a retry of the run starts another one."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fake_sagemaker import ACCOUNT, ROLE, FakeSageMaker, RefusalError
from launch import Launch, plan

from ncf import termination_message
from ncf.aws.names import ABANDONED_TAG
from ncf.aws.session import Aws
from ncf.errors import RemoteError
from ncf.sagemaker.jobs import job as training_job
from ncf.sagemaker.jobs import shutdown, stopping
from ncf.sagemaker.jobs.job import run_job
from ncf.sagemaker.training.kind import TRAINING

ARN = f"{ACCOUNT}:training-job/"
SIGTERM = SystemExit(143)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What Kubernetes shows of the pod."""
    path = tmp_path / "termination-log"
    path.touch()
    monkeypatch.setattr(termination_message, "LOG", path)
    return path


def leave_while_it_runs(aws: Aws, sagemaker: FakeSageMaker, interrupt: BaseException = SIGTERM) -> list[str]:
    """The operations that a launcher called from the moment on when it was interrupted."""
    asked, before = plan(), 0
    sagemaker.log = {f"{asked.name}/algo-1-1": ["epoch 1"]}

    def write(_: str) -> None:
        nonlocal before
        before = len(sagemaker.calls)
        raise interrupt

    with pytest.raises(type(interrupt)):
        run_job(aws, asked, lambda: None, write)
    sagemaker.log.clear()
    return sagemaker.operations()[before:]


def marks(sagemaker: FakeSageMaker, name: str = "") -> str | None:
    return sagemaker.tags[f"{ACCOUNT}:training-job/{name or plan().name}"].get(ABANDONED_TAG)


@pytest.mark.parametrize("interrupt", [SIGTERM, KeyboardInterrupt(), BrokenPipeError()])
def test_a_job_is_marked_then_stopped_and_nothing_else(
    interrupt: BaseException, aws: Aws, sagemaker: FakeSageMaker, log: Path
) -> None:
    assert leave_while_it_runs(aws, sagemaker, interrupt) == ["AddTags", "StopTrainingJob"]
    assert (marks(sagemaker) or "").startswith("launcher 20")
    assert sagemaker.jobs[plan().name]["end"] == ("Stopped", "")
    assert (
        f"training job {plan().name} is marked as abandoned and is being stopped; a retry of the run starts another job; https://"
        in log.read_text()
    )
    again = Launch()
    assert again.run(aws, plan())["TrainingJobName"] == f"{plan().name}-2", "a new try of the run goes on"
    assert again.uploads == 0


def test_what_is_to_be_said_is_said_before_each_call(aws: Aws, sagemaker: FakeSageMaker, log: Path) -> None:
    said = {}

    def remember(operation: str) -> Callable[..., Any]:
        original = getattr(sagemaker, operation)

        def answer(**request: Any) -> Any:
            said[operation] = log.read_text()
            return original(**request)

        return answer

    for operation in ("AddTags", "StopTrainingJob"):
        setattr(sagemaker, operation, remember(operation))
    leave_while_it_runs(aws, sagemaker)
    name = plan().name
    assert f"training job {name} is about to be marked as abandoned, then stopped" in said["AddTags"]
    assert f"training job {name} is marked as abandoned, and is about to be stopped" in said["StopTrainingJob"]


@pytest.mark.parametrize("late", [0, 3])
def test_a_job_that_is_just_being_created_is_left_too(
    late: int, aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is on its way: it is answered to nobody, and carried out some calls later."""
    asked, create, add = plan(), sagemaker.CreateTrainingJob, sagemaker.AddTags
    waiting: list[dict[str, Any]] = []

    def send(**request: Any) -> dict[str, Any]:
        waiting.append(request)
        raise SIGTERM

    def add_tags(**request: Any) -> dict[str, Any]:
        if waiting and sagemaker.operations().count("AddTags") > late:
            create(**waiting.pop())
        return add(**request)

    monkeypatch.setattr(sagemaker, "CreateTrainingJob", send)
    monkeypatch.setattr(sagemaker, "AddTags", add_tags)
    with pytest.raises(SystemExit):
        Launch().run(aws, asked)
    called = sagemaker.operations()
    assert called[called.index("CreateTrainingJob") + 1 :] == [*["AddTags"] * (late + 1), "StopTrainingJob"]
    assert (marks(sagemaker) or "").startswith("launcher 20")
    assert sagemaker.jobs[asked.name]["end"] == ("Stopped", "")


def test_a_job_that_never_appears_is_not_waited_for(
    aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutdown, "_CREATION_SECONDS", 0.2)

    def lose(**_: Any) -> dict[str, Any]:
        raise SIGTERM

    monkeypatch.setattr(sagemaker, "CreateTrainingJob", lose)
    with pytest.raises(SystemExit):
        Launch().run(aws, plan())
    assert "StopTrainingJob" not in sagemaker.operations()


def test_leaving_before_the_job_exists_calls_nobody(aws: Aws, sagemaker: FakeSageMaker) -> None:
    def upload() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(aws, plan(), upload, print)
    assert sagemaker.operations() == ["DescribeTrainingJob"]


def test_a_job_that_has_ended_is_not_marked(aws: Aws, sagemaker: FakeSageMaker) -> None:
    """Somebody has stopped it by hand: a mark would have the next try buy another one."""
    sagemaker.outcomes, sagemaker.describes_until_end = [("Stopped", "")], 0
    assert leave_while_it_runs(aws, sagemaker) == []
    assert marks(sagemaker) is None


def test_a_mark_that_is_refused_for_good_does_not_keep_the_job_running(
    aws: Aws, sagemaker: FakeSageMaker, log: Path
) -> None:
    sagemaker.refusals["AddTags"] = RefusalError("AccessDeniedException", "no")
    assert leave_while_it_runs(aws, sagemaker) == ["AddTags", "StopTrainingJob"]
    assert (
        "is not marked as abandoned (AWS refused add_tags: AccessDeniedException: no) and is being stopped"
        in log.read_text()
    )


def test_a_job_is_never_stopped_without_its_mark_for_lack_of_an_answer(
    aws: Aws, sagemaker: FakeSageMaker, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutdown, "_PATIENCE_SECONDS", 0.3)
    sagemaker.refusals["AddTags"] = RefusalError("ThrottlingException", "Rate exceeded")
    assert set(leave_while_it_runs(aws, sagemaker)) == {"AddTags"}
    assert "is neither marked as abandoned nor stopped: AWS refused add_tags: ThrottlingException" in log.read_text()
    assert Launch().run(aws, plan())["TrainingJobName"] == plan().name, "the next try takes it up"


def left_but_running(aws: Aws, sagemaker: FakeSageMaker) -> None:
    """The launcher was killed between the two calls."""
    sagemaker.refusals["StopTrainingJob"] = RefusalError("AccessDeniedException", "killed")
    leave_while_it_runs(aws, sagemaker)
    del sagemaker.refusals["StopTrainingJob"]
    assert (marks(sagemaker) or "").startswith("launcher 20")


@pytest.mark.parametrize(("seconds", "taken_up"), [(600, True), (10, False)])
def test_a_job_that_was_marked_but_never_stopped_is_waited_for_again(
    seconds: int, taken_up: bool, aws: Aws, sagemaker: FakeSageMaker
) -> None:
    """What somebody stops by hand later is not bought again. A launcher may still be about to stop what it has marked."""
    asked = plan()
    aws.call("sagemaker", "create_training_job", **asked.request(1))
    marked = datetime.now(UTC) - timedelta(seconds=seconds)
    sagemaker.tags[f"{ARN}{asked.name}"]["ncf:left"] = f"launcher {marked:%Y-%m-%dT%H:%M:%SZ}"
    Launch().run(aws, asked)
    assert ("ncf:left" not in sagemaker.tags[f"{ARN}{asked.name}"]) == taken_up


def test_a_job_that_was_marked_but_goes_on_loses_its_mark(
    aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a person who stops it by hand is not overridden by another paid job."""
    monkeypatch.setattr(training_job, "_STOP_TIMEOUT", timedelta(seconds=-5))
    left_but_running(aws, sagemaker)
    name = plan().name
    sagemaker._pending[name] = 5
    sagemaker.log = {f"{name}/algo-1-1": ["epoch 1", "epoch 2"]}

    def by_hand(line: str) -> None:
        if line == "epoch 2":
            assert marks(sagemaker) is None
            sagemaker.StopTrainingJob(name)

    with pytest.raises(RemoteError, match="it was stopped by a user, and a retry"):
        run_job(aws, plan(), lambda: None, by_hand)
    assert list(sagemaker.jobs) == [name]


def test_a_mark_that_cannot_be_removed_does_not_fail_the_job(
    aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(training_job, "_STOP_TIMEOUT", timedelta(seconds=-5))
    left_but_running(aws, sagemaker)
    sagemaker._pending[plan().name] = 5
    sagemaker.refusals["DeleteTags"] = RefusalError("AccessDeniedException", "no")
    assert Launch().run(aws, plan())["TrainingJobStatus"] == "Completed"
    assert "stays marked as abandoned" in caplog.text
    assert sagemaker.operations().count("DeleteTags") == 1


def test_a_stop_that_shows_late_is_still_that_of_the_launcher(aws: Aws, sagemaker: FakeSageMaker) -> None:
    """The next try finds the job in progress, although it was stopped a moment ago."""
    left_but_running(aws, sagemaker)
    name = plan().name
    sagemaker._pending[name] = 3
    sagemaker.log = {f"{name}/algo-1-1": ["epoch 1"]}

    def stop_shows(_: str) -> None:
        sagemaker.StopTrainingJob(name)

    assert run_job(aws, plan(), lambda: None, stop_shows)["TrainingJobName"] == f"{name}-2"


def test_what_stop_jobs_stops_is_not_bought_again(aws: Aws, sagemaker: FakeSageMaker) -> None:
    sagemaker.CreateTrainingJob(**plan().request(1))
    assert stopping.stop(aws, TRAINING, plan().name)
    with pytest.raises(RemoteError, match="start a new run"):
        Launch().run(aws, plan())
    assert len(sagemaker.jobs) == 1


def test_other_partitions_have_other_arns() -> None:
    asked = plan(role=ROLE.replace("arn:aws:", "arn:aws-cn:"))
    assert asked.job_arn(2, "cn-north-1") == (
        f"arn:aws-cn:sagemaker:cn-north-1:123456789012:training-job/{asked.name}-2"
    )


def test_leaving_takes_no_time(aws: Aws, sagemaker: FakeSageMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a call that is throttled once eat up the second that a stage has."""
    refused = [RefusalError("ThrottlingException", "Rate exceeded")] * 2
    add = sagemaker.AddTags

    def throttled(**request: Any) -> dict[str, Any]:
        if refused:
            raise refused.pop()
        return add(**request)

    monkeypatch.setattr(sagemaker, "AddTags", throttled)
    start = time.monotonic()
    assert leave_while_it_runs(aws, sagemaker) == ["AddTags"] * 3 + ["StopTrainingJob"]
    assert time.monotonic() - start < 1
