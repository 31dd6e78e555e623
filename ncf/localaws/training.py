"""One training job: its states, its hosts' ``/opt/ml`` trees, its processes."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ncf.localaws.errors import ApiError, invalid
from ncf.localaws.processes import Program, wait_until
from ncf.localaws.services import LogStream, Services

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
_REASON_CHARACTERS = 1024
_CHECKPOINT_SECONDS = 1.0
_FINAL = ("Completed", "Failed", "Stopped")


class TrainingJob:
    """A job from its request to its end.

    States: InProgress (Starting, Downloading, Training, Uploading), then Completed, Failed or Stopped; Stopping
    in between where someone asked for it or the time was up.

    Args:
        request: as CreateTrainingJob got it.
        arn: of the job.
        command: the image's ``train`` program.
        folder: receives a ``/opt/ml`` tree for each host.
        services: S3 and Logs.
        environment: leads the job's AWS clients to the stand-in; not given under network isolation.
        grace: seconds between SIGTERM and SIGKILL.
    """

    def __init__(
        self,
        request: Mapping[str, Any],
        arn: str,
        command: Sequence[str],
        folder: Path,
        services: Services,
        environment: Mapping[str, str],
        grace: float,
    ) -> None:
        self.request, self.arn, self.folder = request, arn, folder
        self._command, self._services, self._environment, self._grace = command, services, environment, grace
        self._lock = threading.Lock()
        self._programs: list[Program] = []
        self._stop_as: str = ""
        self._started = self._ended = self._modified = 0.0
        self._created = time.time()
        self._status, self._secondary, self._reason = "InProgress", "Starting", ""
        self._transitions: list[dict[str, Any]] = []
        self._move("InProgress", "Starting")
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"job {self.name}")

    @property
    def name(self) -> str:
        return str(self.request["TrainingJobName"])

    @property
    def status(self) -> str:
        return self._status

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """StopTrainingJob.

        Raises:
            ApiError: if the job has ended.
        """
        if self._status in _FINAL:
            raise invalid(f"The request was rejected because the training job is in status {self._status}.")
        self._end_programs("Stopped")

    def close(self) -> None:
        """Stop what runs, at once, and wait for the thread."""
        self._end_programs("Stopped")
        if self._thread.is_alive():
            self._thread.join(30)

    def describe(self) -> dict[str, Any]:
        """The answer of DescribeTrainingJob."""
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
            if self._reason:
                answer["FailureReason"] = self._reason
            if self._started:
                answer["TrainingStartTime"] = self._started
            if self._ended:
                answer["TrainingEndTime"] = self._ended
                seconds = max(1, round(self._ended - (self._started or self._ended)))
                answer["TrainingTimeInSeconds"] = seconds
                answer["BillableTimeInSeconds"] = seconds
        return answer

    def summary(self) -> dict[str, Any]:
        """The job as ListTrainingJobs shows it."""
        answer = self.describe()
        keys = ("TrainingJobName", "TrainingJobArn", "CreationTime", "LastModifiedTime", "TrainingJobStatus")
        shown = {key: answer[key] for key in (*keys, "TrainingEndTime") if key in answer}
        return {**shown, "SecondaryStatus": answer["SecondaryStatus"]}

    def _move(self, status: str, secondary: str, reason: str = "") -> None:
        now = time.time()
        with self._lock:
            if self._transitions and "EndTime" not in self._transitions[-1]:
                self._transitions[-1]["EndTime"] = now
            self._status, self._secondary, self._modified = status, secondary, now
            self._reason = reason or self._reason
            if status in _FINAL:
                self._ended = now
            entry = {"Status": secondary, "StartTime": now, "StatusMessage": reason or secondary}
            self._transitions.append(entry | ({"EndTime": now} if status in _FINAL else {}))

    def _run(self) -> None:
        try:
            self._move("InProgress", "Downloading")
            hosts = [f"algo-{number + 1}" for number in range(self.request["ResourceConfig"]["InstanceCount"])]
            for host in hosts:
                self._prepare(host, hosts)
            self._train(hosts)
        except ApiError as error:
            self._move("Failed", "Failed", f"ClientError: {error.message}")
        except Exception as error:
            self._move("Failed", "Failed", f"InternalServerError: {error!r}")

    def _prepare(self, host: str, hosts: Sequence[str]) -> None:
        """Lay out a host's tree: configuration, channels, checkpoints of an earlier job."""
        root = self.folder / host
        for part in ("input/config", "input/data", "model", "output/data", "checkpoints"):
            (root / part).mkdir(parents=True)
        resources = self.request["ResourceConfig"]
        channels = self.request.get("InputDataConfig", [])
        configuration = {
            "hyperparameters": self.request.get("HyperParameters", {}),
            "resourceconfig": {
                "current_host": host,
                "current_instance_type": resources["InstanceType"],
                "current_group_name": "homogeneousCluster",
                "hosts": list(hosts),
                "instance_groups": [
                    {
                        "instance_group_name": "homogeneousCluster",
                        "instance_type": resources["InstanceType"],
                        "hosts": list(hosts),
                    }
                ],
                "network_interface_name": "lo",
            },
            "inputdataconfig": {
                channel["ChannelName"]: {
                    "TrainingInputMode": "File",
                    "S3DistributionType": channel["DataSource"]["S3DataSource"].get(
                        "S3DataDistributionType", "FullyReplicated"
                    ),
                    "RecordWrapperType": channel.get("RecordWrapperType", "None"),
                }
                for channel in channels
            },
        }
        for name, content in configuration.items():
            (root / "input" / "config" / f"{name}.json").write_text(json.dumps(content, indent=2))
        for channel in channels:
            source = channel["DataSource"]["S3DataSource"]
            sharded = source.get("S3DataDistributionType") == "ShardedByS3Key"
            share = (hosts.index(host), len(hosts)) if sharded else (0, 1)
            self._services.download(source["S3Uri"], root / "input" / "data" / channel["ChannelName"], share)
        checkpoints = self.request.get("CheckpointConfig", {}).get("S3Uri")
        if checkpoints and self._services.keys(checkpoints):
            self._services.download(checkpoints, root / "checkpoints")

    def _train(self, hosts: Sequence[str]) -> None:
        """Run the programs to the end of the job."""
        streams = [LogStream(self._services, LOG_GROUP, f"{self.name}/{host}-{int(time.time())}") for host in hosts]
        with self._lock:
            self._started = time.time()
            stopping = bool(self._stop_as)
            if not stopping:
                self._programs = [
                    Program(self._command, self._variables(host, hosts), self.folder / host, stream.write)
                    for host, stream in zip(hosts, streams, strict=True)
                ]
        if not stopping:
            self._move("InProgress", "Training")
        codes = self._watch()
        for stream in streams:
            stream.close()
        self._sync_checkpoints()
        self._finish(hosts, codes)

    def _variables(self, host: str, hosts: Sequence[str]) -> dict[str, str]:
        isolated = self.request.get("EnableNetworkIsolation", False)
        return {
            **({} if isolated else self._environment),
            **self.request.get("Environment", {}),
            "NCF_ML_ROOT": str(self.folder / host),
            "NCF_HOST_ADDRESSES": json.dumps(dict.fromkeys(hosts, "127.0.0.1")),
            "TRAINING_JOB_NAME": self.name,
            "TRAINING_JOB_ARN": self.arn,
        }

    def _watch(self) -> list[int]:
        """Wait for all hosts; a failing one, or the end of the time, ends the others."""
        limit = self.request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", 86_400)
        deadline = time.monotonic() + limit
        last_sync = time.monotonic()
        while any(program.running for program in self._programs):
            codes = [program.wait(0.05) for program in self._programs]
            if any(codes):
                self._end_programs("")
            if time.monotonic() > deadline and not self._stop_as:
                threading.Thread(target=self._end_programs, args=("MaxRuntimeExceeded",), daemon=True).start()
            if time.monotonic() - last_sync > _CHECKPOINT_SECONDS:
                self._sync_checkpoints()
                last_sync = time.monotonic()
        return [program.wait() or 0 for program in self._programs]

    def _end_programs(self, stop_as: str) -> None:
        """SIGTERM, then SIGKILL after the grace, to every host."""
        with self._lock:
            if stop_as and not self._stop_as and self._status not in _FINAL:
                self._stop_as = stop_as
            programs = list(self._programs)
        if stop_as and self._status not in _FINAL:
            self._move("Stopping", "Stopping")
        for program in programs:
            program.terminate()

        def kill() -> None:
            wait_until(lambda: not any(program.running for program in programs), self._grace)
            for program in programs:
                program.stop(0)

        threading.Thread(target=kill, daemon=True).start()

    def _sync_checkpoints(self) -> None:
        if checkpoints := self.request.get("CheckpointConfig", {}).get("S3Uri"):
            for root in sorted(self.folder.iterdir()):
                self._services.upload(root / "checkpoints", checkpoints)

    def _finish(self, hosts: Sequence[str], codes: Sequence[int]) -> None:
        failed = [(host, code) for host, code in zip(hosts, codes, strict=False) if code]
        if failed and not self._stop_as:
            written = [self.folder / host / "output" / "failure" for host in hosts]
            texts = [path.read_text(errors="replace")[:_REASON_CHARACTERS] for path in written if path.is_file()]
            text = texts[0] if texts else f"{failed[0][0]}: exit code {failed[0][1]}"
            self._move("Failed", "Failed", f"AlgorithmError: {text}")
            return
        if not self._stop_as:
            self._move("InProgress", "Uploading")
        self._upload(hosts)
        if self._stop_as:
            self._move("Stopped", self._stop_as)
        else:
            self._move("Completed", "Completed")

    def _model_uri(self) -> str:
        base = f"{self.request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{self.name}/output"
        plain = self.request["OutputDataConfig"].get("CompressionType") == "NONE"
        return f"{base}/model" if plain else f"{base}/model.tar.gz"

    def _upload(self, hosts: Sequence[str]) -> None:
        """The model of all hosts together, uncompressed or as one archive."""
        merged = self.folder / "model"
        for host in hosts:
            shutil.copytree(self.folder / host / "model", merged, dirs_exist_ok=True)
        uri = self._model_uri()
        if uri.endswith(".tar.gz"):
            self._services.upload_archive(merged, uri)
        else:
            self._services.upload(merged, uri)
        shutil.rmtree(merged)
