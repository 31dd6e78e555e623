"""Assignment of users to the variants of an experiment: the same user always has the same variant."""

from __future__ import annotations

import hashlib

_DIGITS = 8


def is_challenged(user: str, experiment: str, share: float) -> bool:
    """Whether a user is assigned to the challenger.

    The first 8 hexadecimal digits of the SHA-256 of ``EXPERIMENT/USER``, in UTF-8, as a part of 16^8, lie below the
    share. Clients in other languages calculate the same.

    Args:
        user: raw id.
        experiment: ID of the experiment, so that each one has users of its own.
        share: of the challenger, 0 to 1.
    """
    digits = hashlib.sha256(f"{experiment}/{user}".encode()).hexdigest()[:_DIGITS]
    return bool(int(digits, 16) < share * 16**_DIGITS)
