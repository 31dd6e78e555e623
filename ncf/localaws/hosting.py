"""One endpoint: its states, and the serving process behind it."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ncf.localaws.errors import ApiError
from ncf.localaws.processes import Program, wait_until
from ncf.localaws.services import LogStream, Services

LOG_GROUP = "/aws/sagemaker/Endpoints"
MAX_BODY = 6 * 1024 * 1024
_PING_SECONDS, _INVOKE_SECONDS, _LEAVE_SECONDS = 2.0, 60.0, 30.0


class Fleet:
    """A model being served: one process, whatever the instance count.

    Args:
        variant: the production variant of the endpoint config.
        container: the model's primary container.
        command: the image's ``serve`` program.
        folder: becomes its ``/opt/ml``.
        services: S3 and Logs.
        stream: log stream of the process.
        environment: leads its AWS clients to the stand-in; not given under network isolation.
    """

    def __init__(
        self,
        variant: Mapping[str, Any],
        container: Mapping[str, Any],
        command: Sequence[str],
        folder: Path,
        services: Services,
        stream: LogStream,
        environment: Mapping[str, str],
    ) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        model = folder / "model"
        model.mkdir(parents=True)
        if url := container.get("ModelDataUrl"):
            services.extract_archive(url, model)
        elif source := container.get("ModelDataSource", {}).get("S3DataSource"):
            if source.get("CompressionType", "None") == "None":
                services.download(source["S3Uri"], model)
            else:
                services.extract_archive(source["S3Uri"], model)
        self.variant = variant
        self.port = _free_port()
        self._stream = stream
        variables = {**environment, **container.get("Environment", {}), "NCF_ML_ROOT": str(folder)}
        self._program = Program(command, {**variables, "NCF_PORT": str(self.port)}, folder, stream.write)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def becomes_healthy(self, seconds: float) -> bool:
        """Whether ``/ping`` answers 200 within ``seconds``."""
        wait_until(lambda: not self._program.running or self._ping(), seconds)
        return self._program.running and self._ping()

    def _ping(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/ping", timeout=_PING_SECONDS) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def last_lines(self) -> str:
        return " | ".join(list(self._program.last_lines)[-5:])

    def invoke(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes, str]:
        """Status, body and content type of the container's answer."""
        request = urllib.request.Request(f"{self.address}/invocations", data=body, headers=dict(headers))
        try:
            with urllib.request.urlopen(request, timeout=_INVOKE_SECONDS) as answer:
                return answer.status, answer.read(), answer.headers.get("Content-Type", "")
        except urllib.error.HTTPError as error:
            return error.code, error.read(), error.headers.get("Content-Type", "")

    def stop(self) -> None:
        self._program.stop(_LEAVE_SECONDS)
        self._stream.close()


class Endpoint:
    """An endpoint from its creation to its end.

    States: Creating, then InService or Failed; Updating, RollingBack, and InService again.

    Args:
        name: of the endpoint.
        arn: of the endpoint.
        start: starts the fleet of an endpoint config; raises ApiError where that cannot be.
        start_seconds: how long ``/ping`` may take to turn healthy.
    """

    def __init__(self, name: str, arn: str, start: Any, start_seconds: float) -> None:
        self.name, self.arn = name, arn
        self._start, self._start_seconds = start, start_seconds
        self._lock = threading.Lock()
        self._config, self._status, self._reason = "", "Creating", ""
        self._created = self._modified = time.time()
        self._fleet: Fleet | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def status(self) -> str:
        return self._status

    @property
    def address(self) -> str:
        if self._fleet is None:
            raise ApiError("ValidationError", f"Endpoint {self.name} has no running container.")
        return self._fleet.address

    def deploy(self, config: str) -> None:
        """Go over to an endpoint config in the background: CreateEndpoint and UpdateEndpoint."""
        with self._lock:
            self._status = "Updating" if self._fleet else "Creating"
            self._config = self._config or config
            self._reason = ""
            self._modified = time.time()
        self._thread = threading.Thread(target=self._deploy, args=(config,), daemon=True, name=f"endpoint {self.name}")
        self._thread.start()

    def _deploy(self, config: str) -> None:
        """Blue/green: the old fleet serves until the new one is healthy, and for good if it never is."""
        fleet: Fleet | None = None
        try:
            fleet = self._start(config)
            if not fleet.becomes_healthy(self._start_seconds):
                lines = fleet.last_lines()
                raise ApiError("", f"The primary container did not pass the ping health check. Last lines: {lines}")
        except ApiError as error:
            if fleet is not None:
                fleet.stop()
            with self._lock:
                self._status = "RollingBack" if self._fleet else "Failed"
                self._reason, self._modified = error.message, time.time()
            if self._fleet:
                self._set("InService")
            return
        with self._lock:
            old, self._fleet, self._config = self._fleet, fleet, config
            closed = self._closed
        self._set("InService")
        if old is not None:
            old.stop()
        if closed:
            fleet.stop()

    def _set(self, status: str) -> None:
        with self._lock:
            self._status, self._modified = status, time.time()

    def invoke(self, body: bytes, headers: Mapping[str, str]) -> tuple[bytes, str, str]:
        """Body, content type and variant of the answer.

        Raises:
            ApiError: ModelError with the container's own status and message, or why it cannot be asked.
        """
        if self._fleet is None:
            raise ApiError("ValidationError", f"Endpoint {self.name} is in status {self._status}.")
        if len(body) > MAX_BODY:
            raise ApiError("ValidationError", f"Body of {len(body)} bytes; at most {MAX_BODY} are accepted.", 413)
        try:
            status, answer, content_type = self._fleet.invoke(body, headers)
        except OSError as error:
            raise ApiError("ModelError", f"The container did not answer: {error}", 424) from None
        if status >= 400:
            raise ModelError(status, answer.decode(errors="replace"))
        return answer, content_type, self._fleet.variant["VariantName"]

    def describe(self) -> dict[str, Any]:
        """The answer of DescribeEndpoint."""
        with self._lock:
            answer: dict[str, Any] = {
                "EndpointName": self.name,
                "EndpointArn": self.arn,
                "EndpointConfigName": self._config,
                "EndpointStatus": self._status,
                "CreationTime": self._created,
                "LastModifiedTime": self._modified,
            }
            if self._reason:
                answer["FailureReason"] = self._reason
            if self._fleet:
                variant = self._fleet.variant
                count = variant.get("InitialInstanceCount", 1)
                answer["ProductionVariants"] = [
                    {
                        "VariantName": variant["VariantName"],
                        "CurrentWeight": variant.get("InitialVariantWeight", 1.0),
                        "DesiredWeight": variant.get("InitialVariantWeight", 1.0),
                        "CurrentInstanceCount": count,
                        "DesiredInstanceCount": count,
                    }
                ]
        return answer

    def close(self) -> None:
        """Stop what serves."""
        with self._lock:
            self._closed = True
            fleet = self._fleet
        if fleet is not None:
            fleet.stop()
        if self._thread is not None:
            self._thread.join(self._start_seconds)


class ModelError(ApiError):
    """What the runtime answers when the container does not answer 2xx."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__("ModelError", f'Received client error ({status}) from primary with message "{message}".', 424)
        self.original = {"OriginalStatusCode": status, "OriginalMessage": message}

    def body(self) -> bytes:
        return json.dumps({"Message": self.message, **self.original}).encode()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
