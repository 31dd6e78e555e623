"""Ranking of the validation positives among their candidates, on the training device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ncf.artifacts.samples import Samples
from ncf.models.networks import Network
from ncf.training.distributed import World

CUTOFF = 10
_PAIRS_AT_ONCE = 1 << 16


class Validation:
    """Hit rate and NDCG at 10 on the validation positives of this process's users.

    Args:
        samples: positives, sorted by user, and their candidates.
        users: of this process.
        world: the processes over which the metrics are summed.
    """

    def __init__(self, samples: Samples, users: range, world: World) -> None:
        rows = slice(*np.searchsorted(samples.validation[:, 0], [users.start, users.stop]).tolist())
        pairs = samples.validation[rows]
        ranked = np.concatenate([pairs[:, 1:], samples.validation_candidates[rows]], 1)
        self._users = torch.from_numpy(pairs[:, 0] - np.int32(users.start)).to(world.device)  # [n]
        self._items = torch.from_numpy(ranked).to(world.device)  # [n, 1 + candidates], the positive first
        self._total, self._world = len(samples.validation), world

    def metrics(self, network: Network) -> dict[str, float]:
        """``hr_at_10`` and ``ndcg_at_10`` over all processes; both 0 without validation positives."""
        sums = torch.zeros(2, dtype=torch.float64, device=self._world.device)
        rows = max(1, _PAIRS_AT_ONCE // self._items.shape[1])
        network.eval()
        with torch.inference_mode():
            for users, items in zip(torch.split(self._users, rows), torch.split(self._items, rows), strict=True):
                rank = ranks(network(users, items), items)
                hits = rank < CUTOFF
                gains = hits / torch.log2(rank + 2.0)
                sums += torch.stack([hits.sum(dtype=torch.float64), gains.sum(dtype=torch.float64)])
        network.train()
        hit_rate, ndcg = (self._world.all_reduce(sums) / max(1, self._total)).tolist()
        return {f"hr_at_{CUTOFF}": hit_rate, f"ndcg_at_{CUTOFF}": ndcg}


def ranks(scores: Tensor, items: Tensor) -> Tensor:
    """Rank of the positive, which is the first item of each row, among its candidates.

    A tie counts as a candidate before the positive, as does a score that is not a number. A candidate that is the
    positive itself does not count.

    Args:
        scores: float [n, 1 + candidates].
        items: int [n, 1 + candidates].

    Returns:
        int64 [n], from 0.
    """
    behind = scores[:, 1:] < scores[:, :1]
    return (~behind & (items[:, 1:] != items[:, :1])).sum(1)
