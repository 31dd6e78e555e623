"""Approval and rejection of a package: the only calls that change one."""

from __future__ import annotations

from datetime import UTC, datetime

from ncf.aws.session import Aws
from ncf.sagemaker.registry.decision import Decision
from ncf.sagemaker.registry.package import Package
from ncf.sagemaker.registry.properties import (
    DECIDED,
    DECIDED_AT,
    DECIDED_BY,
    DECIDED_CONTENT,
    DECIDED_NOTE,
    as_note,
    as_properties,
)

CALLS = ("sagemaker:UpdateModelPackage", "sts:GetCallerIdentity")
"""AWS calls of this module, from which the IAM permissions are generated. No pod has the first one."""


def decide(aws: Aws, package: Package, status: str, note: str) -> Decision:
    """Set the approval status of a package, with who, when, why, and of what content.

    Args:
        aws: clients; the caller is the one who decides.
        package: of any status, as the caller has read it.
        status: :data:`~ncf.sagemaker.registry.names.APPROVED` or :data:`~ncf.sagemaker.registry.names.REJECTED`.
        note: reason.

    Raises:
        RefusedError: if the caller may not do it.
    """
    caller = str(aws.call("sts", "get_caller_identity")["Arn"])
    now, note = datetime.now(UTC).replace(microsecond=0), as_note(note)
    values = {
        DECIDED: status,
        DECIDED_BY: caller,
        DECIDED_AT: now.isoformat(),
        DECIDED_NOTE: note,
        DECIDED_CONTENT: package.content,
    }
    aws.call(
        "sagemaker",
        "update_model_package",
        ModelPackageArn=package.arn,
        ModelApprovalStatus=status,
        ApprovalDescription=note,
        CustomerMetadataProperties=as_properties(values),
    )
    return Decision(caller, now, note)
