"""An experiment (A/B test) on an endpoint: a second production variant serves a challenger beside the live model.

The config of an experiment has the variant of the live config and one of the challenger, with the same instances. The
experiment is stopped by a config whose second variant serves the live model, too: clients that name the variant are
still answered. It ends with the config from before.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-ab-testing.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ncf.aws.errors import RefusedError
from ncf.aws.names import (
    CHALLENGER_TAG,
    CHALLENGER_VARIANT,
    ENDPOINT_TAG,
    EXPERIMENT_TAG,
    NAMESPACE_TAG,
    PACKAGE_TAG,
    RUN_TAG,
    VARIANT,
    experiment_stem,
    hashed_name,
    tag_list,
)
from ncf.aws.session import Aws
from ncf.aws.tags import readable_tags, tags_of
from ncf.errors import InputError, RemoteError
from ncf.sagemaker.hosting import versions
from ncf.sagemaker.hosting.deployed_model import package_of_config
from ncf.sagemaker.hosting.endpoint import MAX_STARTS, Description, Endpoint
from ncf.sagemaker.hosting.endpoint_plan import is_multi_model

CALLS = (
    "sagemaker:CreateEndpointConfig",
    "sagemaker:CreateModel",
    "sagemaker:DeleteEndpointConfig",
    "sagemaker:DeleteModel",
    "sagemaker:DescribeEndpointConfig",
    "sagemaker:DescribeModel",
    "sagemaker:ListEndpointConfigs",
)
"""AWS calls of this module, from which the IAM permissions are generated."""

_OF_MODEL = ("ExecutionRoleArn", "VpcConfig", "EnableNetworkIsolation")
_OF_CONFIG = ("DataCaptureConfig", "KmsKeyId")


@dataclass(frozen=True)
class Experiment:
    """An experiment.

    Attributes:
        name: ID of the experiment: the name of its endpoint config.
        before: endpoint config that was in service before it.
        champion: ARN of the model package of the live model; '' if it was not deployed from a package.
        challenger: ARN of the model package of the challenger; '' once the experiment is stopped.
        share: of the users that are assigned to the challenger.
        started: time of its start.
    """

    name: str
    before: str
    champion: str
    challenger: str
    share: float
    started: datetime

    @property
    def is_running(self) -> bool:
        return bool(self.challenger)


def find(aws: Aws, state: Description) -> Experiment | None:
    """The experiment of an endpoint that serves one; None otherwise.

    Args:
        aws: clients to call.
        state: description of the endpoint.
    """
    config = aws.find("sagemaker", "describe_endpoint_config", EndpointConfigName=state["EndpointConfigName"])
    if config is None or len(config["ProductionVariants"]) < 2:
        return None
    tags = readable_tags(aws, config["EndpointConfigArn"])
    if EXPERIMENT_TAG not in tags:
        return None
    before, _, share = tags[EXPERIMENT_TAG].partition(" ")
    return Experiment(
        name=config["EndpointConfigName"],
        before=before,
        champion=tags.get(PACKAGE_TAG, ""),
        challenger=tags.get(CHALLENGER_TAG, ""),
        share=float(share),
        started=config["CreationTime"],
    )


def of_endpoint(aws: Aws, endpoint: str) -> Experiment | None:
    """The experiment of an endpoint by its name; None if there is no such endpoint, or it has none."""
    state = Endpoint(aws, endpoint).find()
    return find(aws, state) if state else None


class ExperimentHost:
    """Starts, stops and ends the experiments of an endpoint.

    Args:
        aws: clients to call.
        endpoint: its name.
        wait_time: seconds to wait for each update.
    """

    def __init__(self, aws: Aws, endpoint: str, wait_time: float) -> None:
        self._aws, self._wait_time = aws, wait_time
        self._endpoint = Endpoint(aws, endpoint)

    def present(self) -> tuple[Description, Experiment | None]:
        """The endpoint, once no update is in progress, and its experiment.

        Raises:
            InputError: if there is no such endpoint.
            RemoteError: if it is not in service.
        """
        name, state = self._endpoint.name, self._endpoint.settled(self._wait_time)
        if state is None:
            raise InputError(f"there is no endpoint '{name}' in {self._aws.region}")
        if state["EndpointStatus"] != "InService":
            raise RemoteError(f"endpoint {name} is {state['EndpointStatus']}; an experiment needs one in service")
        return state, find(self._aws, state)

    def start(
        self, package: str, share: float, permit: Callable[[], None], check: Callable[[str], object]
    ) -> Experiment:
        """Start an experiment, or continue what a killed process has begun.

        Args:
            package: ARN of the model package of the challenger.
            share: of the users that are assigned to the challenger, 0 < share < 1.
            permit: raises if the package may not be served; called directly before the update.
            check: tests a variant of the endpoint in service; raises if the test fails. The experiment is ended then.

        Raises:
            InputError: if the endpoint cannot have an experiment, or has another one.
            RemoteError: if the update fails.
        """
        state, running = self.present()
        name = self._endpoint.name
        if running and (running.challenger, running.share) != (package, share):
            raise InputError(
                f"endpoint {name} has the experiment {running.name} since {running.started:%Y-%m-%d %H:%M} UTC, which "
                f"{'runs' if running.is_running else 'is stopped'}; `ncf experiment end {name}` ends it"
            )
        if running is None:
            running = self._begin(state, package, share, permit)
        try:
            check(CHALLENGER_VARIANT)
        except (InputError, RemoteError):
            self.end()
            raise
        return running

    def _begin(self, state: Description, package: str, share: float, permit: Callable[[], None]) -> Experiment:
        before = self._aws.call("sagemaker", "describe_endpoint_config", EndpointConfigName=state["EndpointConfigName"])
        live = before["ProductionVariants"][0]
        if package_of_config(self._aws, before["EndpointConfigName"]) == package:
            raise InputError(
                f"parameter 'challenger': {package} is the live model of endpoint {self._endpoint.name}; expected "
                "another package"
            )
        model = self._aws.call("sagemaker", "describe_model", ModelName=live["ModelName"])
        self._check(live, before, model)
        identity = {"config": before["EndpointConfigName"], "challenger": package, "share": share}
        name = hashed_name(experiment_stem(self._endpoint.name), identity)
        tags = self._tags(state, before, share, package)
        request = {key: model[key] for key in _OF_MODEL if key in model}
        container = {"ModelPackageName": package}
        own = tag_list({**tags, PACKAGE_TAG: package})
        self._create("create_model", {"ModelName": name, "PrimaryContainer": container, **request, "Tags": own})
        self._create_config(name, before, name, state, share, tags)
        older = versions.previous_of(tags_of(self._aws, state["EndpointArn"]), before["EndpointConfigName"])
        previous = versions.previous_tag(before["EndpointConfigName"], older)  # `ncf rollback` ends the experiment, too
        versions.tag_endpoint(self._aws, state["EndpointArn"], previous=previous)
        permit()
        self._update(state, name)
        found = find(self._aws, self.present()[0])
        if found is None or found.name != name:
            raise RemoteError(f"endpoint {self._endpoint.name} does not serve the experiment {name}: others changed it")
        return found

    def _check(self, live: Mapping[str, Any], config: Mapping[str, Any], model: Mapping[str, Any]) -> None:
        """
        Raises:
            InputError: if the endpoint cannot have an experiment.
        """
        if is_multi_model(model):
            raise InputError(
                f"endpoint {self._endpoint.name} hosts several models; an experiment needs an endpoint of one model"
            )
        if "ServerlessConfig" in live:
            raise InputError(
                f"endpoint {self._endpoint.name} is serverless; an experiment needs instances, and captured data"
            )
        if not config.get("DataCaptureConfig", {}).get("EnableCapture"):
            raise InputError(
                f"endpoint {self._endpoint.name} captures no data, by which variants are compared; deploy it with "
                "'data_capture_s3_uri'"
            )

    def stop(self) -> Experiment:
        """Stop the experiment: the live model serves the users of the challenger, too.

        Returns:
            The stopped experiment.

        Raises:
            InputError: if the endpoint has no experiment.
        """
        state, running = self.present()
        if running is None:
            raise InputError(f"endpoint {self._endpoint.name} has no experiment")
        if not running.is_running:
            return running
        before = self._aws.call("sagemaker", "describe_endpoint_config", EndpointConfigName=running.before)
        name = hashed_name(experiment_stem(self._endpoint.name), {"stopped": running.name})
        tags = self._tags(state, before, running.share, "")
        self._create_config(name, before, before["ProductionVariants"][0]["ModelName"], state, running.share, tags)
        self._update(state, name)
        state, stopped = self.present()
        if stopped is None or stopped.is_running:
            raise RemoteError(f"endpoint {self._endpoint.name} still serves the experiment {running.name}")
        self._delete_others(state["EndpointConfigName"])
        return stopped

    def end(self) -> Experiment | None:
        """Return to the config from before the experiment, and delete what the experiment has created.

        Returns:
            The experiment that has ended; None if the endpoint has none.
        """
        state, running = self.present()
        if running:
            after = self._endpoint.return_to(state, running.before, self._wait_time)
            if after is None or after["EndpointConfigName"] != running.before:
                reason = (after or {}).get("FailureReason", "SageMaker gives no reason")
                raise RemoteError(f"endpoint {self._endpoint.name} does not serve {running.before} again: {reason}")
        self._delete_others("")
        return running

    def _update(self, state: Description, config: str) -> None:
        """Update the endpoint to a config, and wait."""
        for _ in range(MAX_STARTS):
            if self._endpoint.update(state, config, {}):
                break
            settled, _ = self.present()
            if settled["EndpointConfigName"] == config:  # by the same command at the same time
                return
            if settled["EndpointConfigName"] != state["EndpointConfigName"]:  # what others have deployed is kept
                raise RemoteError(f"endpoint {self._endpoint.name} is not updated to {config}, as others change it")
            state = settled
        else:
            raise RemoteError(f"endpoint {self._endpoint.name} is not updated: other updates start again and again")
        after = self._endpoint.settled(self._wait_time, (state,))
        if after is None or after["EndpointConfigName"] != config:
            reason = (after or {}).get("FailureReason", "SageMaker gives no reason")
            raise RemoteError(f"endpoint {self._endpoint.name} is not updated to {config}: {reason}")

    def _tags(self, state: Description, before: Mapping[str, Any], share: float, challenger: str) -> dict[str, str]:
        """Tags of the resources of an experiment. They belong to the run of the live model, also in a clean-up."""
        of_before = tags_of(self._aws, before["EndpointConfigArn"])
        namespace = tags_of(self._aws, state["EndpointArn"]).get(NAMESPACE_TAG, "")
        return {
            ENDPOINT_TAG: self._endpoint.name,
            EXPERIMENT_TAG: f"{before['EndpointConfigName']} {share}",
            CHALLENGER_TAG: challenger,
            PACKAGE_TAG: of_before.get(PACKAGE_TAG, ""),
            **({RUN_TAG: of_before[RUN_TAG]} if RUN_TAG in of_before else {}),
            **({NAMESPACE_TAG: namespace} if namespace else {}),
        }

    def _create_config(
        self,
        name: str,
        before: Mapping[str, Any],
        challenger: str,
        state: Description,
        share: float,
        tags: Mapping[str, str],
    ) -> None:
        # autoscaling may have changed the number of instances of the config
        counts = {entry["VariantName"]: entry["DesiredInstanceCount"] for entry in state["ProductionVariants"]}
        live = {**before["ProductionVariants"][0], "InitialInstanceCount": counts[VARIANT]}
        of_challenger = {
            "VariantName": CHALLENGER_VARIANT,
            "ModelName": challenger,
            "InitialInstanceCount": counts.get(CHALLENGER_VARIANT, counts[VARIANT]),
        }
        variants = [
            {**live, "InitialVariantWeight": 1 - share},
            {**live, **of_challenger, "InitialVariantWeight": share},
        ]
        copied = {key: before[key] for key in _OF_CONFIG if key in before}
        request = {"EndpointConfigName": name, "ProductionVariants": variants, **copied, "Tags": tag_list(tags)}
        self._create("create_endpoint_config", request)

    def _create(self, operation: str, request: Mapping[str, Any]) -> None:
        """Create a resource, unless a process that was killed has."""
        try:
            self._aws.call_with_new("sagemaker", operation, **request)
        except RefusedError as error:
            if error.says_exists:
                return
            if error.code == "ValidationException":
                raise InputError(str(error)) from error
            raise

    def _delete_others(self, live: str) -> None:
        """Delete the configs and models of experiments of this endpoint, except the config in service."""
        stem = experiment_stem(self._endpoint.name)
        for page in self._aws.pages("sagemaker", "list_endpoint_configs", NameContains=stem, MaxResults=100):
            for entry in page["EndpointConfigs"]:
                name = entry["EndpointConfigName"]
                tags = readable_tags(self._aws, entry["EndpointConfigArn"])
                if name != live and EXPERIMENT_TAG in tags and tags.get(ENDPOINT_TAG) == self._endpoint.name:
                    # the config last: a process that is killed between finds it again
                    self._aws.delete("sagemaker", "delete_model", ModelName=name)
                    self._aws.delete("sagemaker", "delete_endpoint_config", EndpointConfigName=name)
