"""A job of SageMaker: created once for a run, followed to its end, stopped when its launcher is terminated."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ncf.aws.errors import RefusedError
from ncf.aws.links import with_link
from ncf.aws.names import ABANDONED_TAG
from ncf.aws.session import Aws, poll
from ncf.aws.tags import tags_of
from ncf.errors import InputError, RemoteError
from ncf.reports import job as report
from ncf.sagemaker.jobs import failure, stopping
from ncf.sagemaker.jobs.figures import figures
from ncf.sagemaker.jobs.kind import ENDED, RUNNING
from ncf.sagemaker.jobs.plan import Plan
from ncf.sagemaker.jobs.shutdown import abandon

_log = logging.getLogger(__name__)
_SECONDS_UNTIL_LOG_SETTLES, _SECONDS_BETWEEN_LOG_LINES, _EMPTY_READS = 0.5, 60.0, 3
_STOP_TIMEOUT = timedelta(seconds=120)
"""Time from a job's mark as abandoned, after which its launcher no longer stops it."""

CALLS = ("sagemaker:DeleteTags",)
"""AWS calls of this module, from which the IAM permissions are generated. Those of a kind are in its own modules."""


def run_job(aws: Aws, plan: Plan, upload: Callable[[], None], write: Callable[[str], None]) -> dict[str, Any]:
    """Run a job to its end, or attach to the job that an earlier try of the run has started.

    Args:
        aws: clients to call.
        plan: of the job.
        upload: copies the inputs to S3; called before the first job is created.
        write: is called with each line of the job's log.

    Returns:
        SageMaker's description of the completed job.

    Raises:
        InputError: if SageMaker does not accept the request.
        RemoteError: if no attempt completed, with SageMaker's reason and the last log lines; or if AWS cannot be
            reached: then the job goes on, and a retry of the run attaches to it.
        SystemExit, KeyboardInterrupt, BrokenPipeError: if the launcher is terminated, or its output is closed. The job
            is marked as abandoned and stopped, so that a retry of the run starts another one.
    """
    parameter, image = plan.image_parameter
    if image:
        aws.check_image(parameter, image)
    attempt = failures = 0
    while True:
        attempt += 1
        job = _Job(aws, plan, attempt)
        try:
            description = job.run(upload, write)
        except (KeyboardInterrupt, SystemExit, BrokenPipeError):
            job.abandon()
            raise
        if job.was_abandoned(description):
            _log.warning("%s, after its launcher had ended; another job is started", job.reason(description))
            continue
        failures += 1
        allowed = plan.settings.max_attempts
        if failures < allowed and failure.is_temporary(plan.kind, description):
            _log.warning("%s; attempt %d of %d follows", job.reason(description), failures + 1, allowed)
            continue
        job.read_log(write)
        if plan.kind.status_of(description) == "Completed":
            return description
        raise _failure(aws, plan, job, description)


def _failure(aws: Aws, plan: Plan, job: _Job, description: Mapping[str, Any]) -> RemoteError:
    reason = f"{job.reason(description)}; {failure.advice(plan, description)}"
    markdown = report.markdown(figures(aws, plan, description), job.url, reason, list(job.logs.tail))
    return RemoteError(with_link(f"{job.logs.excerpt('the job')}{reason}", job.url), markdown)


