"""Numbers of users: index of a known one, and one of a fixed number of buckets for an unknown one."""

from __future__ import annotations

from collections.abc import Mapping
from zlib import crc32

BUCKETS = 1 << 16
"""Buckets of unknown users. Their number is not bounded, the memory for them is."""


class UserNumbers:
    """Number of each user: known ones from 0, then the buckets of unknown ones by a hash of the id.

    Args:
        index: raw id -> index of the users that the model knows.
    """

    def __init__(self, index: Mapping[str, int]) -> None:
        self._index = index
        self.known = len(index)
        self.size = self.known + BUCKETS

    def of(self, user: str) -> int:
        found = self._index.get(user)
        if found is not None:
            return found
        return self.known + crc32(user.encode(errors="replace")) % BUCKETS
