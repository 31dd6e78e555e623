"""The ``history`` network in torch: a matrix factorisation whose user is the weighted mean of the user's items.

``score(u, i) = scale * mean(E[h]) . E[i] + b[i]``, with one table ``E`` for the items of the history ``h`` and for
those that are scored, and no embedding of the user's id. He et al. 2017 (section 3.1) leave the input of the user side
open to such features. The mean is FISM's (Kabbur et al., KDD 2013); with times it is weighted by recency, with one
learned weight for each of the latest items.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ncf.artifacts.model_folder import ModelConfig

_TINY = 1e-30
_INITIAL_SCALE = 10.0
_INITIAL_DECAY = 2.0
"""Logarithm of the initial weight of the latest item over that of the oldest one."""


class HistoryNetwork(nn.Module):
    """Network that scores items for users by their histories, as logits.

    Args:
        config: architecture and sizes of a ``history`` model.
    """

    dropout = 0.0

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_items, self.is_sequential = config.n_items, config.is_sequential
        self.item_gmf = nn.Embedding(config.n_items, config.factors)
        self.item_bias = nn.Embedding(config.n_items, 1)
        if config.is_sequential:
            self.recency = nn.Parameter(torch.empty(config.history))
        self.scale = nn.Parameter(torch.empty(1))

    def before_each(self, rows: Tensor, begin: Tensor) -> Tensor:
        """Vector of a user before each of some positives, from the positives before it.

        Args:
            rows: float32 [N, factors], embeddings of positives of some users, one user after the other, oldest first.
            begin: int64 [N], number of the first positive here of each positive's user.

        Returns:
            float32 [N, factors]; 0 for a user's first positive.
        """
        lags = torch.arange(1, len(self.recency) + 1, device=rows.device)
        earlier = torch.arange(len(rows), device=rows.device) - begin
        sums: Tensor = _WindowSum.apply(rows, self._weights(lags <= earlier.unsqueeze(1)))  # type: ignore[no-untyped-call]
        return sums

    def _weights(self, present: Tensor) -> Tensor:
        """Weights of the latest items of some users, the latest first: bool [B, history] -> float32 [B, history]."""
        weights = self.recency.exp() * present
        return weights * (self.scale.exp() / weights.sum(1, keepdim=True).clamp_min(_TINY))

    def without(self, table: Tensor, items: Tensor, offsets: Tensor, own: Tensor, owners: Tensor) -> Tensor:
        """Vector of a user without each of some positives, from all other positives of the user.

        Args:
            table: float32 [rows, factors], embeddings.
            items: int64 [n], rows of all positives of some users, one user after the other.
            offsets: int64 [users + 1], first of each user in ``items``.
            own: float32 [B, factors], embeddings of the positives to leave out.
            owners: int64 [B], number of their users.

        Returns:
            float32 [B, factors]; 0 for the only positive of a user.
        """
        sums = F.embedding_bag(items, table, offsets, mode="sum", include_last_offset=True)
        others = (offsets.diff() - 1)[owners].unsqueeze(1)
        return (sums[owners] - own) * (others > 0) * (self.scale.exp() / others.clamp_min(1))

    def of_users(self, items: Tensor, offsets: Tensor) -> Tensor:
        """Vectors of users from their whole histories.

        Args:
            items: int [n], items of some users, one user after the other, oldest first.
            offsets: int64 [users + 1], first row of each user in ``items``.

        Returns:
            float32 [users, factors]; 0 for a user without items.
        """
        if not self.is_sequential:
            means = F.embedding_bag(items, self.item_gmf.weight, offsets, mode="mean", include_last_offset=True)
            return means * self.scale.exp()
        positions = offsets[1:, None] - 1 - torch.arange(len(self.recency), device=items.device)
        present = positions >= offsets[:-1, None]
        latest = F.pad(items, (0, 1))[torch.where(present, positions, len(items))]  # [users, history]
        return torch.bmm(self._weights(present).unsqueeze(1), self.item_gmf(latest)).squeeze(1)

    def multiplications(self, items_per_user: int) -> float:  # noqa: ARG002 (as of the other networks)
        """Multiplications of a sample in the forward pass."""
        return float(self.item_gmf.embedding_dim)

    def scores(self, users: Tensor) -> Tensor:
        """Logits of users, float32 [B, factors], with all items: float32 [B, n_items]."""
        return torch.addmm(self.item_bias.weight[:, 0], users, self.item_gmf.weight.T)

    def scores_of(self, users: Tensor, items: Tensor) -> Tensor:
        """Logits of users, float32 [B, factors], with a row of items each, int [B, C]: float32 [B, C]."""
        products: Tensor = torch.bmm(self.item_gmf(items), users.unsqueeze(2)) + self.item_bias(items)
        return products.squeeze(2)


class _WindowSum(torch.autograd.Function):
    """Weighted sum of the rows before each row: ``sum[n] = weights[n, l] * rows[n - 1 - l]`` over ``l``.

    Windows are views that overlap, so a row is gathered once, not once for each window that it is in.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weights: Tensor) -> Tensor:
        """float32 [N, factors] and [N, L] -> [N, factors]; weights of rows before the first one are ignored."""
        ctx.save_for_backward(rows, weights)
        return torch.bmm(weights.flip(1).unsqueeze(1), _windows_before(rows, weights.shape[1])).squeeze(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        rows, weights = ctx.saved_tensors
        (above,), length, width = gradients, weights.shape[1], rows.shape[1]
        of_weights = torch.bmm(_windows_before(rows, length), above.unsqueeze(2)).squeeze(2).flip(1)
        # row m is in the windows of rows m + 1 + l, with weights[m + 1 + l, l]
        after = F.pad(above, (0, 0, 0, length)).contiguous()
        windows = after.as_strided((len(rows), length, width), (width, width, 1), width)
        padded = F.pad(weights, (0, 0, 0, length)).contiguous()
        diagonals = padded.as_strided((len(rows), length), (length, length + 1), length).contiguous()
        return torch.bmm(diagonals.unsqueeze(1), windows).squeeze(1), of_weights


def _windows_before(rows: Tensor, length: int) -> Tensor:
    """The ``length`` rows before each row, oldest first: [N, factors] -> view [N, length, factors]."""
    width = rows.shape[1]
    padded = F.pad(rows, (0, 0, length, 0)).contiguous()
    return padded.as_strided((len(rows), length, width), (width, width, 1))


def initialise_history(network: HistoryNetwork, seed: int, init_std: float, popularity: NDArray[np.int64]) -> None:
    """Initial weights, which depend on the seed and the positives alone.

    Embeddings are normal; the bias of an item is the logarithm of its popularity, so that a user without a history gets
    popular items; recent items weigh more than older ones.

    Args:
        network: on the CPU.
        seed: of the embeddings.
        init_std: their standard deviation.
        popularity: int64 [n_items], positives of each item.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        network.item_gmf.weight.normal_(0, init_std, generator=generator)
        bias = np.log1p(popularity)
        network.item_bias.weight.copy_(torch.from_numpy(bias - bias.mean()).unsqueeze(1))
        if network.is_sequential:
            network.recency.copy_(torch.linspace(0, -_INITIAL_DECAY, len(network.recency)))
        network.scale.fill_(float(np.log(_INITIAL_SCALE)))
