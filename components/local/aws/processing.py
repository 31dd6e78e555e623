"""A processing job: its program on each host, with inputs and outputs in S3.

https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.local.aws.errors import ApiError, invalid
from components.local.aws.faults import Faults, Watch
from components.local.aws.instances import Instances, Program, Start
from components.local.aws.jobs import FINAL, Job
from components.local.aws.services import LogStream, Services

LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
STATE = "InProgress"
"""The only state of the job for faults."""
_ROOT = "/opt/ml/processing/"
_MESSAGE_CHARACTERS = 1024
_LOOK_SECONDS, _UPLOAD_SECONDS = 0.05, 1.0


class _FailedError(Exception):
    """SageMaker's reason of a job's failure."""


class ProcessingJob(Job):
    """A processing job.

    States: InProgress, then Completed or Failed; Stopping and Stopped after a stop request or a timeout.

    Args:
        request: request of CreateProcessingJob.
        arn: ARN of the job.
        folder: folder for the ``/opt/ml`` tree of each host.
        services: clients of S3 and CloudWatch Logs.
        instances: instances for the program of the image.
        environment: variables that direct AWS clients to the stand-in; not set under network isolation.
        grace: seconds between SIGTERM and SIGKILL.
        faults: faults to inject.

    Raises:
        ApiError: if SageMaker refuses the request, or this stand-in does not support it.
    """

    kind, words = "ProcessingJob", "processing job"

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
        _check(request)
        self._folder = folder
        self._services, self._instances = services, instances
        self._environment, self._grace, self._faults = environment, grace, faults
        self._stopping = self._closing = False
        self._began = self._ended = 0.0
        self._message = ""
        self._uploaded: dict[str, dict[Path, tuple[int, int]]] = {}
        """Files that are in S3, by the URI of their output."""

    def _stop(self) -> bool:
        with self._lock:
            if self._status in FINAL:
                return False
            self._status, self._stopping = "Stopping", True
        return True

    def close(self) -> None:
        self._stopping = self._closing = True

    def describe(self) -> dict[str, Any]:
        with self._lock:
            answer = {key: value for key, value in self.request.items() if key != "Tags"} | {
                "ProcessingJobArn": self.arn,
                "ProcessingJobStatus": self._status,
                "CreationTime": self._created,
                "LastModifiedTime": self._ended or self._began or self._created,
            }
            more = {
                "FailureReason": self._reason,
                "ExitMessage": self._message,
                "ProcessingStartTime": self._began,
                "ProcessingEndTime": self._ended,
            }
            return answer | {key: value for key, value in more.items() if value}

    def summary(self) -> dict[str, Any]:
        keys = ("ProcessingJobName", "ProcessingJobArn", "CreationTime", "ProcessingEndTime", "ProcessingJobStatus")
        answer = self.describe()
        more = ("LastModifiedTime", "FailureReason", "ExitMessage")
        return {key: answer[key] for key in (*keys, *more) if key in answer}

    def _run(self) -> None:
        status, reason = "Completed", ""
        try:
            self._instances.check(self.request["AppSpecification"]["ImageUri"])
            if held := self._faults.take("hold", self.name, STATE):
                self._sleep(held.seconds)
            if not self._stopping:
                self._process()
        except _FailedError as error:
            status, reason = "Failed", str(error)
        except ApiError as error:
            status, reason = "Failed", f"ClientError: {error.message}"
        except Exception as error:
            status, reason = "Failed", f"InternalServerError: {error!r}"
        with self._lock:
            stopped = self._stopping
            self._status, self._reason = ("Stopped", "") if stopped else (status, reason)
            self._ended = time.time()

    def _process(self) -> None:
        count = self.request["ProcessingResources"]["ClusterConfig"]["InstanceCount"]
        hosts = [f"algo-{number + 1}" for number in range(count)]
        isolated = bool(self.request.get("NetworkConfig", {}).get("EnableNetworkIsolation", False))
        shutil.rmtree(self._folder, ignore_errors=True)  # of a job in an earlier stand-in
        for host in hosts:
            self._write_tree(host, hosts)
        programs: list[Program] = []
        streams: list[LogStream] = []
        network = self._instances.open_network(self.name, isolated)
        watch = self._faults.watch(("fail",), self.name, STATE)
        self._began = time.time()
        try:
            for host in hosts:
                stream = LogStream(self._services, LOG_GROUP, f"{self.name}/{host}-{int(time.time() * 1000)}")
                streams.append(stream)
                programs.append(self._start(host, hosts, network, isolated, watch, stream))
            self._watch(programs, watch)
        finally:
            for program in programs:
                program.kill()
            for stream in streams:
                stream.close()
            self._instances.close_network(network)
        self._end(hosts, programs, watch)

    def _start(
        self, host: str, hosts: Sequence[str], network: str, isolated: bool, watch: Watch, stream: LogStream
    ) -> Program:
        def write(line: str) -> None:
            watch.line(line)
            stream.write(line)

        application = self.request["AppSpecification"]
        variables = {
            **({} if isolated else self._environment),
            **self.request.get("Environment", {}),
            **self._instances.variables(hosts),
            "PROCESSING_JOB_NAME": self.name,
            "PROCESSING_JOB_ARN": self.arn,
        }
        return self._instances.start(
            Start(
                application["ImageUri"],
                "",
                self._folder / host,
                variables,
                write,
                network,
                host,
                entrypoint=application.get("ContainerEntrypoint", ()),
                arguments=application.get("ContainerArguments", ()),
            )
        )

    def _write_tree(self, host: str, hosts: Sequence[str]) -> None:
        """Write the configuration of a host, download its inputs, and make the folders of the outputs."""
        root = self._folder / host
        (root / "config").mkdir(parents=True)
        (root / "output").mkdir()
        resources = {"current_host": host, "hosts": list(hosts), "network_interface_name": self._instances.interface}
        job = {key: value for key, value in self.request.items() if key != "Tags"} | {"ProcessingJobArn": self.arn}
        for name, content in (("resourceconfig", resources), ("processingjobconfig", job)):
            (root / "config" / f"{name}.json").write_text(json.dumps(content, indent=2))
        for entry in self.request.get("ProcessingInputs", []):
            source = entry["S3Input"]
            sharded = source.get("S3DataDistributionType") == "ShardedByS3Key"
            part = (hosts.index(host), len(hosts)) if sharded else (0, 1)
            folder = self._below(root, source["LocalPath"])
            folder.mkdir(parents=True, exist_ok=True)
            self._services.download(source["S3Uri"], folder, part)
        for entry in self._outputs():
            self._below(root, entry["LocalPath"]).mkdir(parents=True, exist_ok=True)

    @staticmethod
    def _below(root: Path, path: str) -> Path:
        return root / "processing" / path.removeprefix(_ROOT)

    def _outputs(self) -> list[dict[str, Any]]:
        return [entry["S3Output"] for entry in self.request.get("ProcessingOutputConfig", {}).get("Outputs", [])]

    def _watch(self, programs: Sequence[Program], watch: Watch) -> None:
        """Wait for all hosts. A failed host, a stop request, a fault or a timeout ends the others."""
        limit = self.request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", 86_400)
        next_upload = time.monotonic() + _UPLOAD_SECONDS
        terminated_at: float | None = None
        while running := [program for program in programs if program.running]:
            now = time.monotonic()
            if terminated_at is None:
                failed = any(program.wait() for program in programs if program not in running)
                if time.time() > self._began + limit:
                    self._stop()
                if failed or self._stopping or watch.is_due():
                    for program in running:
                        program.terminate()
                    terminated_at = now
            elif now > terminated_at + self._grace:
                for program in running:
                    program.kill()
            if now > next_upload:
                self._upload("Continuous")
                next_upload = time.monotonic() + _UPLOAD_SECONDS
            time.sleep(_LOOK_SECONDS)

    def _end(self, hosts: Sequence[str], programs: Sequence[Program], watch: Watch) -> None:
        """Upload the outputs of a job that has succeeded.

        Raises:
            _FailedError: with a reason in SageMaker's form, if it has not.
        """
        messages = [self._folder / host / "output" / "message" for host in hosts]
        texts = [path.read_text(errors="replace")[:_MESSAGE_CHARACTERS] for path in messages if path.is_file()]
        self._message = next((text for text in texts if text.strip()), "")
        if self._stopping:
            return
        if watch.happened:
            raise _FailedError(watch.happened.reason)
        failed = [(host, program) for host, program in zip(hosts, programs, strict=True) if program.wait()]
        if failed:
            host, program = failed[0]
            raise _FailedError(f"AlgorithmError: See job logs for more information; {host}: {program.ending()}")
        self._upload("Continuous")
        self._upload("EndOfJob")

    def _upload(self, mode: str) -> None:
        if self._closing:
            return
        for host in sorted(self._folder.glob("algo-*")):
            for output in self._outputs():
                if output["S3UploadMode"] == mode:
                    uploaded = self._uploaded.setdefault(output["S3Uri"], {})
                    self._services.upload(self._below(host, output["LocalPath"]), output["S3Uri"], uploaded)

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._stopping:
            time.sleep(_LOOK_SECONDS)


def _check(request: Mapping[str, Any]) -> None:
    """Check a request.

    Raises:
        ApiError: for requests that SageMaker refuses, or this stand-in does not support.
    """
    inputs = request.get("ProcessingInputs", [])
    outputs = request.get("ProcessingOutputConfig", {}).get("Outputs", [])
    names = [entry["InputName"] for entry in inputs] + [entry["OutputName"] for entry in outputs]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise invalid(f"Names of inputs and outputs must be unique: {', '.join(repeated)}")
    for entry, key in [*((entry, "S3Input") for entry in inputs), *((entry, "S3Output") for entry in outputs)]:
        if key not in entry:
            raise invalid(f"This stand-in supports no other {key[2:].lower()} of a processing job than {key}")
        path = entry[key].get("LocalPath", "")
        if not path.startswith(_ROOT) or ".." in Path(path).parts:
            raise invalid(f"LocalPath '{path}' must start with {_ROOT}")
    for entry in inputs:
        source = entry["S3Input"]
        if source["S3DataType"] != "S3Prefix" or source.get("S3InputMode", "File") != "File":
            raise invalid("This stand-in supports no inputs but S3Prefix in mode File")
        if source.get("S3CompressionType", "None") != "None":
            raise invalid("S3CompressionType: Gzip is accepted in mode Pipe only")
