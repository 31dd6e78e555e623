"""Tags of what is in SageMaker."""

from __future__ import annotations

from typing import Any

from ncf.aws.session import Aws

CALLS = ("sagemaker:ListTags",)
"""What this module calls: permissions are made from it."""


def tags_of(aws: Aws, arn: str) -> dict[str, str]:
    """The tags of a resource."""
    tags: dict[str, str] = {}
    more: dict[str, Any] = {}
    while True:
        answer = aws.call("sagemaker", "list_tags", ResourceArn=arn, **more)
        tags |= {tag["Key"]: tag["Value"] for tag in answer["Tags"]}
        if not answer.get("NextToken"):
            return tags
        more = {"NextToken": answer["NextToken"]}
