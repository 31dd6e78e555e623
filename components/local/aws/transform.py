"""A batch transform job: a temporary fleet, which processes the input one S3 object at a time.

https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform.html
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-batch-code.html
"""

from __future__ import annotations

import gzip
import http.client
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from components.local.aws.errors import ApiError, invalid
from components.local.aws.faults import Faults
from components.local.aws.fleet import Fleet
from components.local.aws.jobs import FINAL, Job
from components.local.aws.services import Services
from ncf.storage import split_uri

LOG_GROUP = "/aws/sagemaker/TransformJobs"
_MEGABYTE = 1 << 20
_MAX_MEGABYTES = 100  # of a payload, and of all concurrent payloads
_MAX_CONCURRENT = 100
_STRATEGIES = {"SingleRecord": "SINGLE_RECORD", "MultiRecord": "MULTI_RECORD"}
"""Names of a strategy in the API, and in containers."""
_VARIABLES = {
    "MaxConcurrentTransforms": "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS",
    "MaxPayloadInMB": "SAGEMAKER_MAX_PAYLOAD_IN_MB",
    "BatchStrategy": "SAGEMAKER_BATCH_STRATEGY",
}
_USUAL = {"MaxConcurrentTransforms": 1, "MaxPayloadInMB": 6, "BatchStrategy": "MULTI_RECORD"}
_RETRIES, _SECONDS = 3, 600
_LOOK_SECONDS = 0.05


