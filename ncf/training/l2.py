"""The L2 term of the embeddings, of the user and the item of each sample.

A row is regularised once for each of its samples, as in Rendle et al. 2020 (section 3.1 of
https://arxiv.org/abs/2005.09683): the loss of a sample has ``l2 / 2 * (|user|^2 + |item|^2)`` beside the cross-entropy.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ncf.models.networks import ITEM_TABLES, USER_TABLES, Network


@torch.no_grad()
def add_l2(network: Network, users: Tensor, items: Tensor, strength: float | Tensor) -> None:
    """Add the term's gradients to those of the embeddings.

    Args:
        network: after the backward pass of the step.
        users: int [B], rows of the user tables.
        items: int [B, C].
        strength: of one sample, by the scale of the step's gradients; or float [B, 1], of each user's samples.
    """
    each = torch.as_tensor(strength, dtype=torch.float32, device=items.device).expand(items.shape)  # [B, C]
    rows_and_pulls = {**dict.fromkeys(USER_TABLES, (users, each.sum(1))), **dict.fromkeys(ITEM_TABLES, (items, each))}
    for name, weight in network.named_parameters():
        if name in rows_and_pulls and weight.grad is not None:
            rows, pull = rows_and_pulls[name]
            of_row = torch.zeros(len(weight), device=weight.device).index_add_(0, rows.flatten(), pull.flatten())
            weight.grad.addcmul_(weight, of_row.unsqueeze(1))
