"""The experiment that an endpoint has, read from its config in service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ncf.aws.names import CHALLENGER_TAG, EXPERIMENT_TAG, PACKAGE_TAG
from ncf.aws.session import Aws
from ncf.aws.tags import readable_tags

CALLS = ("sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig")
"""AWS calls of this module, from which the IAM permissions are generated."""


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


def find(aws: Aws, state: Mapping[str, Any]) -> Experiment | None:
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
    state = aws.find("sagemaker", "describe_endpoint", EndpointName=endpoint)
    return find(aws, state) if state else None
