"""What a check of ``ncf doctor`` is, and how it ends otherwise than well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


class FailedError(Exception):
    """Something is wrong; the message says what, and what to do about it."""


class SkippedError(Exception):
    """It cannot be told; the message says why."""


@dataclass(frozen=True)
class Check:
    """One line of what is printed.

    Attributes:
        name: of the check.
        look: returns what is well; raises otherwise.
        action: IAM action without which it is skipped; '' for none.
        by_hand: what tells the same to who has that permission.
        needs_aws: whether it is pointless without credentials.
    """

    name: str
    look: Callable[[], str]
    action: str = ""
    by_hand: str = ""
    needs_aws: bool = True
