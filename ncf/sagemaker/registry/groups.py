"""Model package groups of SageMaker's Model Registry."""

from __future__ import annotations

from ncf.aws.session import Aws

CALLS = ("sagemaker:ListModelPackageGroups",)
"""AWS calls of this module, from which the IAM permissions are generated."""


def group_names(aws: Aws) -> list[str]:
    """Names of all groups of the account in the region, in alphabetical order."""
    pages = aws.pages("sagemaker", "list_model_package_groups")
    return sorted(group["ModelPackageGroupName"] for page in pages for group in page["ModelPackageGroupSummaryList"])
