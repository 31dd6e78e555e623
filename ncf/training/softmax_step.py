"""Training steps of the ``history`` network: sampled softmax with shared negatives."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ncf.models.history_network import HistoryNetwork
from ncf.training.adam import AdamState
from ncf.training.distributed import World
from ncf.training.history_batches import HistoryBatch
from ncf.training.host_step import HostStep
from ncf.training.schedule import Schedule
from ncf.training.seeds import derived_seed
from ncf.training.softmax import SampledSoftmax, cells_of_positives

_POWER = 0.75
"""Exponent of the popularity by which negatives are drawn (Mikolov et al., NIPS 2013)."""
_TABLES = ("item_gmf.weight", "item_bias.weight")


class SoftmaxStep(HostStep[HistoryBatch]):
    """Cross-entropy of each positive among negatives that all positives of the step share.

    Negatives are drawn by popularity, and all scores corrected by the logarithm of the expected number of draws of the
    item (Bengio and Senecal 2008). Without the correction of the positive the loss would estimate that of the whole
    catalogue without bias; on validation positives it was slightly worse (BENCHMARKS.md). A catalogue of no more items
    than negatives is scored whole, without a draw.

    Where item tables are lazy (:mod:`ncf.training.adam`), a step gathers the rows of its items and updates only these,
    so that its time does not depend on the size of the catalogue.

    Args:
        network: on its device.
        optimiser: over the network's weights.
        adam: state of the optimiser.
        schedule: of the fit.
        world: the processes.
        popularity: int64 [n_items], positives of each item in the fit.
        negatives: number for each step of a process.
        dropout: share of the elements of users' vectors that are dropped (Srivastava et al., JMLR 2014).
        seed: of negatives and dropout, one for each fit and process.
    """

    def __init__(
        self,
        network: HistoryNetwork,
        optimiser: torch.optim.Adam,
        adam: AdamState,
        schedule: Schedule,
        world: World,
        popularity: NDArray[np.int64],
        negatives: int,
        dropout: float,
        seed: list[int],
    ) -> None:
        super().__init__(adam, schedule, world)
        self._network, self._optimiser, self._seed = network, optimiser, seed
        self._negatives, self._dropout = negatives, dropout
        self._is_whole = network.n_items <= negatives
        weights = popularity.astype(np.float64) ** _POWER
        shares = weights / weights.sum()
        self._up_to = torch.from_numpy(np.cumsum(shares)).to(world.device)  # [n_items]
        expected = np.log(np.maximum(shares * negatives, np.finfo(np.float32).tiny))
        self._expected = torch.from_numpy(expected.astype(np.float32)).to(world.device)  # [n_items]
        self._rows = torch.empty(0, dtype=torch.int32)
        self._gradients: dict[str, Tensor] = {}

    def _compute_gradients(self, batch: HistoryBatch, samples: int) -> Tensor:
        generator = self._generator()
        negatives = self._drawn(generator)
        table, bias, (items, negatives_) = self._tables(batch.items, negatives)
        users, own = batch.vectors(self._network, table, items)
        users = self._dropped(users, generator)
        positives = batch.items[batch.rows]
        scores = (users * own).sum(1) + F.embedding(items[batch.rows], bias)[:, 0]
        of_negatives, negative_bias = F.embedding(negatives_, table), F.embedding(negatives_, bias)[:, 0]
        if not self._is_whole:
            scores = scores - self._expected[positives]
            negative_bias = negative_bias - self._expected[negatives]
        cells = cells_of_positives(positives, negatives)
        weights = torch.ones_like(scores) if batch.weights is None else batch.weights
        loss: Tensor = SampledSoftmax.apply(users, of_negatives, negative_bias, scores, weights, cells)  # type: ignore[no-untyped-call]
        self._optimiser.zero_grad()
        torch.autograd.backward(loss / samples)
        if self.adam.is_lazy:
            self._gradients = {
                name: torch.zeros_like(part) if part.grad is None else part.grad
                for name, part in zip(_TABLES, (table, bias), strict=True)
            }
        return loss.detach()

    def _generator(self) -> torch.Generator:
        """Generator of the random numbers of this step."""
        return torch.Generator(self._world.device).manual_seed(derived_seed(*self._seed, self._epoch, self._step))

    def _drawn(self, generator: torch.Generator) -> Tensor:
        """Negatives of this step, int64 [N]."""
        device = self._world.device
        if self._is_whole:
            return torch.arange(self._network.n_items, device=device)
        points = torch.rand(self._negatives, generator=generator, device=device, dtype=torch.float64)
        return torch.searchsorted(self._up_to, points).clamp_(max=self._network.n_items - 1)

    def _dropped(self, users: Tensor, generator: torch.Generator) -> Tensor:
        """Vectors of users, float32 [B, factors], without the elements that are dropped; the others are scaled up."""
        if not self._dropout:
            return users
        kept = torch.rand(users.shape, generator=generator, device=users.device) >= self._dropout
        return users * kept / (1 - self._dropout)

    def _tables(self, *indices: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Embeddings and biases of this step, and the rows of some items, int64 [n] each, in them."""
        weights = self._network.item_gmf.weight, self._network.item_bias.weight
        if not self.adam.is_lazy:
            return *weights, list(indices)
        self._rows = self._world.union(torch.unique(torch.cat(indices)).int())
        self.adam.catch_up(self._rows, self._rows)
        table, bias = (weight.detach()[self._rows].requires_grad_() for weight in weights)
        return table, bias, [torch.searchsorted(self._rows, part.int()) for part in indices]

    def _sum_gradients(self, stop: bool) -> bool:
        own = [weight.grad for weight in self._network.parameters() if weight.grad is not None]
        return self._world.all_reduce_many([*own, *self._gradients.values()], stop)

    def _update(self) -> None:
        self.adam.update(self._rows, self._rows, self._gradients)

    def _settle(self) -> None:
        self.adam.settle()
