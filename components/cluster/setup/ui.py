"""Role of KFP's UI: it reads the reports and metrics of runs."""

from __future__ import annotations

from typing import Any

from components.cluster.cloudformation import only_if, role, substituted
from components.cluster.permissions import trust_of_service_account
from ncf.aws.permissions import BUCKET, OBJECTS


def resources() -> dict[str, Any]:
    """The role."""
    trust = trust_of_service_account("${UiServiceAccount}")
    return {"UiRole": role("The UI of KFP, by its service account", trust, reading())}


def reading() -> list[dict[str, Any]]:
    """Statements to read the objects under Prefix, in a template with the parameters or resources Bucket and Prefix."""
    key = {"Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": [substituted("${KmsKeyArn}")]}
    return [
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": [substituted(OBJECTS)]},
        {
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": [substituted(BUCKET)],
            "Condition": {"StringLike": {"s3:prefix": substituted("${Prefix}*")}},
        },
        only_if("HasKmsKeyArn", key),
    ]
