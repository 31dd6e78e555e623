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

from ncf.artifacts.model_folder import RECENCY_RATE, ModelConfig

_TINY = 1e-30
_ROWS_PER_BLOCK = 128
_INITIAL_SCALE = 10.0


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
        weights = (RECENCY_RATE * self.recency).exp() * present
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
        return (F.embedding(owners, sums) - own) * (others > 0) * (self.scale.exp() / others.clamp_min(1))

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

    Rows are multiplied in blocks by a matrix whose diagonals hold the weights, so that a row is gathered once, not once
    for each window that it is in.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weights: Tensor) -> Tensor:
        """float32 [N, factors] and [N, L] -> [N, factors]; weights of rows before the first one are ignored."""
        count, length = weights.shape
        blocks = -(-count // _ROWS_PER_BLOCK)
        missing = blocks * _ROWS_PER_BLOCK - count
        padded = F.pad(rows, (0, 0, length, missing))
        matrices = rows.new_zeros(blocks, _ROWS_PER_BLOCK, _ROWS_PER_BLOCK + length)
        _diagonals(matrices).copy_(F.pad(weights.flip(1), (0, 0, 0, missing)).view(blocks, _ROWS_PER_BLOCK, length))
        ctx.save_for_backward(padded, matrices)
        ctx.count = count
        return torch.bmm(matrices, _windows(padded, blocks)).flatten(0, 1)[:count]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        padded, matrices = ctx.saved_tensors
        blocks, height, span = matrices.shape
        length = span - height
        above = F.pad(gradients[0], (0, 0, 0, blocks * height - ctx.count)).view(blocks, height, -1)
        of_matrices = torch.bmm(above, _windows(padded, blocks).transpose(1, 2))
        of_windows = torch.bmm(matrices.transpose(1, 2), above)
        of_padded = torch.zeros_like(padded)
        for block in range(blocks):
            of_padded[block * height : block * height + span] += of_windows[block]
        of_weights = _diagonals(of_matrices).flatten(0, 1)[: ctx.count].flip(1)
        return of_padded[length : length + ctx.count], of_weights


def _windows(padded: Tensor, blocks: int) -> Tensor:
    """The rows before and in each block: [length + blocks * height, factors] -> [blocks, height + length, factors]."""
    width = padded.shape[1]
    span = len(padded) - (blocks - 1) * _ROWS_PER_BLOCK
    return padded.as_strided((blocks, span, width), (_ROWS_PER_BLOCK * width, width, 1))


def _diagonals(matrices: Tensor) -> Tensor:
    """Columns ``n`` to ``n + length - 1`` of row ``n``: [blocks, height, height + length] -> [..., length]."""
    blocks, height, span = matrices.shape
    return matrices.as_strided((blocks, height, span - height), (height * span, span + 1, 1))


def initialise_history(network: HistoryNetwork, seed: int, init_std: float, popularity: NDArray[np.int64]) -> None:
    """Initial weights, which depend on the seed and the positives alone.

    Embeddings are normal; the bias of an item is the logarithm of its popularity, so that a user without a history gets
    popular items; the weight of an item falls with one over its lag, 1 for the latest.

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
            network.recency.copy_(-torch.log1p(torch.arange(len(network.recency))) / RECENCY_RATE)
        network.scale.fill_(float(np.log(_INITIAL_SCALE)))
