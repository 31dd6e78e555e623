"""One endpoint: its states, and the serving program behind it."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ncf.localaws.errors import ApiError, invalid
from ncf.localaws.instances import Instances, Start
from ncf.localaws.processes import wait_until
from ncf.localaws.services import LogStream, Services

LOG_GROUP = "/aws/sagemaker/Endpoints"
MAX_BODY = 6 * 1024 * 1024
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_PING_SECONDS, _INVOKE_SECONDS, _LEAVE_SECONDS = 2.0, 60.0, 30.0


class Fleet:
    """A model being served: one instance, whatever the instance count.

    Args:
        variant: the production variant of the endpoint config.
        container: the model's primary container.
        folder: becomes its ``/opt/ml``; a number is added where that is taken.
        services: S3 and Logs.
        instances: run the image's ``serve`` program.
        log_group: of CloudWatch Logs.
        environment: leads its AWS clients to the stand-in; not given under network isolation.
        isolated: whether the program is cut off from the network.

    Raises:
        ApiError: if the image is not here, or the model's data cannot be had.
        OSError: if the program cannot be started.
    """

    def __init__(
        self,
        variant: Mapping[str, Any],
        container: Mapping[str, Any],
        folder: Path,
        services: Services,
        instances: Instances,
        log_group: str,
        environment: Mapping[str, str],
        isolated: bool,
    ) -> None:
        self.variant = variant
        instances.check(container["Image"])
        self._instances = instances
        self._port = instances.free_port()
        self._folder = _new_folder(folder)
        model = self._folder / "model"
        model.mkdir()
        if url := container.get("ModelDataUrl"):
            services.extract_archive(url, model)
        elif source := container.get("ModelDataSource", {}).get("S3DataSource"):
            if source.get("CompressionType", "None") == "None":
                services.download(source["S3Uri"], model)
            else:
                services.extract_archive(source["S3Uri"], model)
        variables = {**({} if isolated else environment), **container.get("Environment", {})}
        self._stream = LogStream(services, log_group, f"{variant['VariantName']}/i-{time.time_ns():x}")
        self._network = instances.open_network(self._folder.name, isolated)
        start = Start(
            container["Image"],
            "serve",
            self._folder,
            variables,
            self._stream.write,
            self._network,
            host=variant["VariantName"],
            port=self._port,
        )
        self._launch = partial(instances.start, start)
        self._lock = threading.Lock()
        self._leaving = False
        self._asked = 0
        self._answered = threading.Condition()
        try:
            self._program = self._launch()
        except OSError:
            self._stream.close()
            instances.close_network(self._network)
            raise

    @property
    def address(self) -> str:
        return f"http://{self._program.address}:{self._port}"

    def becomes_healthy(self, seconds: float) -> bool:
        """Whether ``/ping`` answers 200 within ``seconds``; from then on the process is started again if it ends."""
        healthy = False

        def settled() -> bool:
            nonlocal healthy
            healthy = self._program.running and self._ping()
            return healthy or not self._program.running

        wait_until(settled, seconds)
        if healthy:
            threading.Thread(target=self._restart_once, daemon=True, name=f"watch over {self._folder.name}").start()
        return healthy

    def _restart_once(self) -> None:
        self._program.wait()
        with self._lock, contextlib.suppress(OSError):
            if not self._leaving:
                self._stream.write(f"the container ended ({self._program.ending()}); it is started again")
                self._program = self._launch()

    def _ping(self) -> bool:
        try:
            with _DIRECT.open(f"{self.address}/ping", timeout=_PING_SECONDS) as answer:
                return bool(answer.status == 200)
        except (OSError, http.client.HTTPException):
            return False

    def last_lines(self) -> str:
        return " | ".join(list(self._program.last_lines)[-5:])

    def take_request(self) -> None:
        """Count a request that will be asked; :meth:`drain` waits for it until :meth:`invoke` has its answer."""
        with self._answered:
            self._asked += 1

    def drain(self, seconds: float) -> None:
        """Wait until every request that was taken is answered, or ``seconds`` have passed."""
        with self._answered:
            self._answered.wait_for(lambda: not self._asked, seconds)

    def invoke(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes, str]:
        """Status, body and content type of the container's answer."""
        request = urllib.request.Request(f"{self.address}/invocations", data=body, headers=dict(headers))
        try:
            with _DIRECT.open(request, timeout=_INVOKE_SECONDS) as answer:
                return answer.status, answer.read(), answer.headers.get("Content-Type", "")
        except urllib.error.HTTPError as error:
            return error.code, error.read(), error.headers.get("Content-Type", "")
        finally:
            with self._answered:
                self._asked -= 1
                self._answered.notify_all()

    def stop(self) -> None:
        self.leave()
        self._program.stop(_LEAVE_SECONDS)
        self._stream.close()
        self._instances.close_network(self._network)

    def leave(self) -> None:
        """Not start the process again when it ends."""
        with self._lock:
            self._leaving = True


