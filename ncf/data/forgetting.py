"""Rows of forgotten users, left out of the blocks of a table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ncf.artifacts.forgotten import Forgotten
from ncf.data.columns import Block
from ncf.data.factorise import Ids


class ForgottenRows:
    """The rows that a list of forgotten users leaves out.

    Args:
        forgotten: the users. Each id in the table is hashed once.

    Attributes:
        rows: number of rows that were left out.
    """

    def __init__(self, forgotten: Forgotten) -> None:
        self.rows = 0
        self._forgotten, self._ids = forgotten, Ids("user")
        self._is_forgotten = np.zeros(0, bool)

    def without(self, block: Block) -> Block:
        """A block without these rows. Rows without a user stay."""
        numbers = self._ids.encode(block)
        new = self._ids.names[len(self._is_forgotten) :]
        found = np.fromiter((user in self._forgotten for user in new), bool, len(new))
        self._is_forgotten = np.concatenate([self._is_forgotten, found])
        kept = ~np.append(self._is_forgotten, False)[numbers]  # the number of a missing user is -1
        if kept.all():
            return block
        positions = np.flatnonzero(kept)
        self.rows += block.rows - len(positions)
        return replace(
            block,
            columns={role: column.take(positions) for role, column in block.columns.items()},
            rows=len(positions),
            row_number=lambda index: block.row_number(int(positions[index])),
        )
