"""Epochs of materialised rounds: negatives that the sampling stage has drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ncf.artifacts.dataset import check_range, load_array
from ncf.errors import InputError
from ncf.training.batches import SamplesOf, ShuffledEpoch
from ncf.training.seeds import derived_seed
from ncf.training.step import Batch


class RoundsSource:
    """Epochs of materialised rounds; after the last round, the first is used again.

    Args:
        rounds: shards of each round (``Samples.rounds``).
        positives: number of positives of this process.
        users: those that this process owns.
        n_items: size of the catalogue.
        negatives: of each positive.
        seed: one for each fit and process.
        device: of the samples.
    """

    def __init__(
        self,
        rounds: list[list[Path]],
        positives: int,
        users: range,
        n_items: int,
        negatives: int,
        seed: list[int],
        device: torch.device,
    ) -> None:
        self._rounds, self._n_positives, self._users, self._n_items = rounds, positives, users, n_items
        self._negatives, self._seed, self._device = negatives, seed, device

    def epoch(self, number: int, steps: int) -> ShuffledEpoch:
        """Epoch ``number``, from 1, in ``steps`` steps."""
        seed = derived_seed(*self._seed, number)
        return ShuffledEpoch(self._samples_of_round(number), self._n_positives, steps, seed, self._device)

    def _samples_of_round(self, number: int) -> SamplesOf:
        shards = [self._own_rows(path) for path in self._rounds[(number - 1) % len(self._rounds)]]
        ends = np.cumsum([len(rows) for rows in shards])
        if ends[-1] != self._n_positives:
            raise InputError(
                f"{self._rounds[0][0].parent}: {ends[-1]} positives in a round, the data set has "
                f"{self._n_positives}; the samples are not those of this data set, or shards are missing"
            )

        def samples(positives: Tensor, generator: torch.Generator) -> Batch:  # noqa: ARG001
            indices = positives.cpu().numpy()
            bounds = np.searchsorted(indices, [0, *ends])
            parts = [
                rows[indices[low:high] - (end - len(rows))]
                for rows, low, high, end in zip(shards, bounds, bounds[1:], ends, strict=False)
            ]
            chosen = torch.from_numpy(np.concatenate(parts))
            return (chosen[:, 0] - self._users.start).to(self._device), chosen[:, 1:].to(self._device)

        return samples

    def _own_rows(self, path: Path) -> NDArray[np.int32]:
        """The rows of this process's users in a shard, int32 [rows, 2 + negatives], memory-mapped."""
        rows = load_array(path, 2)
        if rows.shape[1] < 2 + self._negatives:
            raise InputError(
                f"{path}: {rows.shape[1] - 2} negatives a positive, but parameter 'negatives' is "
                f"{self._negatives}: lower it, or materialise more"
            )
        start, stop = np.searchsorted(rows[:, 0], [self._users.start, self._users.stop])  # users are in order
        own: NDArray[np.int32] = rows[start:stop, : 2 + self._negatives]
        check_range(path, own[:, 1:], self._n_items)
        return own
