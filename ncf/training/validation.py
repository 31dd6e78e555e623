"""Ranking of the validation positives, among all items or among their candidates, on the training device."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ncf.artifacts.index_checks import Pairs
from ncf.artifacts.items_by_user import ItemsByUser
from ncf.artifacts.model_folder import ModelConfig
from ncf.artifacts.samples import Samples
from ncf.models.history_network import HistoryNetwork
from ncf.models.networks import AnyNetwork, Network
from ncf.training.distributed import World
from ncf.training.hyperparameters import MOST_USERS, PAIRS_OF_TOWER

CUTOFF = 10
_PAIRS_AT_ONCE = 1 << 16
_SCORES_AT_ONCE = 1 << 22
_SEED = 0


class Validation(ABC):
    """Hit rate and NDCG at 10 on validation positives.

    Args:
        total: number of positives over all processes.
        world: the processes over which the metrics are summed.
    """

    def __init__(self, total: int, world: World) -> None:
        self._total, self._world = total, world

    def metrics(self, network: AnyNetwork) -> dict[str, float]:
        """``hr_at_10`` and ``ndcg_at_10`` over all processes; both 0 without validation positives."""
        sums = torch.zeros(2, dtype=torch.float64, device=self._world.device)
        network.eval()
        with torch.inference_mode():
            self._add(network, sums)
        network.train()
        hit_rate, ndcg = (self._world.all_reduce(sums) / max(1, self._total)).tolist()
        return {f"hr_at_{CUTOFF}": hit_rate, f"ndcg_at_{CUTOFF}": ndcg}

    @abstractmethod
    def _add(self, network: AnyNetwork, sums: Tensor) -> None:
        """Add the hits and the gains of this process's positives to ``sums``, float64 [2]."""


def _hits_and_gains(rank: Tensor) -> Tensor:
    """Summed hits and gains of ranks, int64 [n] from 0: float64 [2]."""
    hits = rank < CUTOFF
    gains = hits / torch.log2(rank + 2.0)
    return torch.stack([hits.sum(dtype=torch.float64), gains.sum(dtype=torch.float64)])


class SampledValidation(Validation):
    """Validation positives of this process's users among their candidates.

    Args:
        samples: positives, sorted by user, and their candidates.
        train: items of all users, the histories of a ``history`` network.
        users: of this process.
        world: the processes.
    """

    def __init__(self, samples: Samples, train: ItemsByUser, users: range, world: World) -> None:
        super().__init__(len(samples.validation), world)
        self._train, self._first = train, users.start
        rows = slice(*np.searchsorted(samples.validation[:, 0], [users.start, users.stop]).tolist())
        pairs = samples.validation[rows]
        ranked = np.concatenate([pairs[:, 1:], samples.validation_candidates[rows]], 1)
        self._users = torch.from_numpy(pairs[:, 0] - np.int32(users.start)).to(world.device)  # [n]
        self._items = torch.from_numpy(ranked).to(world.device)  # [n, 1 + candidates], the positive first

    def _add(self, network: AnyNetwork, sums: Tensor) -> None:
        rows = max(1, _PAIRS_AT_ONCE // self._items.shape[1])
        for users, items in zip(torch.split(self._users, rows), torch.split(self._items, rows), strict=True):
            if isinstance(network, HistoryNetwork):
                histories = _histories(self._train, (users + self._first).tolist(), self._world.device)
                scores = network.scores_of(network.of_users(*histories), items)
            else:
                scores = network(users, items)
            sums += _hits_and_gains(ranks(scores, items))


def pairs_in_catalogue(samples: Samples, config: ModelConfig) -> Pairs:
    """Validation positives (user, item) that are ranked in the catalogue: of all users, or of some, drawn.

    The draw is the same for each epoch, number of processes and seed.

    Returns:
        int32 [n, 2], sorted by user.
    """
    pairs = samples.validation
    most = MOST_USERS
    if config.has_tower:
        most = min(most, max(100, PAIRS_OF_TOWER // config.n_items))
    drawn = np.unique(pairs[:, 0])
    if len(drawn) > most:
        drawn = np.sort(np.random.default_rng(_SEED).choice(drawn, most, replace=False))
    return pairs[np.isin(pairs[:, 0], drawn)]


class CatalogueValidation(Validation):
    """Validation positives among all items that the user has not in training, for all users or some of them.

    Args:
        samples: positives, sorted by user.
        train: items of all users, which are not ranked.
        config: architecture and sizes.
        users: of this process.
        world: the processes.
    """

    def __init__(self, samples: Samples, train: ItemsByUser, config: ModelConfig, users: range, world: World) -> None:
        pairs = pairs_in_catalogue(samples, config)
        super().__init__(len(pairs), world)
        self._pairs = pairs[slice(*np.searchsorted(pairs[:, 0], [users.start, users.stop]).tolist())]
        self._train, self._first, self._n_items = train, users.start, config.n_items

    def _add(self, network: AnyNetwork, sums: Tensor) -> None:
        height = max(1, _SCORES_AT_ONCE // self._n_items)
        for start in range(0, len(self._pairs), height):
            sums += _hits_and_gains(self._ranks(network, self._pairs[start : start + height]))

    def _ranks(self, network: AnyNetwork, pairs: NDArray[np.int32]) -> Tensor:
        """Rank of each positive of ``pairs``, int32 [n, 2]: int64 [n], from 0."""
        device = self._world.device
        items, offsets = _histories(self._train, pairs[:, 0].tolist(), device)
        positives = torch.from_numpy(pairs[:, 1:].astype(np.int64)).to(device)
        if isinstance(network, HistoryNetwork):
            scores = network.scores(network.of_users(items, offsets))
        else:
            scores = _scores(network, torch.from_numpy(pairs[:, 0] - np.int32(self._first)).to(device), self._n_items)
        own = scores.gather(1, positives)
        scores[torch.repeat_interleave(offsets.diff()), items] = -torch.inf
        return (~(scores < own)).sum(1) - 1  # the positive itself is not below its score


def _histories(train: ItemsByUser, users: list[int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Items of some users, one after the other, int64 [n], and the first of each, int64 [users + 1]."""
    known = [train.of_user(user) for user in users]
    offsets = torch.from_numpy(np.cumsum([0, *(len(items) for items in known)], dtype=np.int64)).to(device)
    return torch.from_numpy(np.concatenate([np.empty(0, np.int64), *known])).to(device), offsets


def _scores(network: Network, users: Tensor, n_items: int) -> Tensor:
    """Logits of users with all items: int [B] -> float32 [B, n_items]."""
    width = min(n_items, _PAIRS_AT_ONCE)
    items = torch.arange(n_items, dtype=torch.int32, device=users.device)
    scores = torch.empty(len(users), n_items, device=users.device)
    for rows in torch.split(torch.arange(len(users), device=users.device), max(1, _PAIRS_AT_ONCE // width)):
        for part in torch.split(items, width):
            scores[rows, int(part[0]) : int(part[-1]) + 1] = network(users[rows], part.expand(len(rows), -1))
    return scores


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
