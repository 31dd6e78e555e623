"""Epochs by torch: shuffled positives with their negatives, divided into steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ncf.artifacts.items_by_user import ItemsByUser
from ncf.training.negatives import NegativeSampler
from ncf.training.schedule import first_row
from ncf.training.seeds import derived_seed
from ncf.training.step import Batch

POSITIVES_AT_ONCE = 1 << 21
"""Approximate number of positives whose samples are in memory at once. An epoch also takes 4 bytes a positive."""


class SamplesOf(Protocol):
    """The samples of some positives, given by index, ascending."""

    def __call__(self, positives: Tensor, generator: torch.Generator) -> Batch: ...


@dataclass(frozen=True)
class ShuffledEpoch:
    """The shuffled samples of one epoch in one process, drawn for some steps at a time.

    The order is uniform among all: one random permutation assigns the positives to chunks of whole steps. A chunk's
    positives are sorted, so that memory is read in one direction and negatives are drawn in order of users, and then
    shuffled. Seeds depend on the epoch and the chunk, so an epoch is the same whatever step it is begun at.

    Attributes:
        samples: the samples of some positives.
        positives: number of positives of this process.
        steps: steps in the epoch, the same in every process.
        seed: of this epoch in this process.
        device: of the samples.
    """

    samples: SamplesOf
    positives: int
    steps: int
    seed: int
    device: torch.device

    def batches(self, first_step: int) -> Iterator[Batch]:
        """The samples of each step from ``first_step`` on."""
        n, steps = self.positives, self.steps
        generator = torch.Generator(self.device).manual_seed(self.seed)
        order = torch.randperm(n, generator=generator, device=self.device, dtype=torch.int32)
        per_chunk = max(1, POSITIVES_AT_ONCE * steps // max(n, 1))  # steps
        for chunk in range(first_step // per_chunk, -(-steps // per_chunk)):
            begin, end = chunk * per_chunk, min((chunk + 1) * per_chunk, steps)
            start, stop = first_row(begin, n, steps), first_row(end, n, steps)
            generator.manual_seed(derived_seed(self.seed, chunk))
            users, items = self.samples(order[start:stop].sort().values, generator)
            shuffled = torch.randperm(stop - start, generator=generator, device=self.device)
            users, items = users[shuffled], items[shuffled]
            for step in range(max(begin, first_step), end):
                rows = slice(first_row(step, n, steps) - start, first_row(step + 1, n, steps) - start)
                yield users[rows], items[rows]


class SampledSource:
    """Epochs whose negatives are drawn anew.

    Args:
        positives: of this process's users, numbered from 0.
        sampler: of their negatives.
        negatives: of each positive.
        seed: one for each fit and process.
    """

    def __init__(self, positives: ItemsByUser, sampler: NegativeSampler, negatives: int, seed: list[int]) -> None:
        self._sampler, self._negatives, self._seed = sampler, negatives, seed
        self._users = torch.from_numpy(positives.users()).to(sampler.device)  # [P]
        self._positives = torch.from_numpy(positives.items).to(sampler.device)  # [P]

    def epoch(self, number: int, steps: int) -> ShuffledEpoch:
        """Epoch ``number``, from 1, in ``steps`` steps."""
        seed = derived_seed(*self._seed, number)
        return ShuffledEpoch(self._samples, len(self._users), steps, seed, self._sampler.device)

    def _samples(self, positives: Tensor, generator: torch.Generator) -> Batch:
        users = self._users[positives]
        drawn = self._sampler.draw(users, self._negatives, generator)
        return users, torch.cat([self._positives[positives].unsqueeze(1), drawn], 1)


def part_of(positives: ItemsByUser, users: range) -> ItemsByUser:
    """Some of the users, numbered from 0; in memory."""
    offsets = np.array(positives.offsets[users.start : users.stop + 1])
    return ItemsByUser(offsets - offsets[0], np.array(positives.items[offsets[0] : offsets[-1]], np.int32))
