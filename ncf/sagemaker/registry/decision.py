"""The decision on a package: who approved or rejected it, when and why, and whether it is still what was decided on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ncf.sagemaker.registry.names import APPROVED, PENDING
from ncf.sagemaker.registry.package import Package
from ncf.sagemaker.registry.properties import DECIDED, DECIDED_AT, DECIDED_BY, DECIDED_CONTENT, DECIDED_NOTE, as_value

_MARGIN = timedelta(minutes=5)
"""Between the time that a decision records and that of AWS's change: clocks differ, and calls are repeated."""


@dataclass(frozen=True)
class Decision:
    """The decision that led to the status of a package.

    Attributes:
        by: ARN of the caller. If it is not recorded: whoever made the last change of the package; '' if AWS does not
            say.
        at: time of the decision, or of that change.
        note: reason; '' for none.
        origin: '' if ``ncf approve`` or ``ncf reject`` has recorded it, and the package is unchanged since. Otherwise
            it was made at the registration, or elsewhere, as in SageMaker Studio, or a later change hides it.
    """

    by: str
    at: datetime
    note: str
    origin: str = ""

    def __str__(self) -> str:
        by = f" by {self.by}" if self.by else ""
        origin = f" ({self.origin})" if self.origin else ""
        note = f": {self.note}" if self.note else ""
        return f"{shown(self.at)}{by}{origin}{note}"


def decision_of(package: Package) -> Decision | None:
    """The decision on a package; None while it is pending.

    Only decisions change a package after its registration. A later change, or one by somebody else, is therefore a
    decision elsewhere or a change by hand, and AWS does not say which.
    """
    if package.status == PENDING:
        return None
    known = package.properties
    by, at = known.get(DECIDED_BY, ""), _time(known.get(DECIDED_AT, ""))
    is_last = at is not None and abs(package.modified - at) <= _MARGIN and package.modified_by in (by, "")
    if at and is_last and known.get(DECIDED) == package.status:
        return Decision(by, at, package.note)
    # SageMaker keeps the note of the decision before, unless another one is given
    note = "" if as_value(package.note) == known.get(DECIDED_NOTE, "") else package.note
    origin = "the registration" if package.modified == package.created else "the last change of the package"
    return Decision(package.modified_by, package.modified, note, origin)


def change_after_approval(package: Package) -> str:
    """How a package is not what was approved, in words; '' if it is, or if the approval recorded no content.

    ``ncf approve`` records the content. SageMaker Studio does not, and neither does a run with ``release=at_once``.
    """
    known = package.properties
    approved = known.get(DECIDED_CONTENT, "") if known.get(DECIDED) == APPROVED == package.status else ""
    if approved in ("", package.content):
        return ""
    by = f" by {package.modified_by}" if package.modified_by else ""
    return (
        f"the image, the model or the properties of {package.name} are no longer those that {known.get(DECIDED_BY)} "
        f"approved at {known.get(DECIDED_AT)}; last change {shown(package.modified)}{by}"
    )


def shown(time: datetime) -> str:
    """A time for people, in minutes and UTC."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _time(text: str) -> datetime | None:
    """The time of an ISO text; None if it is none, as anybody can write a property."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
