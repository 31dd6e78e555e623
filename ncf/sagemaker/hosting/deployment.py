"""Deployment of a model to an endpoint, which is created or updated. A failed deployment is undone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from ncf.aws.errors import RefusedError
from ncf.aws.links import with_link
from ncf.aws.logs import ENDPOINT_GROUP, excerpt, last_lines
from ncf.aws.names import DEPLOYED_TAG, VARIANT
from ncf.aws.session import Aws
from ncf.aws.tags import tags_of
from ncf.errors import InputError, RemoteError
from ncf.reports.markdown import code_block, escape, link
from ncf.sagemaker.hosting import packages, versions
from ncf.sagemaker.hosting.autoscaling import Scaling
from ncf.sagemaker.hosting.endpoint import MAX_STARTS, Description, Endpoint, InProgressError, pending_config
from ncf.sagemaker.hosting.endpoint_plan import EndpointPlan
from ncf.sagemaker.hosting.rollout import Rollout
from ncf.termination_message import last_words

_log = logging.getLogger(__name__)
_MAX_REASON = 1024  # characters, as of SageMaker's FailureReason
_UNDO_SECONDS = 60.0
_CLOCK_MARGIN = timedelta(seconds=60)  # between this machine's clock and AWS's

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


def deploy(
    aws: Aws,
    plan: EndpointPlan,
    upload: Callable[[], None],
    check: Callable[[], Checked],
    permit: Callable[[], None] = lambda: None,
) -> Checked:
    """Create the endpoint, or update it, or continue what an earlier try of the run has started.

    If that or the check fails, the endpoint returns to its state before, and the new resources are deleted.

    Args:
        aws: clients to call.
        plan: of the deployment.
        upload: copies the model to its S3 URI; called before the SageMaker model is created.
        check: tests the endpoint in service; raises if the test fails.
        permit: raises InputError if the model may not be served. It is called directly before the endpoint is created
            or updated, as other updates may have been waited for, and while that is in progress. SageMaker offers no
            way to cancel an update that has begun: its end is waited for, and the endpoint returns to its state before.

    Returns:
        The result of the check.

    Raises:
        InputError: if SageMaker does not accept the request.
        RemoteError: if the endpoint does not come into service, the update was rolled back, or the check failed.
        SystemExit, KeyboardInterrupt: if the process is terminated. The update continues.
    """
    deployment = _Deployment(aws, plan, permit)
    try:
        deployment.create_version(upload)
        deployment.bring_up()
        checked = check()
    except (KeyboardInterrupt, SystemExit):
        message = (
            f"terminated while endpoint {plan.name} is being created or updated, which continues: a retry of this run "
            f"waits for it; after that 'aws sagemaker delete-endpoint --endpoint-name {plan.name}' deletes it"
        )
        last_words(message)
        _log.warning("%s", message)
        raise
    except Exception as error:
        try:
            deployment.undo()
        except (InputError, RemoteError) as failure:
            _log.warning("endpoint %s: its state before is not restored: %s", plan.name, failure)
        if isinstance(error, _NotInServiceError):  # logs are read last: they can be slow to read
            raise deployment.with_logs(error) from error
        raise
    deployment.complete()  # the model is in service: later errors undo nothing
    return checked


def withdraw(aws: Aws, plan: EndpointPlan) -> None:
    """Undo what an earlier try of the run has begun, where its package may no longer be served.

    A deployment that an earlier try has completed remains: the package was approved then.

    Args:
        aws: clients to call.
        plan: of the deployment.

    Raises:
        RemoteError: if the endpoint cannot be returned to its state before.
    """
    _Deployment(aws, plan).withdraw()


class _NotInServiceError(RemoteError):
    """The new config is not in service, with SageMaker's reason."""


