"""Decisions on a package: who approved or rejected it, when and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from ncf.aws.session import Aws
from ncf.sagemaker.registry.names import PENDING
from ncf.sagemaker.registry.package import Package, set_status
from ncf.sagemaker.registry.properties import DECIDED, DECIDED_AT, DECIDED_BY

CALLS = ("sts:GetCallerIdentity",)
"""AWS calls of this module, from which the IAM permissions are generated."""


@dataclass(frozen=True)
class Decision:
    """The decision that led to the status of a package.

    Attributes:
        by: ARN of the caller. If the status was set elsewhere, as by SageMaker Studio: whoever made the last change of
            the package; '' if AWS does not say.
        at: time of the decision, or of that change.
        note: reason; '' for none.
    """

    by: str
    at: datetime
    note: str

    def __str__(self) -> str:
        by = f" by {self.by}" if self.by else ""
        note = f": {self.note}" if self.note else ""
        return f"{self.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC{by}{note}"


def decision_of(package: Package) -> Decision | None:
    """The decision on a package; None while it is pending."""
    if package.status == PENDING:
        return None
    known = package.properties
    if known.get(DECIDED) == package.status and (at := _time(known.get(DECIDED_AT, ""))):
        return Decision(known.get(DECIDED_BY, ""), at, package.note)
    return Decision(package.modified_by, package.modified, package.note)


def decide(aws: Aws, package: Package, status: str, note: str) -> Decision:
    """Set the approval status of a package, with who, when and why.

    Args:
        aws: clients; the caller is the one who decides.
        package: of any status.
        status: :data:`~ncf.sagemaker.registry.package.APPROVED` or
            :data:`~ncf.sagemaker.registry.package.REJECTED`.
        note: reason.

    Raises:
        RefusedError: if the caller may not do it.
    """
    caller = str(aws.call("sts", "get_caller_identity")["Arn"])
    now = datetime.now(UTC).replace(microsecond=0)
    values = {DECIDED: status, DECIDED_BY: caller, DECIDED_AT: now.isoformat()}
    set_status(aws, package, status, note, values)
    return Decision(caller, now, note)


def _time(text: str) -> datetime | None:
    """The time of an ISO text; None if it is none, as anybody can write a property."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
