"""The fleet of an endpoint: the serving program of an endpoint config."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import secrets
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from components.local.aws.instances import Instances, Start
from components.local.aws.multi_model import TARGET_HEADER, VARIABLE, Answer, Models, RefusedLoadError, is_multi_model
from components.local.aws.processes import wait_until
from components.local.aws.services import LogStream, Services

LOG_GROUP = "/aws/sagemaker/Endpoints"
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
INVOKE_SECONDS = 60.0
_PING_SECONDS, _LEAVE_SECONDS = 2.0, 30.0


class Fleet:
    """A served model. It has one instance, whatever the instance count.

    Args:
        variant: production variant of the endpoint config.
        container: primary container of the model.
        folder: folder for ``/opt/ml``; a number is appended if it exists.
        services: clients of S3 and CloudWatch Logs.
        instances: instances for the ``serve`` program of the image.
        log_group: log group in CloudWatch Logs.
        environment: variables that direct AWS clients to the stand-in; not set under network isolation.
        isolated: whether the program runs under network isolation.
        count: number of instances to report; None: the variant's.
        capture: ``DataCaptureConfig`` of the endpoint config.

    Raises:
        ApiError: if the image is not on this machine, or the model data cannot be read.
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
        count: int | None = None,
        capture: Mapping[str, Any] | None = None,
    ) -> None:
        self.variant = variant
        self.count = count or variant.get("InitialInstanceCount", 1)
        self.capture = capture or {}
        instances.check(container["Image"])
        self._instances = instances
        self._port = instances.free_port()
        self._folder = _new_folder(folder)
        model = self._folder / "model"
        model.mkdir()
        self._models: Models | None = None
        if is_multi_model(container):
            visible = instances.ml_root(self._folder) / "models"
            self._models = Models(container["ModelDataUrl"], self._folder / "models", visible, services, self._send)
        elif url := container.get("ModelDataUrl"):
            services.extract_archive(url, model)
        elif source := container.get("ModelDataSource", {}).get("S3DataSource"):
            if source.get("CompressionType", "None") == "None":
                services.download(source["S3Uri"], model)
            else:
                services.extract_archive(source["S3Uri"], model)
        variables = {**({} if isolated else environment), **container.get("Environment", {})}
        variables |= {VARIABLE: "true"} if self._models else {}
        self._stream = LogStream(services, log_group, f"{variant['VariantName']}/i-{secrets.token_hex(9)[1:]}")
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
    def is_serverless(self) -> bool:
        return "ServerlessConfig" in self.variant

    @property
    def is_multi_model(self) -> bool:
        return self._models is not None

    def summary(self, weight: float) -> dict[str, Any]:
        """The variant in the answer of DescribeEndpoint."""
        shown = {"VariantName": self.variant["VariantName"], "CurrentWeight": weight, "DesiredWeight": weight}
        if self.is_serverless:
            return {**shown, "CurrentServerlessConfig": dict(self.variant["ServerlessConfig"])}
        return {**shown, "CurrentInstanceCount": self.count, "DesiredInstanceCount": self.count}

    @property
    def address(self) -> str:
        return f"http://{self._program.address}:{self._port}"

    def becomes_healthy(self, seconds: float) -> bool:
        """Wait for status 200 of ``/ping``. A healthy program is restarted once if it ends.

        Args:
            seconds: timeout.

        Returns:
            Whether the program became healthy.
        """
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
                self._stream.write(f"the container ended ({self._program.ending()}); it is restarted")
                self._program = self._launch()
                if self._models:
                    self._models.forget()

    def _ping(self) -> bool:
        try:
            with _DIRECT.open(f"{self.address}/ping", timeout=_PING_SECONDS) as answer:
                return bool(answer.status == 200)
        except (OSError, http.client.HTTPException):
            return False

    def last_lines(self) -> str:
        return " | ".join(list(self._program.last_lines)[-5:])

    def take_request(self) -> None:
        """Register a request. :meth:`drain` waits until :meth:`invoke` has answered it."""
        with self._answered:
            self._asked += 1

    def drain(self, seconds: float) -> None:
        """Wait until all registered requests are answered, at most ``seconds``."""
        with self._answered:
            self._answered.wait_for(lambda: not self._asked, seconds)

    def execution_parameters(self) -> dict[str, Any]:
        """Settings of batch transform from the container's ``/execution-parameters``; empty if it has none."""
        try:
            with _DIRECT.open(f"{self.address}/execution-parameters", timeout=_PING_SECONDS) as answer:
                content = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def invoke(
        self, body: bytes, headers: Mapping[str, str], target: str = "", seconds: float = INVOKE_SECONDS
    ) -> Answer:
        """Send a registered request to the container.

        Args:
            body: of the request.
            headers: of the request.
            target: model of a multi-model endpoint; '' for others.
            seconds: timeout.

        Returns:
            Answer of the container, to the request or to the load of the model.

        Raises:
            ApiError: if the target has no archive.
        """
        try:
            if self._models is None:
                return self._send("POST", "/invocations", body, headers, seconds)
            with self._models.loaded(target) as name:
                headers = {**headers, TARGET_HEADER: target}
                return self._send("POST", f"/models/{name}/invoke", body, headers, seconds)
        except RefusedLoadError as error:
            return error.answer
        finally:
            with self._answered:
                self._asked -= 1
                self._answered.notify_all()

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str] = MappingProxyType({}),
        seconds: float = INVOKE_SECONDS,
    ) -> Answer:
        request = urllib.request.Request(f"{self.address}{path}", body, dict(headers), method=method)
        try:
            with _DIRECT.open(request, timeout=seconds) as answer:
                return answer.status, answer.read(), answer.headers.get("Content-Type", "")
        except urllib.error.HTTPError as error:
            return error.code, error.read(), error.headers.get("Content-Type", "")

    def stop(self) -> None:
        self.leave()
        self._program.stop(_LEAVE_SECONDS)
        self.close_log()
        self._instances.close_network(self._network)

    def close_log(self) -> None:
        """Send the remaining lines of output."""
        self._stream.close()

    def leave(self) -> None:
        """Disable the restart of the program."""
        with self._lock:
            self._leaving = True


def _new_folder(folder: Path) -> Path:
    """Create a folder. If it exists, its files may be in use: the next free number is appended to the name."""
    for number in itertools.count(1):
        candidate = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        with contextlib.suppress(FileExistsError):
            candidate.mkdir(parents=True)
            return candidate
    raise AssertionError
