"""A SageMaker endpoint: created or updated to serve one model, or left as it was.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpoint.html
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from ncf.errors import InputError, RemoteError
from ncf.sagemaker.logs import ENDPOINT_GROUP, LogReader
from ncf.sagemaker.names import hashed_name
from ncf.sagemaker.session import Aws, RefusedError, poll
from ncf.sagemaker.settings import EndpointSettings

_log = logging.getLogger(__name__)
_NO_PART_OF_A_NAME = {"endpoint_wait_time", "run_id", "s3_prefix", "smoke_test_users"}
_SETTLED = ("InService", "Failed", "OutOfService", "UpdateRollbackFailed")
VARIANT = "AllTraffic"
"""One name for all time: guarded updates compare variants by name."""

Checked = TypeVar("Checked")


@dataclass(frozen=True)
class EndpointPlan:
    """What to host, and where.

    Attributes:
        settings: how it is hosted.
        name: of the endpoint.
        version: name of both the SageMaker model and the endpoint config.
        model: S3 URI of the model's folder.
    """

    settings: EndpointSettings
    name: str
    version: str
    model: str

    def model_request(self) -> dict[str, Any]:
        """The arguments of CreateModel."""
        source = {"S3Uri": f"{self.model}/", "S3DataType": "S3Prefix", "CompressionType": "None"}
        request: dict[str, Any] = {
            "ModelName": self.version,
            "PrimaryContainer": {
                "Image": self.settings.deploy_image,
                "ModelDataSource": {"S3DataSource": source},
            },
            "ExecutionRoleArn": self.settings.role,
            "EnableNetworkIsolation": self.settings.network_isolation,
        }
        if vpc := self.settings.vpc_config():
            request["VpcConfig"] = vpc
        return request | self._tags()

    def config_request(self) -> dict[str, Any]:
        """The arguments of CreateEndpointConfig."""
        variant = {
            "VariantName": VARIANT,
            "ModelName": self.version,
            "InstanceType": self.settings.endpoint_instance_type,
            "InitialInstanceCount": self.settings.initial_instance_count,
            "InitialVariantWeight": 1.0,
            "ContainerStartupHealthCheckTimeoutInSeconds": self.settings.startup_timeout,
        }
        request: dict[str, Any] = {"EndpointConfigName": self.version, "ProductionVariants": [variant]}
        if self.settings.resource_encryption_key:
            request["KmsKeyId"] = self.settings.resource_encryption_key
        return request | self._tags()

    def endpoint_request(self) -> dict[str, Any]:
        """The arguments of CreateEndpoint."""
        return {"EndpointName": self.name, "EndpointConfigName": self.version} | self._tags()

    def _tags(self) -> dict[str, Any]:
        tags = self.settings.tag_list()
        return {"Tags": tags} if tags else {}


def names(settings: EndpointSettings, run: str, model_fingerprint: str) -> tuple[str, str]:
    """The endpoint's name, and that of the model and the config: equal for another try of the same run."""
    endpoint = settings.endpoint_name or hashed_name("ncf", {"run": run})
    identity = {
        "run": run,
        "task": "deploy",
        "settings": settings.model_dump(mode="json", include=set(EndpointSettings.model_fields) - _NO_PART_OF_A_NAME),
        "endpoint": endpoint,
        "model": model_fingerprint,
    }
    return endpoint, hashed_name(endpoint, identity)


def deploy(aws: Aws, plan: EndpointPlan, provide: Callable[[], None], check: Callable[[], Checked]) -> Checked:
    """Have the endpoint serve the model: create it, update it, or take up what an earlier try has begun.

    If that fails, or the check does, the endpoint is as it was before and what was created for it is deleted.

    Args:
        aws: clients to call.
        plan: what to host.
        provide: puts the model where SageMaker looks for it; called before the model is registered.
        check: tests the live endpoint; raises if it does not answer as it should.

    Returns:
        What the check returns.

    Raises:
        InputError: if SageMaker does not accept the request.
        RemoteError: if the endpoint does not come into service, the update was rolled back, or the check
            failed.
        SystemExit, KeyboardInterrupt: if told to leave; what has begun goes on.
    """
    aws.check_image("deploy_image", plan.settings.deploy_image)
    endpoint = _Endpoint(aws, plan)
    try:
        endpoint.register(provide)
        endpoint.bring_up()
        return check()
    except (KeyboardInterrupt, SystemExit):
        _log.warning(
            "leaving while endpoint %s is being set up: another try of this run takes it up; "
            "'aws sagemaker delete-endpoint --endpoint-name %s' removes it",
            plan.name,
            plan.name,
        )
        raise
    except Exception:
        with suppress(RemoteError):
            endpoint.undo()
        raise