class Endpoint:
    """An endpoint from its creation to its end.

    States: Creating, then InService or Failed; Updating, RollingBack, and InService again.

    Args:
        name: of the endpoint.
        arn: of the endpoint.
        start: starts the fleet of an endpoint config.
        start_seconds: how long ``/ping`` may take to turn healthy.
    """

    def __init__(self, name: str, arn: str, start: Callable[[str], Fleet], start_seconds: float) -> None:
        self.name, self.arn = name, arn
        self._start, self._start_seconds = start, start_seconds
        self._lock = threading.Lock()
        self._config, self._status, self._reason = "", "Creating", ""
        self._created = self._modified = time.time()
        self._fleet: Fleet | None = None
        self._coming: Fleet | None = None
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
        """Go over to an endpoint config in the background: CreateEndpoint and UpdateEndpoint.

        Raises:
            ApiError: if the endpoint is on its way to another one, or has failed.
        """
        with self._lock:
            if self._thread is not None and self._status != "InService":
                raise invalid(f'Cannot update endpoint "{self.arn}" in status {self._status}.')
            self._status = "Updating" if self._fleet else "Creating"
            self._config = self._config or config
            self._reason = ""
            self._modified = time.time()
            name = f"endpoint {self.name}"
            self._thread = threading.Thread(target=self._deploy, args=(config,), daemon=True, name=name)
            self._thread.start()

    def _deploy(self, config: str) -> None:
        """Blue/green: the old fleet serves until the new one is healthy, and for good if it never is."""
        fleet: Fleet | None = None
        try:
            self._coming = fleet = self._start(config)
            if not fleet.becomes_healthy(self._start_seconds):
                lines = fleet.last_lines()
                raise invalid(f"The primary container did not pass the ping health check. Last lines: {lines}")
        except Exception as error:  # whatever it is, the endpoint must not stay on its way for ever
            reason = error.message if isinstance(error, ApiError) else f"{type(error).__name__}: {error}"
            with self._lock:
                self._status = "RollingBack" if self._fleet else "Failed"
                self._reason, self._modified = reason, time.time()
            if fleet is not None:
                fleet.stop()
            if self._fleet:
                self._set("InService")
            return
        with self._lock:
            old, self._fleet, self._config = self._fleet, fleet, config
            closed = self._closed
        self._set("InService")
        if closed:
            fleet.stop()
        if old is not None:
            old.drain(_INVOKE_SECONDS)
            old.stop()

    def _set(self, status: str) -> None:
        with self._lock:
            self._status, self._modified = status, time.time()

    def invoke(self, body: bytes, headers: Mapping[str, str]) -> tuple[bytes, str, str]:
        """Body, content type and variant of the answer.

        Raises:
            ApiError: ModelError with the container's own status and message, or why it cannot be asked.
        """
        if len(body) > MAX_BODY:
            raise ApiError("ValidationError", f"Body of {len(body)} bytes; at most {MAX_BODY} are accepted.", 413)
        with self._lock:  # an update that takes over now waits for this request before it stops the old fleet
            fleet = self._fleet
            if fleet is None:
                raise ApiError("ValidationError", f"Endpoint {self.name} is in status {self._status}.")
            fleet.take_request()
        try:
            status, answer, content_type = fleet.invoke(body, headers)
        except (OSError, http.client.HTTPException) as error:
            raise ModelError(500, f"the container did not answer: {error}") from None
        if status >= 400:
            raise ModelError(status, answer.decode(errors="replace"))
        return answer, content_type, fleet.variant["VariantName"]

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
        """Serve no longer; programs are ended by who started them."""
        with self._lock:
            self._closed = True
            fleets = (self._fleet, self._coming)
        for fleet in fleets:
            if fleet is not None:
                fleet.leave()

    def delete(self) -> None:
        """DeleteEndpoint: stop what serves, and what was about to."""
        self.close()
        for fleet in (self._coming, self._fleet):
            if fleet is not None:
                fleet.stop()
        self.join(self._start_seconds)

    def join(self, seconds: float) -> None:
        if self._thread is not None:
            self._thread.join(seconds)


class ModelError(ApiError):
    """What the runtime answers when the container does not answer 2xx."""

    def __init__(self, status: int, message: str) -> None:
        side = "server" if status >= 500 else "client"
        super().__init__("ModelError", f'Received {side} error ({status}) from primary with message "{message}".', 424)
        self.original = {"OriginalStatusCode": status, "OriginalMessage": message}

    def body(self) -> bytes:
        return json.dumps({"Message": self.message, **self.original}).encode()


def _new_folder(folder: Path) -> Path:
    """Make a folder; if there is one of that name, whose files may be in use, one with the next free number."""
    for number in itertools.count(1):
        candidate = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        with contextlib.suppress(FileExistsError):
            candidate.mkdir(parents=True)
            return candidate
    raise AssertionError