class _Deployment:
    def __init__(self, aws: Aws, plan: EndpointPlan, permit: Callable[[], None] = lambda: None) -> None:
        self._aws, self._plan, self._permit = aws, plan, permit
        self._endpoint = Endpoint(aws, plan.name)
        self._rollout = Rollout(aws, plan.settings, plan.name)
        self._is_created = self._is_in_service = False
        """Whether this run has created the endpoint, and whether the new config has been in service."""
        self._is_forbidden = False
        """Whether the model may no longer be served, though the creation or the update has begun."""
        self._former: tuple[Description | None, ...] = ()
        """The description before the change that this process has made."""
        self._began = datetime.now(UTC) - _CLOCK_MARGIN
        """Time before the creation or the update."""
        self._previous: Sequence[str] = ()
        """Configs before this update, the last one first."""

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
            RemoteError: with SageMaker's reason.
        """
        name, version = self._plan.name, self._plan.version
        self._start_or_attach()
        state = self._endpoint.settled(self._plan.settings.endpoint_wait_time, self._former, self._watch)
        status = state["EndpointStatus"] if state else "deleted by another user"
        self._is_in_service = status == "InService" and state is not None and state["EndpointConfigName"] == version
        if self._is_in_service:
            return
        outcome = "it was rolled back, and the previous model is in service" if status == "InService" else status
        raise _NotInServiceError(f"endpoint {name}: {outcome}: {self._reason(state)}")

    def _watch(self) -> None:
        """See whether the model may still be served, during the creation or the update."""
        try:
            self._permit()
        except InputError as error:
            self._is_forbidden = True
            _log.warning("endpoint %s returns to its state before as soon as it can: %s", self._plan.name, error)
            raise

    def _start_or_attach(self) -> None:
        """Create or update the endpoint, or continue what an earlier try of this run has started.

        Other updates are waited for. Another pod may start one at any time.
        """
        for _ in range(MAX_STARTS):
            state = self._endpoint.find()
            if not self._is_of_version(state):
                state = self._endpoint.settled(self._plan.settings.endpoint_wait_time)
            if state and self._is_of_version(state):
                self._attach(state)
                return
            if self._create_endpoint() if state is None else self._update(state):
                self._former = (state,)
                return
        raise RemoteError(f"endpoint {self._plan.name} is not updated: other updates of it start again and again")

    def _is_of_version(self, state: Description | None) -> bool:
        """Whether the endpoint serves the new config, or is being created with it or updated to it."""
        if state is None or state["EndpointStatus"] == "Deleting":
            return False
        return self._plan.version in (state["EndpointConfigName"], pending_config(state))

    def _attach(self, state: Description) -> None:
        """Find out what the endpoint has to return to if the model of an earlier try fails the check."""
        version, live = self._plan.version, state["EndpointConfigName"]
        tags = tags_of(self._aws, state["EndpointArn"])
        previous = [live] if live != version else versions.previous_of(tags, live)
        if not previous:  # it has never had another config
            self._is_created = tags.get(DEPLOYED_TAG) != version
        elif self._exists(previous[0]):
            self._previous = previous
        began = state.get("PendingDeploymentSummary", {}).get("StartTime") or state["LastModifiedTime"]
        self._began = state["CreationTime"] if self._is_created else began
        _log.info("endpoint %s: the deployment of %s by an earlier try is continued", self._plan.name, version)

    def _exists(self, config: str) -> bool:
        return self._aws.find("sagemaker", "describe_endpoint_config", EndpointConfigName=config) is not None

    def _create_endpoint(self) -> bool:
        """Create the endpoint; False if another pod has."""
        self._permit()
        self._is_created = self._create("create_endpoint", self._plan.endpoint_request())
        if not self._is_created:
            self._endpoint.settled(self._plan.settings.endpoint_wait_time, former=(None,))
        return self._is_created

    def _update(self, state: Description) -> bool:
        """Start the update; False if another one is in progress."""
        name, settings = self._plan.name, self._plan.settings
        if state["EndpointStatus"] != "InService":
            raise RemoteError(
                f"endpoint {name} is {state['EndpointStatus']} and cannot be updated: {self._reason(state)}; "
                f"'aws sagemaker delete-endpoint --endpoint-name {name}' deletes it"
            )
        if len(state.get("ProductionVariants", [])) > 1:
            raise InputError(
                f"endpoint {name} has an experiment, and is not updated before `ncf experiment end {name}` has ended it"
            )
        self._rollout.create_alarms(self._plan.tags({}))
        self._rollout.wait_until_quiet()
        live = state["EndpointConfigName"]
        # tagged first: the process may be killed during the update
        older = versions.previous_of(tags_of(self._aws, state["EndpointArn"]), live)
        self._previous = live, *older
        tagged = versions.previous_tag(live, older)
        versions.tag_endpoint(self._aws, state["EndpointArn"], previous=tagged)
        self._began = datetime.now(UTC) - _CLOCK_MARGIN
        self._permit()
        return self._endpoint.update(
            state, self._plan.version, self._rollout.deployment_config(), keeps_count=settings.max_instance_count > 0
        )

    def with_logs(self, error: RemoteError) -> RemoteError:
        """An error with the last log lines since the start and a link, and the same in Markdown."""
        name, url = self._plan.name, self._endpoint.url
        lines = last_lines(self._aws, f"{ENDPOINT_GROUP}/{name}", f"{VARIANT}/", self._began)
        parts = [f"# {link(name, url)}", f"**{escape(str(error), _MAX_REASON)}**", code_block("\n".join(lines))]
        report = "\n\n".join(parts) + "\n"
        return RemoteError(with_link(f"{excerpt('the endpoint', lines)}{error}", url), report)

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
        state = self._endpoint.find()
        if state is None:
            return  # deleted by another user
        if state["EndpointConfigName"] != self._plan.version:
            _log.warning("endpoint %s was updated to %s by others meanwhile", name, state["EndpointConfigName"])
            return
        scaling = Scaling.of_settings(settings, name) if settings.max_instance_count else None
        self._endpoint.autoscaling.replace(state["EndpointArn"], scaling)
        packages.record(self._aws, name)
        versions.tag_endpoint(self._aws, state["EndpointArn"], run=self._plan.run, deployed=self._plan.version)
        versions.prune(self._aws, name, state["EndpointArn"], self._plan.version, settings.keep_versions)

    def withdraw(self) -> None:
        """Undo what an earlier try of the run has begun, unless it has completed it."""
        version, state = self._plan.version, self._endpoint.find()
        if state and self._is_of_version(state):
            if tags_of(self._aws, state["EndpointArn"]).get(DEPLOYED_TAG) == version:
                return
            self._attach(state)
            state = self._endpoint.settled(self._plan.settings.endpoint_wait_time)
            self._is_in_service = state is not None and state["EndpointConfigName"] == version
            self.undo()
        elif self._exists(version) or self._aws.find("sagemaker", "describe_model", ModelName=version):
            versions.delete(self._aws, version)

    def undo(self) -> None:
        """Return the endpoint to its state before, and delete the new version."""
        name, version, wait_time = self._plan.name, self._plan.version, self._plan.settings.endpoint_wait_time
        must_end = self._is_in_service or self._is_forbidden
        try:
            state = self._endpoint.settled(wait_time if must_end else _UNDO_SECONDS, self._former)
        except InProgressError:
            if must_end:
                raise  # of this version, or as autoscaling changes the number of instances
            return  # the wait time is over, and the update continues: the version is in use
        if state and state["EndpointConfigName"] == version:
            if self._is_shared(state):
                _log.info("endpoint %s stays: another deployment has tested it with a model of its own", name)
                return
            if self._is_created:
                self._endpoint.delete(wait_time, lambda state: state["EndpointConfigName"] == version)
                state = None
            elif previous := self._servable():
                state = self._endpoint.return_to(state, previous, wait_time)
                if state and state["EndpointConfigName"] == version:
                    _log.warning("endpoint %s: rollback to %s failed: it serves %s", name, previous, version)
                    return
            else:
                _log.warning("endpoint %s serves %s: there is no config before it to return to", name, version)
                return
        if state and state["EndpointStatus"] == "InService":
            self._endpoint.resume_autoscaling(state)
            packages.record(self._aws, name)
        if state and version in versions.previous_of(tags_of(self._aws, state["EndpointArn"]), ""):
            _log.info("endpoint %s: version %s is kept, as the update of another run returns to it", name, version)
            return
        versions.delete(self._aws, version)
        _log.info("endpoint %s: version %s is deleted", name, version)

    def _is_shared(self, state: Description) -> bool:
        """Whether another deployment to a multi-model endpoint has been completed with the same config."""
        tags = tags_of(self._aws, state["EndpointArn"]) if self._plan.is_multi_model else {}
        return tags.get(DEPLOYED_TAG) == self._plan.version

    def _servable(self) -> str:
        """The last config before this update whose package, if any, is still approved; else the last one. '' for none.

        Configs that were deleted do not count.
        """
        present = [config for config in self._previous if self._exists(config)]
        servable = (config for config in present if not packages.of_config(self._aws, config)[1])
        return next(servable, next(iter(present), ""))

    def _create(self, operation: str, request: Mapping[str, Any]) -> bool:
        """Create a resource; False if it exists: an earlier try or another pod has created it."""
        try:
            self._aws.call_with_new("sagemaker", operation, **request)
        except RefusedError as error:
            if error.says_exists:
                return False
            if error.code == "ValidationException":
                raise InputError(str(error)) from error
            raise
        return True
