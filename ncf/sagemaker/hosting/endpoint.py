"""A SageMaker endpoint: created or updated to serve one model, or left as it was.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpoint.html
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from ncf.api.requests import CONTENT_TYPE
from ncf.aws.links import linked, with_link
from ncf.aws.logs import ENDPOINT_GROUP, LogReader
from ncf.aws.names import (
    ENDPOINT_TAG,
    PREVIOUS_TAG,
    RUN_TAG,
    STAGE_TAG,
    VARIANT,
    endpoint_of,
    hashed_name,
    tag_list,
)
from ncf.aws.session import Aws, RefusedError, poll
from ncf.aws.tags import tags_of
from ncf.errors import InputError, RemoteError
from ncf.sagemaker.hosting import versions
from ncf.sagemaker.hosting.autoscaling import Autoscaling
from ncf.sagemaker.hosting.guard import Guard
from ncf.sagemaker.hosting.way_back import at_once, delete_alarms
from ncf.sagemaker.settings import EndpointSettings
from ncf.termination import last_words

_log = logging.getLogger(__name__)
_PART_OF_A_NAME = {
    "role",
    "region",
    "assume_role",
    "tags",
    "vpc_subnets",
    "vpc_security_group_ids",
    "network_isolation",
    "endpoint_name",
    "deploy_image",
    "endpoint_instance_type",
    "initial_instance_count",
    "startup_timeout",
    "resource_encryption_key",
    "serverless_memory",
    "serverless_concurrency",
    "data_capture_s3_uri",
    "data_capture_percent",
}
"""Settings that model and config are made from; the others say how to get there."""
_SETTLED = ("InService", "Failed", "OutOfService", "UpdateRollbackFailed")
CALLS = (
    "sagemaker:AddTags",
    "sagemaker:CreateEndpoint",
    "sagemaker:CreateEndpointConfig",
    "sagemaker:CreateModel",
    "sagemaker:DeleteEndpoint",
    "sagemaker:DescribeEndpoint",
    "sagemaker:DescribeEndpointConfig",
    "sagemaker:DescribeModel",
    "sagemaker:UpdateEndpoint",
)
"""What this module calls: permissions are made from it."""

Checked = TypeVar("Checked")


@dataclass(frozen=True)
class EndpointPlan:
    """What to host, and where.

    Attributes:
        settings: how it is hosted.
        run: that the model belongs to.
        name: of the endpoint.
        version: name of both the SageMaker model and the endpoint config.
        model: S3 URI of the model's folder, or of an archive of it for a serverless endpoint.
    """

    settings: EndpointSettings
    run: str
    name: str
    version: str
    model: str

    def model_request(self) -> dict[str, Any]:
        """The arguments of CreateModel."""
        source = {"S3Uri": f"{self.model}/", "S3DataType": "S3Prefix", "CompressionType": "None"}
        # serverless endpoints take archives alone
        data = {"ModelDataUrl": self.model} if self._is_serverless else {"ModelDataSource": {"S3DataSource": source}}
        request: dict[str, Any] = {
            "ModelName": self.version,
            "PrimaryContainer": {"Image": self.settings.deploy_image, **data},
            "ExecutionRoleArn": self.settings.role,
            "EnableNetworkIsolation": self.settings.network_isolation,
        }
        if vpc := self.settings.vpc_config():
            request["VpcConfig"] = vpc
        return {**request, "Tags": self.tags({ENDPOINT_TAG: self.name})}

    @property
    def _is_serverless(self) -> bool:
        return self.settings.serverless_memory > 0

    def config_request(self) -> dict[str, Any]:
        """The arguments of CreateEndpointConfig."""
        settings = self.settings
        variant: dict[str, Any] = {"VariantName": VARIANT, "ModelName": self.version, "InitialVariantWeight": 1.0}
        if self._is_serverless:
            variant["ServerlessConfig"] = {
                "MemorySizeInMB": settings.serverless_memory,
                "MaxConcurrency": settings.serverless_concurrency,
            }
        else:
            variant |= {
                "InstanceType": settings.endpoint_instance_type,
                "InitialInstanceCount": settings.initial_instance_count,
                "ContainerStartupHealthCheckTimeoutInSeconds": settings.startup_timeout,
            }
        request: dict[str, Any] = {"EndpointConfigName": self.version, "ProductionVariants": [variant]}
        if settings.resource_encryption_key:
            request["KmsKeyId"] = settings.resource_encryption_key
        if settings.data_capture_s3_uri:
            request["DataCaptureConfig"] = {
                "EnableCapture": True,
                "InitialSamplingPercentage": settings.data_capture_percent,
                "DestinationS3Uri": settings.data_capture_s3_uri,
                "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
                "CaptureContentTypeHeader": {"JsonContentTypes": [CONTENT_TYPE]},
            }
        return {**request, "Tags": self.tags({ENDPOINT_TAG: self.name})}

    def endpoint_request(self) -> dict[str, Any]:
        """The arguments of CreateEndpoint."""
        return {"EndpointName": self.name, "EndpointConfigName": self.version, "Tags": self.tags({})}

    def tags(self, more: Mapping[str, str]) -> list[dict[str, str]]:
        """Tags of what is created for the run, as the API takes them."""
        return tag_list({**self.settings.tags, RUN_TAG: self.run, STAGE_TAG: "deploy", **more})


def names(settings: EndpointSettings, run: str, model_fingerprint: str) -> tuple[str, str]:
    """The endpoint's name, and that of the model and the config: equal for another try of the same run."""
    endpoint = endpoint_of(run, settings.endpoint_name)
    identity = {
        "run": run,
        "task": "deploy",
        "settings": settings.model_dump(mode="json", include=_PART_OF_A_NAME),
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
        checked = check()
    except (KeyboardInterrupt, SystemExit):
        said = (
            f"told to end while endpoint {plan.name} is being set up, which goes on: a retry of this run takes it up; "
            f"'aws sagemaker delete-endpoint --endpoint-name {plan.name}' removes it"
        )
        last_words(said)
        _log.warning("%s", said)
        raise
    except Exception:
        with suppress(RemoteError):
            endpoint.undo()
        raise
    endpoint.settle_in()  # the model is live and good: what fails from here on takes nothing back
    return checked


class _Endpoint:
    def __init__(self, aws: Aws, plan: EndpointPlan) -> None:
        self._aws, self._plan = aws, plan
        self._guard = Guard(aws, plan.settings, plan.name, VARIANT)
        self._autoscaling = Autoscaling(aws, plan.name, VARIANT)
        self._created = False
        self._previous = ""
        """Config that was served before this update."""
        self._noted = ""
        """Config that was noted, before this update, as the one to return to."""

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
            self._take_up(state)
        if state and (state["EndpointConfigName"] != wanted or state["EndpointStatus"] == "Deleting"):
            state = self._settled()
        if state is None:
            self._created = self._create("create_endpoint", self._plan.endpoint_request())
        elif state["EndpointConfigName"] != wanted:
            if state["EndpointStatus"] != "InService":
                raise RemoteError(
                    f"endpoint {name} is {state['EndpointStatus']} and cannot be updated: "
                    f"{self._reason(state)}; 'aws sagemaker delete-endpoint --endpoint-name {name}' makes room"
                )
            self._guard.prepare(self._plan.tags({}))
            self._guard.check_quiet()
            self._previous = state["EndpointConfigName"]
            self._noted = tags_of(self._aws, state["EndpointArn"]).get(PREVIOUS_TAG, "")
            # noted first: a pod that is killed meanwhile cannot
            versions.remember(self._aws, state["EndpointArn"], previous=self._previous)
            self._update(wanted, self._guard.deployment_config())
        state = self._settled()
        status = state["EndpointStatus"] if state else "deleted by somebody else"
        if state and status == "InService" and state["EndpointConfigName"] == wanted:
            return
        outcome = "it was rolled back, and the previous model serves on" if status == "InService" else status
        raise self._failure(f"endpoint {name}: {outcome}: {self._reason(state)}")

    def _take_up(self, state: Mapping[str, Any]) -> None:
        """Know what an earlier try of this run has begun, whose pod is gone: a new endpoint or an update."""
        previous = tags_of(self._aws, state["EndpointArn"]).get(PREVIOUS_TAG, "")
        if previous not in ("", self._plan.version) and self._exists(
            "describe_endpoint_config", EndpointConfigName=previous
        ):
            self._previous = previous
        else:
            self._created = state["EndpointStatus"] in ("Creating", "Failed")

    def _failure(self, reason: str) -> RemoteError:
        """A reason with the last log lines and a link; the same as a report."""
        name = self._plan.name
        logs = LogReader(self._aws, ENDPOINT_GROUP + f"/{name}", VARIANT)
        logs.read()
        lines, url = list(logs.tail), self._aws.console_url(f"endpoints/{name}")
        shown = "".join(["the endpoint's last log lines:\n", *(f"  | {line}\n" for line in lines)]) if lines else ""
        report = "\n".join([f"# {linked(name, url)}", "", f"**{reason}**", "", "```", *lines, "```", ""])
        return RemoteError(with_link(f"{shown}{reason}", url), report)

    def _reason(self, state: Mapping[str, Any] | None) -> str:
        """SageMaker's reason, on one line, with the alarms that fire."""
        said = " ".join(str((state or {}).get("FailureReason") or "").split())
        firing = self._guard.firing()
        parts = [said, *([] if firing and firing.split(":")[0].removeprefix("alarm ") in said else [firing])]
        return "; ".join(part for part in parts if part) or "SageMaker gives no reason"

    def settle_in(self) -> None:
        """What follows once the endpoint serves as it should: scaling, its marks, old versions."""
        settings, name = self._plan.settings, self._plan.name
        if settings.max_instance_count:
            self._autoscaling.register(settings)
        state = self._describe()
        if state is None:
            return  # somebody has deleted it meanwhile
        versions.remember(self._aws, state["EndpointArn"], run=self._plan.run, deployed=self._plan.version)
        versions.prune(self._aws, name, state["EndpointArn"], self._plan.version, settings.keep_versions)

    def undo(self) -> None:
        """Leave the endpoint as it was found, and nothing of this version beside it."""
        name, version = self._plan.name, self._plan.version
        state = self._describe()
        if state and state["EndpointStatus"] not in _SETTLED:
            return  # it took too long and goes on: its parts are in use
        if state and state["EndpointConfigName"] == version:
            if self._created:
                self._aws.call("sagemaker", "delete_endpoint", EndpointName=name)
                delete_alarms(self._aws, name)
            elif self._previous:
                self._update(self._previous, at_once())
                state = self._settled()
                if state and state["EndpointConfigName"] == version:
                    _log.warning("endpoint %s did not go back to %s: it still serves %s", name, self._previous, version)
                    return
            else:
                return  # an earlier try has brought it up: its parts are in use
        if state and self._noted:
            versions.remember(self._aws, state["EndpointArn"], previous=self._noted)
        versions.delete(self._aws, version)
        _log.info("endpoint %s: what was created for %s is deleted again", name, version)

    def _update(self, config: str, deployment: Mapping[str, Any]) -> None:
        """Go over to another config; the number of instances stays where autoscaling says it."""
        keep = self._autoscaling.is_registered()
        try:
            self._aws.call(
                "sagemaker",
                "update_endpoint",
                EndpointName=self._plan.name,
                EndpointConfigName=config,
                RetainAllVariantProperties=keep,
                DeploymentConfig=deployment,
            )
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
        limit = f"{self._plan.settings.endpoint_wait_time} s, the 'endpoint_wait_time'"
        url = self._aws.console_url(f"endpoints/{name}")
        raise RemoteError(with_link(f"endpoint {name} is still {status} after {limit}", url))

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
