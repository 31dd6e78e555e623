"""A SageMaker training job: bought once for a run, followed to its end, stopped if its launcher must leave."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ncf.aws.links import with_link
from ncf.aws.logs import TRAINING_GROUP, LogReader
from ncf.aws.names import LEFT_TAG
from ncf.aws.session import Aws, RefusedError, poll
from ncf.aws.tags import tags_of
from ncf.errors import InputError, RemoteError
from ncf.sagemaker.training import job_failure, job_report, jobs
from ncf.sagemaker.training.job_plan import JobPlan
from ncf.sagemaker.training.shutdown import leave

_log = logging.getLogger(__name__)
_RUNNING, _ENDED = "InProgress", ("Completed", "Failed", "Stopped")
_SECONDS_UNTIL_LOG_SETTLES, _SECONDS_BETWEEN_SIGNS, _EMPTY_READS = 0.5, 60.0, 3
_UNTIL_STOPPED = timedelta(seconds=120)
"""A launcher that has marked its job stops it within this time, or never."""

CALLS = ("sagemaker:CreateTrainingJob", "sagemaker:DescribeTrainingJob")
"""What this module calls: permissions are made from it."""


def run_job(aws: Aws, plan: JobPlan, provide: Callable[[], None], write: Callable[[str], None]) -> dict[str, Any]:
    """Have a job trained, or take up the one that an earlier try of the same run has started.

    Args:
        aws: clients to call.
        plan: what to train.
        provide: puts the inputs where the job looks for them; called before the first job is created.
        write: is given each line of the job's log.

    Returns:
        SageMaker's description of the completed job.

    Raises:
        InputError: if SageMaker does not accept the request.
        RemoteError: if no attempt completed, with SageMaker's reason and the last log lines; or if AWS cannot
            be reached: then the job goes on, and another try of the run takes it up.
        SystemExit, KeyboardInterrupt, BrokenPipeError: if the launcher is told to leave, or nobody reads what it
            writes any more; the job is marked as left and stopped, so that another try of the run buys the next one.
    """
    aws.check_image("train_image", plan.settings.train_image)
    attempt = failures = 0
    while True:
        attempt += 1
        job = _Job(aws, plan, attempt)
        try:
            description = job.see_through(provide, write)
        except (KeyboardInterrupt, SystemExit, BrokenPipeError):
            job.leave()
            raise
        if job.was_left(description):
            _log.warning("%s, which nobody waited for any more; another one follows", job.reason(description))
            continue
        failures += 1
        allowed = plan.settings.max_attempts
        if failures < allowed and job_failure.may_pass(description):
            _log.warning("%s; attempt %d of %d follows", job.reason(description), failures + 1, allowed)
            continue
        job.read_log(write)
        if description["TrainingJobStatus"] == "Completed":
            return description
        raise _failure(aws, plan, job, description)


def _failure(aws: Aws, plan: JobPlan, job: _Job, description: Mapping[str, Any]) -> RemoteError:
    advice = job_failure.advice(description, plan.settings)
    reason, lines = f"{job.reason(description)}; {advice}", list(job.logs.tail)
    shown = "".join(["the job's last log lines:\n", *(f"  | {line}\n" for line in lines)]) if lines else ""
    report = job_report.markdown(aws, plan.settings, description, job.url, reason, lines)
    return RemoteError(with_link(f"{shown}{reason}", job.url), report)


class _Job:
    """The job of one attempt.

    Attributes:
        name: of the job.
        url: of the console.
        logs: of the job.
    """

    def __init__(self, aws: Aws, plan: JobPlan, attempt: int) -> None:
        self._aws, self._plan, self._attempt = aws, plan, attempt
        self.name = plan.job_name(attempt)
        self.url = aws.console_url(f"jobs/{self.name}")
        self.logs = LogReader(aws, TRAINING_GROUP, f"{self.name}/", plan.settings.instance_count)
        self._arn = plan.job_arn(attempt, aws.region)
        self._may_exist, self._is_being_created = True, False
        self._status = ""
        """As it was described last."""
        self._marked: datetime | None = None
        """When an earlier try has left the job, which goes on nevertheless."""
        self._log_is_read = False

    def see_through(self, provide: Callable[[], None], write: Callable[[str], None]) -> dict[str, Any]:
        """The job at its end: one that an earlier try has left behind, else a new one."""
        found = self._find()
        if found and found["TrainingJobStatus"] in _ENDED:
            if found["TrainingJobStatus"] == "Completed":
                self._check_output(found)
            return found
        if found:
            self._take_up(found)
        else:
            if self._attempt == 1:
                provide()
            self._start()
        return self.follow(write)

    def was_left(self, description: Mapping[str, Any]) -> bool:
        """Whether it was stopped because nobody waited for it: then nobody wanted the job to end.

        One whose time was over has had all of it, marked or not.
        """
        is_stopped = description["TrainingJobStatus"] == "Stopped" and not job_failure.is_over(description)
        return is_stopped and LEFT_TAG in tags_of(self._aws, self._arn)

    def read_log(self, write: Callable[[str], None]) -> None:
        """Pass on the log of a job that had ended before: nothing more comes."""
        if not self._log_is_read:
            self.logs.read(write)

    def reason(self, description: Mapping[str, Any]) -> str:
        """Why it did not complete, in SageMaker's words, on one line."""
        said = description.get("FailureReason") or _with_message(description)
        status = description["TrainingJobStatus"].lower()
        return f"training job {self.name} {status}: {' '.join(said.split())}"

    def leave(self) -> None:
        """Have the job stopped, marked as left, if there may be one that nobody has stopped before."""
        if self._may_exist and self._status in ("", _RUNNING):
            leave(self._aws, self.name, self._arn, self.url, self._is_being_created)

    def _describe(self) -> dict[str, Any]:
        description = self._aws.call("sagemaker", "describe_training_job", TrainingJobName=self.name)
        self._arn, self._status = description["TrainingJobArn"], description["TrainingJobStatus"]
        return description

    def _find(self) -> dict[str, Any] | None:
        try:
            return self._describe()
        except RefusedError as error:
            if error.says_missing:
                self._may_exist = False
                return None
            raise

    def _start(self) -> None:
        """Create the job; if it is there, an earlier try or another pod has created the very same one.

        Raises:
            InputError: if SageMaker does not accept the request.
            RemoteError: if the job that is there writes elsewhere.
        """
        self._may_exist = self._is_being_created = True
        try:
            self._aws.call("sagemaker", "create_training_job", **self._plan.request(self._attempt))
        except RefusedError as error:
            self._may_exist, self._is_being_created = error.says_exists, False
            if error.says_exists:
                self._take_up(self._describe())
                return
            if error.code == "ValidationException":
                raise InputError(str(error)) from error
            raise
        self._is_being_created = False
        _log.info("%s", with_link(f"training job {self.name} is started", self.url))

    def _take_up(self, description: Mapping[str, Any]) -> None:
        """Go on with a job that an earlier try or another pod has started."""
        _log.info("%s", with_link(f"training job {self.name} was started before: taking it up", self.url))
        self._check_output(description)
        self._marked = jobs.when_left(self._aws, self._arn)

    def _check_output(self, description: Mapping[str, Any]) -> None:
        """See that the job's model can become KFP's artifact, which has to lie under the run's own pipeline root.

        Raises:
            RemoteError: if it cannot.
        """
        folder, output = self._plan.run_folder(), description["OutputDataConfig"]["S3OutputPath"]
        if folder and not f"{output}/".startswith(f"{folder}/"):
            raise RemoteError(
                f"training job {self.name} of this run writes to {output}, and KFP takes artifacts from below "
                f"{folder} alone; clone the run"
            )

    def follow(self, write: Callable[[str], None]) -> dict[str, Any]:
        """Pass the log on until the job has ended."""
        phase, since, shown = "", 0.0, 0.0
        rounds = 0
        for elapsed in poll():
            description = self._describe()
            if phase != (phase := description.get("SecondaryStatus", "")):
                since = shown = elapsed
                _log.info("training job %s: %s", self.name, _with_message(description))
            if self._status in _ENDED:
                break
            if self._marked and self._status == _RUNNING and datetime.now(UTC) > self._marked + _UNTIL_STOPPED:
                self._unmark()
            # new instances write to new streams
            is_new_round = rounds != (rounds := _rounds(description))
            if self.logs.read(write, every_stream=is_new_round):
                shown = elapsed
            elif elapsed > shown + _SECONDS_BETWEEN_SIGNS:
                shown = elapsed
                _log.info("training job %s: still %s after %.0f s", self.name, phase, elapsed - since)
        empty = 0
        while empty < _EMPTY_READS:  # the last lines reach the log some time after the end
            empty = 0 if self.logs.read(write, every_stream=True) else empty + 1
            if empty < _EMPTY_READS:
                time.sleep(_SECONDS_UNTIL_LOG_SETTLES)
        self._log_is_read = True
        return description

    def _unmark(self) -> None:
        """Take the mark off a job that was left but never stopped: who stops it from now on means the job."""
        self._marked = None
        try:
            jobs.unmark(self._aws, self._arn)
        except RefusedError as error:
            _log.warning("training job %s goes on, but stays marked as left: %s", self.name, error)


def model_uri(description: Mapping[str, Any]) -> str:
    """Where a completed job has left its model, whichever try has created it."""
    return str(description["ModelArtifacts"]["S3ModelArtifacts"]).rstrip("/")


def _rounds(description: Mapping[str, Any]) -> int:
    """How often it has begun to train: once more after each interruption."""
    return sum(entry["Status"] == "Training" for entry in description.get("SecondaryStatusTransitions", ()))


def _with_message(description: Mapping[str, Any]) -> str:
    """The state within the status, and what SageMaker says of it."""
    phase = str(description.get("SecondaryStatus", ""))
    message = (description.get("SecondaryStatusTransitions") or [{}])[-1].get("StatusMessage", phase)
    return phase if message == phase else f"{phase}: {message}"
