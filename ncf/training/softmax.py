"""Sampled softmax: the cross-entropy of the positive among shared negatives, with their gradients in closed form."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

_CELLS_PER_BLOCK = 1 << 17  # scores that stay in the cache of a core
_EXCLUDED = -1e30


class SampledSoftmax(torch.autograd.Function):
    """Summed loss of positives among negatives that all of them share (Bengio and Senecal 2008).

    The matrix of scores is made in blocks, forward and backward pass together, so it is never whole in memory.
    """

    @staticmethod
    def forward(
        ctx: Any,
        users: Tensor,
        negatives: Tensor,
        bias: Tensor,
        positive: Tensor,
        weight: Tensor,
        excluded: Tensor,
    ) -> Tensor:
        """The loss.

        Args:
            ctx: of autograd.
            users: float32 [B, factors].
            negatives: float32 [N, factors], embeddings.
            bias: float32 [N], of the negatives, sampling corrected.
            positive: float32 [B], scores of the positives, sampling corrected.
            weight: float32 [B], of each positive in the sum; no gradient.
            excluded: int64 [2, n], cells whose negative is the positive of the row, sorted by row.

        Returns:
            float32 [].
        """
        factors = users.shape[1]
        of_users, of_positive = torch.empty_like(users), torch.empty_like(positive)
        with_bias = torch.zeros(len(negatives), factors + 1, device=users.device)  # gradients of embeddings and biases
        loss = torch.zeros((), device=users.device)
        across = negatives.T.contiguous()
        height = max(1, _CELLS_PER_BLOCK // max(1, len(negatives))) if users.device.type == "cpu" else len(users)
        starts = range(0, len(users), max(1, height))
        cuts = torch.searchsorted(excluded[0].contiguous(), torch.tensor([*starts, len(users)], device=users.device))
        for start, (first, last) in zip(starts, pairwise(cuts.tolist()), strict=True):
            rows = slice(start, start + height)
            scores = torch.addmm(bias, users[rows], across)  # [b, N]
            own = excluded[:, first:last]
            scores[own[0] - start, own[1]] = _EXCLUDED
            best = torch.maximum(scores.amax(1), positive[rows])
            weights = scores.sub_(best.unsqueeze(1)).exp_()
            of_own = (positive[rows] - best).exp_()
            total = weights.sum(1) + of_own
            loss += torch.dot(weight[rows], total.log() + best - positive[rows])
            of_positive[rows] = weight[rows] * (of_own / total - 1)
            share = (weight[rows] / total).unsqueeze(1)  # scales the small factors, not the matrix of scores
            torch.mul(weights @ negatives, share, out=of_users[rows])
            with_bias.addmm_(weights.T, torch.cat([users[rows] * share, share], 1))
        ctx.save_for_backward(of_users, with_bias[:, :factors], with_bias[:, factors], of_positive)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return (*(saved * gradients[0] for saved in ctx.saved_tensors), None, None)


def cells_of_positives(positives: Tensor, negatives: Tensor) -> Tensor:
    """Cells whose negative is the positive of the row, sorted by row: int [B], int [N] -> int64 [2, n]."""
    ordered, order = torch.sort(negatives)
    first, last = torch.searchsorted(ordered, positives), torch.searchsorted(ordered, positives, right=True)
    counts = last - first
    rows = torch.repeat_interleave(counts)
    within = torch.arange(len(rows), device=rows.device) - (torch.cumsum(counts, 0) - counts)[rows]
    return torch.stack([rows, order[first[rows] + within]])
