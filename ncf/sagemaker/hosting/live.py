"""The model packages that are live: those that the models of endpoints were created from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ncf.aws.errors import DENIED, RefusedError
from ncf.aws.names import RUN_TAG
from ncf.aws.session import Aws
from ncf.sagemaker.hosting.deployed_model import deployed_package
from ncf.sagemaker.registry.package import Package, describe, group_and_version

CALLS = ("tag:GetResources",)
"""AWS calls of this module, from which the IAM permissions are generated."""


def live_endpoints(aws: Aws) -> Mapping[str, Sequence[str]]:
    """ARN of each package that is live -> names of the endpoints that serve it, in alphabetical order.

    Endpoints that a run has deployed to are found by their tag, in an index that is eventually consistent. What they
    serve is SageMaker's description, which nobody can write, unlike a tag. Endpoints of other owners, which the caller
    may not describe, are left out.
    """
    filters: dict[str, Any] = {"TagFilters": [{"Key": RUN_TAG}], "ResourceTypeFilters": ["sagemaker:endpoint"]}
    pages = aws.pages("resourcegroupstaggingapi", "get_resources", **filters)
    arns = [entry["ResourceARN"] for page in pages for entry in page["ResourceTagMappingList"]]
    serving = defaultdict(list)
    for name in sorted(arn.rpartition("/")[2] for arn in arns):
        if package := _readable_package(aws, name):
            serving[package].append(name)
    return serving


def live_packages(aws: Aws, group: str, live: Iterable[str]) -> Iterator[Package]:
    """The packages of a group that are live, the newest first.

    Args:
        aws: clients.
        group: its name.
        live: ARNs of the packages of all groups that are live.
    """
    named = {arn: group_and_version(arn) for arn in live}
    of_group = [arn for arn, (name, _) in named.items() if name.lower() == group.lower()]
    for arn in sorted(of_group, key=lambda arn: named[arn][1], reverse=True):
        if package := describe(aws, arn):  # a package can be deleted while it is live
            yield package


def _readable_package(aws: Aws, endpoint: str) -> str:
    try:
        return deployed_package(aws, endpoint)
    except RefusedError as error:
        if error.code in DENIED:
            return ""
        raise
