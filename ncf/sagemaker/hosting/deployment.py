"""Deployment of a model to an endpoint, which is created or updated. A failed deployment is undone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from ncf.aws.errors import RefusedError
from ncf.aws.links import with_link
from ncf.aws.logs import ENDPOINT_GROUP, LogReader
from ncf.aws.names import PREVIOUS_TAG, VARIANT
from ncf.aws.session import Aws
from ncf.aws.tags import tags_of
from ncf.errors import InputError, RemoteError
from ncf.reports.markdown import code_block, escape, link
from ncf.sagemaker.hosting import versions
from ncf.sagemaker.hosting.endpoint import SETTLED, Description, Endpoint
from ncf.sagemaker.hosting.endpoint_plan import EndpointPlan
from ncf.sagemaker.hosting.rollout import Rollout
from ncf.termination_message import last_words

_log = logging.getLogger(__name__)
_MAX_REASON = 1024  # characters, as of SageMaker's FailureReason

CALLS = (
    "sagemaker:AddTags",
    "sagemaker:CreateEndpoint",
    "sagemaker:CreateEndpointConfig",
    "sagemaker:CreateModel",
    "sagemaker:DescribeEndpointConfig",
    "sagemaker:DescribeModel",
)
"""AWS calls of this module, from which the IAM permissions are generated."""

Checked = TypeVar("Checked")


def deploy(aws: Aws, plan: EndpointPlan, upload: Callable[[], None], check: Callable[[], Checked]) -> Checked:
    """Create the endpoint, or update it, or continue what an earlier try of the run has started.

    If that or the check fails, the endpoint returns to its state before, and the new resources are deleted.

    Args:
        aws: clients to call.
        plan: of the deployment.
        upload: copies the model to its S3 URI; called before the SageMaker model is created.
        check: tests the endpoint in service; raises if the test fails.

    Returns:
        The result of the check.

    Raises:
        InputError: if SageMaker does not accept the request.
        RemoteError: if the endpoint does not come into service, the update was rolled back, or the check failed.
        SystemExit, KeyboardInterrupt: if the process is terminated. The update continues.
    """
    deployment = _Deployment(aws, plan)
    try:
        deployment.create_version(upload)
        deployment.bring_up()
        checked = check()
    except (KeyboardInterrupt, SystemExit):
        message = (
            f"terminated while endpoint {plan.name} is being created or updated, which continues: a retry of this run "
            f"waits for it; 'aws sagemaker delete-endpoint --endpoint-name {plan.name}' deletes it"
        )
        last_words(message)
        _log.warning("%s", message)
        raise
    except Exception:
        with suppress(RemoteError):
            deployment.undo()
        raise
    deployment.complete()  # the model is in service: later errors undo nothing
    return checked


class _Deployment:
    def __init__(self, aws: Aws, plan: EndpointPlan) -> None:
        self._aws, self._plan = aws, plan
        self._endpoint = Endpoint(aws, plan.name)
        self._rollout = Rollout(aws, plan.settings, plan.name)
        self._is_created = False
        """Whether this run has created the endpoint."""
        self._previous = ""
        """Config before this update."""
        self._tagged_previous = ""
        """Config that was tagged as the previous one before this update."""

    def create_version(self, upload: Callable[[], None]) -> None:
        """Create the model and the config, unless an earlier try has."""
        version = self._plan.version
        if self._aws.find("sagemaker", "describe_model", ModelName=version) is None:
            upload()
            self._create("create_model", self._plan.model_request())
        self._create("create_endpoint_config", self._plan.config_request())

    def bring_up(self) -> None:
        """Create or update the endpoint, and wait until the new config is in service.

        Raises:
            RemoteError: with SageMaker's reason and the last log lines.
        """
        name, version = self._plan.name, self._plan.version
        state = self._endpoint.find()
        if state and state["EndpointConfigName"] == version:
            self._attach(state)
        if state and (state["EndpointConfigName"] != version or state["EndpointStatus"] == "Deleting"):
            state = self._settled()
        if state is None:
            self._is_created = self._create("create_endpoint", self._plan.endpoint_request())
        elif state["EndpointConfigName"] != version:
            self._update(state)
        state = self._settled()
        status = state["EndpointStatus"] if state else "deleted by another user"
        if state and status == "InService" and state["EndpointConfigName"] == version:
            return
        outcome = "it was rolled back, and the previous model is in service" if status == "InService" else status
        raise self._failure(f"endpoint {name}: {outcome}: {self._reason(state)}")

    def _attach(self, state: Description) -> None:
        """Continue what an earlier try of this run has started: a new endpoint or an update."""
        previous = tags_of(self._aws, state["EndpointArn"]).get(PREVIOUS_TAG, "")
        if previous not in ("", self._plan.version) and self._aws.find(
            "sagemaker", "describe_endpoint_config", EndpointConfigName=previous
        ):
            self._previous = previous
        else:
            self._is_created = state["EndpointStatus"] in ("Creating", "Failed")

    def _update(self, state: Description) -> None:
        name = self._plan.name
        if state["EndpointStatus"] != "InService":
            raise RemoteError(
                f"endpoint {name} is {state['EndpointStatus']} and cannot be updated: {self._reason(state)}; "
                f"'aws sagemaker delete-endpoint --endpoint-name {name}' deletes it"
            )
        self._rollout.create_alarms(self._plan.tags({}))
        self._rollout.wait_until_quiet()
        self._previous = state["EndpointConfigName"]
        self._tagged_previous = tags_of(self._aws, state["EndpointArn"]).get(PREVIOUS_TAG, "")
        # tagged first: the process may be killed during the update
        versions.tag_endpoint(self._aws, state["EndpointArn"], previous=self._previous)
        self._endpoint.update(self._plan.version, self._rollout.deployment_config())

    def _settled(self) -> Description | None:
        return self._endpoint.settled(self._plan.settings.endpoint_wait_time)

    def _failure(self, reason: str) -> RemoteError:
        """An error with the last log lines and a link, and the same in Markdown."""
        name, url = self._plan.name, self._endpoint.url
        logs = LogReader(self._aws, f"{ENDPOINT_GROUP}/{name}", VARIANT)
        logs.read()
        parts = [f"# {link(name, url)}", f"**{escape(reason, _MAX_REASON)}**", code_block("\n".join(logs.tail))]
        report = "\n\n".join(parts) + "\n"
        return RemoteError(with_link(f"{logs.excerpt('the endpoint')}{reason}", url), report)

    def _reason(self, state: Description | None) -> str:
        """SageMaker's reason on one line, and the alarms that fire."""
        reason = " ".join(str((state or {}).get("FailureReason") or "").split())
        firing = self._rollout.firing()
        is_named = bool(firing) and firing.split(":")[0].removeprefix("alarm ") in reason
        parts = [reason, "" if is_named else firing]
        return "; ".join(part for part in parts if part) or "SageMaker gives no reason"

    def complete(self) -> None:
        """Set up autoscaling, tag the endpoint, and delete old versions."""
        settings, name = self._plan.settings, self._plan.name
        if settings.max_instance_count:
            self._endpoint.autoscaling.register(settings)
        state = self._endpoint.find()
        if state is None:
            return  # deleted by another user
        versions.tag_endpoint(self._aws, state["EndpointArn"], run=self._plan.run, deployed=self._plan.version)
        versions.prune(self._aws, name, state["EndpointArn"], self._plan.version, settings.keep_versions)

    def undo(self) -> None:
        """Return the endpoint to its state before, and delete the new version."""
        name, version = self._plan.name, self._plan.version
        state = self._endpoint.find()
        if state and state["EndpointStatus"] not in SETTLED:
            return  # the wait time is over, and the update continues: the version is in use
        if state and state["EndpointConfigName"] == version:
            if self._is_created:
                self._endpoint.delete()
            elif self._previous:
                state = self._endpoint.return_to(self._previous, self._plan.settings.endpoint_wait_time)
                if state and state["EndpointConfigName"] == version:
                    _log.warning("endpoint %s: rollback to %s failed: it serves %s", name, self._previous, version)
                    return
            else:
                return  # an earlier try has brought it into service: the version is in use
        if state and self._tagged_previous:
            versions.tag_endpoint(self._aws, state["EndpointArn"], previous=self._tagged_previous)
        versions.delete(self._aws, version)
        _log.info("endpoint %s: version %s is deleted", name, version)

    def _create(self, operation: str, request: Mapping[str, Any]) -> bool:
        """Create a resource; False if it exists: an earlier try or another pod has created it."""
        try:
            self._aws.call("sagemaker", operation, **request)
        except RefusedError as error:
            if error.says_exists:
                return False
            if error.code == "ValidationException":
                raise InputError(str(error)) from error
            raise
        return True
