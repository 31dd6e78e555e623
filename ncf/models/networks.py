"""GMF, MLP and NeuMF in torch (He et al., Neural Collaborative Filtering, WWW 2017, sections 3.2 to 3.4)."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ncf.artifacts.model_folder import ModelConfig
from ncf.models.history_network import HistoryNetwork

USER_TABLES = ("user_gmf.weight", "user_mlp.weight")
ITEM_TABLES = ("item_gmf.weight", "item_mlp.weight", "item_bias.weight")


def is_tower(name: str) -> bool:
    """Whether a weight name is that of a matrix of the tower."""
    return name.startswith("tower.") and name.endswith(".weight")


class Network(nn.Module):
    """Network that scores user-item pairs, as logits.

    GMF multiplies two embeddings. MLP passes two others through a tower of ReLU layers. NeuMF does both. A linear
    output layer gives the logit.

    The first layer of the tower is factored: for ``W = [Wu, Wi]``, ``W [u; i] = Wu u + Wi i``. A user is multiplied
    once for all of its items in the batch, and an item once for all of its users. The result is that of the
    concatenated embeddings of each pair.

    Args:
        config: architecture and sizes.
        users: rows of the user tables: all users, or those of this process.
        dropout: share of hidden units dropped in training.
        fixed_gmf_output: whether the output weights of the GMF part are constant.
        mixed_precision: whether training multiplies the matrices of the tower in bfloat16. Weights, gradients and
            all other values are float32.
    """

    def __init__(
        self,
        config: ModelConfig,
        users: int,
        dropout: float = 0.0,
        fixed_gmf_output: bool = False,
        mixed_precision: bool = False,
    ) -> None:
        super().__init__()
        self.fixed_gmf_output = fixed_gmf_output and config.has_gmf
        self.mixed_precision = mixed_precision and config.has_tower
        self.n_items, self.dropout = config.n_items, dropout
        self.has_gmf, self.has_mlp = config.has_gmf, config.has_tower
        outputs = 0
        if self.has_gmf:
            self.user_gmf = nn.Embedding(users, config.factors)
            self.item_gmf = nn.Embedding(config.n_items, config.factors)
            outputs += config.factors
        if self.has_mlp:
            half = config.tower[0] // 2
            self.user_mlp = nn.Embedding(users, half)
            self.item_mlp = nn.Embedding(config.n_items, half)
            self.tower = nn.ModuleList(nn.Linear(*widths) for widths in pairwise(config.tower))
            outputs += config.tower[-1]
        self.output = nn.Linear(outputs, 1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Logits of each user with a row of items.

        Args:
            users: int [B], rows of the user tables.
            items: int [B, C].

        Returns:
            float32 [B, C].
        """
        weight = self.output.weight[0]  # [factors + tower[-1]]
        logits = self.output.bias.expand(items.shape)
        if self.has_gmf:
            of_products = weight[: self.user_gmf.embedding_dim]
            if self.fixed_gmf_output:
                of_products = of_products.detach()
            user = self.user_gmf(users) * of_products  # [B, factors]
            logits = logits + torch.bmm(self.item_gmf(items), user.unsqueeze(2)).squeeze(2)
        if self.has_mlp:
            # no cache of cast weights: a CUDA graph would keep those of the step in which it was captured
            with torch.autocast(
                users.device.type, torch.bfloat16, enabled=self.mixed_precision and self.training, cache_enabled=False
            ):
                hidden = self._first_layer(users, items)
                for layer in list(self.tower)[1:]:
                    hidden = self._activated(layer(hidden))
            logits = logits + hidden.float() @ weight[-hidden.shape[-1] :]
        return logits

    def multiplications(self, items_per_user: int) -> float:
        """Multiplications of a sample in the forward pass, for a user with ``items_per_user`` items in the batch."""
        tower = [cast(nn.Linear, layer).weight.numel() for layer in self.tower] if self.has_mlp else [0]
        factors = self.user_gmf.embedding_dim if self.has_gmf else 0
        return factors + sum(tower[1:]) + tower[0] / 2 / items_per_user

    def _first_layer(self, users: Tensor, items: Tensor) -> Tensor:
        first = cast(nn.Linear, self.tower[0])
        half = self.user_mlp.embedding_dim
        user = F.linear(self.user_mlp(users), first.weight[:, :half])  # [B, tower[1]]
        if items.numel() > self.n_items:
            catalogue = F.linear(self.item_mlp.weight, first.weight[:, half:], first.bias)
            item = F.embedding(items, catalogue)
        else:  # the batch has fewer items than the catalogue
            item = F.linear(self.item_mlp(items), first.weight[:, half:], first.bias)
        return self._activated(item + user.unsqueeze(1))  # [B, C, tower[1]]

    def _activated(self, hidden: Tensor) -> Tensor:
        hidden = hidden.relu_()
        return F.dropout(hidden, self.dropout) if self.dropout and self.training else hidden


AnyNetwork = Network | HistoryNetwork


def initialise(network: Network, seed: int, init_std: float, users: range, n_users: int) -> None:
    """Initial weights. They depend on the seed alone, not on the number of processes.

    Embeddings are normal, hidden layers Glorot uniform, the output layer LeCun uniform, biases 0. Fixed output weights
    of the GMF part are 1, which makes it a matrix factorisation (He et al. 2017, section 3.2).

    Args:
        network: on the CPU, with the user tables of ``users``.
        seed: of all draws.
        init_std: standard deviation of the embeddings.
        users: users of this process.
        n_users: users of the whole model.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name in USER_TABLES:
                table = torch.empty(n_users, weight.shape[1]).normal_(0, init_std, generator=generator)
                weight.copy_(table[users.start : users.stop])
            elif name in ITEM_TABLES:
                weight.normal_(0, init_std, generator=generator)
            elif name == "output.weight":
                limit = (3 / weight.shape[1]) ** 0.5
                weight.uniform_(-limit, limit, generator=generator)
                if network.fixed_gmf_output:
                    weight[:, : network.user_gmf.embedding_dim] = 1
            elif name.endswith(".weight"):
                nn.init.xavier_uniform_(weight, generator=generator)
            else:
                weight.zero_()
