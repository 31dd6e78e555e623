"""Tags of SageMaker's resources."""

from __future__ import annotations

from ncf.aws.errors import DENIED, RefusedError
from ncf.aws.session import Aws

CALLS = ("sagemaker:ListTags",)
"""AWS calls of this module, from which the IAM permissions are generated."""


def tags_of(aws: Aws, arn: str) -> dict[str, str]:
    """The tags of a resource."""
    pages = aws.pages("sagemaker", "list_tags", ResourceArn=arn)
    return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}


def readable_tags(aws: Aws, arn: str) -> dict[str, str]:
    """The tags of a resource that may be another owner's; empty if they may not be read, or it has been deleted."""
    try:
        return tags_of(aws, arn)
    except RefusedError as error:
        if error.code in DENIED or error.says_missing:
            return {}
        raise
