"""Epochs by compiled code. Negatives are drawn step by step; only the order of the positives is in memory."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.training.kernel import structures
from ncf.training.kernel.structures import address, compiled
from ncf.training.seeds import derived_seed
from ncf.training.step import Batch

_BITMAP_BYTES = 1 << 30
_ORDER = 0x5DEECE66D
"""XOR mask: key of an epoch's draws -> key of its order."""


class Draws:
    """Draws negatives of many positives: uniform and exact.

    If a bitmap of users x items fits, positives are rejected by the bitmap and drawn again. Otherwise, and after some
    rejections, a rank among the remaining items is drawn, and a search in the gaps between the user's items finds its
    item. The draws of a positive depend only on the key and the number of the positive.

    Args:
        exclusion: items that are no negatives, sorted and distinct; at least one item remains for each user.
        n_items: size of the catalogue.
        threads: of the pool.
        bitmap_bytes: largest bitmap.
    """

    def __init__(self, exclusion: ItemsByUser, n_items: int, threads: int, bitmap_bytes: int = _BITMAP_BYTES) -> None:
        self._pool = structures.thread_pool(threads)
        self._offsets = torch.from_numpy(np.array(exclusion.offsets, np.int64))
        self._items = torch.from_numpy(np.array(exclusion.items, np.int32))
        stride = -(-n_items // 8)
        self._known = structures.Known(
            exclusion.n_users, n_items, address(self._offsets), address(self._items), None, stride
        )
        if exclusion.n_users * stride <= bitmap_bytes:
            self._bitmap = torch.zeros(exclusion.n_users * stride, dtype=torch.uint8)
            compiled().ncf_bitmap(self._pool, ctypes.byref(self._known), address(self._bitmap))
            self._known.bitmap = address(self._bitmap)

    def draw(
        self, users: Tensor, positives: Tensor, negatives: int, key: int, chosen: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Samples of some positives.

        Args:
            users: int32 [P], the user of each positive.
            positives: int32 [P], its item.
            negatives: to be drawn for each.
            key: of all random numbers.
            chosen: int32 [n], numbers of positives; all by default.

        Returns:
            Users, int32 [n], and items, int32 [n, 1 + negatives], the positive first.
        """
        n = len(users if chosen is None else chosen)
        own, items = torch.empty(n, dtype=torch.int32), torch.empty(n, 1 + negatives, dtype=torch.int32)
        compiled().ncf_draw(
            self._pool,
            ctypes.byref(self._known),
            address(chosen),
            n,
            address(users),
            address(positives),
            negatives,
            key,
            address(own),
            address(items),
        )
        return own, items

    def deal(self, positives: int, steps: int, key: int) -> Tensor:
        """A random order of ``P`` positives; step ``s`` takes ``[s * P // steps, (s + 1) * P // steps)`` of it.

        Returns:
            int32 [P], numbers of positives, ascending in each step.
        """
        dealt = torch.empty(positives, dtype=torch.int32)
        compiled().ncf_deal(self._pool, positives, steps, key, address(dealt))
        return dealt


@dataclass(frozen=True)
class DrawnEpoch:
    """The samples of one epoch in one process, drawn step by step.

    Attributes:
        draws: of the negatives.
        users: int32 [P], the user of each positive.
        positives: int32 [P], its item.
        negatives: for each positive.
        key: of all random numbers of the epoch.
        steps: steps in the epoch, the same in every process.
    """

    draws: Draws
    users: Tensor
    positives: Tensor
    negatives: int
    key: int
    steps: int

    def batches(self, first_step: int) -> Iterator[Batch]:
        """The samples of each step from ``first_step`` on; users are ascending."""
        n, steps = len(self.users), self.steps
        order = self.draws.deal(n, steps, self.key ^ _ORDER)
        for step in range(first_step, steps):
            chosen = order[step * n // steps : (step + 1) * n // steps]
            yield self.draws.draw(self.users, self.positives, self.negatives, self.key, chosen)


class CompiledSource:
    """Epochs whose negatives are drawn anew.

    Args:
        positives: of this process's users, numbered from 0.
        exclusion: of the same users; items that are no negatives.
        n_items: size of the catalogue.
        negatives: of each positive.
        seed: one for each fit and process.
        threads: of the pool.
    """

    def __init__(
        self,
        positives: ItemsByUser,
        exclusion: ItemsByUser,
        n_items: int,
        negatives: int,
        seed: list[int],
        threads: int,
    ) -> None:
        self._draws, self._negatives, self._seed = Draws(exclusion, n_items, threads), negatives, seed
        self._users = torch.from_numpy(positives.users())  # [P]
        self._positives = torch.from_numpy(positives.items)  # [P]

    def epoch(self, number: int, steps: int) -> DrawnEpoch:
        """Epoch ``number``, from 1, in ``steps`` steps."""
        seed = derived_seed(*self._seed, number)
        return DrawnEpoch(self._draws, self._users, self._positives, self._negatives, seed, steps)
