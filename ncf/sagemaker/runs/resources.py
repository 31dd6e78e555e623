"""SageMaker resources of a run, found by their tag."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ncf.aws.names import RUN_TAG
from ncf.aws.session import Aws
from ncf.aws.tags import readable_tags

CALLS = (
    "sagemaker:DescribeEndpoint",
    "sagemaker:DescribeEndpointConfig",
    "sagemaker:DescribeModel",
    "sagemaker:DescribeTrainingJob",
    "tag:GetResources",
)
"""AWS calls of this module, from which the IAM permissions are generated."""

_DESCRIBED_BY = {
    "training-job": ("describe_training_job", "TrainingJobName"),
    "endpoint": ("describe_endpoint", "EndpointName"),
    "endpoint-config": ("describe_endpoint_config", "EndpointConfigName"),
    "model": ("describe_model", "ModelName"),
}
KINDS = tuple(_DESCRIBED_BY)
"""Kinds as in ARNs."""


def tagged(aws: Aws, run: str, kinds: Iterable[str] = KINDS) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Kind, name and tags of the resources with the run's tag, whoever has set it.

    The index of tags is eventually consistent, and is that of the whole account.
    """
    filters: dict[str, Any] = {
        "TagFilters": [{"Key": RUN_TAG, "Values": [run]}],
        "ResourceTypeFilters": [f"sagemaker:{kind}" for kind in kinds],
    }
    for page in aws.pages("resourcegroupstaggingapi", "get_resources", **filters):
        for entry in page["ResourceTagMappingList"]:
            kind, _, name = entry["ResourceARN"].split(":", 5)[5].partition("/")
            yield kind, name, {tag["Key"]: tag["Value"] for tag in entry.get("Tags", [])}


def describe(aws: Aws, kind: str, name: str) -> dict[str, Any] | None:
    """SageMaker's description of a resource; None if it does not exist."""
    operation, parameter = _DESCRIBED_BY[kind]
    return aws.find("sagemaker", operation, **{parameter: name})


def run_of_config(aws: Aws, name: str) -> str | None:
    """The run of an endpoint config, by its tag; "unknown" without a tag, None if the config does not exist."""
    config = describe(aws, "endpoint-config", name)
    return readable_tags(aws, config["EndpointConfigArn"]).get(RUN_TAG, "unknown") if config else None
