"""A SageMaker training job: bought once for a run, followed to its end, stopped if its launcher must leave.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTrainingJob.html
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ncf.errors import InputError, RemoteError
from ncf.sagemaker import job_report, jobs
from ncf.sagemaker.logs import TRAINING_GROUP, LogReader
from ncf.sagemaker.names import JOB_PREFIX, LEFT_TAG, RUN_TAG, STAGE_TAG, hashed_name, tag_list
from ncf.sagemaker.session import Aws, RefusedError, poll
from ncf.sagemaker.settings import JobSettings
from ncf.sagemaker.tags import tags_of
from ncf.termination import last_words
from ncf.training.log_lines import metric_definitions

_log = logging.getLogger(__name__)
_ENDED = ("Completed", "Failed", "Stopped")
_CHECKPOINT_FOLDER = "/opt/ml/checkpoints"
_NO_PART_OF_A_NAME = {"max_attempts", "price_per_hour", "profile", "run_id", "s3_prefix"}
_SECONDS_UNTIL_LOG_SETTLES, _SECONDS_BETWEEN_SIGNS, _EMPTY_READS = 0.5, 60.0, 3
_SECONDS_TO_STOP = 10.0
_LONGEST_SUFFIX = len("-99")
_FOR_GOOD = ("AlgorithmError", "ClientError")
"""Failures of the program and of the request: the same code, data and seed would meet them again."""
_SECONDS_UNTIL_STOPPED = 120.0
"""A launcher that has marked its job stops it within these, or never."""
_CLONE = "every retry of this run meets this job: clone the run"

CALLS = (
    "sagemaker:CreateTrainingJob",
    "sagemaker:DeleteTags",
    "sagemaker:DescribeTrainingJob",
)
"""What this module calls: permissions are made from it."""


@dataclass(frozen=True)
class JobPlan:
    """What to train, with what, and where the data lie.

    Attributes:
        name: of the first job: see :func:`job_name`.
        run: that the job belongs to.
        settings: how the job runs.
        hyperparameters: as strings, which is how SageMaker passes them.
        channels: S3 URI of each input channel.
        output: S3 URI under which the job leaves ``<job>/output/model/``.
    """

    name: str
    run: str
    settings: JobSettings
    hyperparameters: Mapping[str, str]
    channels: Mapping[str, str]
    output: str

    def job_name(self, attempt: int) -> str:
        """The name of the job of an attempt, from 1 on."""
        return self.name if attempt == 1 else f"{self.name}-{attempt}"

    def request(self, attempt: int) -> dict[str, Any]:
        """The arguments of CreateTrainingJob."""
        settings = self.settings
        request: dict[str, Any] = {
            "TrainingJobName": self.job_name(attempt),
            "RoleArn": settings.role,
            "AlgorithmSpecification": {
                "TrainingImage": settings.train_image,
                "TrainingInputMode": "File",
                "MetricDefinitions": metric_definitions(),
            },
            "HyperParameters": dict(self.hyperparameters),
            "InputDataConfig": [_channel(channel, uri) for channel, uri in self.channels.items()],
            "OutputDataConfig": {"S3OutputPath": self.output, "CompressionType": "NONE"},
            "ResourceConfig": {
                "InstanceType": settings.instance_type,
                "InstanceCount": settings.instance_count,
                "VolumeSizeInGB": settings.volume_size,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": settings.max_run_time},
            "EnableManagedSpotTraining": settings.spot_instance,
            "EnableNetworkIsolation": settings.network_isolation,
            "EnableInterContainerTrafficEncryption": settings.traffic_encryption,
        }
        if settings.spot_instance:
            request["StoppingCondition"]["MaxWaitTimeInSeconds"] = settings.max_wait_time
        if checkpoints := self.checkpoints():
            request["CheckpointConfig"] = {"S3Uri": checkpoints, "LocalPath": _CHECKPOINT_FOLDER}
        if settings.keep_alive_period:
            request["ResourceConfig"]["KeepAlivePeriodInSeconds"] = settings.keep_alive_period
        if settings.resource_encryption_key:
            request["ResourceConfig"]["VolumeKmsKeyId"] = settings.resource_encryption_key
        if settings.output_encryption_key:
            request["OutputDataConfig"]["KmsKeyId"] = settings.output_encryption_key
        if vpc := settings.vpc_config():
            request["VpcConfig"] = vpc
        request["Tags"] = tag_list({**settings.tags, RUN_TAG: self.run, STAGE_TAG: "train"})
        return request

    def run_folder(self) -> str:
        """S3 URI under which KFP gives each try of the run a place of its own; '' where the output is a copy's."""
        before, is_of_run, _ = self.output.partition(f"/{self.run}/")
        return f"{before}/{self.run}" if is_of_run else ""

    def checkpoints(self) -> str:
        """S3 URI of the checkpoints; '' for none. Attempts share them; those of another run would be of no use."""
        parent = self.settings.checkpoint_s3_uri
        if not parent and self.settings.spot_instance:
            parent = f"{self.run_folder() or self.output}/checkpoints"
        return f"{parent}/{self.name}" if parent else ""


