"""What is in SageMaker of a run, by its tag."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ncf.aws.names import RUN_TAG
from ncf.aws.session import Aws, RefusedError
from ncf.aws.tags import tags_of

CALLS = (
    "sagemaker:DescribeEndpoint",
    "sagemaker:DescribeEndpointConfig",
    "sagemaker:DescribeModel",
    "sagemaker:DescribeTrainingJob",
    "tag:GetResources",
)
"""What this module calls: permissions are made from it."""

_DESCRIBED_BY = {  # in the order in which they can be deleted: a config is in use by its endpoint
    "training-job": ("describe_training_job", "TrainingJobName"),
    "endpoint": ("describe_endpoint", "EndpointName"),
    "endpoint-config": ("describe_endpoint_config", "EndpointConfigName"),
    "model": ("describe_model", "ModelName"),
}
KINDS = tuple(_DESCRIBED_BY)
"""Kinds as in ARNs, in the order in which they can be deleted."""


def tagged(aws: Aws, run: str, kinds: Iterable[str] = KINDS) -> Iterator[tuple[str, str]]:
    """Kind and name of what bears the run's tag; the index of tags is some time behind."""
    request: dict[str, Any] = {
        "TagFilters": [{"Key": RUN_TAG, "Values": [run]}],
        "ResourceTypeFilters": [f"sagemaker:{kind}" for kind in kinds],
    }
    while True:
        answer = aws.call("resourcegroupstaggingapi", "get_resources", **request)
        for entry in answer["ResourceTagMappingList"]:
            kind, _, name = entry["ResourceARN"].split(":", 5)[5].partition("/")
            yield kind, name
        if not answer.get("PaginationToken"):
            return
        request["PaginationToken"] = answer["PaginationToken"]


def describe(aws: Aws, kind: str, name: str) -> dict[str, Any] | None:
    """SageMaker's description; None if there is no such thing."""
    operation, parameter = _DESCRIBED_BY[kind]
    try:
        return aws.call("sagemaker", operation, None, **{parameter: name})
    except RefusedError as error:
        if error.says_missing:
            return None
        raise


def run_of_config(aws: Aws, name: str) -> str | None:
    """The run that an endpoint config was made for; "unknown" if it says none, None if it is gone."""
    config = describe(aws, "endpoint-config", name)
    return tags_of(aws, config["EndpointConfigArn"]).get(RUN_TAG, "unknown") if config else None
