"""Role of KFP's UI: it reads the reports and metrics of runs."""

from __future__ import annotations

from typing import Any

from components.cluster.cloudformation import only_if, role, substituted
from components.cluster.permissions import trust_of_service_account
from ncf.aws.permissions import BUCKET, OBJECTS


def resources() -> dict[str, Any]:
    """The role."""
    trust = trust_of_service_account("${UiServiceAccount}")
    return {"UiRole": role("The UI of KFP, by its service account", trust, reading(OBJECTS))}


def reading(objects: str) -> list[dict[str, Any]]:
    """Statements to read objects, in a template with the parameters or resources Bucket and Prefix.

    Args:
        objects: ARN of the objects, with CloudFormation's ``${...}``.
    """
    key = {"Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": [substituted("${KmsKeyArn}")]}
    return [
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": [substituted(objects)]},
        {
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": [substituted(BUCKET)],
            "Condition": {"StringLike": {"s3:prefix": substituted("${Prefix}*")}},
        },
        only_if("HasKmsKeyArn", key),
    ]
