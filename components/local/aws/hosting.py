"""An endpoint: its states, traffic shifting to a new fleet, and automatic rollback."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from components.local.aws import capture
from components.local.aws.alarms import Alarms, EndpointMetrics
from components.local.aws.errors import ApiError, invalid
from components.local.aws.faults import Faults
from components.local.aws.fleet import INVOKE_SECONDS, Fleet
from components.local.aws.multi_model import check_target
from components.local.aws.published import Publisher
from components.local.aws.services import Services
from components.local.aws.traffic import Deployment
from components.local.aws.variants import Variants

MAX_BODY, MAX_SERVERLESS_BODY = 6 * 1024 * 1024, 4 * 1024 * 1024
_LOOK_SECONDS = 0.1
_IN_PROGRESS = ("Creating", "Updating", "RollingBack")


class _RolledBackError(Exception):
    """Reason of a rollback."""


class Endpoint:
    """An endpoint.

    States: Creating, then InService or Failed; Updating, RollingBack, and InService again.

    Args:
        name: name of the endpoint.
        arn: ARN of the endpoint.
        start: function that starts the fleets of an endpoint config, given numbers of instances by variant, in place of
            the config's.
        start_seconds: timeout of the first successful ``/ping``, in seconds.
        services: clients of CloudWatch (alarms) and S3 (captured data).
        faults: faults to inject.
    """

    def __init__(
        self,
        name: str,
        arn: str,
        start: Callable[[str, Mapping[str, int]], Variants],
        start_seconds: float,
        services: Services,
        faults: Faults,
    ) -> None:
        self.name, self.arn = name, arn
        self._start, self._start_seconds = start, start_seconds
        self._services, self._faults = services, faults
        self._lock = threading.Lock()
        self._config, self._status, self._reason = "", "Creating", ""
        self._pending: dict[str, Any] = {}
        self._before: dict[str, Any] | None = None
        self._created = self._modified = time.time()
        self._fleet: Variants | None = None
        self._coming: Variants | None = None
        self._coming_share = self._credit = self._capture_credit = 0.0
        self._deployment = Deployment(None)
        self._metrics, self._publisher = EndpointMetrics(), Publisher(name)
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def status(self) -> str:
        return self._status

    @property
    def config(self) -> str:
        return self._config

    @property
    def variant(self) -> Mapping[str, Any] | None:
        """First variant in service; None if there is none."""
        return self._fleet.first.variant if self._fleet else None

    @property
    def variant_names(self) -> list[str]:
        """Names of the variants in service."""
        return list(self._fleet.counts()) if self._fleet else []

    @property
    def address(self) -> str:
        if self._fleet is None:
            raise ApiError("ValidationError", f"Endpoint {self.name} has no running container.")
        return self._fleet.first.address

    def deploy(self, config: str, deployment: Mapping[str, Any] | None = None, keep_properties: bool = False) -> None:
        """Deploy an endpoint config in the background: CreateEndpoint and UpdateEndpoint.

        Args:
            config: name of the endpoint config.
            deployment: ``DeploymentConfig`` of the request.
            keep_properties: whether to keep the number of instances, whatever the config.

        Raises:
            ApiError: if another deployment is in progress, or the endpoint has failed.
        """
        with self._lock:
            if self._thread is not None and self._status != "InService":
                raise self._in_progress()
            plan = Deployment(deployment)
            alarms = Alarms(self._services, plan.alarm_names)
            self._before = self._described() if self._thread else None
            counts = self._fleet.counts() if self._fleet and keep_properties else {}
            self._status = "Updating" if self._fleet else "Creating"
            self._config = self._config or config
            self._reason = ""
            self._modified = time.time()
            self._pending = {"EndpointConfigName": config, "StartTime": self._modified}
            name = f"endpoint {self.name}"
            arguments = (config, plan, alarms, counts)
            self._thread = threading.Thread(target=self._deploy, args=arguments, daemon=True, name=name)
            self._thread.start()

    def _deploy(self, config: str, plan: Deployment, alarms: Alarms, counts: Mapping[str, int]) -> None:
        """Blue/green deployment: the old fleet serves until traffic is shifted to a healthy new fleet."""
        fleet: Variants | None = None
        try:
            self._meet_faults()
            fleet = self._start(config, counts)
            with self._lock:
                self._coming, self._coming_share = fleet, 0.0
            if not fleet.becomes_healthy(self._start_seconds):
                lines = fleet.last_lines()
                raise invalid(f"The primary container did not pass the ping health check. Last lines: {lines}")
            if self._fleet is not None:
                self._shift(plan, alarms)
        except Exception as error:  # after any error, the endpoint must leave its transient state
            self._go_back(fleet, error)
            return
        with self._lock:
            old, self._fleet, self._config = self._fleet, fleet, config
            self._coming, self._coming_share, self._deployment = None, 0.0, plan
            closed = self._closed
        if old is not None:
            self._pass_time(plan.termination_seconds)
        self._set("InService")
        if closed:
            fleet.stop()
        if old is not None:
            old.drain(INVOKE_SECONDS)
            old.stop()

    def _meet_faults(self) -> None:
        if held := self._faults.take("hold", self.name, self._status):
            self._pass_time(held.seconds)
        if failing := self._faults.take("fail", self.name, self._status):
            raise _RolledBackError(failing.reason)

    def _shift(self, plan: Deployment, alarms: Alarms) -> None:
        """Shift traffic to the new fleet in steps.

        Raises:
            _RolledBackError: if an alarm fires.
        """
        since = time.time()
        if firing := alarms.firing(self._metrics, since):
            raise _RolledBackError(f"Alarm in state ALARM before traffic was shifted: {firing}")
        for share in plan.shares:
            with self._lock:
                self._coming_share = share
            for name in alarms.names:
                if fault := self._faults.take("alarm", name, "Updating"):
                    alarms.raise_one(name, fault.seconds)
            until = time.monotonic() + plan.bake_seconds
            while True:
                if firing := alarms.firing(self._metrics, since):
                    raise _RolledBackError(f"Alarm fired while {share:.0%} of the traffic were shifted: {firing}")
                if time.monotonic() >= until or self._closed:
                    break
                time.sleep(_LOOK_SECONDS)

    def _go_back(self, fleet: Variants | None, error: Exception) -> None:
        is_expected = isinstance(error, (ApiError, _RolledBackError))
        reason = str(error) if is_expected else f"{type(error).__name__}: {error}"
        with self._lock:
            self._status = "RollingBack" if self._fleet else "Failed"
            self._reason, self._modified = reason, time.time()
            self._coming, self._coming_share = None, 0.0
        if fleet is not None:
            fleet.drain(INVOKE_SECONDS)
            fleet.stop()
        if self._fleet:
            self._set("InService")

    def _pass_time(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._closed:
            time.sleep(_LOOK_SECONDS)

    def _set(self, status: str) -> None:
        with self._lock:
            self._status, self._modified = status, time.time()

    def change(self, wanted: Sequence[Mapping[str, Any]]) -> None:
        """Set weights and numbers of instances: UpdateEndpointWeightsAndCapacities and autoscaling."""
        with self._lock:
            if self._fleet is None or self._status != "InService":
                raise self._in_progress()
            self._fleet.change(wanted)

    def invoke(
        self, body: bytes, headers: Mapping[str, str], target: str = "", model: str = ""
    ) -> tuple[bytes, str, str]:
        """Send a request to the container of a fleet.

        Args:
            body: of the request.
            headers: of the request.
            target: ``TargetVariant``; '' for any variant.
            model: ``TargetModel`` of a multi-model endpoint; '' for others.

        Returns:
            Body, content type and variant of the answer.

        Raises:
            ModelError: with status and message of the container.
            ApiError: if the endpoint is not in service or has no such variant or model, or the body is too large.
        """
        with self._lock:  # so that an update waits for this request before it stops the old fleet
            variants = self._chosen()
            if variants is None:
                raise ApiError("ValidationError", f"Endpoint {self.name} is in status {self._status}.")
            fleet = variants.take(target)
            check_target(self.name, fleet.is_multi_model, model)
            limit = MAX_SERVERLESS_BODY if fleet.is_serverless else MAX_BODY
            if len(body) > limit:
                raise ApiError("ValidationError", f"Body of {len(body)} bytes; at most {limit} are accepted.", 413)
            fleet.take_request()
        began = time.perf_counter()
        try:
            status, answer, content_type = fleet.invoke(body, headers, model)
        except (OSError, http.client.HTTPException) as error:
            self._measured(fleet, 500, time.perf_counter() - began)
            raise ModelError(500, f"the container did not answer: {error}") from None
        self._measured(fleet, status, time.perf_counter() - began)
        if status >= 400:
            raise ModelError(status, answer.decode(errors="replace"))
        self._capture(fleet, (body, headers.get("Content-Type", "")), (answer, content_type))
        return answer, content_type, fleet.variant["VariantName"]

    def _measured(self, fleet: Fleet, status: int, seconds: float) -> None:
        self._metrics.add(status, seconds)
        self._publisher.add(time.time(), fleet.variant["VariantName"], status, seconds)

    def publish_metrics(self) -> None:
        """Tell CloudWatch what was measured since the last call."""
        self._publisher.publish(self._services)

    def _chosen(self) -> Variants | None:
        """The fleets of the next request, according to the new fleet's share of the traffic."""
        self._credit += self._coming_share
        if self._coming is not None and self._credit >= 1 - 1e-9:
            self._credit -= 1
            return self._coming
        return self._fleet

    def _capture(self, fleet: Fleet, asked: capture.Side, answered: capture.Side) -> None:
        """Write a request and its answer to S3, at the sampling percentage of the data capture."""
        settings = fleet.capture
        if not settings.get("EnableCapture"):
            return
        with self._lock:
            self._capture_credit += settings["InitialSamplingPercentage"] / 100
            if self._capture_credit < 1 - 1e-9:
                return
            self._capture_credit -= 1
        capture.write_record(
            self._services, settings, self.name, fleet.variant["VariantName"], asked=asked, answered=answered
        )

    def describe(self) -> dict[str, Any]:
        """The answer of DescribeEndpoint."""
        with self._lock:
            return self._described()

    def describe_late(self) -> dict[str, Any] | None:
        """The answer of an eventually consistent read during a deployment: the one before; None for a new endpoint."""
        with self._lock:
            return self._before

    @property
    def is_in_progress(self) -> bool:
        """Whether the endpoint can neither be updated nor deleted."""
        return self._status in _IN_PROGRESS

    def check_settled(self) -> None:
        """
        Raises:
            ApiError: if a deployment is in progress.
        """
        with self._lock:
            if self.is_in_progress:
                raise self._in_progress()

    def _in_progress(self) -> ApiError:
        return invalid(f'Cannot update in-progress endpoint "{self.arn}".')

    def _described(self) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "EndpointName": self.name,
            "EndpointArn": self.arn,
            "EndpointConfigName": self._config,
            "EndpointStatus": self._status,
            "CreationTime": self._created,
            "LastModifiedTime": self._modified,
        }
        if self._status in ("Creating", "Updating"):
            answer["PendingDeploymentSummary"] = self._pending
        if self._reason:
            answer["FailureReason"] = self._reason
        if self._deployment.config:
            answer["LastDeploymentConfig"] = self._deployment.config
        if self._fleet:
            answer["ProductionVariants"] = self._fleet.summary()
            if settings := self._fleet.first.capture:
                answer["DataCaptureConfig"] = capture.describe(settings)
        return answer

    def close(self) -> None:
        """Stop serving. The instances end the programs."""
        with self._lock:
            self._closed = True
            fleets = (self._fleet, self._coming)
        for fleet in fleets:
            if fleet is not None:
                fleet.leave()

    def delete(self) -> None:
        """Stop all fleets: DeleteEndpoint."""
        self.close()
        for fleet in (self._coming, self._fleet):
            if fleet is not None:
                fleet.stop()
        self.join(self._start_seconds)

    def join(self, seconds: float) -> None:
        if self._thread is not None:
            self._thread.join(seconds)
        for fleet in (self._fleet, self._coming):
            if fleet is not None:
                fleet.close_log()


class ModelError(ApiError):
    """Answer of the runtime if the container does not answer with status 2xx."""

    def __init__(self, status: int, message: str) -> None:
        side = "server" if status >= 500 else "client"
        super().__init__("ModelError", f'Received {side} error ({status}) from primary with message "{message}".', 424)
        self.original = {"OriginalStatusCode": status, "OriginalMessage": message}

    def body(self) -> bytes:
        return json.dumps({"Message": self.message, **self.original}).encode()
