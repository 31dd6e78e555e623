"""Sampled softmax: the cross-entropy of the positive among shared negatives, with their gradients in closed form."""

from __future__ import annotations

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
    def forward(ctx: Any, users: Tensor, negatives: Tensor, bias: Tensor, positive: Tensor, excluded: Tensor) -> Tensor:
        """The loss.

        Args:
            ctx: of autograd.
            users: float32 [B, factors].
            negatives: float32 [N, factors], embeddings.
            bias: float32 [N], of the negatives, sampling corrected.
            positive: float32 [B], scores of the positives, sampling corrected.
            excluded: int64 [2, n], cells whose negative is the positive of the row, sorted by row.

        Returns:
            float32 [].
        """
        of_users, of_negatives = torch.empty_like(users), torch.zeros_like(negatives)
        of_bias, of_positive = torch.zeros_like(bias), torch.empty_like(positive)
        loss = torch.zeros((), device=users.device)
        across = negatives.T.contiguous()
        height = max(1, _CELLS_PER_BLOCK // max(1, len(negatives))) if users.device.type == "cpu" else len(users)
        bounds = torch.searchsorted(excluded[0], torch.arange(0, len(users) + height, height, device=users.device))
        cuts = bounds.tolist()
        for block, start in enumerate(range(0, len(users), height)):
            rows = slice(start, start + height)
            scores = torch.addmm(bias, users[rows], across)  # [b, N]
            own = excluded[:, cuts[block] : cuts[block + 1]]
            scores[own[0] - start, own[1]] = _EXCLUDED
            best = torch.maximum(scores.amax(1), positive[rows])
            weights = scores.sub_(best.unsqueeze(1)).exp_()
            of_own = (positive[rows] - best).exp_()
            total = weights.sum(1) + of_own
            loss += (total.log() + best - positive[rows]).sum()
            weights /= total.unsqueeze(1)
            of_positive[rows] = of_own / total - 1
            torch.mm(weights, negatives, out=of_users[rows])
            of_negatives.addmm_(weights.T, users[rows])
            of_bias += weights.sum(0)
        ctx.save_for_backward(of_users, of_negatives, of_bias, of_positive)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return (*(saved * gradients[0] for saved in ctx.saved_tensors), None)


def cells_of_positives(positives: Tensor, negatives: Tensor) -> Tensor:
    """Cells whose negative is the positive of the row, sorted by row: int [B], int [N] -> int64 [2, n]."""
    ordered, order = torch.sort(negatives)
    first, last = torch.searchsorted(ordered, positives), torch.searchsorted(ordered, positives, right=True)
    counts = last - first
    rows = torch.repeat_interleave(counts)
    within = torch.arange(len(rows), device=rows.device) - (torch.cumsum(counts, 0) - counts)[rows]
    return torch.stack([rows, order[first[rows] + within]])
