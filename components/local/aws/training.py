"""A training job: its states, its hosts and its programs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.local.aws.errors import ApiError
from components.local.aws.faults import Faults, Watch
from components.local.aws.instances import Instances, Program, Start
from components.local.aws.jobs import FINAL, Job
from components.local.aws.metrics import JobMetrics
from components.local.aws.ml_tree import write_tree
from components.local.aws.services import LogStream, Services, version_of

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
_REASON_CHARACTERS = 1024
_CHECKPOINT_SECONDS = 1.0
_WATCH_SECONDS = 0.05
_SPOT_PRICE = 0.3
"""Spot price as a share of the on-demand price: ratio of billable seconds to training seconds."""


class _Reported(Exception):  # noqa: N818
    """Reason of a failure, from a fault."""


class TrainingJob(Job):
    """A training job.

    States: InProgress (Starting, Downloading, Training, Uploading), then Completed, Failed or Stopped; Stopping before
    the end after a stop request or a timeout. An interrupted spot job restarts on new instances, with the checkpoints
    in S3.

    Args:
        request: request of CreateTrainingJob.
        arn: ARN of the job.
        folder: folder for the ``/opt/ml`` tree of each host.
        services: clients of S3 and CloudWatch Logs.
        instances: instances for the ``train`` program of the image. The job fails if they do not have the image.
        environment: variables that direct AWS clients to the stand-in; not set under network isolation.
        grace: seconds between SIGTERM and SIGKILL.
        faults: faults to inject.
    """

    kind, words = "TrainingJob", "training job"

    def __init__(
        self,
        request: Mapping[str, Any],
        arn: str,
        folder: Path,
        services: Services,
        instances: Instances,
        environment: Mapping[str, str],
        grace: float,
        faults: Faults,
    ) -> None:
        super().__init__(request, arn)
        self.folder = folder
        self._services, self._instances = services, instances
        self._environment, self._grace, self._faults = environment, grace, faults
        self.metrics = JobMetrics(request["AlgorithmSpecification"].get("MetricDefinitions", []))
        self._stop_as = ""
        """Final secondary status of a job in state Stopping; '' otherwise."""
        self._closing = False
        self._started = self._ended = self._modified = 0.0
        self._secondary = "Starting"
        self._transitions: list[dict[str, Any]] = []
        self._move("InProgress", "Starting")
        self._uploaded: dict[Path, tuple[int, int]] = {}
        self._trained_seconds = 0.0

    def close(self) -> None:
        self._closing = True
        self._stop()

    def _stop(self, stop_as: str = "Stopped") -> bool:
        """Request the end; False if the job has already ended. The job's thread sends the signals."""
        with self._lock:
            if self._status in FINAL:
                return False
            if not self._stop_as:
                self._stop_as = stop_as
                self._move("Stopping", "Stopping")
        return True

    def describe(self) -> dict[str, Any]:
        with self._lock:
            answer = {key: value for key, value in self.request.items() if key != "Tags"} | {
                "TrainingJobArn": self.arn,
                "TrainingJobStatus": self._status,
                "SecondaryStatus": self._secondary,
                "SecondaryStatusTransitions": [dict(entry) for entry in self._transitions],
                "CreationTime": self._created,
                "LastModifiedTime": self._modified,
                "ModelArtifacts": {"S3ModelArtifacts": self._model_uri()},
            }
            if final := self.metrics.final():
                answer["FinalMetricDataList"] = final
            if self._reason:
                answer["FailureReason"] = self._reason
            if self._started:
                answer["TrainingStartTime"] = self._started
            if self._ended:
                answer["TrainingEndTime"] = self._ended
                seconds = max(1, round(self._trained_seconds))
                answer["TrainingTimeInSeconds"] = seconds
                answer["BillableTimeInSeconds"] = max(1, round(seconds * (_SPOT_PRICE if self._spot else 1)))
        return answer

    def summary(self) -> dict[str, Any]:
        answer = self.describe()
        keys = ("TrainingJobName", "TrainingJobArn", "CreationTime", "LastModifiedTime", "TrainingJobStatus")
        shown = {key: answer[key] for key in (*keys, "TrainingEndTime") if key in answer}
        return {**shown, "SecondaryStatus": answer["SecondaryStatus"]}

    def _move(self, status: str, secondary: str, reason: str = "", message: str = "") -> None:
        now = time.time()
        with self._lock:
            if self._transitions and "EndTime" not in self._transitions[-1]:
                self._transitions[-1]["EndTime"] = now
            self._status, self._secondary, self._modified = status, secondary, now
            self._reason = reason or self._reason
            if status in FINAL:
                self._ended = now
            entry = {"Status": secondary, "StartTime": now, "StatusMessage": message or reason or secondary}
            self._transitions.append(entry | ({"EndTime": now} if status in FINAL else {}))

    def _run(self) -> None:
        try:
            image = self.request["AlgorithmSpecification"].get("TrainingImage", "")
            self._instances.check(image)
            self._meet_faults("Starting")
            hosts = [f"algo-{number + 1}" for number in range(self.request["ResourceConfig"]["InstanceCount"])]
            while not self._round(image, hosts):
                self._proceed("Starting")
        except _Reported as reported:
            self._move("Failed", "Failed", str(reported))
        except ApiError as error:
            self._move("Failed", "Failed", f"ClientError: {error.message}")
        except Exception as error:
            if self._closing:
                self._move("Stopped", "Stopped")
            else:
                self._move("Failed", "Failed", f"InternalServerError: {error!r}")

    def _round(self, image: str, hosts: Sequence[str]) -> bool:
        """Run on instances; False after a spot interruption, before the next round."""
        streams: list[LogStream] = []
        programs: list[Program] = []
        network = ""
        self._proceed("Downloading")
        shutil.rmtree(self.folder, ignore_errors=True)  # of an earlier round, or of a job in an earlier stand-in
        self._uploaded.clear()
        try:
            for host in hosts:
                write_tree(self.folder / host, host, hosts, self.request, self._instances.interface, self._services)
                files = (path for path in (self.folder / host / "checkpoints").rglob("*") if path.is_file())
                self._uploaded |= {path: version_of(path) for path in files}
            proceeds = self._proceed("Training")
            began = time.time()
            self._started = self._started or began
            watch = self._faults.watch(("interrupt", "fail") if self._spot else ("fail",), self.name, "Training")
            if proceeds:
                variables, algorithm = self._variables(hosts), self.request["AlgorithmSpecification"]
                network = self._instances.open_network(self.name, self._isolated)
                for host in hosts:
                    stream = LogStream(self._services, LOG_GROUP, f"{self.name}/{host}-{int(time.time() * 1000)}")
                    streams.append(stream)
                    lines = _to_all(watch.line, self.metrics.line, stream.write)
                    start = Start(
                        image,
                        "train",
                        self.folder / host,
                        variables,
                        lines,
                        network,
                        host,
                        entrypoint=algorithm.get("ContainerEntrypoint", ()),
                        arguments=algorithm.get("ContainerArguments", ()),
                    )
                    programs.append(self._instances.start(start))
            blamed = self._watch(programs, watch)
            self._trained_seconds += time.time() - began
            for stream in streams:
                stream.close()
            if watch.happened and not self._stop_as:
                if watch.happened.kind == "fail":
                    raise _Reported(watch.happened.reason)
                self._move("InProgress", "Interrupted", message="The spot instances were taken back")
                self._sleep(watch.happened.seconds)
                return False
            self._finish(hosts, programs, blamed)
            return True
        finally:
            for program in programs:
                program.kill()
            for stream in streams:
                stream.close()
            self._instances.close_network(network)

    def _meet_faults(self, state: str) -> None:
        """Apply the faults hold and fail in a state.

        Raises:
            _Reported: with the reason of the fault.
        """
        if held := self._faults.take("hold", self.name, state):
            self._sleep(held.seconds)
        if state != "Training" and (failing := self._faults.take("fail", self.name, state)):
            self._sleep(failing.after)
            raise _Reported(failing.reason)

    def _sleep(self, seconds: float) -> None:
        """Sleep until the time is over, the job is to stop, or MaxWaitTimeInSeconds has passed."""
        until = time.time() + seconds
        while time.time() < until and not self._stop_as:
            if time.time() > self._created + self._longest_wait:
                self._stop("MaxWaitTimeExceeded")
            time.sleep(_WATCH_SECONDS)

    def _proceed(self, secondary: str) -> bool:
        """Enter a secondary status; False if the job is being stopped.

        Raises:
            _Reported: if a fault ends the job there.
        """
        with self._lock:
            if self._stop_as:
                return False
            self._move("InProgress", secondary)
        self._meet_faults(secondary)
        return not self._stop_as

    @property
    def _spot(self) -> bool:
        return bool(self.request.get("EnableManagedSpotTraining", False))

    @property
    def _longest_wait(self) -> float:
        return float(self.request.get("StoppingCondition", {}).get("MaxWaitTimeInSeconds", "inf"))

    @property
    def _isolated(self) -> bool:
        return bool(self.request.get("EnableNetworkIsolation", False))

    def _variables(self, hosts: Sequence[str]) -> dict[str, str]:
        return {
            **({} if self._isolated else self._environment),
            **self.request.get("Environment", {}),
            **self._instances.variables(hosts),
            "TRAINING_JOB_NAME": self.name,
            "TRAINING_JOB_ARN": self.arn,
        }

    def _watch(self, programs: Sequence[Program], watch: Watch) -> int | None:
        """Wait for all hosts. A failed host, a stop request, a fault or a timeout ends the others.

        Returns:
            Index of the first failed host; None if no host failed by itself.
        """
        limit = self.request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", 86_400)
        time_is_up = time.monotonic() + limit - self._trained_seconds
        next_sync = time.monotonic() + _CHECKPOINT_SECONDS
        blamed: int | None = None
        terminated_at: float | None = None
        while running := [program for program in programs if program.running]:
            now = time.monotonic()
            if terminated_at is None:
                blamed = self._first_failed(programs, running)
                if now > time_is_up and blamed is None:
                    self._stop("MaxRuntimeExceeded")
                elif time.time() > self._created + self._longest_wait and blamed is None:
                    self._stop("MaxWaitTimeExceeded")
                if blamed is not None or self._stop_as or watch.is_due():
                    for program in running:
                        program.terminate()
                    terminated_at = now
            elif now > terminated_at + self._grace:
                for program in running:
                    program.kill()
            if now > next_sync:
                self._sync_checkpoints()
                next_sync = time.monotonic() + _CHECKPOINT_SECONDS
            time.sleep(_WATCH_SECONDS)
        self._sync_checkpoints()
        return self._first_failed(programs, ()) if terminated_at is None else blamed

    def _first_failed(self, programs: Sequence[Program], running: Sequence[Program]) -> int | None:
        """Index of the first failed host with a failure file; without one, of the first failed host; None for none."""
        failed = [i for i, program in enumerate(programs) if program not in running and program.wait()]
        return min(failed, key=lambda i: (not self._failure(i).is_file(), i), default=None)

    def _failure(self, number: int) -> Path:
        return self.folder / f"algo-{number + 1}" / "output" / "failure"

    def _sync_checkpoints(self) -> None:
        """Mirror the hosts' checkpoint folders, including deletions.

        https://docs.aws.amazon.com/sagemaker/latest/dg/model-checkpoints.html
        """
        checkpoints = self.request.get("CheckpointConfig", {}).get("S3Uri")
        if not checkpoints or self._closing:
            return
        for root in sorted(self.folder.glob("algo-*")):
            self._services.mirror(root / "checkpoints", checkpoints, self._uploaded)

    def _finish(self, hosts: Sequence[str], programs: Sequence[Program], blamed: int | None) -> None:
        if self._closing:
            self._move("Stopped", "Stopped")
            return
        if blamed is not None and not self._stop_as:
            written = self._failure(blamed)
            text = f"{hosts[blamed]}: {programs[blamed].ending()}"
            if written.is_file():
                text = written.read_text(errors="replace")[:_REASON_CHARACTERS]
            self._move("Failed", "Failed", f"AlgorithmError: {text}")
            return
        self._proceed("Uploading")
        self._upload(hosts)
        with self._lock:
            if self._stop_as:
                self._move("Stopped", self._stop_as)
            else:
                self._move("Completed", "Completed")

    def _output_uri(self) -> str:
        return f"{self.request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{self.name}/output"

    @property
    def _compressed(self) -> bool:
        return bool(self.request["OutputDataConfig"].get("CompressionType", "GZIP") != "NONE")

    def _model_uri(self) -> str:
        return f"{self._output_uri()}/model{'.tar.gz' if self._compressed else ''}"

    def _upload(self, hosts: Sequence[str]) -> None:
        """Upload the merged model and other output of all hosts, uncompressed or as one archive each."""
        for source, name in (("model", "model"), ("output/data", "output")):
            merged = self.folder / "merged"
            for host in hosts:
                shutil.copytree(self.folder / host / source, merged, dirs_exist_ok=True)
            if self._compressed and (name == "model" or any(merged.iterdir())):
                self._services.upload_archive(merged, f"{self._output_uri()}/{name}.tar.gz")
            elif not self._compressed:
                self._services.upload(merged, f"{self._output_uri()}/{name}")
            shutil.rmtree(merged)


def _to_all(*callbacks: Callable[[str], None]) -> Callable[[str], None]:
    def write(line: str) -> None:
        for callback in callbacks:
            callback(line)

    return write
