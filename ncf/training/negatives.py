"""Negatives for training, drawn on the device: uniform over the items that are not positives of the user."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ncf.artifacts.items_by_user import ItemsByUser

_BITMAP_BYTES = 1 << 30
_DRAWS_AT_ONCE = 1 << 22
_REJECTIONS = 16


def without_full_users(exclusion: ItemsByUser, n_items: int) -> ItemsByUser:
    """Items that are no negatives, without those of users with all items.

    Such a user has no negative. Draws from all items teach its embedding that it prefers none.
    """
    counts = exclusion.counts()
    full = counts >= n_items
    if not full.any():
        return exclusion
    offsets = np.concatenate([[0], np.cumsum(np.where(full, 0, counts))])
    return ItemsByUser(offsets, np.asarray(exclusion.items)[~np.repeat(full, counts)])


class NegativeSampler:
    """Draws, for each of many users, items that are not positives of that user.

    On a CPU, if a bitmap of users x items fits, positives are rejected by the bitmap and drawn again. Otherwise, and
    after some rejections, a rank among the ``n_items - positives`` remaining items is drawn, and a search in the gaps
    between the positives finds its item. A GPU always searches: shapes are fixed, so the host waits for nothing. Both
    ways are exact.

    Args:
        exclusion: positives of each user, items sorted and without repeats; at least one item remains for each user.
        n_items: size of the catalogue.
        device: of the draws.
        bitmap_bytes: largest bitmap.
    """

    def __init__(
        self, exclusion: ItemsByUser, n_items: int, device: torch.device, bitmap_bytes: int = _BITMAP_BYTES
    ) -> None:
        counts = exclusion.counts()
        self.n_items, self.device = n_items, device
        users, items = exclusion.users(), np.asarray(exclusion.items)
        # rank of each positive among the items that are left, grouped by user: sorted as a whole
        position = np.arange(len(items)) - np.repeat(exclusion.offsets[:-1], counts)
        gaps = users.astype(np.int64) * n_items + items - position
        self._gaps = torch.from_numpy(gaps).to(device)  # [positives]
        self._offsets = torch.from_numpy(np.array(exclusion.offsets)).to(device)  # [users + 1]
        self._left = torch.from_numpy(n_items - counts).to(device)  # [users]
        self._stride = -(-n_items // 8)
        self._bitmap: Tensor | None = None
        if device.type == "cpu" and exclusion.n_users * self._stride <= bitmap_bytes:
            bitmap = np.zeros(exclusion.n_users * self._stride, np.uint8)
            bytes_ = users.astype(np.int64) * self._stride + (items >> 3)
            np.bitwise_or.at(bitmap, bytes_, np.left_shift(1, items & 7).astype(np.uint8))
            self._bitmap = torch.from_numpy(bitmap).to(device)  # [users * stride]

    def draw(self, users: Tensor, negatives: int, generator: torch.Generator) -> Tensor:
        """Negatives for each user, with repeats.

        Args:
            users: int [n], in ascending order for speed.
            negatives: number for each.
            generator: of the sampler's device.

        Returns:
            int32 [n, negatives].
        """
        drawn = torch.empty(len(users), negatives, dtype=torch.int32, device=self.device)
        rows = max(1, _DRAWS_AT_ONCE // negatives)
        for start in range(0, len(users), rows):
            repeated = users[start : start + rows].repeat_interleave(negatives)
            draw = self._by_search if self._bitmap is None else self._by_rejection
            drawn[start : start + rows] = draw(repeated.long(), generator).view(-1, negatives)
        return drawn

    def _by_rejection(self, users: Tensor, generator: torch.Generator) -> Tensor:
        assert self._bitmap is not None
        items = torch.randint(self.n_items, users.shape, generator=generator, device=self.device, dtype=torch.int32)
        open_ = torch.arange(len(users), device=self.device)
        candidates = items
        for _ in range(_REJECTIONS):
            byte = self._bitmap.index_select(0, users[open_] * self._stride + (candidates >> 3))
            open_ = open_[(byte >> (candidates & 7).to(torch.uint8)) & 1 == 1]
            if not len(open_):
                return items
            candidates = torch.randint(
                self.n_items, open_.shape, generator=generator, device=self.device, dtype=torch.int32
            )
            items[open_] = candidates
        items[open_] = self._by_search(users[open_], generator)
        return items

    def _by_search(self, users: Tensor, generator: torch.Generator) -> Tensor:
        left = self._left[users]
        # 62 random bits: the bias of the remainder is below 2^-30
        rank = torch.randint(1 << 62, users.shape, generator=generator, device=self.device) % left
        passed = torch.searchsorted(self._gaps, users * self.n_items + rank, right=True) - self._offsets[users]
        return (rank + passed).int()