class _Endpoint:
    def __init__(self, aws: Aws, plan: EndpointPlan) -> None:
        self._aws, self._plan = aws, plan
        self._created = False
        self._previous = ""
        """Config that was served before this update."""

    def register(self, provide: Callable[[], None]) -> None:
        """Create the model and the config, unless an earlier try has."""
        if not self._exists("describe_model", ModelName=self._plan.version):
            provide()
            self._create("create_model", self._plan.model_request())
        self._create("create_endpoint_config", self._plan.config_request())

    def bring_up(self) -> None:
        """Create or update the endpoint and wait until it serves the planned config.

        Raises:
            RemoteError: with SageMaker's reason and the last log lines.
        """
        name, wanted = self._plan.name, self._plan.version
        state = self._describe()
        if state and state["EndpointConfigName"] == wanted:
            self._created = state["EndpointStatus"] == "Creating"  # by an earlier try of this run
        if state and (state["EndpointConfigName"] != wanted or state["EndpointStatus"] == "Deleting"):
            state = self._settled()
        if state is None:
            self._created = self._create("create_endpoint", self._plan.endpoint_request())
        elif state["EndpointConfigName"] != wanted:
            if state["EndpointStatus"] != "InService":
                raise RemoteError(
                    f"endpoint {name} is {state['EndpointStatus']} and cannot be updated: "
                    f"{_reason(state)}; 'aws sagemaker delete-endpoint --endpoint-name {name}' makes room"
                )
            self._update(wanted)
            self._previous = state["EndpointConfigName"]
        state = self._settled()
        status = state["EndpointStatus"] if state else "deleted by somebody else"
        if state and status == "InService" and state["EndpointConfigName"] == wanted:
            return
        outcome = "it was rolled back, and the previous model serves on" if status == "InService" else status
        logs = LogReader(self._aws, ENDPOINT_GROUP + f"/{name}", VARIANT)
        logs.read()
        lines = "".join(f"  | {line}\n" for line in logs.tail)
        raise RemoteError(
            f"the endpoint's last log lines:\n{lines}endpoint {name}: {outcome}: {_reason(state)}; "
            f"{self._aws.console_url(f'endpoints/{name}')}"
        )

    def undo(self) -> None:
        """Leave the endpoint as it was found, and nothing of this version beside it."""
        name, version = self._plan.name, self._plan.version
        state = self._describe()
        if state and state["EndpointStatus"] not in _SETTLED:
            return  # it took too long and goes on: its parts are in use
        if state and state["EndpointConfigName"] == version:
            if self._created:
                self._aws.call("sagemaker", "delete_endpoint", EndpointName=name)
            elif self._previous:
                self._update(self._previous)
                self._settled()
            else:
                return  # an earlier try has brought it up: its parts are in use
        self._delete("delete_endpoint_config", EndpointConfigName=version)
        self._delete("delete_model", ModelName=version)
        _log.info("endpoint %s: what was created for %s is deleted again", name, version)

    def _update(self, config: str) -> None:
        try:
            self._aws.call("sagemaker", "update_endpoint", EndpointName=self._plan.name, EndpointConfigName=config)
        except RefusedError as error:
            if "in-progress" not in error.message.lower():
                raise  # otherwise another pod was first: which config it asked for is seen at the end
        _log.info("endpoint %s is being updated to %s", self._plan.name, config)

    def _settled(self) -> Mapping[str, Any] | None:
        """The endpoint once nothing is under way any more; None if it is gone."""
        name, status = self._plan.name, ""
        for elapsed in poll(self._plan.settings.endpoint_wait_time):
            state = self._describe()
            if state is None or state["EndpointStatus"] in _SETTLED:
                return state
            if status != (status := state["EndpointStatus"]):
                _log.info("endpoint %s: %s (%.0f s)", name, status, elapsed)
        raise RemoteError(
            f"endpoint {name} is still {status} after {self._plan.settings.endpoint_wait_time} s, the "
            f"'endpoint_wait_time'; {self._aws.console_url(f'endpoints/{name}')}"
        )

    def _describe(self) -> Mapping[str, Any] | None:
        try:
            return self._aws.call("sagemaker", "describe_endpoint", EndpointName=self._plan.name)
        except RefusedError as error:
            if error.says_missing:
                return None
            raise

    def _exists(self, operation: str, **request: Any) -> bool:
        try:
            self._aws.call("sagemaker", operation, **request)
        except RefusedError as error:
            if error.says_missing:
                return False
            raise
        return True

    def _create(self, operation: str, request: Mapping[str, Any]) -> bool:
        """Create something; False if an earlier try or another pod was first."""
        try:
            self._aws.call("sagemaker", operation, **request)
        except RefusedError as error:
            if error.says_exists:
                return False
            if error.code == "ValidationException":
                raise InputError(str(error)) from error
            raise
        return True

    def _delete(self, operation: str, **request: Any) -> None:
        with suppress(RefusedError):
            self._aws.call("sagemaker", operation, **request)


def _reason(state: Mapping[str, Any] | None) -> str:
    """SageMaker's reason for a failure, on one line."""
    return " ".join(str((state or {}).get("FailureReason") or "SageMaker gives no reason").split())