class _Job:
    """The job of one attempt.

    Attributes:
        name: of the job.
        url: of the job in the console.
        logs: of the job.
    """

    def __init__(self, aws: Aws, plan: Plan, attempt: int) -> None:
        self._aws, self._plan, self._attempt = aws, plan, attempt
        self._kind = plan.kind
        self.name = plan.job_name(attempt)
        self.url = aws.console_url(f"{self._kind.page}/{self.name}")
        self.logs = plan.log(aws, self.name)
        self._arn = plan.job_arn(attempt, aws.region)
        self._may_exist, self._is_being_created = True, False
        self._status = ""
        """In the last description."""
        self._abandoned_at: datetime | None = None
        """Time at which an earlier launcher has abandoned the job, which goes on nevertheless."""
        self._log_is_read = False

    def run(self, upload: Callable[[], None], write: Callable[[str], None]) -> dict[str, Any]:
        """The job's description at its end. A job of an earlier try is attached to, else a new one is created."""
        found = self._find()
        if found and self._status in ENDED:
            if self._status == "Completed":
                self._check_output(found)
            return found
        if found:
            self._attach(found)
        else:
            if self._attempt == 1:
                upload()
            self._create()
        return self.follow(write)

    def was_abandoned(self, description: Mapping[str, Any]) -> bool:
        """Whether the job was stopped because its launcher had ended.

        A job that has reached its time limit was not: another one would reach it, too.
        """
        is_stopped = self._kind.status_of(description) == "Stopped" and not self._plan.reached_limit(description)
        return is_stopped and stopping.is_abandoned(self._aws, self._arn)

    def read_log(self, write: Callable[[str], None]) -> None:
        """Read the log of a job that had ended before, which is complete."""
        if not self._log_is_read:
            self.logs.read(write)

    def reason(self, description: Mapping[str, Any]) -> str:
        """SageMaker's reason why the job did not complete, on one line."""
        reasons = [" ".join(description.get(field, "").split()) for field in ("FailureReason", "ExitMessage")]
        reason = "; ".join(filter(None, dict.fromkeys(reasons))) or self._phase_with_message(description)
        return f"{self} {self._kind.status_of(description).lower()}: {reason}"

    def __str__(self) -> str:
        return f"{self._kind.words} {self.name}"

    def abandon(self) -> None:
        """Mark the job as abandoned and stop it, if it may be in progress."""
        if self._may_exist and self._status in ("", RUNNING):
            abandon(self._aws, self._kind, self.name, self._arn, self.url, self._is_being_created)

    def _find(self) -> dict[str, Any] | None:
        found = self._aws.find("sagemaker", self._kind.describe, **self._kind.by_name(self.name))
        self._may_exist = found is not None
        return self._noted(found) if found else None

    def _describe(self) -> dict[str, Any]:
        return self._noted(self._aws.call("sagemaker", self._kind.describe, **self._kind.by_name(self.name)))

    def _noted(self, description: dict[str, Any]) -> dict[str, Any]:
        self._arn, self._status = self._kind.arn_of(description), self._kind.status_of(description)
        return description

    def _create(self) -> None:
        """Create the job, or attach to the one that an earlier try or another pod has created.

        Raises:
            InputError: if SageMaker does not accept the request.
            RemoteError: if the existing job writes to another pipeline root.
        """
        self._may_exist = self._is_being_created = True
        try:
            create = self._aws.call_with_new if self._plan.names_new else self._aws.call
            create("sagemaker", self._plan.operation, **self._plan.request(self._attempt))
        except RefusedError as error:
            self._may_exist, self._is_being_created = error.says_exists, False
            if error.says_exists:
                self._attach(self._describe())
                return
            if error.code == "ValidationException":
                raise InputError(str(error)) from error
            raise
        self._is_being_created = False
        _log.info("%s", with_link(f"{self} is started", self.url))

    def _attach(self, description: Mapping[str, Any]) -> None:
        """Continue with a job that an earlier try or another pod has started."""
        _log.info("%s", with_link(f"{self} is in progress: attaching to it", self.url))
        self._check_output(description)
        self._abandoned_at = stopping.abandoned_at(tags_of(self._aws, self._arn))

    def _check_output(self, description: Mapping[str, Any]) -> None:
        """Check that the job writes under the run's pipeline root, as KFP requires of artifacts.

        Raises:
            RemoteError: if it does not.
        """
        folder, output = self._plan.run_folder(), self._plan.written_to(description)
        if folder and output and not f"{output}/".startswith(f"{folder}/"):
            raise RemoteError(
                f"{self} of this run writes to {output}, but KFP accepts artifacts under {folder} only; start a new run"
            )

    def follow(self, write: Callable[[str], None]) -> dict[str, Any]:
        """Pass on the log until the job has ended, and return its description."""
        phase, since, shown = "", 0.0, 0.0
        rounds: object = None
        for elapsed in poll():
            description = self._describe()
            if phase != (phase := self._plan.phase(description)):
                since = shown = elapsed
                _log.info("%s: %s", self, self._phase_with_message(description))
            if self._status in ENDED:
                break
            if self._abandoned_at and self._status == RUNNING:
                self._unmark_if_due(self._abandoned_at)
            # new instances write to new streams
            is_new_round = rounds != (rounds := self._plan.rounds(description))
            if self.logs.read(write, list_streams=is_new_round):
                shown = elapsed
            elif elapsed > shown + _SECONDS_BETWEEN_LOG_LINES:
                shown = elapsed
                _log.info("%s: still %s after %.0f s", self, phase, elapsed - since)
        empty = 0
        while empty < _EMPTY_READS:  # the last lines arrive some time after the end
            empty = 0 if self.logs.read(write, list_streams=True) else empty + 1
            if empty < _EMPTY_READS:
                time.sleep(_SECONDS_UNTIL_LOG_SETTLES)
        self._log_is_read = True
        return description

    def _unmark_if_due(self, abandoned_at: datetime) -> None:
        """Remove the mark of a job that was abandoned but not stopped. A later stop of the job ends the run."""
        if datetime.now(UTC) <= abandoned_at + _STOP_TIMEOUT:
            return
        self._abandoned_at = None
        try:
            self._aws.call("sagemaker", "delete_tags", ResourceArn=self._arn, TagKeys=[ABANDONED_TAG])
        except RefusedError as error:
            _log.warning("%s goes on, but stays marked as abandoned: %s", self, error)

    def _phase_with_message(self, description: Mapping[str, Any]) -> str:
        """The phase, and SageMaker's message about it."""
        phase = self._plan.phase(description)
        message = (description.get("SecondaryStatusTransitions") or [{}])[-1].get("StatusMessage", phase)
        return phase if message == phase else f"{phase}: {message}"
