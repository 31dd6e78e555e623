"""The fleet of an endpoint config: the serving program behind an endpoint."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from components.local.aws.instances import Instances, Start
from components.local.aws.processes import wait_until
from components.local.aws.services import LogStream, Services

LOG_GROUP = "/aws/sagemaker/Endpoints"
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
INVOKE_SECONDS = 60.0
_PING_SECONDS, _LEAVE_SECONDS = 2.0, 30.0


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
        count: number of instances to report; None: as the variant says.
        capture: the endpoint config's ``DataCaptureConfig``.

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
    def is_serverless(self) -> bool:
        return "ServerlessConfig" in self.variant

    def summary(self) -> dict[str, Any]:
        """The variant as DescribeEndpoint shows it."""
        weight = self.variant.get("InitialVariantWeight", 1.0)
        shown = {"VariantName": self.variant["VariantName"], "CurrentWeight": weight, "DesiredWeight": weight}
        if self.is_serverless:
            return {**shown, "CurrentServerlessConfig": dict(self.variant["ServerlessConfig"])}
        return {**shown, "CurrentInstanceCount": self.count, "DesiredInstanceCount": self.count}

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

    def execution_parameters(self) -> dict[str, Any]:
        """What the container would like of a batch transform, if it says."""
        try:
            with _DIRECT.open(f"{self.address}/execution-parameters", timeout=_PING_SECONDS) as answer:
                content = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def invoke(
        self, body: bytes, headers: Mapping[str, str], seconds: float = INVOKE_SECONDS
    ) -> tuple[int, bytes, str]:
        """Status, body and content type of the container's answer."""
        request = urllib.request.Request(f"{self.address}/invocations", data=body, headers=dict(headers))
        try:
            with _DIRECT.open(request, timeout=seconds) as answer:
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
        self.close_log()
        self._instances.close_network(self._network)

    def close_log(self) -> None:
        """Send what is left of the program's lines."""
        self._stream.close()

    def leave(self) -> None:
        """Not start the process again when it ends."""
        with self._lock:
            self._leaving = True


def _new_folder(folder: Path) -> Path:
    """Make a folder; if there is one of that name, whose files may be in use, one with the next free number."""
    for number in itertools.count(1):
        candidate = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        with contextlib.suppress(FileExistsError):
            candidate.mkdir(parents=True)
            return candidate
    raise AssertionError
