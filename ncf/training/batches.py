"""What an epoch trains on: shuffled positives with their negatives, cut into steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ncf.data.dataset import check_range, load_array
from ncf.data.items_by_user import ItemsByUser
from ncf.errors import InputError
from ncf.training.negatives import NegativeSampler


@dataclass(frozen=True)
class Epoch:
    """The shuffled samples of one epoch in one process.

    Attributes:
        users: int32 [P], rows of this process's user tables.
        items: int32 [P, 1 + negatives], the positive first.
        steps: steps in the epoch, the same in every process.
    """

    users: Tensor
    items: Tensor
    steps: int

    def batches(self, first_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Users [B] and items [B, 1 + negatives] of each step from ``first_step`` on."""
        for step in range(first_step, self.steps):
            start, end = (
                _bound(step, len(self.users), self.steps),
                _bound(step + 1, len(self.users), self.steps),
            )
            yield self.users[start:end], self.items[start:end]


def _bound(step: int, rows: int, steps: int) -> int:
    return step * rows // steps


def step_bounds(rows: int, steps: int) -> list[int]:
    """First row of each step, and the number of rows."""
    return [_bound(step, rows, steps) for step in range(steps + 1)]


def samples_in_step(step: int, steps: int, rows: NDArray[np.int64], samples_per_row: int) -> int:
    """Samples of a step over all processes, of which process ``r`` has ``rows[r]`` positives."""
    return samples_per_row * sum(_bound(step + 1, int(n), steps) - _bound(step, int(n), steps) for n in rows)


class EpochSource:
    """Makes the epochs of one fit for one process: what is random in them depends on seed and epoch alone.

    Args:
        positives: what to fit, the items of all users.
        exclusion: what is no negative: the positives of this fit.
        users: those that this process owns.
        n_items: size of the catalogue.
        negatives: for each positive.
        rounds: shards of each materialised round (``Samples.rounds``); without any, negatives are drawn anew.
        seed: one for each fit and process.
        device: where the samples live.
    """

    def __init__(
        self,
        positives: ItemsByUser,
        exclusion: ItemsByUser,
        users: range,
        n_items: int,
        negatives: int,
        rounds: list[list[Path]],
        seed: list[int],
        device: torch.device,
    ) -> None:
        self.users, self.n_items = users, n_items
        self.negatives, self.rounds, self.seed, self.device = negatives, rounds, seed, device
        own = part_of(positives, users)
        self._users = torch.from_numpy(own.users()).to(device)  # [P]
        self._positives = torch.from_numpy(own.items).to(device)  # [P]
        self._sampler = None if rounds else NegativeSampler(part_of(exclusion, users), n_items, device)

    def epoch(self, number: int, steps: int) -> Epoch:
        """Epoch ``number`` (from 1) in ``steps`` steps."""
        generator = torch.Generator(self.device).manual_seed(derived_seed(*self.seed, number))
        users, items = self._from_round(number) if self._sampler is None else self._drawn(self._sampler, generator)
        order = torch.randperm(len(users), generator=generator, device=self.device)
        return Epoch(users[order], items[order], steps)

    def _drawn(self, sampler: NegativeSampler, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        drawn = sampler.draw(self._users, self.negatives, generator)
        return self._users, torch.cat([self._positives.unsqueeze(1), drawn], 1)

    def _from_round(self, number: int) -> tuple[Tensor, Tensor]:
        """The samples of this process in a materialised round; after the last, the first comes again."""
        parts = []
        for path in self.rounds[(number - 1) % len(self.rounds)]:
            rows = load_array(path, 2)
            if rows.shape[1] < 2 + self.negatives:
                raise InputError(
                    f"{path}: {rows.shape[1] - 2} negatives a positive, but parameter 'negatives' is "
                    f"{self.negatives}: lower it, or materialise more"
                )
            own = (rows[:, 0] >= self.users.start) & (rows[:, 0] < self.users.stop)
            parts.append(np.asarray(rows[own, : 2 + self.negatives], np.int32))
            check_range(path, parts[-1][:, 1:], self.n_items)
        joined = torch.from_numpy(np.concatenate(parts))
        if len(joined) != len(self._users):
            raise InputError(
                f"{self.rounds[0][0].parent}: {len(joined)} positives in a round, the data set has "
                f"{len(self._users)}; the samples are not those of this data set, or shards are missing"
            )
        return (joined[:, 0] - self.users.start).to(self.device), joined[:, 1:].to(self.device)


def part_of(positives: ItemsByUser, users: range) -> ItemsByUser:
    """Some of the users, numbered from 0; in memory."""
    offsets = np.array(positives.offsets[users.start : users.stop + 1])
    return ItemsByUser(offsets - offsets[0], np.array(positives.items[offsets[0] : offsets[-1]], np.int32))


def derived_seed(*parts: int) -> int:
    """One well-mixed seed for a combination of numbers."""
    return int(np.random.SeedSequence(list(parts)).generate_state(1, np.uint64)[0] >> 1)