def job_name(
    settings: JobSettings, run: str, hyperparameters: Mapping[str, str], fingerprints: Mapping[str, str]
) -> str:
    """The name of a run's first job: equal for another try of the same run, whatever URIs KFP gives that try.

    Args:
        settings: all of them count, apart from those that only say where copies lie and how often to try.
        run: of the pipeline.
        hyperparameters: as SageMaker gets them.
        fingerprints: of each input's content.
    """
    identity = {
        "run": run,
        "task": "train",
        "settings": settings.model_dump(mode="json", include=set(JobSettings.model_fields) - _NO_PART_OF_A_NAME),
        "hyperparameters": dict(hyperparameters),
        "inputs": dict(fingerprints),
    }
    return hashed_name(JOB_PREFIX, identity, room=_LONGEST_SUFFIX)


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
        SystemExit, KeyboardInterrupt: if the launcher is told to leave; the job is stopped.
    """
    aws.check_image("train_image", plan.settings.train_image)
    attempt = failures = 0
    while True:
        attempt += 1
        job = _Job(aws, plan.job_name(attempt), plan.settings, plan.run_folder())
        try:
            if attempt == 1 and not job.exists():
                provide()
            job.start(plan.request(attempt))
            description = job.follow(write)
        except (KeyboardInterrupt, SystemExit):
            job.leave()
            raise
        if description["TrainingJobStatus"] == "Completed":
            return description
        if job.was_left(description):
            _log.warning("%s, which nobody waited for any more; another one follows", job.reason(description))
            continue
        failures += 1
        if failures >= plan.settings.max_attempts or not _may_pass(description):
            raise _failure(aws, plan, job, description)
        _log.warning("%s; attempt %d of %d follows", job.reason(description), failures + 1, plan.settings.max_attempts)


def _may_pass(description: Mapping[str, Any]) -> bool:
    """Whether another job may do better: not where somebody has stopped it, or its time was over."""
    failed = description["TrainingJobStatus"] == "Failed"
    return failed and not description.get("FailureReason", "").startswith(_FOR_GOOD)


def _advice(plan: JobPlan, description: Mapping[str, Any]) -> str:
    """What to do about a job that no retry of its run can get past."""
    if _may_pass(description):
        return f"'max_attempts', {plan.settings.max_attempts}, is used up, and {_CLONE}"
    for status, parameter in (("MaxRuntimeExceeded", "max_run_time"), ("MaxWaitTimeExceeded", "max_wait_time")):
        if description.get("SecondaryStatus") == status:
            return f"{_CLONE} with a larger '{parameter}' than {getattr(plan.settings, parameter)}"
    if description["TrainingJobStatus"] == "Stopped":
        return f"somebody has stopped it, and {_CLONE}"
    return f"mend it first: {_CLONE} then"


def _failure(aws: Aws, plan: JobPlan, job: _Job, description: Mapping[str, Any]) -> RemoteError:
    reason, lines = f"{job.reason(description)}; {_advice(plan, description)}", list(job.logs.tail)
    shown = "".join(["the job's last log lines:\n", *(f"  | {line}\n" for line in lines)]) if lines else ""
    report = job_report.markdown(aws, plan.settings, description, job.url, reason, lines)
    return RemoteError(f"{shown}{reason}; {job.url}", report)


class _Job:
    """One job by its name."""

    def __init__(self, aws: Aws, name: str, settings: JobSettings, run_folder: str) -> None:
        self._aws, self.name, self._run_folder = aws, name, run_folder
        self.logs = LogReader(aws, TRAINING_GROUP, f"{name}/", settings.instance_count)
        self.url = aws.console_url(f"jobs/{name}")
        # known before AWS has answered with it: a launcher may have to leave meanwhile
        partition, account = (settings.role.split(":")[place] for place in (1, 4))
        self._arn = f"arn:{partition}:sagemaker:{aws.region}:{account}:training-job/{name}"

    def describe(self) -> dict[str, Any]:
        description = self._aws.call("sagemaker", "describe_training_job", TrainingJobName=self.name)
        self._arn = description["TrainingJobArn"]
        return description

    def exists(self) -> bool:
        try:
            self.describe()
        except RefusedError as error:
            if error.says_missing:
                return False
            raise
        return True

    def was_left(self, description: Mapping[str, Any]) -> bool:
        """Whether a launcher stopped it because it had to leave: then nobody wanted the job to end."""
        if description["TrainingJobStatus"] != "Stopped":
            return False
        return LEFT_TAG in tags_of(self._aws, description["TrainingJobArn"])

    def start(self, request: Mapping[str, Any]) -> None:
        """Create the job; if it is there, an earlier try or another pod has created the very same one.

        Raises:
            InputError: if SageMaker does not accept the request.
            RemoteError: if the job that is there writes elsewhere.
        """
        try:
            self._aws.call("sagemaker", "create_training_job", **request)
        except RefusedError as error:
            if error.says_exists:
                _log.info("training job %s was started before: taking it up; %s", self.name, self.url)
                self._take_up()
                return
            if error.code == "ValidationException":
                raise InputError(str(error)) from error
            raise
        _log.info("training job %s is started; %s", self.name, self.url)

    def _take_up(self) -> None:
        """See that the job's model can become KFP's artifact, which has to lie under the run's own pipeline root.

        A job that was marked as left, but never stopped, is waited for again: if somebody stops it now, it is for good.
        """
        description = self.describe()
        output = description["OutputDataConfig"]["S3OutputPath"]
        if self._run_folder and not f"{output}/".startswith(f"{self._run_folder}/"):
            raise RemoteError(
                f"training job {self.name} of this run writes to {output}, and KFP takes artifacts from below "
                f"{self._run_folder} alone; clone the run"
            )
        if description["TrainingJobStatus"] != "InProgress":
            return
        _, _, marked = tags_of(self._aws, self._arn).get(LEFT_TAG, "").partition(" ")
        if marked and (datetime.now(UTC) - datetime.fromisoformat(marked)).total_seconds() > _SECONDS_UNTIL_STOPPED:
            self._aws.call("sagemaker", "delete_tags", ResourceArn=self._arn, TagKeys=[LEFT_TAG])

    def follow(self, write: Callable[[str], None]) -> dict[str, Any]:
        """Pass the log on until the job has ended."""
        phase, since, shown, looks = "", 0.0, 0.0, 0
        rounds = 0
        for elapsed in poll():
            description = self.describe()
            looks += 1
            ended = description["TrainingJobStatus"] in _ENDED
            if phase != (phase := description.get("SecondaryStatus", "")):
                since = shown = elapsed
                _log.info("training job %s: %s", self.name, _with_message(description))
            if ended:
                break
            # new instances write to new streams
            is_new_round = rounds != (rounds := _rounds(description))
            if self.logs.read(write, every_stream=is_new_round):
                shown = elapsed
            elif elapsed > shown + _SECONDS_BETWEEN_SIGNS:
                shown = elapsed
                _log.info("training job %s: still %s after %.0f s", self.name, phase, elapsed - since)
        # the last lines reach the log some time after the end; of a job that an earlier try has seen end, all are there
        empty, enough = 0, _EMPTY_READS if looks > 1 else 1
        while empty < enough:
            empty = 0 if self.logs.read(write, every_stream=True) else empty + 1
            if empty < enough:
                time.sleep(_SECONDS_UNTIL_LOG_SETTLES)
        return description

    def leave(self) -> None:
        """Mark the job as left and stop it, if there is one that runs.

        In this order, and nothing printed before: there may be time for a single call, stdout may be gone already, and
        a job that is stopped without the mark makes every later try of the run fail.
        """
        last_words(f"told to end: training job {self.name} is to be marked as left, then stopped; {self.url}")
        try:
            jobs.mark_left(self._aws, self._arn, "launcher", _SECONDS_TO_STOP)
            last_words(f"told to end: training job {self.name} is marked as left, and to be stopped; {self.url}")
            if jobs.stop(self._aws, self.name, _SECONDS_TO_STOP):
                last_words(f"told to end: training job {self.name} is being stopped; a retry goes on; {self.url}")
                _log.warning("training job %s is being stopped", self.name)
        except RefusedError as error:
            if not error.says_missing:
                self._tell_of_failure(error)
        except RemoteError as error:
            self._tell_of_failure(error)

    def _tell_of_failure(self, error: RemoteError) -> None:
        said = f"training job {self.name} is not stopped: {error}; {self.url}"
        last_words(said)
        _log.warning("%s", said)

    def reason(self, description: Mapping[str, Any]) -> str:
        """Why it did not complete, in SageMaker's words, on one line."""
        said = description.get("FailureReason") or _with_message(description)
        status = description["TrainingJobStatus"].lower()
        return f"training job {self.name} {status}: {' '.join(said.split())}"


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


def _channel(name: str, uri: str) -> dict[str, Any]:
    # the slash keeps out what only begins with the same letters
    source = {"S3DataType": "S3Prefix", "S3Uri": f"{uri}/", "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}
