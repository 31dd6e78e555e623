"""Names of model package groups and of their versions, and of approval statuses."""

from __future__ import annotations

import re

GROUP = r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
"""Pattern of a group's name."""

PENDING, APPROVED, REJECTED = "PendingManualApproval", "Approved", "Rejected"
"""Values of ModelApprovalStatus."""

COMPLETED = "Completed"
"""ModelPackageStatus of a package that can be used."""


def check_group(name: str) -> str:
    """The name of a model package group.

    Raises:
        ValueError: if AWS does not accept it.
    """
    if not re.fullmatch(GROUP, name):
        raise ValueError("expected the name of a model package group: up to 63 letters, digits and hyphens")
    return name