class TransformJob(Job):
    """A batch transform job.

    States: InProgress, then Completed or Failed; Stopping and Stopped after a stop request. The output of an object
    appears after all of it is transformed. Each instance transforms every n-th object, one at a time. Filters and joins
    of records and manifest files are not supported.

    Args:
        request: request of CreateTransformJob.
        arn: ARN of the job.
        serve: function that starts a fleet of one instance, given variables in addition to those of the container.
        start_seconds: timeout of the first successful ``/ping``, in seconds.
        services: client of S3.
        faults: faults to inject; the only state of the job for them is InProgress.

    Raises:
        ApiError: if the request is invalid or not supported.
    """

    kind, words = "TransformJob", "transform job"

    def __init__(
        self,
        request: Mapping[str, Any],
        arn: str,
        serve: Callable[[Mapping[str, str]], Fleet],
        start_seconds: float,
        services: Services,
        faults: Faults,
    ) -> None:
        super().__init__(request, arn)
        self._serve, self._start_seconds = serve, start_seconds
        self._services, self._faults = services, faults
        _check(request)
        self._began = self._ended = 0.0
        self._stopping = False

    def _stop(self) -> bool:
        with self._lock:
            if self._status in FINAL:
                return False
            self._status, self._stopping = "Stopping", True
        return True

    def close(self) -> None:
        self._stopping = True

    def describe(self) -> dict[str, Any]:
        with self._lock:
            answer = {key: value for key, value in self.request.items() if key != "Tags"} | {
                "TransformJobArn": self.arn,
                "TransformJobStatus": self._status,
                "CreationTime": self._created,
            }
            more = {"FailureReason": self._reason, "TransformStartTime": self._began, "TransformEndTime": self._ended}
            return answer | {key: value for key, value in more.items() if value}

    def summary(self) -> dict[str, Any]:
        keys = ("TransformJobName", "TransformJobArn", "CreationTime", "TransformEndTime", "TransformJobStatus")
        answer = self.describe()
        return {key: answer[key] for key in (*keys, "FailureReason") if key in answer}

    def _run(self) -> None:
        fleets: list[Fleet] = []
        status, reason = "Completed", ""
        try:
            if held := self._faults.take("hold", self.name, "InProgress"):
                self._sleep(held.seconds)
            if failing := self._faults.take("fail", self.name, "InProgress"):
                raise _FailedError(failing.reason)
            if not self._stopping:
                count = self.request["TransformResources"]["InstanceCount"]
                fleets.extend(self._serve(self._variables()) for _ in range(count))
                for fleet in fleets:
                    if not fleet.becomes_healthy(self._start_seconds):
                        raise _FailedError(
                            "ClientError: the container did not pass the ping health check. Last lines: "
                            f"{fleet.last_lines()}"
                        )
                self._began = time.time()
                self._transform(fleets)
        except _FailedError as error:
            status, reason = "Failed", str(error)
        except ApiError as error:
            status, reason = "Failed", f"ClientError: {error.message}"
        except Exception as error:
            status, reason = "Failed", f"InternalServerError: {error!r}"
        for fleet in fleets:
            fleet.stop()
        with self._lock:
            stopped = self._stopping
            self._status, self._reason = ("Stopped", "") if stopped else (status, reason)
            self._ended = time.time()

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._stopping:
            time.sleep(_LOOK_SECONDS)

    def _variables(self) -> dict[str, str]:
        """Variables of the job, and the settings of batch transform that the request has."""
        asked = {_VARIABLES[key]: str(value) for key, value in _asked(self.request).items()}
        return {**self.request.get("Environment", {}), "SAGEMAKER_BATCH": "true", **asked}

    def _transform(self, fleets: Sequence[Fleet]) -> None:
        """Transform all objects, and write the output of each to S3 under its name. Instances share the objects.

        Raises:
            _FailedError: with a reason in SageMaker's form.
        """
        chosen = _chosen(_asked(self.request), fleets[0].execution_parameters())
        source = self.request["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
        keys = [key for key in self._services.keys(source) if not key.endswith("/")]
        if not keys:
            raise _FailedError(f"ClientError: No S3 objects found under S3 URL {source!r}")
        bucket, prefix = split_uri(source)
        folder = f"{prefix}/" if source.endswith("/") and prefix else prefix[: prefix.rfind("/") + 1]

        def work(index: int) -> None:
            for key in keys[index :: len(fleets)]:
                content = self._services.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
                answers = self._answers(fleets[index], key, content, chosen)
                if self._stopping:
                    return
                target, path = split_uri(self.request["TransformOutput"]["S3OutputPath"])
                name = f"{path}/{key[len(folder) :]}.out".lstrip("/")
                self._services.s3.put_object(Bucket=target, Key=name, Body=answers)

        with ThreadPoolExecutor(len(fleets)) as pool:
            list(pool.map(work, range(len(fleets))))

    def _answers(self, fleet: Fleet, key: str, content: bytes, chosen: Mapping[str, Any]) -> bytes:
        """Output of one object, assembled from the answers of the container."""
        given = self.request["TransformInput"]
        if given.get("CompressionType", "None") == "Gzip":
            try:
                content = gzip.decompress(content)
            except (OSError, EOFError, zlib.error) as error:
                raise _FailedError(f"ClientError: {key}: cannot be unpacked as gzip: {error}") from None
        limit = chosen["MaxPayloadInMB"] * _MEGABYTE or len(content)
        headers = {"Content-Type": given.get("ContentType", "application/octet-stream")}
        if accept := self.request["TransformOutput"].get("Accept"):
            headers["Accept"] = accept
        by_line = given.get("SplitType", "None") == "Line"
        payloads = _payloads(key, content, limit, chosen["BatchStrategy"]) if by_line else _whole(key, content, limit)
        with ThreadPoolExecutor(chosen["MaxConcurrentTransforms"]) as pool:
            answers = list(pool.map(lambda payload: self._ask(fleet, key, payload, headers), payloads))
        if self.request["TransformOutput"].get("AssembleWith", "None") == "Line":
            answers = [answer if answer.endswith(b"\n") else answer + b"\n" for answer in answers]
        return b"".join(answers)

    def _ask(self, fleet: Fleet, key: str, payload: bytes, headers: Mapping[str, str]) -> bytes:
        client = self.request.get("ModelClientConfig", {})
        retries = client.get("InvocationsMaxRetries", _RETRIES)
        seconds = client.get("InvocationsTimeoutInSeconds", _SECONDS)
        said = ""
        for _ in range(1 + retries):
            if self._stopping:
                return b""
            fleet.take_request()
            try:
                status, answer, _ = fleet.invoke(payload, headers, seconds=seconds)
            except (OSError, http.client.HTTPException) as error:
                said = f"the container did not answer: {error}"
                continue
            if status < 400:
                return answer
            said = f"status {status}: {answer.decode(errors='replace')[:200]}"
            if status < 500:
                break
        raise _FailedError(f"AlgorithmError: {key}: Bad HTTP status received from algorithm: {said}")


class _FailedError(Exception):
    """SageMaker's reason of a job's failure."""


def _check(request: Mapping[str, Any]) -> None:
    """Check a request.

    Raises:
        ApiError: for requests that SageMaker refuses, or this stand-in does not support.
    """
    # the container chooses settings that the request omits
    if reason := _too_much({"MaxPayloadInMB": 0, "MaxConcurrentTransforms": 1, **_asked(request)}):
        raise invalid(reason)
    given = request["TransformInput"]
    unknown = {
        "S3DataType": given["DataSource"]["S3DataSource"]["S3DataType"] != "S3Prefix",
        "SplitType": given.get("SplitType", "None") not in ("None", "Line"),
        "DataProcessing": any(
            request.get("DataProcessing", {}).get(key, usual) != usual
            for key, usual in (("InputFilter", "$"), ("OutputFilter", "$"), ("JoinSource", "None"))
        ),
    }
    if named := [name for name, is_there in unknown.items() if is_there]:
        raise invalid(f"This stand-in does not support the requested {', '.join(named)}")


def _asked(request: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in a request, by the keys of ``_USUAL``, with containers' names of strategies.

    A MaxConcurrentTransforms of 0 counts as omitted.
    """
    asked = {key: request[key] for key in _USUAL if key in request}
    if "BatchStrategy" in asked:
        asked["BatchStrategy"] = _STRATEGIES[asked["BatchStrategy"]]
    return {key: value for key, value in asked.items() if key != "MaxConcurrentTransforms" or value}


def _chosen(asked: Mapping[str, Any], wished: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a job: those of its request, else those of the container, else the defaults.

    Args:
        asked: settings of the request.
        wished: execution parameters of the container.

    Raises:
        _FailedError: if an execution parameter is invalid, or the concurrent payloads are too large.
    """
    accepted: dict[str, tuple[Callable[[Any], bool], str]] = {
        "MaxConcurrentTransforms": (lambda value: type(value) is int and 1 <= value <= _MAX_CONCURRENT, "1 to 100"),
        "MaxPayloadInMB": (lambda value: type(value) is int and value >= 0, "0 or more"),
        "BatchStrategy": (lambda value: value in _STRATEGIES.values(), " or ".join(_STRATEGIES.values())),
    }
    for key, (accepts, expected) in accepted.items():
        if key in wished and not accepts(wished[key]):
            raise _FailedError(
                f"ClientError: /execution-parameters of the container has {wished[key]!r} as {key}; expected {expected}"
            )
    chosen = {key: {**_USUAL, **wished, **asked}[key] for key in _USUAL}
    if reason := _too_much(chosen):
        raise _FailedError(f"ClientError: {reason}")
    return chosen


def _too_much(chosen: Mapping[str, Any]) -> str:
    """Reason to refuse the size of concurrent payloads; '' for none."""
    concurrent, megabytes = chosen["MaxConcurrentTransforms"], chosen["MaxPayloadInMB"]
    if concurrent * megabytes <= _MAX_MEGABYTES:
        return ""
    return f"MaxConcurrentTransforms * MaxPayloadInMB is {concurrent} * {megabytes}; at most {_MAX_MEGABYTES} MB"


def _payloads(key: str, content: bytes, limit: int, strategy: str) -> Iterator[bytes]:
    """Payloads of one line or, with MULTI_RECORD, as many lines as fit.

    Args:
        key: key of the object, for messages.
        content: content of the object.
        limit: maximum size of a payload, in bytes.
        strategy: SINGLE_RECORD or MULTI_RECORD.

    Raises:
        _FailedError: if a line does not fit.
    """
    batch: list[bytes] = []
    size = 0
    for line in content.split(b"\n"):
        if not line.strip(b"\r"):
            continue
        if len(line) > limit:
            raise _FailedError(f"ClientError: {key}: a record of {len(line)} bytes exceeds MaxPayloadInMB")
        if batch and (strategy == "SINGLE_RECORD" or size + len(line) + 1 > limit):
            yield b"\n".join(batch)
            batch, size = [], 0
        batch.append(line)
        size += len(line) + 1
    if batch:
        yield b"\n".join(batch)


def _whole(key: str, content: bytes, limit: int) -> Iterator[bytes]:
    if len(content) > limit:
        raise _FailedError(f"ClientError: {key}: {len(content)} bytes exceed MaxPayloadInMB, and SplitType is None")
    yield content
